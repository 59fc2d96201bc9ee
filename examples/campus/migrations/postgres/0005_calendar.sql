-- Events, who answered that they come, and what people are told of other than posts.
-- Creates tables and indexes; locks nothing that exists; safe beside any release.

CREATE TABLE campus_event (
    id text COLLATE "C" NOT NULL,
    -- As a scope is written, or campus:everyone.
    scope text COLLATE "C" NOT NULL,
    author_id text COLLATE "C" NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    place text NOT NULL,
    starts_at bigint NOT NULL,
    ends_at bigint NOT NULL,
    -- An IANA name: where the clock on the wall is that people are told of.
    time_zone text NOT NULL,
    capacity bigint,
    -- Rows of campus_rsvp in each state, and the last place in line that was given: all three change under the lock of this row.
    going bigint NOT NULL,
    waiting bigint NOT NULL,
    last_place bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    cancelled_at bigint,
    CONSTRAINT campus_event_pkey PRIMARY KEY (id),
    CONSTRAINT campus_event_order_check CHECK (starts_at < ends_at),
    CONSTRAINT campus_event_capacity_check CHECK (capacity > 0),
    CONSTRAINT campus_event_counts_check CHECK (going >= 0 AND waiting >= 0)
);

CREATE INDEX campus_event_upcoming_idx ON campus_event (scope, starts_at, id) WHERE cancelled_at IS NULL;

CREATE TABLE campus_rsvp (
    event_id text COLLATE "C" NOT NULL,
    person_id text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    -- First come, first served: the place in line, counted by the event.
    place bigint NOT NULL,
    CONSTRAINT campus_rsvp_pkey PRIMARY KEY (event_id, person_id),
    CONSTRAINT campus_rsvp_state_check CHECK (state IN ('going', 'waiting')),
    CONSTRAINT campus_rsvp_event_fkey FOREIGN KEY (event_id) REFERENCES campus_event (id)
);

CREATE UNIQUE INDEX campus_rsvp_place_idx ON campus_rsvp (event_id, state, place);
CREATE INDEX campus_rsvp_person_idx ON campus_rsvp (person_id, event_id);

CREATE TABLE campus_notice (
    person_id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    entity text COLLATE "C" NOT NULL,
    title text NOT NULL,
    url text NOT NULL,
    -- Who no longer reads it is no longer shown the notice.
    scope text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    -- Telling somebody twice is telling them once: the job may run again.
    CONSTRAINT campus_notice_pkey PRIMARY KEY (person_id, kind, entity)
);

CREATE INDEX campus_notice_newest_idx ON campus_notice (person_id, created_at);
-- What is withdrawn is taken back from everybody who was told of it.
CREATE INDEX campus_notice_entity_idx ON campus_notice (kind, entity);
