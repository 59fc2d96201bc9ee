-- How full the queues are. Each priority is two walks along the claim index, what is due and what is due later, and jobs with a
-- limit key are one more, along theirs; each ends at the bound; running jobs have an index of their own.
WITH RECURSIVE named_free AS (
    SELECT (SELECT min(queue) FROM jobs_queue_job WHERE state <> 'running' AND limit_key IS NULL) AS queue
    UNION ALL
    SELECT (SELECT min(queue) FROM jobs_queue_job WHERE state <> 'running' AND limit_key IS NULL AND queue > named_free.queue)
    FROM named_free
    WHERE queue IS NOT NULL
),
named_keyed AS (
    SELECT (SELECT min(queue) FROM jobs_queue_job WHERE state <> 'running' AND limit_key IS NOT NULL) AS queue
    UNION ALL
    SELECT (
            SELECT min(queue)
            FROM jobs_queue_job
            WHERE state <> 'running' AND limit_key IS NOT NULL AND queue > named_keyed.queue
        )
    FROM named_keyed
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
    FROM named_free
    WHERE queue IS NOT NULL
    UNION
    SELECT queue
    FROM named_keyed
    WHERE queue IS NOT NULL
    UNION
    SELECT queue
    FROM running
    UNION
    SELECT queue
    FROM jobs_queue_pause
),
level AS MATERIALIZED (
    SELECT queue,
        (
            SELECT count(*)
            FROM (
                SELECT 1
                FROM jobs_queue_job AS job
                WHERE state <> 'running' AND limit_key IS NULL AND job.queue = known.queue AND priority = level.value
                    AND run_at <= CAST(unixepoch('subsec') * 1000000 AS INTEGER)
                LIMIT $1 + 1
            )
        ) AS ready,
        (
            SELECT min(run_at)
            FROM jobs_queue_job AS job
            WHERE state <> 'running' AND limit_key IS NULL AND job.queue = known.queue AND priority = level.value
                AND run_at <= CAST(unixepoch('subsec') * 1000000 AS INTEGER)
        ) AS oldest,
        (
            SELECT json_array(count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'failed'))
            FROM (
                SELECT state
                FROM jobs_queue_job AS job
                WHERE state <> 'running' AND limit_key IS NULL AND job.queue = known.queue AND priority = level.value
                    AND run_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER)
                ORDER BY run_at, id
                LIMIT $1 + 1
            )
        ) AS later,
        false AS is_cut
    FROM known
    CROSS JOIN json_each('[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]') AS level
    UNION ALL
    SELECT queue, walk ->> 0, walk ->> 1, json_array(walk ->> 2, walk ->> 3),
        (walk ->> 0) + (walk ->> 2) + (walk ->> 3) > $1
    FROM (
        SELECT queue,
            (
                SELECT json_array(count(*) FILTER (WHERE is_due), min(run_at) FILTER (WHERE is_due),
                        count(*) FILTER (WHERE state = 'pending' AND NOT is_due),
                        count(*) FILTER (WHERE state = 'failed' AND NOT is_due))
                FROM (
                    SELECT state, run_at, run_at <= CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS is_due
                    FROM jobs_queue_job AS job
                    WHERE state <> 'running' AND limit_key IS NOT NULL AND job.queue = known.queue
                    ORDER BY limit_key, priority, run_at, id
                    LIMIT $1 + 1
                )
            ) AS walk
        FROM known
    )
)
SELECT queue, EXISTS (SELECT 1 FROM jobs_queue_pause WHERE queue = level.queue) AS is_paused, sum(ready),
    COALESCE((SELECT number FROM running WHERE queue = level.queue), 0), sum(later ->> 0), sum(later ->> 1),
    max(ready) > $1 OR max(is_cut) OR (SELECT COALESCE(sum(number), 0) FROM running) > $1,
    max((later ->> 0) + (later ->> 1)) > $1 OR max(is_cut),
    CAST(unixepoch('subsec') * 1000000 AS INTEGER) - min(oldest)
FROM level
GROUP BY queue
ORDER BY queue
