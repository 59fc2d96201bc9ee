-- The memberships: one row for each user and scope, soft-deleted by its state; and every change of them, for good.
-- Creates two tables, an index and a trigger; times are microseconds since 1970 in UTC; safe beside any release.

CREATE TABLE memberships_membership (
    user_id TEXT NOT NULL COLLATE BINARY,
    scope_type TEXT NOT NULL COLLATE BINARY,
    scope_id TEXT NOT NULL COLLATE BINARY,
    role TEXT NOT NULL COLLATE BINARY,
    state TEXT NOT NULL COLLATE BINARY,
    expires_at INTEGER,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    -- The table is this index: the hot check is one descent.
    CONSTRAINT memberships_membership_pkey
        PRIMARY KEY (user_id, scope_type, scope_id),
    CONSTRAINT memberships_membership_state_check CHECK (state IN ('active', 'banned', 'left'))
) STRICT, WITHOUT ROWID;

-- The order of a scope's listing; owners are a range of it.
CREATE INDEX memberships_membership_scope_idx
    ON memberships_membership (scope_type, scope_id, state, role, user_id, expires_at, version);

-- A purged membership leaves a row with only its scope: everything that tells of the person is null.
CREATE TABLE memberships_transition (
    -- Never given out twice, so that a position in the feed stays what it is.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id TEXT COLLATE BINARY,
    scope_type TEXT NOT NULL COLLATE BINARY,
    scope_id TEXT NOT NULL COLLATE BINARY,
    version INTEGER,
    verb TEXT NOT NULL COLLATE BINARY,
    before_role TEXT COLLATE BINARY,
    before_state TEXT COLLATE BINARY,
    before_expires_at INTEGER,
    role TEXT COLLATE BINARY,
    state TEXT COLLATE BINARY,
    expires_at INTEGER,
    actor TEXT COLLATE BINARY,
    reason TEXT COLLATE BINARY,
    changed_at INTEGER NOT NULL,
    CONSTRAINT memberships_transition_version_key UNIQUE (user_id, scope_type, scope_id, version),
    CONSTRAINT memberships_transition_purge_check CHECK ((verb = 'purge') = (user_id IS NULL))
) STRICT;

-- A change is written as its transition and takes effect here, so that one statement does both.
CREATE TRIGGER memberships_transition_insert
AFTER INSERT ON memberships_transition
WHEN new.user_id IS NOT NULL
BEGIN
    INSERT INTO memberships_membership
        (user_id, scope_type, scope_id, role, state, expires_at, version, created_at, changed_at)
    VALUES (
        new.user_id, new.scope_type, new.scope_id, new.role, new.state, new.expires_at, new.version,
        new.changed_at, new.changed_at
    )
    ON CONFLICT (user_id, scope_type, scope_id) DO UPDATE
    SET role = excluded.role, state = excluded.state, expires_at = excluded.expires_at,
        version = excluded.version, changed_at = excluded.changed_at;
END;
