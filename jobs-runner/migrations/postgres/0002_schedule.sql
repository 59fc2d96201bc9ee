-- What is due by the clock: cron entries and how far each is settled, and who leads each periodic loop. Creates two tables; locks
-- nothing that exists; safe beside any release. What is renewed every few seconds is in no index and finds room in its page.

CREATE TABLE jobs_queue_cron (
    name text COLLATE "C" NOT NULL,
    expression text COLLATE "C" NOT NULL,
    zone text COLLATE "C" NOT NULL,
    -- Up to here every tick is a job, or was passed over: whoever moves it on stores the jobs in the same transaction.
    settled_at timestamptz NOT NULL,
    last_fire_at timestamptz,
    CONSTRAINT jobs_queue_cron_pkey PRIMARY KEY (name)
) WITH (fillfactor = 50);

CREATE TABLE jobs_queue_leader (
    name text COLLATE "C" NOT NULL,
    -- Drawn whenever somebody takes the lead; nobody has it after a resignation.
    token bigint,
    lease_until timestamptz NOT NULL,
    -- When the last batch that was finished began.
    ran_at timestamptz,
    CONSTRAINT jobs_queue_leader_pkey PRIMARY KEY (name),
    -- Makes the token part of a key: taking the lead waits for FOR KEY SHARE, which a batch's transaction holds, and renewing it
    -- does not.
    CONSTRAINT jobs_queue_leader_token_key UNIQUE (name, token)
) WITH (fillfactor = 50);
