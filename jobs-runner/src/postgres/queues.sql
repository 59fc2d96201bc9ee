-- How full the queues are. Each priority is two walks along the claim index, what is due and what is due later, and each ends
-- at the bound. The names come as a parameter: the planner would expect a thousand of them otherwise, and compile the statement for
-- a tenth of a second.
SELECT known.queue, EXISTS (SELECT FROM jobs_queue_pause WHERE queue = known.queue) AS is_paused,
    sum(due.ready)::bigint, sum(due.running + later.running)::bigint, sum(later.scheduled)::bigint, sum(later.failed)::bigint,
    bool_or(due.is_cut) AS due_is_cut, bool_or(later.is_cut) AS later_is_cut,
    (extract(epoch FROM statement_timestamp() - min(due.oldest)) * 1000000)::bigint AS oldest
FROM unnest($2::text[]) AS known (queue)
CROSS JOIN generate_series(0, 9) AS level (priority)
CROSS JOIN LATERAL (
    SELECT count(*) > $1 AS is_cut, count(*) FILTER (WHERE state = 'running') AS running,
        count(*) FILTER (WHERE state <> 'running') AS ready, min(run_at) FILTER (WHERE state <> 'running') AS oldest
    FROM (
        SELECT state, run_at
        FROM jobs_queue_job
        WHERE queue = known.queue AND priority = level.priority AND run_at <= statement_timestamp()
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
        WHERE queue = known.queue AND priority = level.priority AND run_at > statement_timestamp()
        ORDER BY run_at, id
        LIMIT $1 + 1
    ) AS walk
) AS later
GROUP BY known.queue
