-- How full the queues are. Each priority is two walks along the claim index, what is due and what is due later, and each ends
-- at the bound; running jobs have an index of their own.
WITH RECURSIVE named AS (
    SELECT (SELECT min(queue) FROM jobs_queue_job WHERE state <> 'running') AS queue
    UNION ALL
    SELECT (SELECT min(queue) FROM jobs_queue_job WHERE state <> 'running' AND queue > named.queue)
    FROM named
    WHERE queue IS NOT NULL
),
running AS MATERIALIZED (
    SELECT queue, count(*) AS number
    FROM (
        SELECT queue
        FROM jobs_queue_job
        WHERE state = 'running'
        LIMIT $1 + 1
    )
    GROUP BY queue
),
known AS MATERIALIZED (
    SELECT queue
    FROM named
    WHERE queue IS NOT NULL
    UNION
    SELECT queue
    FROM running
    UNION
    SELECT queue
    FROM jobs_queue_pause
),
level AS MATERIALIZED (
    SELECT queue, value AS priority,
        (
            SELECT count(*)
            FROM (
                SELECT 1
                FROM jobs_queue_job AS job
                WHERE state <> 'running' AND job.queue = known.queue AND priority = level.value
                    AND run_at <= CAST(unixepoch('subsec') * 1000000 AS INTEGER)
                LIMIT $1 + 1
            )
        ) AS ready,
        (
            SELECT min(run_at)
            FROM jobs_queue_job AS job
            WHERE state <> 'running' AND job.queue = known.queue AND priority = level.value
                AND run_at <= CAST(unixepoch('subsec') * 1000000 AS INTEGER)
        ) AS oldest,
        (
            SELECT json_array(count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'failed'))
            FROM (
                SELECT state
                FROM jobs_queue_job AS job
                WHERE state <> 'running' AND job.queue = known.queue AND priority = level.value
                    AND run_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER)
                ORDER BY run_at, id
                LIMIT $1 + 1
            )
        ) AS later
    FROM known
    CROSS JOIN json_each('[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]') AS level
)
SELECT queue, EXISTS (SELECT 1 FROM jobs_queue_pause WHERE queue = level.queue) AS is_paused, sum(ready),
    COALESCE((SELECT number FROM running WHERE queue = level.queue), 0), sum(later ->> 0), sum(later ->> 1),
    max(ready) > $1 OR (SELECT COALESCE(sum(number), 0) FROM running) > $1, max((later ->> 0) + (later ->> 1)) > $1,
    CAST(unixepoch('subsec') * 1000000 AS INTEGER) - min(oldest)
FROM level
GROUP BY queue
ORDER BY queue
