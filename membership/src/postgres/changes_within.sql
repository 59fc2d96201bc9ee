-- Everything behind `$3` that was visible when the window was taken (now, if it is null) and was not when `$1` was, in the
-- order of its ids; without what this very transaction wrote, which a snapshot does not know for open.
SELECT pg_current_snapshot()::text AS now, pg_current_xact_id_if_assigned()::text AS own, page.*
FROM (SELECT) AS one
LEFT JOIN (
    SELECT id, user_id, scope_type, scope_id, version, verb, before_role, before_state, before_expires_at,
        role, state, expires_at, actor, reason, changed_at
    FROM memberships_transition
    WHERE id > $3
        AND ($1::pg_snapshot IS NULL OR NOT pg_visible_in_snapshot(xid, $1::pg_snapshot))
        AND pg_visible_in_snapshot(xid, coalesce($2::pg_snapshot, pg_current_snapshot()))
        AND xid IS DISTINCT FROM pg_current_xact_id_if_assigned()
    ORDER BY id
    LIMIT $4
) AS page ON true
ORDER BY page.id
