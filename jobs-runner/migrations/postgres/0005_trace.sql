-- What the enqueuer of a job was doing, for the span of its handler. Adds a column and makes the view know it; waits for nothing but
-- a moment without other statements on the two tables. The previous release goes on beside it.

ALTER TABLE jobs_queue_job
    ADD COLUMN trace text;

ALTER TABLE jobs_queue_history
    ADD COLUMN trace text;

CREATE OR REPLACE VIEW jobs_queue_record AS
    SELECT id, queue, kind, payload, state, NULL::text AS reason, priority, attempt, max_attempts, crashes, timeout,
        unique_key, order_key, progress, last_error, errors::text AS errors, run_at, expires_at, created_at, attempted_at,
        NULL::timestamptz AS finished_at, limit_key, trace
    FROM jobs_queue_job
    UNION ALL
    SELECT id, queue, kind, payload, state, reason, priority, attempt, max_attempts, crashes, timeout,
        unique_key, order_key, progress, last_error, errors::text AS errors, run_at, expires_at, created_at, attempted_at,
        finished_at, limit_key, trace
    FROM jobs_queue_history;
