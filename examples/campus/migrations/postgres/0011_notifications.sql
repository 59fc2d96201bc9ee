-- How people want to be told of what, and what is on its way to them elsewhere. Times are microseconds since 1970 in UTC.
-- Creates tables and an index; locks nothing that exists; safe beside the previous release.

-- Where somebody wants something else than the default. A fan-out to many finds those who do through this key.
CREATE TABLE campus_notification_choice (
    person_id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    channel text COLLATE "C" NOT NULL,
    is_wanted boolean NOT NULL,
    CONSTRAINT campus_notification_choice_pkey PRIMARY KEY (person_id, kind, channel)
);

CREATE TABLE campus_notification_setting (
    person_id text COLLATE "C" NOT NULL,
    -- An IANA name: where the clock on their wall is.
    time_zone text NOT NULL,
    -- Minutes since midnight on that wall; both or neither.
    quiet_from bigint,
    quiet_until bigint,
    digest text COLLATE "C" NOT NULL,
    -- The next digest tells what came after this moment, and is due at that one; never if no kind is wanted in it.
    digest_since bigint NOT NULL,
    digest_due_at bigint,
    CONSTRAINT campus_notification_setting_pkey PRIMARY KEY (person_id),
    CONSTRAINT campus_notification_setting_quiet_check CHECK (
        (quiet_from IS NULL) = (quiet_until IS NULL)
        AND quiet_from BETWEEN 0 AND 1439 AND quiet_until BETWEEN 0 AND 1439 AND quiet_from <> quiet_until
    ),
    CONSTRAINT campus_notification_setting_digest_check CHECK (digest IN ('daily', 'weekly'))
);

CREATE INDEX campus_notification_setting_due_idx ON campus_notification_setting (digest_due_at, person_id)
    WHERE digest_due_at IS NOT NULL;

-- What leaves campus, and what became of it.
CREATE TABLE campus_delivery (
    person_id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    entity text COLLATE "C" NOT NULL,
    channel text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    -- Why it failed or was skipped.
    reason text NOT NULL,
    created_at bigint NOT NULL,
    settled_at bigint,
    -- Telling somebody twice is telling them once: the job may run again.
    CONSTRAINT campus_delivery_pkey PRIMARY KEY (person_id, kind, entity, channel),
    CONSTRAINT campus_delivery_state_check CHECK (state IN ('waiting', 'sent', 'skipped', 'failed')),
    CONSTRAINT campus_delivery_settled_check CHECK ((state = 'waiting') = (settled_at IS NULL))
);
