-- What is queued, who works on it, and what became of it. A finished job leaves jobs_queue_job, so that claims never walk over
-- history. Creates tables, indexes, triggers and a view; times are microseconds since 1970 in UTC; safe beside any release.

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
    -- Who holds a running job.
    token INTEGER,
    worker INTEGER,
    -- Somebody asked for the end of a running job.
    is_cancelled INTEGER NOT NULL DEFAULT 0,
    -- How long an attempt may take.
    timeout INTEGER,
    unique_key TEXT COLLATE BINARY,
    order_key TEXT COLLATE BINARY,
    progress TEXT,
    last_error TEXT,
    -- Of the last twenty failed attempts: [{"attempt", "at", "error"}].
    errors TEXT,
    run_at INTEGER NOT NULL,
    expires_at INTEGER,
    created_at INTEGER NOT NULL,
    attempted_at INTEGER,
    -- 'succeeded', 'dead' and 'cancelled' last only until the trigger below has run.
    CONSTRAINT jobs_queue_job_state_check
        CHECK (state IN ('pending', 'running', 'failed', 'succeeded', 'dead', 'cancelled')),
    CONSTRAINT jobs_queue_job_held_check
        CHECK ((state = 'running') = (token IS NOT NULL) AND (token IS NULL) = (worker IS NULL))
) STRICT;

CREATE INDEX jobs_queue_job_claim_idx
    ON jobs_queue_job (queue, priority, run_at, id)
    WHERE state <> 'running';

CREATE INDEX jobs_queue_job_worker_idx
    ON jobs_queue_job (worker)
    WHERE state = 'running';

CREATE INDEX jobs_queue_job_order_idx
    ON jobs_queue_job (order_key, id)
    WHERE order_key IS NOT NULL;

CREATE INDEX jobs_queue_job_expires_idx
    ON jobs_queue_job (expires_at)
    WHERE expires_at IS NOT NULL;

-- One row for each start of a loop that serves a queue; nobody's name, so that nobody can come back under it.
CREATE TABLE jobs_queue_worker (
    id INTEGER CONSTRAINT jobs_queue_worker_pkey PRIMARY KEY,
    lease_until INTEGER NOT NULL,
    started_at INTEGER NOT NULL
) STRICT;

-- Which job stands for a unique key: until it is finished, or until a moment.
CREATE TABLE jobs_queue_unique (
    key TEXT NOT NULL COLLATE BINARY CONSTRAINT jobs_queue_unique_pkey PRIMARY KEY,
    job_id INTEGER NOT NULL,
    until INTEGER
) STRICT, WITHOUT ROWID;

-- Queues nobody claims from.
CREATE TABLE jobs_queue_pause (
    queue TEXT NOT NULL COLLATE BINARY CONSTRAINT jobs_queue_pause_pkey PRIMARY KEY,
    paused_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

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
    timeout INTEGER,
    unique_key TEXT COLLATE BINARY,
    order_key TEXT COLLATE BINARY,
    progress TEXT,
    last_error TEXT,
    errors TEXT,
    run_at INTEGER NOT NULL,
    expires_at INTEGER,
    created_at INTEGER NOT NULL,
    attempted_at INTEGER,
    finished_at INTEGER NOT NULL,
    CONSTRAINT jobs_queue_history_state_check CHECK (state IN ('succeeded', 'dead', 'cancelled')),
    CONSTRAINT jobs_queue_history_reason_check CHECK (
        (state = 'dead') = (reason IS NOT NULL)
        AND reason IN ('exhausted', 'fatal', 'crashed', 'undecodable', 'expired')
    )
) STRICT;

-- Few jobs fail for good: they are found without a walk over those that succeeded.
CREATE INDEX jobs_queue_history_retry_idx
    ON jobs_queue_history (id)
    WHERE state <> 'succeeded';

-- SQLite has no data-modifying CTEs: a finished job moves to the history inside the one statement that finishes it.
CREATE TRIGGER jobs_queue_job_finish
    AFTER UPDATE OF state ON jobs_queue_job
    WHEN NEW.state IN ('succeeded', 'dead', 'cancelled')
BEGIN
    INSERT INTO jobs_queue_history
        (id, queue, kind, payload, state, reason, priority, attempt, max_attempts, crashes, timeout, unique_key, order_key,
        progress, last_error, errors, run_at, expires_at, created_at, attempted_at, finished_at)
    VALUES
        (NEW.id, NEW.queue, NEW.kind, NEW.payload, NEW.state, CASE NEW.state WHEN 'dead' THEN NEW.reason END, NEW.priority,
        NEW.attempt, NEW.max_attempts, NEW.crashes, NEW.timeout, NEW.unique_key, NEW.order_key, NEW.progress,
        NEW.last_error, NEW.errors, NEW.run_at, NEW.expires_at, NEW.created_at, NEW.attempted_at,
        CAST(unixepoch('subsec') * 1000000 AS INTEGER));
    DELETE FROM jobs_queue_job
    WHERE id = NEW.id;
END;

-- Whoever leaves the queue, finished or deleted, no longer stands for its key.
CREATE TRIGGER jobs_queue_job_leave
    AFTER DELETE ON jobs_queue_job
    WHEN OLD.unique_key IS NOT NULL
BEGIN
    DELETE FROM jobs_queue_unique
    WHERE key = OLD.unique_key AND job_id = OLD.id AND until IS NULL;
END;

-- The casts give both arms the same affinities: only then a page is read along both primary keys, and not sorted.
CREATE VIEW jobs_queue_record AS
    SELECT id, queue, kind, payload, state, CAST(NULL AS TEXT) AS reason, priority, attempt, max_attempts, crashes, timeout,
        unique_key, order_key, progress, last_error, errors, run_at, expires_at, created_at, attempted_at,
        CAST(NULL AS INTEGER) AS finished_at
    FROM jobs_queue_job
    UNION ALL
    SELECT id, queue, kind, payload, state, reason, priority, attempt, max_attempts, crashes, timeout, unique_key, order_key,
        progress, last_error, errors, run_at, expires_at, created_at, attempted_at, finished_at
    FROM jobs_queue_history;
