-- Announcements of the campus: written, scheduled, published, withdrawn.
-- Creates a table and an index; locks nothing that exists; safe beside any release.

CREATE TABLE campus_announcement (
    id text COLLATE "C" NOT NULL,
    -- As a scope is written, or campus:everyone.
    scope text COLLATE "C" NOT NULL,
    author_id text COLLATE "C" NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    state text COLLATE "C" NOT NULL,
    -- When it is to be published, if it is scheduled; when it was, once it is.
    publish_at bigint,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    CONSTRAINT campus_announcement_pkey PRIMARY KEY (id),
    CONSTRAINT campus_announcement_state_check CHECK (state IN ('draft', 'scheduled', 'published', 'withdrawn')),
    CONSTRAINT campus_announcement_time_check CHECK (publish_at IS NOT NULL OR state IN ('draft', 'withdrawn'))
);

CREATE INDEX campus_announcement_newest_idx ON campus_announcement (scope, publish_at, id) WHERE state = 'published';
