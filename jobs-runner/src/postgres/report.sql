-- Ends claims. Whoever shows another token than the row's finds nothing to change.
WITH report AS (
    SELECT *
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::text[])
        AS report (id, token, state, delay, error, reason)
),
held AS MATERIALIZED (
    SELECT job.id, report.delay, report.error, report.reason,
        CASE
            WHEN report.state = 'failed' AND (report.delay IS NULL OR job.attempt >= job.max_attempts) THEN 'dead'
            ELSE report.state
        END AS state
    FROM report
    JOIN jobs_queue_job AS job ON job.id = report.id AND job.token = report.token
    FOR UPDATE OF job
),
waiting AS (
    UPDATE jobs_queue_job AS job
    SET state = held.state,
        attempt = CASE held.state WHEN 'pending' THEN attempt - 1 ELSE attempt END,
        token = NULL, lease_until = NULL,
        last_error = COALESCE(held.error, last_error),
        run_at = statement_timestamp() + held.delay * interval '1 microsecond'
    FROM held
    WHERE job.id = held.id AND held.state IN ('pending', 'failed')
),
finished AS (
    DELETE FROM jobs_queue_job AS job
    USING held
    WHERE job.id = held.id AND held.state IN ('succeeded', 'dead')
    RETURNING job.id, queue, kind, payload, held.state, held.reason, priority, attempt, max_attempts, crashes,
        COALESCE(held.error, last_error) AS last_error, run_at, created_at, attempted_at
),
kept AS (
    INSERT INTO jobs_queue_history
        (id, queue, kind, payload, state, reason, priority, attempt, max_attempts, crashes, last_error,
        run_at, created_at, attempted_at, finished_at)
    SELECT id, queue, kind, payload, state, reason, priority, attempt, max_attempts, crashes, last_error,
        run_at, created_at, attempted_at, statement_timestamp()
    FROM finished
)
SELECT id, state
FROM held
