-- The limit keys of jobs in this queue, one step each, and a place for jobs without one; in each the first of every priority.
WITH RECURSIVE asked AS (
    SELECT (
            SELECT limit_key
            FROM jobs_queue_job
            WHERE queue = $1 AND limit_key IS NOT NULL
            ORDER BY limit_key
            LIMIT 1
        ) AS key
    UNION ALL
    SELECT (
            SELECT limit_key
            FROM jobs_queue_job
            WHERE queue = $1 AND limit_key > asked.key
            ORDER BY limit_key
            LIMIT 1
        )
    FROM asked
    WHERE key IS NOT NULL
)
SELECT (extract(epoch FROM min(job.run_at) - statement_timestamp()) * 1000000)::bigint
FROM (
    SELECT free.run_at
    FROM generate_series(0, 9) AS level (priority)
    CROSS JOIN LATERAL (
        SELECT run_at
        FROM jobs_queue_job
        WHERE queue = $1 AND limit_key IS NULL AND priority = level.priority AND run_at > statement_timestamp()
            AND array_position($2, kind) IS NOT NULL
        ORDER BY run_at, id
        LIMIT 1
    ) AS free
    UNION ALL
    SELECT keyed.run_at
    FROM asked
    CROSS JOIN generate_series(0, 9) AS level (priority)
    CROSS JOIN LATERAL (
        SELECT run_at
        FROM jobs_queue_job
        WHERE queue = $1 AND limit_key = asked.key AND priority = level.priority AND run_at > statement_timestamp()
            AND array_position($2, kind) IS NOT NULL
        ORDER BY run_at, id
        LIMIT 1
    ) AS keyed
) AS job
