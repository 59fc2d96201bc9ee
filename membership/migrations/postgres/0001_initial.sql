-- The memberships: one row for each user and scope, soft-deleted by its state; and every change of them, for good.
-- Creates two tables and their indexes; locks nothing that exists; safe beside any release.

CREATE TABLE memberships_membership (
    user_id text COLLATE "C" NOT NULL,
    scope_type text COLLATE "C" NOT NULL,
    scope_id text COLLATE "C" NOT NULL,
    role text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    expires_at timestamptz,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    -- Carries all that the hot check reads, so that it never visits the table.
    CONSTRAINT memberships_membership_pkey
        PRIMARY KEY (user_id, scope_type, scope_id) INCLUDE (role, state, expires_at, version),
    CONSTRAINT memberships_membership_state_check CHECK (state IN ('active', 'banned', 'left'))
) WITH (fillfactor = 90);

-- The order of a scope's listing; owners are a range of it.
CREATE INDEX memberships_membership_scope_idx
    ON memberships_membership (scope_type, scope_id, state, role, user_id)
    INCLUDE (expires_at, version);

-- A purged membership leaves a row with only its scope: everything that tells of the person is null.
CREATE TABLE memberships_transition (
    id bigint GENERATED ALWAYS AS IDENTITY,
    -- Ids are given out in no order of commits; with the transaction's number a reader knows what it has not seen yet.
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    user_id text COLLATE "C",
    scope_type text COLLATE "C" NOT NULL,
    scope_id text COLLATE "C" NOT NULL,
    version bigint,
    verb text COLLATE "C" NOT NULL,
    before_role text COLLATE "C",
    before_state text COLLATE "C",
    before_expires_at timestamptz,
    role text COLLATE "C",
    state text COLLATE "C",
    expires_at timestamptz,
    actor text COLLATE "C",
    reason text COLLATE "C",
    changed_at timestamptz NOT NULL,
    CONSTRAINT memberships_transition_pkey PRIMARY KEY (id),
    CONSTRAINT memberships_transition_version_key UNIQUE (user_id, scope_type, scope_id, version),
    CONSTRAINT memberships_transition_purge_check CHECK ((verb = 'purge') = (user_id IS NULL))
);

CREATE INDEX memberships_transition_xid_idx ON memberships_transition (xid);
