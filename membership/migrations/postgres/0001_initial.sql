-- The memberships: one row for each user and scope, soft-deleted by its state.
-- Creates a table and an index; locks nothing that exists; safe beside any release.

CREATE TABLE memberships_membership (
    user_id text COLLATE "C" NOT NULL,
    scope_type text COLLATE "C" NOT NULL,
    scope_id text COLLATE "C" NOT NULL,
    role text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    expires_at timestamptz,
    version bigint NOT NULL,
    changed_by text COLLATE "C" NOT NULL,
    reason text COLLATE "C",
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    -- Carries all that the hot check reads, so that it never visits the table.
    CONSTRAINT memberships_membership_pkey
        PRIMARY KEY (user_id, scope_type, scope_id) INCLUDE (role, state, expires_at, version),
    CONSTRAINT memberships_membership_state_check CHECK (state IN ('active', 'banned', 'left'))
) WITH (fillfactor = 90);

CREATE INDEX memberships_membership_scope_idx
    ON memberships_membership (scope_type, scope_id, user_id)
    INCLUDE (role, expires_at)
    WHERE state = 'active';
