-- Follows one of the three that lock: the written row in `own`, and in `other` the owners beside it.
verdict AS (
    SELECT
        (SELECT version FROM own) IS NOT DISTINCT FROM $4 AS is_current,
        cardinality($11::text[]) = 0 OR EXISTS (
            SELECT
            FROM other
            WHERE expires_at IS NULL OR expires_at > statement_timestamp()
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
    LEFT JOIN own AS before ON true
)
SELECT is_current, is_owned, version, changed_at
FROM verdict
LEFT JOIN written ON true
