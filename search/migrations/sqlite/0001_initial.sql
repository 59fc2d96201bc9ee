-- The documents that can be found, each with its terms: the truth that every faster path is derived from.
-- Creates a table; locks nothing that exists; safe beside any release.

CREATE TABLE search_document (
    -- Never used twice: what is derived from a document names it by this id.
    doc_id INTEGER NOT NULL CONSTRAINT search_document_pkey PRIMARY KEY AUTOINCREMENT,
    surface TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    -- A JSON array of texts.
    audience_tags TEXT NOT NULL,
    -- An opaque value of the crate; see its documentation of `Terms`. It stands before title and body, which an exact search
    -- then need not read.
    terms BLOB NOT NULL,
    language TEXT NOT NULL,
    -- Microseconds since 1970, UTC.
    recency_at INTEGER,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    url TEXT,
    extra TEXT,
    CONSTRAINT search_document_entity_key UNIQUE (surface, entity_id)
) STRICT;
