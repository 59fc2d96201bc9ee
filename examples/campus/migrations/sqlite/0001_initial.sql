-- The host's own tables, beside those of the crates. Times are microseconds since 1970 in UTC.
-- Creates tables and indexes; safe beside any release.

CREATE TABLE campus_person (
    id TEXT NOT NULL COLLATE BINARY,
    name TEXT NOT NULL,
    headline TEXT NOT NULL,
    CONSTRAINT campus_person_pkey PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;

CREATE TABLE campus_group (
    id TEXT NOT NULL COLLATE BINARY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    CONSTRAINT campus_group_pkey PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;

CREATE TABLE campus_post (
    id TEXT NOT NULL COLLATE BINARY,
    group_id TEXT NOT NULL COLLATE BINARY,
    author_id TEXT NOT NULL COLLATE BINARY,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    CONSTRAINT campus_post_pkey PRIMARY KEY (id),
    CONSTRAINT campus_post_group_fkey FOREIGN KEY (group_id) REFERENCES campus_group (id)
) STRICT, WITHOUT ROWID;

CREATE INDEX campus_post_group_idx ON campus_post (group_id, id);

CREATE TABLE campus_notification (
    person_id TEXT NOT NULL COLLATE BINARY,
    post_id TEXT NOT NULL COLLATE BINARY,
    created_at INTEGER NOT NULL,
    -- Telling somebody of a post twice is telling them once: the job may run again.
    CONSTRAINT campus_notification_pkey PRIMARY KEY (person_id, post_id)
) STRICT, WITHOUT ROWID;

-- Documents that were imported from a file.
CREATE TABLE campus_document (
    surface TEXT NOT NULL COLLATE BINARY,
    id TEXT NOT NULL COLLATE BINARY,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    CONSTRAINT campus_document_pkey PRIMARY KEY (surface, id)
) STRICT, WITHOUT ROWID;

-- Facts about this database: who made it.
CREATE TABLE campus_meta (
    name TEXT NOT NULL COLLATE BINARY,
    value TEXT NOT NULL,
    CONSTRAINT campus_meta_pkey PRIMARY KEY (name)
) STRICT, WITHOUT ROWID;
