-- The jobs board. Creates a table and its indexes; safe beside any release.

CREATE TABLE campus_opening (
    id text COLLATE "C" NOT NULL,
    author_id text COLLATE "C" NOT NULL,
    -- The one tag of whoever may see it: a scope, or everybody.
    audience text COLLATE "C" NOT NULL,
    title text NOT NULL,
    employer text NOT NULL,
    place text NOT NULL,
    -- The place in lower case: what is filtered by.
    place_key text NOT NULL,
    is_remote boolean NOT NULL,
    body text NOT NULL,
    url text NOT NULL,
    created_at bigint NOT NULL,
    closes_at bigint NOT NULL,
    closed_at bigint,
    CONSTRAINT campus_opening_pkey PRIMARY KEY (id)
);

CREATE INDEX campus_opening_open_idx ON campus_opening (audience, id) WHERE closed_at IS NULL;
CREATE INDEX campus_opening_closes_idx ON campus_opening (closes_at, id) WHERE closed_at IS NULL;
