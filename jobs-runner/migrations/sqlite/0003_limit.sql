-- Limits: how many jobs of a queue or a key run at once, and how many begin within a time. Adds a column, two tables and two
-- indexes, makes the claim index leave out jobs with a key, and makes the view and the trigger know the column. The previous
-- release goes on beside it, with slow claims and without limits.

ALTER TABLE jobs_queue_job
    ADD COLUMN limit_key TEXT COLLATE BINARY;

ALTER TABLE jobs_queue_history
    ADD COLUMN limit_key TEXT COLLATE BINARY;

-- However many jobs of a key wait, those without one are found without a walk over them, and its first one by a step.
DROP INDEX jobs_queue_job_claim_idx;

CREATE INDEX jobs_queue_job_claim_idx
    ON jobs_queue_job (queue, priority, run_at, id)
    WHERE state <> 'running' AND limit_key IS NULL;

CREATE INDEX jobs_queue_job_limit_idx
    ON jobs_queue_job (queue, limit_key, priority, run_at, id)
    WHERE state <> 'running' AND limit_key IS NOT NULL;

CREATE INDEX jobs_queue_job_slot_idx
    ON jobs_queue_job (limit_key)
    WHERE state = 'running' AND limit_key IS NOT NULL;

-- What is allowed: of a queue ('queue:mail'), of a key ('api:7'), or of each key of a name that has no limit of its own ('api').
CREATE TABLE jobs_queue_limit (
    key TEXT NOT NULL COLLATE BINARY CONSTRAINT jobs_queue_limit_pkey PRIMARY KEY,
    concurrency INTEGER,
    -- So many in so many microseconds.
    rate INTEGER,
    period INTEGER,
    CONSTRAINT jobs_queue_limit_bound_check CHECK (concurrency IS NOT NULL OR rate IS NOT NULL),
    CONSTRAINT jobs_queue_limit_rate_check CHECK ((rate IS NULL) = (period IS NULL) AND (period IS NULL OR period > 0))
) STRICT, WITHOUT ROWID;

-- What began under a rate. With one writer at a time nobody has to pass one by one, and who runs is counted where it stands.
CREATE TABLE jobs_queue_gate (
    key TEXT NOT NULL COLLATE BINARY CONSTRAINT jobs_queue_gate_pkey PRIMARY KEY,
    -- How many jobs began when, as far back as the rate looks: [[microseconds, count]].
    began TEXT NOT NULL,
    -- When nothing depends on this row any more.
    idle_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

DROP TRIGGER jobs_queue_job_finish;

CREATE TRIGGER jobs_queue_job_finish
    AFTER UPDATE OF state ON jobs_queue_job
    WHEN NEW.state IN ('succeeded', 'dead', 'cancelled')
BEGIN
    INSERT INTO jobs_queue_history
        (id, queue, kind, payload, state, reason, priority, attempt, max_attempts, crashes, timeout, unique_key, order_key,
        limit_key, progress, last_error, errors, run_at, expires_at, created_at, attempted_at, finished_at)
    VALUES
        (NEW.id, NEW.queue, NEW.kind, NEW.payload, NEW.state, CASE NEW.state WHEN 'dead' THEN NEW.reason END, NEW.priority,
        NEW.attempt, NEW.max_attempts, NEW.crashes, NEW.timeout, NEW.unique_key, NEW.order_key, NEW.limit_key, NEW.progress,
        NEW.last_error, NEW.errors, NEW.run_at, NEW.expires_at, NEW.created_at, NEW.attempted_at,
        CAST(unixepoch('subsec') * 1000000 AS INTEGER));
    DELETE FROM jobs_queue_job
    WHERE id = NEW.id;
END;

DROP VIEW jobs_queue_record;

-- The casts give both arms the same affinities: only then a page is read along both primary keys, and not sorted.
CREATE VIEW jobs_queue_record AS
    SELECT id, queue, kind, payload, state, CAST(NULL AS TEXT) AS reason, priority, attempt, max_attempts, crashes, timeout,
        unique_key, order_key, progress, last_error, errors, run_at, expires_at, created_at, attempted_at,
        CAST(NULL AS INTEGER) AS finished_at, limit_key
    FROM jobs_queue_job
    UNION ALL
    SELECT id, queue, kind, payload, state, reason, priority, attempt, max_attempts, crashes, timeout, unique_key, order_key,
        progress, last_error, errors, run_at, expires_at, created_at, attempted_at, finished_at, limit_key
    FROM jobs_queue_history;
