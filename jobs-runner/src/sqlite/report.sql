-- Ends claims. Whoever shows another token than the row's finds nothing to change; a trigger moves what is finished.
UPDATE jobs_queue_job
SET state = CASE
        WHEN report.state = 'failed' AND (report.delay IS NULL OR attempt >= max_attempts) THEN 'dead'
        ELSE report.state
    END,
    reason = report.reason,
    attempt = CASE report.state WHEN 'pending' THEN attempt - 1 ELSE attempt END,
    token = NULL, lease_until = NULL,
    last_error = COALESCE(report.error, last_error),
    run_at = CASE
        WHEN report.delay IS NULL OR report.state = 'failed' AND attempt >= max_attempts THEN run_at
        ELSE CAST(unixepoch('subsec') * 1000000 AS INTEGER) + report.delay
    END
FROM (
    SELECT value ->> 'id' AS id, value ->> 'token' AS token, value ->> 'state' AS state, value ->> 'delay' AS delay,
        value ->> 'error' AS error, value ->> 'reason' AS reason
    FROM json_each($1)
) AS report
WHERE jobs_queue_job.id = report.id AND jobs_queue_job.token = report.token
RETURNING id, state
