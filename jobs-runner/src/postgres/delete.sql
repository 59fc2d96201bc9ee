-- Removes jobs that are not running, waiting or finished, with the keys they stand for.
WITH finished AS (
    DELETE FROM jobs_queue_history
    WHERE id = ANY(ARRAY(
        SELECT id
        FROM jobs_queue_history
        WHERE id BETWEEN COALESCE($1::bigint, 0) AND COALESCE($1, 9223372036854775807)
            AND ($2::text IS NULL OR queue = $2) AND ($3::text IS NULL OR kind = $3) AND ($4::text IS NULL OR state = $4)
            AND ($5::timestamptz IS NULL OR created_at >= $5) AND ($6::timestamptz IS NULL OR created_at < $6)
        ORDER BY id
        LIMIT $7
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING id
),
waiting AS (
    DELETE FROM jobs_queue_job
    WHERE state <> 'running' AND id = ANY(ARRAY(
        SELECT id
        FROM jobs_queue_job
        WHERE id BETWEEN COALESCE($1::bigint, 0) AND COALESCE($1, 9223372036854775807)
            AND state <> 'running'
            AND ($2::text IS NULL OR queue = $2) AND ($3::text IS NULL OR kind = $3) AND ($4::text IS NULL OR state = $4)
            AND ($5::timestamptz IS NULL OR created_at >= $5) AND ($6::timestamptz IS NULL OR created_at < $6)
        ORDER BY id
        LIMIT $7
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING id, unique_key
),
left_key AS (
    DELETE FROM jobs_queue_unique AS held
    USING waiting
    WHERE held.key = waiting.unique_key AND held.job_id = waiting.id AND held.until IS NULL
)
SELECT (SELECT count(*) FROM finished) + (SELECT count(*) FROM waiting)
