-- The documents that can be found, each with its terms: the truth that every faster path is derived from.
-- Creates a table; locks nothing that exists; safe beside any release.

CREATE TABLE search_document (
    -- Never used twice: what is derived from a document names it by this id.
    doc_id INTEGER NOT NULL CONSTRAINT search_document_pkey PRIMARY KEY AUTOINCREMENT,
    surface TEXT NOT NULL COLLATE BINARY,
    entity_id TEXT NOT NULL COLLATE BINARY,
    -- A JSON array of texts.
    audience_tags TEXT NOT NULL COLLATE BINARY,
    -- An opaque value of the crate; see its documentation of `Terms`. It stands before title and body, which an exact search
    -- then need not read.
    terms BLOB NOT NULL,
    language TEXT NOT NULL COLLATE BINARY,
    -- Microseconds since 1970, UTC.
    recency_at INTEGER,
    title TEXT NOT NULL COLLATE BINARY,
    body TEXT NOT NULL COLLATE BINARY,
    url TEXT COLLATE BINARY,
    extra TEXT COLLATE BINARY,
    CONSTRAINT search_document_entity_key UNIQUE (surface, entity_id)
) STRICT;
