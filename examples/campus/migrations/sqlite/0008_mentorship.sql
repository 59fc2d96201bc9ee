-- Mentorship: programmes, who takes part, the runs that match them, and the matches. Times are microseconds since 1970 in UTC.
-- Creates tables and indexes; safe beside the previous release.

CREATE TABLE campus_mentorship_programme (
    id TEXT NOT NULL COLLATE BINARY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    -- The audience tag of whoever may take part.
    audience TEXT NOT NULL COLLATE BINARY,
    state TEXT NOT NULL COLLATE BINARY,
    created_by TEXT NOT NULL COLLATE BINARY,
    created_at INTEGER NOT NULL,
    CONSTRAINT campus_mentorship_programme_pkey PRIMARY KEY (id),
    CONSTRAINT campus_mentorship_programme_state_check CHECK (state IN ('open', 'closed'))
) STRICT, WITHOUT ROWID;

CREATE INDEX campus_mentorship_programme_audience_idx ON campus_mentorship_programme (audience, id);

CREATE TABLE campus_mentorship_profile (
    programme_id TEXT NOT NULL COLLATE BINARY,
    user_id TEXT NOT NULL COLLATE BINARY,
    role TEXT NOT NULL COLLATE BINARY,
    -- Terms, one a line, sorted.
    skills TEXT NOT NULL,
    interests TEXT NOT NULL,
    languages TEXT NOT NULL,
    batch_year INTEGER NOT NULL,
    goals TEXT NOT NULL,
    -- How many matches they may have at once (a mentee: one), and have. No statement can make it more.
    capacity INTEGER NOT NULL,
    taken INTEGER NOT NULL,
    -- A number of their own that breaks ties, so that not everybody is offered the same people.
    spread INTEGER NOT NULL,
    CONSTRAINT campus_mentorship_profile_pkey PRIMARY KEY (programme_id, user_id),
    CONSTRAINT campus_mentorship_profile_role_check CHECK (role IN ('mentor', 'mentee')),
    CONSTRAINT campus_mentorship_profile_taken_check CHECK (taken BETWEEN 0 AND capacity)
) STRICT, WITHOUT ROWID;

CREATE INDEX campus_mentorship_profile_free_idx ON campus_mentorship_profile (programme_id, role, user_id)
    WHERE taken < capacity;

-- What mentors can help with: the way from a mentee's interests to those who share them.
CREATE TABLE campus_mentorship_term (
    programme_id TEXT NOT NULL COLLATE BINARY,
    term TEXT NOT NULL COLLATE BINARY,
    user_id TEXT NOT NULL COLLATE BINARY,
    CONSTRAINT campus_mentorship_term_pkey PRIMARY KEY (programme_id, term, user_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE campus_mentorship_run (
    id TEXT NOT NULL COLLATE BINARY,
    programme_id TEXT NOT NULL COLLATE BINARY,
    state TEXT NOT NULL COLLATE BINARY,
    mentees INTEGER NOT NULL,
    matched INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    finished_at INTEGER,
    CONSTRAINT campus_mentorship_run_pkey PRIMARY KEY (id),
    CONSTRAINT campus_mentorship_run_state_check CHECK (state IN ('running', 'done'))
) STRICT, WITHOUT ROWID;

-- A run that is started twice is one run.
CREATE UNIQUE INDEX campus_mentorship_run_running_idx ON campus_mentorship_run (programme_id) WHERE state = 'running';
CREATE INDEX campus_mentorship_run_programme_idx ON campus_mentorship_run (programme_id, id);

-- One row for each mentee of a running run; without choices as long as nobody has scored for them.
CREATE TABLE campus_mentorship_preference (
    run_id TEXT NOT NULL COLLATE BINARY,
    mentee_user_id TEXT NOT NULL COLLATE BINARY,
    choices TEXT,
    CONSTRAINT campus_mentorship_preference_pkey PRIMARY KEY (run_id, mentee_user_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX campus_mentorship_preference_undone_idx ON campus_mentorship_preference (run_id, mentee_user_id)
    WHERE choices IS NULL;

CREATE TABLE campus_mentorship_match (
    id TEXT NOT NULL COLLATE BINARY,
    programme_id TEXT NOT NULL COLLATE BINARY,
    mentor_user_id TEXT NOT NULL COLLATE BINARY,
    mentee_user_id TEXT NOT NULL COLLATE BINARY,
    state TEXT NOT NULL COLLATE BINARY,
    proposed_by TEXT NOT NULL COLLATE BINARY,
    score INTEGER NOT NULL,
    run_id TEXT COLLATE BINARY,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    CONSTRAINT campus_mentorship_match_pkey PRIMARY KEY (id),
    CONSTRAINT campus_mentorship_match_pair_key UNIQUE (programme_id, mentor_user_id, mentee_user_id),
    CONSTRAINT campus_mentorship_match_state_check CHECK (state IN ('proposed', 'accepted', 'approved', 'declined', 'ended')),
    CONSTRAINT campus_mentorship_match_proposed_by_check CHECK (proposed_by IN ('mentor', 'mentee', 'matching'))
) STRICT, WITHOUT ROWID;

CREATE INDEX campus_mentorship_match_mentor_idx ON campus_mentorship_match (mentor_user_id, id);
CREATE INDEX campus_mentorship_match_mentee_idx ON campus_mentorship_match (mentee_user_id, id);
CREATE INDEX campus_mentorship_match_state_idx ON campus_mentorship_match (programme_id, state, id);
CREATE INDEX campus_mentorship_match_run_idx ON campus_mentorship_match (run_id);
