-- The documents that can be found, the log of their changes, and the segments that both are indexed in.
-- Creates tables; locks nothing that exists; safe beside any release.

-- The truth that all else is derived from.
CREATE TABLE search_document (
    -- Never used twice: what is derived from a document names it by this id.
    doc_id INTEGER NOT NULL CONSTRAINT search_document_pkey PRIMARY KEY AUTOINCREMENT,
    surface TEXT NOT NULL COLLATE BINARY,
    entity_id TEXT NOT NULL COLLATE BINARY,
    -- A JSON array of texts.
    audience_tags TEXT NOT NULL COLLATE BINARY,
    language TEXT NOT NULL COLLATE BINARY,
    -- How many words it has, and had before it was replaced.
    words INTEGER NOT NULL,
    words_before INTEGER,
    -- Microseconds since 1970, UTC.
    recency_at INTEGER,
    title TEXT NOT NULL COLLATE BINARY,
    body TEXT NOT NULL COLLATE BINARY,
    url TEXT COLLATE BINARY,
    extra TEXT COLLATE BINARY,
    CONSTRAINT search_document_entity_key UNIQUE (surface, entity_id)
) STRICT;

-- What changed since it was last made into a segment. Rows are only ever added, one for each change, and removed by the compaction that
-- read them.
CREATE TABLE search_dirty (
    number INTEGER NOT NULL CONSTRAINT search_dirty_pkey PRIMARY KEY AUTOINCREMENT,
    doc_id INTEGER NOT NULL,
    -- How many documents and words there are more than before.
    documents INTEGER NOT NULL,
    words INTEGER NOT NULL,
    -- Of the document after the change, so that a search need not look it up; null if it is gone.
    surface TEXT COLLATE BINARY,
    audience_tags TEXT COLLATE BINARY,
    -- An opaque value of the crate, see its documentation of `Terms`; null if the text did not change or is gone.
    terms BLOB
) STRICT;

-- Documents are written through this view: one statement changes a document and logs it.
CREATE VIEW search_write AS
SELECT surface, entity_id, audience_tags, language, words, recency_at, title, body, url, extra, NULL AS terms
FROM search_document;

CREATE TRIGGER search_write_insert INSTEAD OF INSERT ON search_write
BEGIN
    INSERT INTO search_document
        (surface, entity_id, audience_tags, language, words, recency_at, title, body, url, extra)
    VALUES
        (new.surface, new.entity_id, new.audience_tags, new.language, new.words, new.recency_at, new.title, new.body, new.url, new.extra)
    ON CONFLICT (surface, entity_id) DO UPDATE
    SET audience_tags = excluded.audience_tags, language = excluded.language, words = excluded.words, words_before = words,
        recency_at = excluded.recency_at, title = excluded.title, body = excluded.body, url = excluded.url,
        extra = excluded.extra;
    INSERT INTO search_dirty (doc_id, documents, words, surface, audience_tags, terms)
    SELECT doc_id, words_before IS NULL, words - coalesce(words_before, 0), surface, audience_tags, new.terms
    FROM search_document
    WHERE surface = new.surface AND entity_id = new.entity_id;
END;

CREATE TRIGGER search_document_delete AFTER DELETE ON search_document
BEGIN
    INSERT INTO search_dirty (doc_id, documents, words) VALUES (old.doc_id, -1, -old.words);
END;

-- Segments. Of a row only `dead` and `revision` ever change.
CREATE TABLE search_segment (
    -- Random, never used twice.
    segment INTEGER NOT NULL CONSTRAINT search_segment_pkey PRIMARY KEY,
    revision INTEGER NOT NULL,
    documents INTEGER NOT NULL,
    words INTEGER NOT NULL,
    namespaces INTEGER NOT NULL,
    head BLOB NOT NULL,
    dead BLOB NOT NULL
) STRICT;

-- The pages of segments; rows never change.
CREATE TABLE search_page (
    segment INTEGER NOT NULL,
    key BLOB NOT NULL,
    is_single INTEGER NOT NULL,
    block BLOB NOT NULL,
    CONSTRAINT search_page_pkey PRIMARY KEY (segment, key)
) STRICT;
