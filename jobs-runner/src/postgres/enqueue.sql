-- Stores jobs; a job whose unique key is taken is not stored, and answered with the id of the one that has the key.
WITH input AS MATERIALIZED (
    SELECT nextval('jobs_queue_job_id_seq') AS id, job.*,
        COALESCE(at, statement_timestamp() + delay * interval '1 microsecond') AS run_at,
        COALESCE(expires_at, statement_timestamp() + expires_after * interval '1 microsecond') AS ends_at
    FROM unnest($1::text[], $2::text[], $3::text[], $4::smallint[], $5::integer[], $6::timestamptz[], $7::bigint[],
        $8::timestamptz[], $9::bigint[], $10::bigint[], $11::text[], $12::bigint[], $13::text[], $14::text[], $15::text[])
        AS job (queue, kind, payload, priority, max_attempts, at, delay, expires_at, expires_after, timeout, unique_key,
        unique_for, order_key, limit_key, trace)
),
-- In the order of the keys, so that two of these statements do not wait for each other.
taken AS (
    INSERT INTO jobs_queue_unique AS held (key, job_id, until)
    SELECT DISTINCT ON (unique_key) unique_key, id, statement_timestamp() + unique_for * interval '1 microsecond'
    FROM input
    WHERE unique_key IS NOT NULL
    ORDER BY unique_key, id
    ON CONFLICT ON CONSTRAINT jobs_queue_unique_pkey DO UPDATE
        SET job_id = CASE WHEN held.until <= statement_timestamp() THEN excluded.job_id ELSE held.job_id END,
            until = CASE WHEN held.until <= statement_timestamp() THEN excluded.until ELSE held.until END
    RETURNING key, job_id
),
answer AS (
    SELECT input.*, COALESCE(taken.job_id, input.id) AS job_id
    FROM input
    LEFT JOIN taken ON taken.key = input.unique_key
),
added AS (
    INSERT INTO jobs_queue_job
        (id, queue, kind, payload, state, priority, attempt, max_attempts, crashes, timeout, unique_key, order_key, limit_key,
        trace, run_at, expires_at, created_at)
    SELECT id, queue, kind, payload, 'pending', priority, 0, max_attempts, 0, timeout, unique_key, order_key, limit_key,
        trace, run_at, ends_at, statement_timestamp()
    FROM answer
    WHERE job_id = id
)
SELECT job_id, job_id = id AS is_new
FROM answer
ORDER BY id
