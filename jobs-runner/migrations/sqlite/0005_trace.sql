-- What the enqueuer of a job was doing, for the span of its handler. Adds a column, and makes the view and the trigger know it. The
-- previous release goes on beside it.

ALTER TABLE jobs_queue_job
    ADD COLUMN trace TEXT;

ALTER TABLE jobs_queue_history
    ADD COLUMN trace TEXT;

DROP TRIGGER jobs_queue_job_finish;

CREATE TRIGGER jobs_queue_job_finish
    AFTER UPDATE OF state ON jobs_queue_job
    WHEN NEW.state IN ('succeeded', 'dead', 'cancelled')
BEGIN
    INSERT INTO jobs_queue_history
        (id, queue, kind, payload, state, reason, priority, attempt, max_attempts, crashes, timeout, unique_key, order_key,
        limit_key, trace, progress, last_error, errors, run_at, expires_at, created_at, attempted_at, finished_at)
    VALUES
        (NEW.id, NEW.queue, NEW.kind, NEW.payload, NEW.state, CASE NEW.state WHEN 'dead' THEN NEW.reason END, NEW.priority,
        NEW.attempt, NEW.max_attempts, NEW.crashes, NEW.timeout, NEW.unique_key, NEW.order_key, NEW.limit_key, NEW.trace,
        NEW.progress, NEW.last_error, NEW.errors, NEW.run_at, NEW.expires_at, NEW.created_at, NEW.attempted_at,
        CAST(unixepoch('subsec') * 1000000 AS INTEGER));
    DELETE FROM jobs_queue_job
    WHERE id = NEW.id;
END;

DROP VIEW jobs_queue_record;

-- The casts give both arms the same affinities: only then a page is read along both primary keys, and not sorted.
CREATE VIEW jobs_queue_record AS
    SELECT id, queue, kind, payload, state, CAST(NULL AS TEXT) AS reason, priority, attempt, max_attempts, crashes, timeout,
        unique_key, order_key, progress, last_error, errors, run_at, expires_at, created_at, attempted_at,
        CAST(NULL AS INTEGER) AS finished_at, limit_key, trace
    FROM jobs_queue_job
    UNION ALL
    SELECT id, queue, kind, payload, state, reason, priority, attempt, max_attempts, crashes, timeout, unique_key, order_key,
        progress, last_error, errors, run_at, expires_at, created_at, attempted_at, finished_at, limit_key, trace
    FROM jobs_queue_history;
