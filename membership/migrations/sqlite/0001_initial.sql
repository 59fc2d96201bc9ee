-- The memberships: one row for each user and scope, soft-deleted by its state.
-- Creates a table and an index; times are microseconds since 1970 in UTC; safe beside any release.

CREATE TABLE memberships_membership (
    user_id TEXT NOT NULL COLLATE BINARY,
    scope_type TEXT NOT NULL COLLATE BINARY,
    scope_id TEXT NOT NULL COLLATE BINARY,
    role TEXT NOT NULL COLLATE BINARY,
    state TEXT NOT NULL COLLATE BINARY,
    expires_at INTEGER,
    version INTEGER NOT NULL,
    changed_by TEXT NOT NULL COLLATE BINARY,
    reason TEXT COLLATE BINARY,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    -- The table is this index: the hot check is one descent.
    CONSTRAINT memberships_membership_pkey
        PRIMARY KEY (user_id, scope_type, scope_id),
    CONSTRAINT memberships_membership_state_check CHECK (state IN ('active', 'banned', 'left'))
) STRICT, WITHOUT ROWID;

CREATE INDEX memberships_membership_scope_idx
    ON memberships_membership (scope_type, scope_id, user_id, role, expires_at)
    WHERE state = 'active';
