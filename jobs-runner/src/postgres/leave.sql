-- Takes waiting jobs out of the queue for good: one that is cancelled, or those that have expired. Of a running job the
-- cancellation is noted, for its worker.
WITH target AS MATERIALIZED (
    SELECT id, job.state AS was,
        CASE WHEN $1::bigint IS NULL THEN 'dead' WHEN job.state = 'running' THEN 'running' ELSE 'cancelled' END AS state
    FROM jobs_queue_job AS job
    WHERE id = $1 OR $1 IS NULL AND expires_at <= statement_timestamp() AND job.state <> 'running'
    LIMIT $2
    FOR UPDATE
),
noted AS (
    UPDATE jobs_queue_job AS job
    SET is_cancelled = true
    FROM target
    WHERE job.id = target.id AND target.state = 'running'
),
finished AS (
    DELETE FROM jobs_queue_job AS job
    USING target
    WHERE job.id = target.id AND target.state <> 'running'
    RETURNING job.id, queue, kind, payload, target.state, priority, attempt, max_attempts, crashes, timeout, unique_key,
        order_key, limit_key, progress, last_error, errors, run_at, expires_at, created_at, attempted_at
),
kept AS (
    INSERT INTO jobs_queue_history
        (id, queue, kind, payload, state, reason, priority, attempt, max_attempts, crashes, timeout, unique_key, order_key,
        limit_key, progress, last_error, errors, run_at, expires_at, created_at, attempted_at, finished_at)
    SELECT id, queue, kind, payload, state, CASE state WHEN 'dead' THEN 'expired' END, priority, attempt, max_attempts,
        crashes, timeout, unique_key, order_key, limit_key, progress, last_error, errors, run_at, expires_at, created_at,
        attempted_at, statement_timestamp()
    FROM finished
),
left_key AS (
    DELETE FROM jobs_queue_unique AS held
    USING finished
    WHERE held.key = finished.unique_key AND held.job_id = finished.id AND held.until IS NULL
)
SELECT state
FROM target
