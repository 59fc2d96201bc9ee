-- The ids of jobs that are not running: some that wait, and some that are finished. (Signs: see `claim.sql`.)
SELECT id
FROM (
    SELECT id
    FROM jobs_queue_job
    WHERE id BETWEEN COALESCE($1, 0) AND COALESCE($1, 9223372036854775807)
        AND state <> 'running'
        AND ($2 IS NULL OR queue = $2) AND ($3 IS NULL OR kind = $3) AND ($4 IS NULL OR state = $4)
        AND ($5 IS NULL OR created_at >= $5) AND ($6 IS NULL OR created_at < $6)
    ORDER BY id
    LIMIT +$7
)
UNION ALL
SELECT id
FROM (
    SELECT id
    FROM jobs_queue_history
    WHERE id BETWEEN COALESCE($1, 0) AND COALESCE($1, 9223372036854775807)
        AND ($2 IS NULL OR queue = $2) AND ($3 IS NULL OR kind = $3) AND ($4 IS NULL OR state = $4)
        AND ($5 IS NULL OR created_at >= $5) AND ($6 IS NULL OR created_at < $6)
    ORDER BY id
    LIMIT +$7
)
