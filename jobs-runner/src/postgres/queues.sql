-- How full the queues are. Each priority is two walks along the claim index, what is due and what is due later, and jobs with a
-- limit key are one more, along theirs; each ends at the bound. The names come as a parameter: the planner would expect a thousand
-- of them otherwise, and compile the statement for a tenth of a second.
SELECT known.queue, EXISTS (SELECT FROM jobs_queue_pause WHERE queue = known.queue) AS is_paused,
    (free.ready + keyed.ready)::bigint, (free.running + keyed.running)::bigint, (free.scheduled + keyed.scheduled)::bigint,
    (free.failed + keyed.failed)::bigint, free.due_is_cut OR keyed.is_cut AS due_is_cut,
    free.later_is_cut OR keyed.is_cut AS later_is_cut,
    (extract(epoch FROM statement_timestamp() - LEAST(free.oldest, keyed.oldest)) * 1000000)::bigint AS oldest
FROM unnest($2::text[]) AS known (queue)
CROSS JOIN LATERAL (
    SELECT sum(due.ready) AS ready, sum(due.running + later.running) AS running, sum(later.scheduled) AS scheduled,
        sum(later.failed) AS failed, bool_or(due.is_cut) AS due_is_cut, bool_or(later.is_cut) AS later_is_cut,
        min(due.oldest) AS oldest
    FROM generate_series(0, 9) AS level (priority)
    CROSS JOIN LATERAL (
        SELECT count(*) > $1 AS is_cut, count(*) FILTER (WHERE state = 'running') AS running,
            count(*) FILTER (WHERE state <> 'running') AS ready, min(run_at) FILTER (WHERE state <> 'running') AS oldest
        FROM (
            SELECT state, run_at
            FROM jobs_queue_job
            WHERE queue = known.queue AND limit_key IS NULL AND priority = level.priority AND run_at <= statement_timestamp()
            ORDER BY run_at, id
            LIMIT $1 + 1
        ) AS walk
    ) AS due
    CROSS JOIN LATERAL (
        SELECT count(*) > $1 AS is_cut, count(*) FILTER (WHERE state = 'running') AS running,
            count(*) FILTER (WHERE state = 'pending') AS scheduled, count(*) FILTER (WHERE state = 'failed') AS failed
        FROM (
            SELECT state
            FROM jobs_queue_job
            WHERE queue = known.queue AND limit_key IS NULL AND priority = level.priority AND run_at > statement_timestamp()
            ORDER BY run_at, id
            LIMIT $1 + 1
        ) AS walk
    ) AS later
) AS free
CROSS JOIN LATERAL (
    SELECT count(*) > $1 AS is_cut, count(*) FILTER (WHERE state = 'running') AS running,
        count(*) FILTER (WHERE state <> 'running' AND is_due) AS ready,
        count(*) FILTER (WHERE state = 'pending' AND NOT is_due) AS scheduled,
        count(*) FILTER (WHERE state = 'failed' AND NOT is_due) AS failed,
        min(run_at) FILTER (WHERE state <> 'running' AND is_due) AS oldest
    FROM (
        SELECT state, run_at, run_at <= statement_timestamp() AS is_due
        FROM jobs_queue_job
        WHERE queue = known.queue AND limit_key IS NOT NULL
        ORDER BY limit_key, priority, run_at, id
        LIMIT $1 + 1
    ) AS walk
) AS keyed
