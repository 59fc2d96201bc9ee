-- The latest jobs. Each arm walks back along an index of ids and has nothing to do where the state says that it is not asked.
SELECT id, queue, kind, payload, state, reason, priority, attempt, max_attempts, crashes, timeout, unique_key, order_key,
    progress, last_error, errors, run_at, expires_at, created_at, attempted_at, finished_at
FROM jobs_queue_record
WHERE id IN (
    SELECT id
    FROM (
        SELECT id
        FROM jobs_queue_job
        WHERE id BETWEEN COALESCE($2, 0) AND min($1, COALESCE($2, $1))
            AND ($3 IS NULL OR queue = $3) AND ($4 IS NULL OR kind = $4)
            AND ($5 IS NULL OR $5 IN ('pending', 'running', 'failed')) AND ($5 IS NULL OR state = $5)
            AND ($6 IS NULL OR created_at >= $6) AND ($7 IS NULL OR created_at < $7)
        ORDER BY id DESC
        LIMIT $8
    )
    UNION ALL
    SELECT id
    FROM (
        SELECT id
        FROM jobs_queue_history
        WHERE id BETWEEN COALESCE($2, 0) AND min($1, COALESCE($2, $1))
            AND ($3 IS NULL OR queue = $3) AND ($4 IS NULL OR kind = $4)
            AND ($5 IS NULL OR $5 = 'succeeded') AND ($5 IS NULL OR state = 'succeeded')
            AND ($6 IS NULL OR created_at >= $6) AND ($7 IS NULL OR created_at < $7)
        ORDER BY id DESC
        LIMIT $8
    )
    UNION ALL
    SELECT id
    FROM (
        SELECT id
        FROM jobs_queue_history
        WHERE id BETWEEN COALESCE($2, 0) AND min($1, COALESCE($2, $1))
            AND ($3 IS NULL OR queue = $3) AND ($4 IS NULL OR kind = $4)
            AND state <> 'succeeded' AND $5 IN ('dead', 'cancelled') AND state = $5
            AND ($6 IS NULL OR created_at >= $6) AND ($7 IS NULL OR created_at < $7)
        ORDER BY id DESC
        LIMIT $8
    )
)
ORDER BY id DESC
LIMIT $8
