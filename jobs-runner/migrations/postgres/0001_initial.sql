-- What is queued, and what became of it. A finished job leaves jobs_queue_job, so that claims never walk over history.
-- Creates tables, indexes and a view; locks nothing that exists; safe beside any release.

CREATE TABLE jobs_queue_job (
    id bigint GENERATED ALWAYS AS IDENTITY,
    queue text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    -- JSON, kept as text: nothing in it can make a statement fail.
    payload text NOT NULL,
    state text COLLATE "C" NOT NULL,
    priority smallint NOT NULL,
    attempt integer NOT NULL,
    max_attempts integer NOT NULL,
    crashes integer NOT NULL,
    -- Who holds a running job, and until when.
    token bigint,
    lease_until timestamptz,
    last_error text,
    run_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    attempted_at timestamptz,
    CONSTRAINT jobs_queue_job_pkey PRIMARY KEY (id),
    CONSTRAINT jobs_queue_job_state_check CHECK (state IN ('pending', 'running', 'failed')),
    CONSTRAINT jobs_queue_job_held_check
        CHECK ((state = 'running') = (token IS NOT NULL) AND (token IS NULL) = (lease_until IS NULL))
);

CREATE INDEX jobs_queue_job_claim_idx
    ON jobs_queue_job (queue, priority, run_at, id)
    WHERE state <> 'running';

CREATE INDEX jobs_queue_job_lease_idx
    ON jobs_queue_job (lease_until)
    WHERE state = 'running';

CREATE TABLE jobs_queue_history (
    id bigint NOT NULL,
    queue text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    payload text NOT NULL,
    state text COLLATE "C" NOT NULL,
    reason text COLLATE "C",
    priority smallint NOT NULL,
    attempt integer NOT NULL,
    max_attempts integer NOT NULL,
    crashes integer NOT NULL,
    last_error text,
    run_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    attempted_at timestamptz,
    finished_at timestamptz NOT NULL,
    CONSTRAINT jobs_queue_history_pkey PRIMARY KEY (id),
    CONSTRAINT jobs_queue_history_state_check CHECK (state IN ('succeeded', 'dead')),
    CONSTRAINT jobs_queue_history_reason_check
        CHECK ((state = 'dead') = (reason IS NOT NULL) AND reason IN ('exhausted', 'fatal', 'crashed', 'undecodable'))
);

CREATE VIEW jobs_queue_record AS
    SELECT id, queue, kind, payload, state, NULL::text AS reason, priority, attempt, max_attempts, crashes, last_error,
        run_at, created_at, attempted_at, NULL::timestamptz AS finished_at
    FROM jobs_queue_job
    UNION ALL
    SELECT id, queue, kind, payload, state, reason, priority, attempt, max_attempts, crashes, last_error,
        run_at, created_at, attempted_at, finished_at
    FROM jobs_queue_history;
