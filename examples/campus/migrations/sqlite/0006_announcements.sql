-- Announcements of the campus: written, scheduled, published, withdrawn.
-- Creates a table and an index; safe beside any release.

CREATE TABLE campus_announcement (
    id TEXT NOT NULL COLLATE BINARY,
    -- As a scope is written, or campus:everyone.
    scope TEXT NOT NULL COLLATE BINARY,
    author_id TEXT NOT NULL COLLATE BINARY,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL COLLATE BINARY,
    -- When it is to be published, if it is scheduled; when it was, once it is.
    publish_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    CONSTRAINT campus_announcement_pkey PRIMARY KEY (id),
    CONSTRAINT campus_announcement_state_check CHECK (state IN ('draft', 'scheduled', 'published', 'withdrawn')),
    CONSTRAINT campus_announcement_time_check CHECK (publish_at IS NOT NULL OR state IN ('draft', 'withdrawn'))
) STRICT, WITHOUT ROWID;

CREATE INDEX campus_announcement_newest_idx ON campus_announcement (scope, publish_at, id) WHERE state = 'published';
