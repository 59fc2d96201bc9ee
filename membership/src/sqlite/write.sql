-- One statement is alone on the database: nobody else can leave between the guard's look and the write. The transition takes
-- effect by its trigger. The signs keep SQLite from preparing the statement again for every call, as it does with bare
-- parameters that it might compare with the condition of a partial index.
INSERT INTO memberships_transition
    (user_id, scope_type, scope_id, version, verb, before_role, before_state, before_expires_at,
    role, state, expires_at, actor, reason, changed_at)
SELECT $1, $2, $3, coalesce($4, 0) + 1, $8, before.role, before.state, before.expires_at,
    $5, $6, $7, $9, $10, CAST(unixepoch('subsec') * 1000000 AS INTEGER)
FROM (SELECT 1)
LEFT JOIN memberships_membership AS before
    ON before.user_id = +$1 AND before.scope_type = +$2 AND before.scope_id = +$3
WHERE before.version IS +$4
    AND (json_array_length($11) = 0 OR EXISTS (
        SELECT 1
        FROM memberships_membership
        WHERE scope_type = $2 AND scope_id = $3 AND state = 'active' AND user_id <> $1
            AND role IN (SELECT value FROM json_each($11))
            AND (expires_at IS NULL OR expires_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER))
    ))
RETURNING version, changed_at
