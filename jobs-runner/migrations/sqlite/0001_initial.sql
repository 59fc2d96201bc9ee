-- What is queued, and what became of it. A finished job leaves jobs_queue_job, so that claims never walk over history.
-- Creates tables, indexes, a trigger and a view; times are microseconds since 1970 in UTC; safe beside any release.

CREATE TABLE jobs_queue_job (
    -- AUTOINCREMENT: the id of a job that left is never given again.
    id INTEGER CONSTRAINT jobs_queue_job_pkey PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL COLLATE BINARY,
    kind TEXT NOT NULL COLLATE BINARY,
    payload TEXT NOT NULL,
    state TEXT NOT NULL COLLATE BINARY,
    -- Set by the statement that finishes a job, for the trigger below; it means nothing in a row that stays.
    reason TEXT COLLATE BINARY,
    priority INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    -- Who holds a running job, and until when.
    token INTEGER,
    lease_until INTEGER,
    last_error TEXT,
    run_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    attempted_at INTEGER,
    -- 'succeeded' and 'dead' last only until the trigger below has run.
    CONSTRAINT jobs_queue_job_state_check CHECK (state IN ('pending', 'running', 'failed', 'succeeded', 'dead')),
    CONSTRAINT jobs_queue_job_held_check
        CHECK ((state = 'running') = (token IS NOT NULL) AND (token IS NULL) = (lease_until IS NULL))
) STRICT;

CREATE INDEX jobs_queue_job_claim_idx
    ON jobs_queue_job (queue, priority, run_at, id)
    WHERE state <> 'running';

CREATE INDEX jobs_queue_job_lease_idx
    ON jobs_queue_job (lease_until)
    WHERE state = 'running';

CREATE TABLE jobs_queue_history (
    id INTEGER CONSTRAINT jobs_queue_history_pkey PRIMARY KEY,
    queue TEXT NOT NULL COLLATE BINARY,
    kind TEXT NOT NULL COLLATE BINARY,
    payload TEXT NOT NULL,
    state TEXT NOT NULL COLLATE BINARY,
    reason TEXT COLLATE BINARY,
    priority INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    last_error TEXT,
    run_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    attempted_at INTEGER,
    finished_at INTEGER NOT NULL,
    CONSTRAINT jobs_queue_history_state_check CHECK (state IN ('succeeded', 'dead')),
    CONSTRAINT jobs_queue_history_reason_check
        CHECK ((state = 'dead') = (reason IS NOT NULL) AND reason IN ('exhausted', 'fatal', 'crashed', 'undecodable'))
) STRICT;

-- SQLite has no data-modifying CTEs: a finished job moves to the history inside the one statement that finishes it.
CREATE TRIGGER jobs_queue_job_finish
    AFTER UPDATE OF state ON jobs_queue_job
    WHEN NEW.state IN ('succeeded', 'dead')
BEGIN
    INSERT INTO jobs_queue_history
        (id, queue, kind, payload, state, reason, priority, attempt, max_attempts, crashes, last_error,
        run_at, created_at, attempted_at, finished_at)
    VALUES
        (NEW.id, NEW.queue, NEW.kind, NEW.payload, NEW.state, NEW.reason, NEW.priority, NEW.attempt, NEW.max_attempts,
        NEW.crashes, NEW.last_error, NEW.run_at, NEW.created_at, NEW.attempted_at,
        CAST(unixepoch('subsec') * 1000000 AS INTEGER));
    DELETE FROM jobs_queue_job
    WHERE id = NEW.id;
END;

-- The casts give both arms the same affinities: only then a page is read along both primary keys, and not sorted.
CREATE VIEW jobs_queue_record AS
    SELECT id, queue, kind, payload, state, CAST(NULL AS TEXT) AS reason, priority, attempt, max_attempts, crashes, last_error,
        run_at, created_at, attempted_at, CAST(NULL AS INTEGER) AS finished_at
    FROM jobs_queue_job
    UNION ALL
    SELECT id, queue, kind, payload, state, reason, priority, attempt, max_attempts, crashes, last_error,
        run_at, created_at, attempted_at, finished_at
    FROM jobs_queue_history;
