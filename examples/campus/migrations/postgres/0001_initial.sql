-- The host's own tables, beside those of the crates. Times are microseconds since 1970 in UTC, as on SQLite.
-- Creates tables and indexes; locks nothing that exists; safe beside any release.

CREATE TABLE campus_person (
    id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    headline text NOT NULL,
    CONSTRAINT campus_person_pkey PRIMARY KEY (id)
);

CREATE TABLE campus_group (
    id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    description text NOT NULL,
    CONSTRAINT campus_group_pkey PRIMARY KEY (id)
);

CREATE TABLE campus_post (
    id text COLLATE "C" NOT NULL,
    group_id text COLLATE "C" NOT NULL,
    author_id text COLLATE "C" NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    created_at bigint NOT NULL,
    CONSTRAINT campus_post_pkey PRIMARY KEY (id),
    CONSTRAINT campus_post_group_fkey FOREIGN KEY (group_id) REFERENCES campus_group (id)
);

CREATE INDEX campus_post_group_idx ON campus_post (group_id, id);

CREATE TABLE campus_notification (
    person_id text COLLATE "C" NOT NULL,
    post_id text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    -- Telling somebody of a post twice is telling them once: the job may run again.
    CONSTRAINT campus_notification_pkey PRIMARY KEY (person_id, post_id)
);

-- Documents that were imported from a file.
CREATE TABLE campus_document (
    surface text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    CONSTRAINT campus_document_pkey PRIMARY KEY (surface, id)
);

-- Facts about this database: who made it.
CREATE TABLE campus_meta (
    name text COLLATE "C" NOT NULL,
    value text NOT NULL,
    CONSTRAINT campus_meta_pkey PRIMARY KEY (name)
);
