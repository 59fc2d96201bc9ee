-- Takes jobs from workers whose lease has ended, or that nobody knows. (Signs: see `claim.sql`.)
UPDATE jobs_queue_job
SET state = CASE WHEN is_cancelled THEN 'cancelled' WHEN attempt >= max_attempts THEN 'dead' ELSE 'failed' END,
    reason = 'crashed',
    crashes = crashes + 1, token = NULL, worker = NULL, last_error = $2,
    errors = json_insert(
        CASE WHEN json_array_length(errors) >= 20 THEN json_remove(errors, '$[0]') ELSE COALESCE(errors, '[]') END,
        '$[#]', json_object('attempt', attempt, 'error', $2, 'at', CAST(unixepoch('subsec') * 1000000 AS INTEGER))),
    run_at = CASE
        WHEN is_cancelled OR attempt >= max_attempts THEN run_at
        ELSE CAST(unixepoch('subsec') * 1000000 AS INTEGER)
    END
WHERE id IN (
    SELECT id
    FROM jobs_queue_job AS job
    WHERE state = 'running'
        AND COALESCE(
            (SELECT lease_until FROM jobs_queue_worker AS worker WHERE worker.id = job.worker),
            CASE WHEN $3 THEN 0 ELSE 9223372036854775807 END
        ) <= CAST(unixepoch('subsec') * 1000000 AS INTEGER)
    LIMIT +$1
)
RETURNING state
