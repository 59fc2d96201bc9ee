-- How full the queues are. Each priority is two walks along the claim index, what is due and what is due later, and each ends
-- at the bound.
WITH RECURSIVE named AS (
    SELECT min(queue) AS queue
    FROM jobs_queue_job
    UNION ALL
    SELECT (SELECT min(queue) FROM jobs_queue_job WHERE queue > named.queue)
    FROM named
    WHERE queue IS NOT NULL
),
known AS (
    SELECT queue
    FROM named
    WHERE queue IS NOT NULL
    UNION
    SELECT queue
    FROM jobs_queue_pause
)
SELECT known.queue, EXISTS (SELECT FROM jobs_queue_pause WHERE queue = known.queue) AS is_paused,
    sum(due.ready)::bigint, sum(due.running + later.running)::bigint, sum(later.scheduled)::bigint, sum(later.failed)::bigint,
    bool_or(due.is_cut) AS due_is_cut, bool_or(later.is_cut) AS later_is_cut,
    (extract(epoch FROM statement_timestamp() - min(due.oldest)) * 1000000)::bigint AS oldest
FROM known
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
ORDER BY known.queue
