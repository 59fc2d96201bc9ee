-- What people say about themselves, and to whom. Adds columns with constant defaults, which rewrites nothing, and indexes; holds an
-- exclusive lock on campus_person while they are built. Safe beside the release before, which reads none of them.

ALTER TABLE campus_person ADD COLUMN city text NOT NULL DEFAULT '';
-- The city in lower case where it can be filtered by, for everybody or for the own batch; else empty.
ALTER TABLE campus_person ADD COLUMN city_key text NOT NULL DEFAULT '';
ALTER TABLE campus_person ADD COLUMN employer text NOT NULL DEFAULT '';
-- The year of the scope batch:YEAR. Whoever looks after the campus sets it, never the person: it opens what is meant for a batch.
ALTER TABLE campus_person ADD COLUMN batch_year bigint;
ALTER TABLE campus_person ADD COLUMN bio text NOT NULL DEFAULT '';
ALTER TABLE campus_person ADD COLUMN email text NOT NULL DEFAULT '';
ALTER TABLE campus_person ADD COLUMN phone text NOT NULL DEFAULT '';
ALTER TABLE campus_person ADD COLUMN city_audience text NOT NULL DEFAULT 'everyone';
ALTER TABLE campus_person ADD COLUMN employer_audience text NOT NULL DEFAULT 'everyone';
ALTER TABLE campus_person ADD COLUMN batch_audience text NOT NULL DEFAULT 'everyone';
ALTER TABLE campus_person ADD COLUMN bio_audience text NOT NULL DEFAULT 'everyone';
ALTER TABLE campus_person ADD COLUMN email_audience text NOT NULL DEFAULT 'connections';
ALTER TABLE campus_person ADD COLUMN phone_audience text NOT NULL DEFAULT 'nobody';

CREATE INDEX campus_person_name_idx ON campus_person (name, id);
CREATE INDEX campus_person_city_idx ON campus_person (city_key, name, id) WHERE city_key > '';
CREATE INDEX campus_person_batch_idx ON campus_person (batch_year, name, id) WHERE batch_audience IN ('everyone', 'batch');
