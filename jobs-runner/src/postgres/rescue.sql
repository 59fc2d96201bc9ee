-- Takes jobs from workers whose lease has ended. Those that somebody else is rescuing or reporting are skipped.
-- No index leads from a worker to its jobs, for a claim would have to write it: the table is read when a worker is found dead,
-- and once more when its row goes, for a claim may have been under way; otherwise only when $2 asks for jobs of workers
-- without a row.
WITH lost AS MATERIALIZED (
    SELECT id, rescued_at
    FROM jobs_queue_worker
    WHERE lease_until <= statement_timestamp()
        AND (rescued_at IS NULL OR rescued_at <= statement_timestamp() - interval '1 minute')
    FOR UPDATE SKIP LOCKED
),
expired AS MATERIALIZED (
    SELECT job.id, job.order_key,
        CASE WHEN job.is_cancelled THEN 'cancelled' WHEN job.attempt >= job.max_attempts THEN 'dead' ELSE 'failed' END AS state,
        CASE WHEN jsonb_array_length(job.errors) >= 20 THEN job.errors - 0 ELSE COALESCE(job.errors, '[]') END
            || jsonb_build_object('attempt', job.attempt, 'error', $3::text,
                'at', (extract(epoch FROM statement_timestamp()) * 1000000)::bigint) AS errors
    FROM jobs_queue_job AS job
    WHERE ($2 OR EXISTS (SELECT FROM lost)) AND state = 'running'
        AND (worker = ANY (ARRAY(SELECT id FROM lost))
            OR $2 AND worker <> ALL (ARRAY(SELECT id FROM jobs_queue_worker)))
    LIMIT $1
    FOR UPDATE SKIP LOCKED
),
done AS (
    SELECT id, rescued_at
    FROM lost
    WHERE (SELECT count(*) FROM expired) < $1
),
noted AS (
    UPDATE jobs_queue_worker AS worker
    SET rescued_at = statement_timestamp()
    FROM done
    WHERE worker.id = done.id AND done.rescued_at IS NULL
),
gone AS (
    DELETE FROM jobs_queue_worker AS worker
    USING done
    WHERE worker.id = done.id AND done.rescued_at IS NOT NULL
),
waiting AS (
    UPDATE jobs_queue_job AS job
    SET state = 'failed', crashes = crashes + 1, token = NULL, worker = NULL, last_error = $3, errors = expired.errors,
        run_at = statement_timestamp()
    FROM expired
    WHERE job.id = expired.id AND expired.state = 'failed'
),
finished AS (
    DELETE FROM jobs_queue_job AS job
    USING expired
    WHERE job.id = expired.id AND expired.state <> 'failed'
    RETURNING job.id, queue, kind, payload, expired.state, priority, attempt, max_attempts, crashes, timeout, unique_key,
        job.order_key, limit_key, trace, progress, expired.errors, run_at, expires_at, created_at, attempted_at
),
kept AS (
    INSERT INTO jobs_queue_history
        (id, queue, kind, payload, state, reason, priority, attempt, max_attempts, crashes, timeout, unique_key, order_key,
        limit_key, trace, progress, last_error, errors, run_at, expires_at, created_at, attempted_at, finished_at)
    SELECT id, queue, kind, payload, state, CASE state WHEN 'dead' THEN 'crashed' END, priority, attempt, max_attempts,
        crashes + 1, timeout, unique_key, order_key, limit_key, trace, progress, $3, errors, run_at, expires_at, created_at,
        attempted_at, statement_timestamp()
    FROM finished
),
left_key AS (
    DELETE FROM jobs_queue_unique AS held
    USING finished
    WHERE held.key = finished.unique_key AND held.job_id = finished.id AND held.until IS NULL
),
left_order AS (
    DELETE FROM jobs_queue_order AS turn
    USING expired
    WHERE turn.key = expired.order_key AND turn.job_id = expired.id
),
-- What limits leave behind means nothing any more; it is cleared away now and then, and nobody is waited for.
left_slot AS (
    DELETE FROM jobs_queue_slot
    WHERE (key, job_id, token) IN (
        SELECT key, job_id, token
        FROM jobs_queue_slot AS slot
        WHERE $2 AND (SELECT token FROM jobs_queue_job WHERE id = slot.job_id) IS DISTINCT FROM slot.token
        FOR UPDATE SKIP LOCKED
    )
),
left_gate AS (
    DELETE FROM jobs_queue_gate
    WHERE key IN (
        SELECT key
        FROM jobs_queue_gate
        WHERE $2 AND idle_at <= statement_timestamp()
        FOR UPDATE SKIP LOCKED
    )
)
SELECT state
FROM expired
