-- Ends claims. Whoever shows another token than the row's finds nothing to change; a trigger moves what is finished.
UPDATE jobs_queue_job
SET state = CASE
        WHEN report.state IN ('failed', 'pending') AND is_cancelled THEN 'cancelled'
        WHEN report.state = 'failed' AND (report.delay IS NULL OR attempt >= max_attempts) THEN 'dead'
        ELSE report.state
    END,
    reason = report.reason,
    attempt = CASE WHEN report.state = 'pending' AND NOT is_cancelled THEN attempt - 1 ELSE attempt END,
    token = NULL, worker = NULL,
    last_error = COALESCE(report.error, last_error),
    errors = CASE
        WHEN report.error IS NULL THEN errors
        ELSE json_insert(
            CASE WHEN json_array_length(errors) >= 20 THEN json_remove(errors, '$[0]') ELSE COALESCE(errors, '[]') END,
            '$[#]',
            json_object('attempt', attempt, 'error', report.error, 'at', CAST(unixepoch('subsec') * 1000000 AS INTEGER)))
    END,
    run_at = CASE
        WHEN report.delay IS NULL OR is_cancelled OR report.state = 'failed' AND attempt >= max_attempts THEN run_at
        ELSE CAST(unixepoch('subsec') * 1000000 AS INTEGER) + report.delay
    END
FROM (
    SELECT value ->> 'id' AS id, value ->> 'token' AS token, value ->> 'state' AS state, value ->> 'delay' AS delay,
        value ->> 'error' AS error, value ->> 'reason' AS reason
    FROM json_each($1)
) AS report
WHERE jobs_queue_job.id = report.id AND jobs_queue_job.token = report.token
RETURNING id, state
