-- The documents that can be found, the log of their changes, and the segments that both are indexed in.
-- Creates tables; locks nothing that exists; safe beside any release.

-- The truth that all else is derived from.
CREATE TABLE search_document (
    -- Never used twice: what is derived from a document names it by this id.
    doc_id bigint GENERATED ALWAYS AS IDENTITY,
    surface text COLLATE "C" NOT NULL,
    entity_id text COLLATE "C" NOT NULL,
    audience_tags text[] COLLATE "C" NOT NULL,
    language text COLLATE "C" NOT NULL,
    -- How many words it has, and had before it was replaced.
    words integer NOT NULL,
    words_before integer,
    recency_at timestamptz,
    title text NOT NULL,
    body text NOT NULL,
    url text,
    extra text,
    CONSTRAINT search_document_pkey PRIMARY KEY (doc_id),
    CONSTRAINT search_document_entity_key UNIQUE (surface, entity_id)
);

-- What changed since it was last made into a segment. Rows are only ever added, one for each change, and removed by the compaction that
-- read them. With a unique row for each document, a change beside a running compaction would be lost.
CREATE TABLE search_dirty (
    number bigint GENERATED ALWAYS AS IDENTITY,
    doc_id bigint NOT NULL,
    -- How many documents and words there are more than before.
    documents integer NOT NULL,
    words integer NOT NULL,
    -- Of the document after the change, so that a search need not look it up; null if it is gone.
    surface text COLLATE "C",
    -- All in one, with a control character between two: no tag holds any.
    audience_tags text COLLATE "C",
    -- Opaque values of the crate: the language of the terms, and a summary of them that tells which rows a search need not read.
    language smallint,
    signature bit(1024),
    -- An opaque value of the crate, see its documentation of `Terms`; null if the text did not change or is gone.
    terms bytea,
    CONSTRAINT search_dirty_pkey PRIMARY KEY (number)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, toast_tuple_target = 8160);

ALTER TABLE search_dirty ALTER COLUMN terms SET STORAGE EXTERNAL;

-- Segments. Of a row only `dead` and `revision` ever change.
CREATE TABLE search_segment (
    -- Random, never used twice.
    segment bigint NOT NULL,
    revision integer NOT NULL,
    documents bigint NOT NULL,
    words bigint NOT NULL,
    namespaces bigint NOT NULL,
    head bytea NOT NULL,
    dead bytea NOT NULL,
    CONSTRAINT search_segment_pkey PRIMARY KEY (segment)
);

ALTER TABLE search_segment ALTER COLUMN head SET STORAGE EXTERNAL;

-- The pages of segments; rows never change.
CREATE TABLE search_page (
    segment bigint NOT NULL,
    key bytea NOT NULL,
    is_single boolean NOT NULL,
    block bytea NOT NULL,
    CONSTRAINT search_page_pkey PRIMARY KEY (segment, key)
) WITH (toast_tuple_target = 8160);

-- Most pages fit into half a page of the table; a long one is read as it is, without being unpacked.
ALTER TABLE search_page ALTER COLUMN block SET STORAGE EXTERNAL;
