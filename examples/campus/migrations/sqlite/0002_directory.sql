-- What people say about themselves, and to whom. Adds columns with constant defaults and indexes; safe beside the release before,
-- which reads none of them.

ALTER TABLE campus_person ADD COLUMN city TEXT NOT NULL DEFAULT '';
-- The city in lower case where it can be filtered by, for everybody or for the own batch; else empty.
ALTER TABLE campus_person ADD COLUMN city_key TEXT NOT NULL DEFAULT '';
ALTER TABLE campus_person ADD COLUMN employer TEXT NOT NULL DEFAULT '';
-- The year of the scope batch:YEAR. Whoever looks after the campus sets it, never the person: it opens what is meant for a batch.
ALTER TABLE campus_person ADD COLUMN batch_year INTEGER;
ALTER TABLE campus_person ADD COLUMN bio TEXT NOT NULL DEFAULT '';
ALTER TABLE campus_person ADD COLUMN email TEXT NOT NULL DEFAULT '';
ALTER TABLE campus_person ADD COLUMN phone TEXT NOT NULL DEFAULT '';
ALTER TABLE campus_person ADD COLUMN city_audience TEXT NOT NULL DEFAULT 'everyone';
ALTER TABLE campus_person ADD COLUMN employer_audience TEXT NOT NULL DEFAULT 'everyone';
ALTER TABLE campus_person ADD COLUMN batch_audience TEXT NOT NULL DEFAULT 'everyone';
ALTER TABLE campus_person ADD COLUMN bio_audience TEXT NOT NULL DEFAULT 'everyone';
ALTER TABLE campus_person ADD COLUMN email_audience TEXT NOT NULL DEFAULT 'connections';
ALTER TABLE campus_person ADD COLUMN phone_audience TEXT NOT NULL DEFAULT 'nobody';

CREATE INDEX campus_person_name_idx ON campus_person (name, id);
CREATE INDEX campus_person_city_idx ON campus_person (city_key, name, id) WHERE city_key > '';
CREATE INDEX campus_person_batch_idx ON campus_person (batch_year, name, id) WHERE batch_audience IN ('everyone', 'batch');
