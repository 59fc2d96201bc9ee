-- Everything behind `$3` that was visible when the window was taken (now, if it is null) and was not when `$1` was, in the
-- order of its ids.
SELECT pg_current_snapshot()::text AS now, page.*
FROM (SELECT) AS one
LEFT JOIN (
    SELECT id, user_id, scope_type, scope_id, version, verb, before_role, before_state, before_expires_at,
        role, state, expires_at, actor, reason, changed_at
    FROM memberships_transition
    WHERE id > $3
        AND ($1::pg_snapshot IS NULL OR NOT pg_visible_in_snapshot(xid, $1::pg_snapshot))
        AND pg_visible_in_snapshot(xid, coalesce($2::pg_snapshot, pg_current_snapshot()))
    ORDER BY id
    LIMIT $4
) AS page ON true
ORDER BY page.id
