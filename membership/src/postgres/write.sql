-- A count of the other owners without locks would let two owners leave at once (write skew). The owners' rows and the
-- written one are locked in the order of their users: whoever comes second waits, and then sees what is left. The written
-- row is locked before its version is compared, so that a caller in a transaction who finds it stale holds it by then and
-- succeeds at the second attempt.
WITH held AS MATERIALIZED (
    SELECT user_id, role, state, expires_at, version
    FROM memberships_membership
    WHERE scope_type = $2 AND scope_id = $3 AND user_id = ANY (ARRAY[$1::text] || ARRAY(
        SELECT user_id
        FROM memberships_membership
        WHERE scope_type = $2 AND scope_id = $3 AND state = 'active' AND role = ANY ($11::text[])
    ))
    ORDER BY user_id
    FOR UPDATE
),
verdict AS (
    SELECT
        (SELECT version FROM held WHERE user_id = $1) IS NOT DISTINCT FROM $4 AS is_current,
        cardinality($11::text[]) = 0 OR EXISTS (
            SELECT
            FROM held
            WHERE user_id <> $1 AND state = 'active' AND role = ANY ($11::text[])
                AND (expires_at IS NULL OR expires_at > statement_timestamp())
        ) AS is_owned
),
written AS (
    INSERT INTO memberships_membership AS membership
        (user_id, scope_type, scope_id, role, state, expires_at, version, created_at, changed_at)
    SELECT $1, $2, $3, $5, $6, $7, coalesce($4, 0) + 1, statement_timestamp(), statement_timestamp()
    FROM verdict
    WHERE is_current AND is_owned
    ON CONFLICT (user_id, scope_type, scope_id) DO UPDATE
    SET role = EXCLUDED.role, state = EXCLUDED.state, expires_at = EXCLUDED.expires_at,
        version = EXCLUDED.version, changed_at = EXCLUDED.changed_at
    WHERE membership.version = $4
    RETURNING membership.version, membership.changed_at
),
logged AS (
    INSERT INTO memberships_transition
        (user_id, scope_type, scope_id, version, verb, before_role, before_state, before_expires_at,
        role, state, expires_at, actor, reason, changed_at)
    SELECT $1, $2, $3, written.version, $8, before.role, before.state, before.expires_at, $5, $6, $7, $9, $10, written.changed_at
    FROM written
    LEFT JOIN held AS before ON before.user_id = $1
)
SELECT is_current, is_owned, version, changed_at
FROM verdict
LEFT JOIN written ON true
