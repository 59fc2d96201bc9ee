-- What a recommender learns from, and what it recommends.
-- Creates tables; locks nothing that exists; safe beside any release.

-- What people did. Rows are only ever added, and removed when they are old.
CREATE TABLE recommendation_signal (
    -- Who writes is alone: the order of numbers is the order of commits.
    number INTEGER NOT NULL CONSTRAINT recommendation_signal_pkey PRIMARY KEY AUTOINCREMENT,
    -- The host's own: a second signal of the same key is none.
    key TEXT NOT NULL COLLATE BINARY,
    user_id TEXT NOT NULL COLLATE BINARY,
    surface TEXT NOT NULL COLLATE BINARY,
    entity_id TEXT NOT NULL COLLATE BINARY,
    kind TEXT NOT NULL COLLATE BINARY,
    weight REAL NOT NULL,
    -- Microseconds since 1970, UTC.
    recorded_at INTEGER NOT NULL,
    CONSTRAINT recommendation_signal_key_key UNIQUE (key)
) STRICT;

-- What is recommended. All candidates of a user on a surface are one row: whoever replaces them replaces all.
CREATE TABLE recommendation_candidate (
    user_id TEXT NOT NULL COLLATE BINARY,
    surface TEXT NOT NULL COLLATE BINARY,
    -- A JSON array of `[entity_id, score, reason]`, best candidate first; the reason is null where there is none.
    candidates TEXT NOT NULL COLLATE BINARY,
    -- Microseconds since 1970, UTC.
    replaced_at INTEGER NOT NULL,
    CONSTRAINT recommendation_candidate_pkey PRIMARY KEY (user_id, surface)
) STRICT, WITHOUT ROWID;
