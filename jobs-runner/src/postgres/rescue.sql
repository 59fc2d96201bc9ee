-- Takes jobs from claims whose lease has ended. Those that somebody else is rescuing, renewing or reporting are skipped.
WITH expired AS MATERIALIZED (
    SELECT id, CASE WHEN attempt >= max_attempts THEN 'dead' ELSE 'failed' END AS state
    FROM jobs_queue_job
    WHERE state = 'running' AND lease_until <= statement_timestamp()
    ORDER BY lease_until
    LIMIT $1
    FOR UPDATE SKIP LOCKED
),
waiting AS (
    UPDATE jobs_queue_job AS job
    SET state = 'failed', crashes = crashes + 1, token = NULL, lease_until = NULL, last_error = $2,
        run_at = statement_timestamp()
    FROM expired
    WHERE job.id = expired.id AND expired.state = 'failed'
),
finished AS (
    DELETE FROM jobs_queue_job AS job
    USING expired
    WHERE job.id = expired.id AND expired.state = 'dead'
    RETURNING job.id, queue, kind, payload, priority, attempt, max_attempts, crashes, run_at, created_at, attempted_at
),
kept AS (
    INSERT INTO jobs_queue_history
        (id, queue, kind, payload, state, reason, priority, attempt, max_attempts, crashes, last_error,
        run_at, created_at, attempted_at, finished_at)
    SELECT id, queue, kind, payload, 'dead', 'crashed', priority, attempt, max_attempts, crashes + 1, $2,
        run_at, created_at, attempted_at, statement_timestamp()
    FROM finished
)
SELECT state
FROM expired
