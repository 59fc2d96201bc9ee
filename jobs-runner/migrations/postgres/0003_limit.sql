-- Limits: how many jobs of a queue or a key run at once, and how many begin within a time. Adds a column, three tables and an
-- index, and makes the claim index leave out jobs with a key. Locks jobs_queue_job against everything while its two indexes are
-- built: it holds what is queued and nothing else. The previous release goes on beside it, with slow claims and without limits.

ALTER TABLE jobs_queue_job
    ADD COLUMN limit_key text COLLATE "C";

ALTER TABLE jobs_queue_history
    ADD COLUMN limit_key text COLLATE "C";

-- However many jobs of a key wait, those without one are found without a walk over them, and its first one by a step.
DROP INDEX jobs_queue_job_claim_idx;

CREATE INDEX jobs_queue_job_claim_idx
    ON jobs_queue_job (queue, priority, run_at, id)
    WHERE limit_key IS NULL;

CREATE INDEX jobs_queue_job_limit_idx
    ON jobs_queue_job (queue, limit_key, priority, run_at, id)
    WHERE limit_key IS NOT NULL;

-- What is allowed: of a queue ('queue:mail'), of a key ('api:7'), or of each key of a name that has no limit of its own ('api').
CREATE TABLE jobs_queue_limit (
    key text COLLATE "C" NOT NULL,
    concurrency integer,
    -- So many in so many microseconds.
    rate integer,
    period bigint,
    CONSTRAINT jobs_queue_limit_pkey PRIMARY KEY (key),
    CONSTRAINT jobs_queue_limit_bound_check CHECK (concurrency IS NOT NULL OR rate IS NOT NULL),
    CONSTRAINT jobs_queue_limit_rate_check CHECK ((rate IS NULL) = (period IS NULL) AND period > 0)
);

-- Claims of a key go through its gate one after the other. Whoever finds that another claim went through since its own snapshot
-- stays outside: what it has counted is no longer true.
CREATE TABLE jobs_queue_gate (
    key text COLLATE "C" NOT NULL,
    -- The token of the last claim that went through.
    claim bigint NOT NULL,
    -- How many jobs began when, as far back as the rate looks.
    times timestamptz[],
    counts integer[],
    -- When nothing depends on this row any more.
    idle_at timestamptz NOT NULL,
    CONSTRAINT jobs_queue_gate_pkey PRIMARY KEY (key)
) WITH (fillfactor = 50);

-- Which jobs were claimed through a gate. A row counts while its job runs under that token, and means nothing otherwise: whoever
-- ends a job, or finds it abandoned, need not know of limits.
CREATE TABLE jobs_queue_slot (
    key text COLLATE "C" NOT NULL,
    job_id bigint NOT NULL,
    token bigint NOT NULL,
    CONSTRAINT jobs_queue_slot_pkey PRIMARY KEY (key, job_id, token)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

CREATE OR REPLACE VIEW jobs_queue_record AS
    SELECT id, queue, kind, payload, state, NULL::text AS reason, priority, attempt, max_attempts, crashes, timeout,
        unique_key, order_key, progress, last_error, errors::text AS errors, run_at, expires_at, created_at, attempted_at,
        NULL::timestamptz AS finished_at, limit_key
    FROM jobs_queue_job
    UNION ALL
    SELECT id, queue, kind, payload, state, reason, priority, attempt, max_attempts, crashes, timeout,
        unique_key, order_key, progress, last_error, errors::text AS errors, run_at, expires_at, created_at, attempted_at,
        finished_at, limit_key
    FROM jobs_queue_history;
