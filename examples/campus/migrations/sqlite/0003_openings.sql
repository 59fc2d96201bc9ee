-- The jobs board. Creates a table and its indexes; safe beside any release.

CREATE TABLE campus_opening (
    id TEXT NOT NULL COLLATE BINARY,
    author_id TEXT NOT NULL COLLATE BINARY,
    -- The one tag of whoever may see it: a scope, or everybody.
    audience TEXT NOT NULL COLLATE BINARY,
    title TEXT NOT NULL,
    employer TEXT NOT NULL,
    place TEXT NOT NULL,
    -- The place in lower case: what is filtered by.
    place_key TEXT NOT NULL,
    is_remote INTEGER NOT NULL,
    body TEXT NOT NULL,
    url TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    closes_at INTEGER NOT NULL,
    closed_at INTEGER,
    CONSTRAINT campus_opening_pkey PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;

CREATE INDEX campus_opening_open_idx ON campus_opening (audience, id) WHERE closed_at IS NULL;
CREATE INDEX campus_opening_closes_idx ON campus_opening (closes_at, id) WHERE closed_at IS NULL;
