-- What is due by the clock: cron entries and how far each is settled, and who leads each periodic loop. Creates two tables; times
-- are microseconds since 1970 in UTC; safe beside any release.

CREATE TABLE jobs_queue_cron (
    name TEXT NOT NULL COLLATE BINARY CONSTRAINT jobs_queue_cron_pkey PRIMARY KEY,
    expression TEXT NOT NULL COLLATE BINARY,
    zone TEXT NOT NULL COLLATE BINARY,
    -- Up to here every tick is a job, or was passed over: whoever moves it on stores the jobs in the same transaction.
    settled_at INTEGER NOT NULL,
    last_fire_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs_queue_leader (
    name TEXT NOT NULL COLLATE BINARY CONSTRAINT jobs_queue_leader_pkey PRIMARY KEY,
    -- Drawn whenever somebody takes the lead; nobody has it after a resignation.
    token INTEGER,
    lease_until INTEGER NOT NULL,
    -- When the last batch that was finished began.
    ran_at INTEGER
) STRICT, WITHOUT ROWID;
