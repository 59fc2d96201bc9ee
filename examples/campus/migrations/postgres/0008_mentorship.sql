-- Mentorship: programmes, who takes part, the runs that match them, and the matches. Times are microseconds since 1970 in UTC.
-- Creates tables and indexes; locks nothing that exists; safe beside the previous release.

CREATE TABLE campus_mentorship_programme (
    id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    description text NOT NULL,
    -- The audience tag of whoever may take part.
    audience text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    created_by text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    CONSTRAINT campus_mentorship_programme_pkey PRIMARY KEY (id),
    CONSTRAINT campus_mentorship_programme_state_check CHECK (state IN ('open', 'closed'))
);

CREATE INDEX campus_mentorship_programme_audience_idx ON campus_mentorship_programme (audience, id);

CREATE TABLE campus_mentorship_profile (
    programme_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    role text COLLATE "C" NOT NULL,
    -- Terms, one a line, sorted.
    skills text NOT NULL,
    interests text NOT NULL,
    languages text NOT NULL,
    batch_year bigint NOT NULL,
    goals text NOT NULL,
    -- How many matches they may have at once (a mentee: one), and have. No statement can make it more.
    capacity bigint NOT NULL,
    taken bigint NOT NULL,
    -- A number of their own that breaks ties, so that not everybody is offered the same people.
    spread bigint NOT NULL,
    CONSTRAINT campus_mentorship_profile_pkey PRIMARY KEY (programme_id, user_id),
    CONSTRAINT campus_mentorship_profile_role_check CHECK (role IN ('mentor', 'mentee')),
    CONSTRAINT campus_mentorship_profile_taken_check CHECK (taken BETWEEN 0 AND capacity)
);

CREATE INDEX campus_mentorship_profile_free_idx ON campus_mentorship_profile (programme_id, role, user_id)
    WHERE taken < capacity;

-- What mentors can help with: the way from a mentee's interests to those who share them.
CREATE TABLE campus_mentorship_term (
    programme_id text COLLATE "C" NOT NULL,
    term text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    CONSTRAINT campus_mentorship_term_pkey PRIMARY KEY (programme_id, term, user_id)
);

CREATE TABLE campus_mentorship_run (
    id text COLLATE "C" NOT NULL,
    programme_id text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    mentees bigint NOT NULL,
    matched bigint NOT NULL,
    started_at bigint NOT NULL,
    finished_at bigint,
    CONSTRAINT campus_mentorship_run_pkey PRIMARY KEY (id),
    CONSTRAINT campus_mentorship_run_state_check CHECK (state IN ('running', 'done'))
);

-- A run that is started twice is one run.
CREATE UNIQUE INDEX campus_mentorship_run_running_idx ON campus_mentorship_run (programme_id) WHERE state = 'running';
CREATE INDEX campus_mentorship_run_programme_idx ON campus_mentorship_run (programme_id, id);

-- One row for each mentee of a running run; without choices as long as nobody has scored for them.
CREATE TABLE campus_mentorship_preference (
    run_id text COLLATE "C" NOT NULL,
    mentee_user_id text COLLATE "C" NOT NULL,
    choices text,
    CONSTRAINT campus_mentorship_preference_pkey PRIMARY KEY (run_id, mentee_user_id)
);

CREATE INDEX campus_mentorship_preference_undone_idx ON campus_mentorship_preference (run_id, mentee_user_id)
    WHERE choices IS NULL;

CREATE TABLE campus_mentorship_match (
    id text COLLATE "C" NOT NULL,
    programme_id text COLLATE "C" NOT NULL,
    mentor_user_id text COLLATE "C" NOT NULL,
    mentee_user_id text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    proposed_by text COLLATE "C" NOT NULL,
    score bigint NOT NULL,
    run_id text COLLATE "C",
    created_at bigint NOT NULL,
    changed_at bigint NOT NULL,
    CONSTRAINT campus_mentorship_match_pkey PRIMARY KEY (id),
    CONSTRAINT campus_mentorship_match_pair_key UNIQUE (programme_id, mentor_user_id, mentee_user_id),
    CONSTRAINT campus_mentorship_match_state_check CHECK (state IN ('proposed', 'accepted', 'approved', 'declined', 'ended')),
    CONSTRAINT campus_mentorship_match_proposed_by_check CHECK (proposed_by IN ('mentor', 'mentee', 'matching'))
);

CREATE INDEX campus_mentorship_match_mentor_idx ON campus_mentorship_match (mentor_user_id, id);
CREATE INDEX campus_mentorship_match_mentee_idx ON campus_mentorship_match (mentee_user_id, id);
CREATE INDEX campus_mentorship_match_state_idx ON campus_mentorship_match (programme_id, state, id);
CREATE INDEX campus_mentorship_match_run_idx ON campus_mentorship_match (run_id);
