-- Takes waiting jobs out of the queue for good: those that are cancelled, discarded or have expired. Of a running job the
-- cancellation is noted, for its worker.
WITH target AS MATERIALIZED (
    SELECT id,
        CASE
            WHEN job.state = 'running' THEN 'running'
            WHEN $2 = 'cancelled' THEN 'cancelled'
            ELSE 'dead'
        END AS state,
        CASE
            WHEN $9::text IS NULL THEN errors
            ELSE CASE WHEN jsonb_array_length(errors) >= 20 THEN errors - 0 ELSE COALESCE(errors, '[]') END
                || jsonb_build_object('attempt', attempt, 'error', $9::text,
                    'at', (extract(epoch FROM statement_timestamp()) * 1000000)::bigint)
        END AS errors
    FROM jobs_queue_job AS job
    WHERE (job.state <> 'running' OR $2 = 'cancelled') AND id = ANY(
        ARRAY(
            SELECT id
            FROM jobs_queue_job
            WHERE $2::text <> 'expired'
                AND id BETWEEN COALESCE($1::bigint, 0) AND COALESCE($1, 9223372036854775807)
                AND ($4::text IS NULL OR queue = $4) AND ($5::text IS NULL OR kind = $5) AND ($6::text IS NULL OR state = $6)
                AND ($7::timestamptz IS NULL OR created_at >= $7) AND ($8::timestamptz IS NULL OR created_at < $8)
            ORDER BY id
            LIMIT $3
        )
        || ARRAY(
            SELECT id
            FROM jobs_queue_job
            WHERE $2::text = 'expired' AND expires_at <= statement_timestamp() AND state <> 'running'
            LIMIT $3
        )
    )
    ORDER BY id
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
        order_key, progress, COALESCE($9, last_error) AS last_error, target.errors, run_at, expires_at, created_at, attempted_at
),
kept AS (
    INSERT INTO jobs_queue_history
        (id, queue, kind, payload, state, reason, priority, attempt, max_attempts, crashes, timeout, unique_key, order_key,
        progress, last_error, errors, run_at, expires_at, created_at, attempted_at, finished_at)
    SELECT id, queue, kind, payload, state, CASE WHEN state = 'cancelled' THEN NULL WHEN $2 = 'expired' THEN 'expired' ELSE 'fatal' END,
        priority, attempt, max_attempts, crashes, timeout, unique_key, order_key, progress, last_error, errors, run_at,
        expires_at, created_at, attempted_at, statement_timestamp()
    FROM finished
),
left_key AS (
    DELETE FROM jobs_queue_unique AS held
    USING finished
    WHERE held.key = finished.unique_key AND held.job_id = finished.id AND held.until IS NULL
)
SELECT state
FROM target
