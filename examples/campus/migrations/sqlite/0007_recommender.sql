-- What the recommender keeps between two batches; signals and candidates are in the tables of stoa-search. Times are microseconds since
-- 1970 in UTC. Creates tables and indexes; locks nothing that exists; safe beside any release.

-- What somebody did lately, once for each document: made of the signals, and forgotten when it is old.
CREATE TABLE campus_taste (
    person_id TEXT NOT NULL COLLATE BINARY,
    surface TEXT NOT NULL COLLATE BINARY,
    entity_id TEXT NOT NULL COLLATE BINARY,
    acted_at INTEGER NOT NULL,
    CONSTRAINT campus_taste_pkey PRIMARY KEY (person_id, surface, entity_id)
) STRICT, WITHOUT ROWID;

-- Who else did something with a document, the last ones first.
CREATE INDEX campus_taste_entity_idx ON campus_taste (surface, entity_id, acted_at, person_id);

-- What is old.
CREATE INDEX campus_taste_acted_idx ON campus_taste (acted_at);

-- For whom candidates are to be made anew.
CREATE TABLE campus_recommend_due (
    person_id TEXT NOT NULL COLLATE BINARY,
    CONSTRAINT campus_recommend_due_pkey PRIMARY KEY (person_id)
) STRICT, WITHOUT ROWID;
