-- Brings jobs back that were given up or cancelled, with all their attempts before them, and lets failed ones run at once.
WITH revived AS (
    DELETE FROM jobs_queue_history
    WHERE id IN (
        SELECT id
        FROM jobs_queue_history
        WHERE state <> 'succeeded' AND ($1::bigint IS NULL OR id = $1) AND ($2::text IS NULL OR queue = $2)
            AND ($3::text IS NULL OR kind = $3) AND ($4::text IS NULL OR state = $4)
            AND ($6::timestamptz IS NULL OR created_at >= $6) AND ($7::timestamptz IS NULL OR created_at < $7)
        ORDER BY id
        LIMIT $5
        FOR UPDATE SKIP LOCKED
    )
    RETURNING id, queue, kind, payload, priority, max_attempts, timeout, order_key, last_error, errors, created_at
),
added AS (
    INSERT INTO jobs_queue_job
        (id, queue, kind, payload, state, priority, attempt, max_attempts, crashes, timeout, order_key, last_error, errors,
        run_at, created_at)
    SELECT id, queue, kind, payload, 'pending', priority, 0, max_attempts, 0, timeout, order_key, last_error, errors,
        statement_timestamp(), created_at
    FROM revived
),
waiting AS (
    UPDATE jobs_queue_job
    SET run_at = statement_timestamp()
    WHERE id IN (
        SELECT id
        FROM jobs_queue_job
        WHERE state = 'failed' AND run_at > statement_timestamp() AND ($1::bigint IS NULL OR id = $1)
            AND ($2::text IS NULL OR queue = $2) AND ($3::text IS NULL OR kind = $3) AND ($4::text IS NULL OR state = $4)
            AND ($6::timestamptz IS NULL OR created_at >= $6) AND ($7::timestamptz IS NULL OR created_at < $7)
        ORDER BY id
        LIMIT $5
        FOR UPDATE SKIP LOCKED
    )
    RETURNING id
)
SELECT (SELECT count(*) FROM revived) + (SELECT count(*) FROM waiting)
