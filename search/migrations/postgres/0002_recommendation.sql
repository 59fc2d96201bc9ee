-- What a recommender learns from, and what it recommends.
-- Creates tables; locks nothing that exists; safe beside any release.

-- What people did. Rows are only ever added, and removed when they are old.
CREATE TABLE recommendation_signal (
    number bigint GENERATED ALWAYS AS IDENTITY,
    -- The transaction that recorded it. A reader who goes by it, up to the oldest transaction that is still open, misses nobody who commits
    -- late, as one who goes by number would.
    xid bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
    -- The host's own: a second signal of the same key is none.
    key text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    surface text COLLATE "C" NOT NULL,
    entity_id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    weight real NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    CONSTRAINT recommendation_signal_pkey PRIMARY KEY (number),
    CONSTRAINT recommendation_signal_key_key UNIQUE (key)
);

CREATE INDEX recommendation_signal_xid_idx ON recommendation_signal (xid, number);

-- What is recommended. All candidates of a user on a surface are one row: whoever replaces them replaces all, and of two who do at the same
-- time one wins whole. The three arrays are of one length, best candidate first.
CREATE TABLE recommendation_candidate (
    user_id text COLLATE "C" NOT NULL,
    surface text COLLATE "C" NOT NULL,
    entity_ids text[] COLLATE "C" NOT NULL,
    scores real[] NOT NULL,
    -- Null where there is none.
    reasons text[] NOT NULL,
    replaced_at timestamptz NOT NULL,
    CONSTRAINT recommendation_candidate_pkey PRIMARY KEY (user_id, surface)
);
