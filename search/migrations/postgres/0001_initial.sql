-- The documents that can be found, each with its terms: the truth that every faster path is derived from.
-- Creates a table; locks nothing that exists; safe beside any release.

CREATE TABLE search_document (
    -- Never used twice: what is derived from a document names it by this id.
    doc_id bigint GENERATED ALWAYS AS IDENTITY,
    surface text COLLATE "C" NOT NULL,
    entity_id text COLLATE "C" NOT NULL,
    audience_tags text[] COLLATE "C" NOT NULL,
    -- An opaque value of the crate; see its documentation of `Terms`.
    terms bytea NOT NULL,
    language text COLLATE "C" NOT NULL,
    recency_at timestamptz,
    title text NOT NULL,
    body text NOT NULL,
    url text,
    extra text,
    CONSTRAINT search_document_pkey PRIMARY KEY (doc_id),
    CONSTRAINT search_document_entity_key UNIQUE (surface, entity_id)
);

-- An exact search reads the terms of every document: a long body moves out of the row before they do.
ALTER TABLE search_document ALTER COLUMN terms SET STORAGE MAIN;
