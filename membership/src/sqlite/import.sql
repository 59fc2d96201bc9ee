INSERT INTO memberships_transition
    (user_id, scope_type, scope_id, version, verb, before_role, before_state, before_expires_at,
    role, state, expires_at, actor, reason, changed_at)
SELECT given.user_id, given.scope_type, given.scope_id, coalesce(before.version, 0) + 1, 'import',
    before.role, before.state, before.expires_at, given.role, given.state, given.expires_at, $2, $3,
    CAST(unixepoch('subsec') * 1000000 AS INTEGER)
FROM (
    SELECT value ->> 0 AS user_id, value ->> 1 AS scope_type, value ->> 2 AS scope_id,
        value ->> 3 AS role, value ->> 4 AS state, value ->> 5 AS expires_at
    FROM json_each($1)
) AS given
LEFT JOIN memberships_membership AS before
    ON before.user_id = given.user_id AND before.scope_type = given.scope_type AND before.scope_id = given.scope_id
WHERE before.version IS NULL
    OR (before.role, before.state, before.expires_at) IS NOT (given.role, given.state, given.expires_at)
        AND (before.state <> 'banned' OR $4)
RETURNING version
