-- Everything that is visible now and was not when `$1` was taken, in the order of its ids. Transactions that were open then
-- are found by their numbers, so nothing waits for them and nothing is lost. What this very transaction wrote is left out
-- until it has committed. Materialized: an index on the ids would be walked from its beginning.
WITH fresh AS MATERIALIZED (
    SELECT id, user_id, scope_type, scope_id, version, verb, before_role, before_state, before_expires_at,
        role, state, expires_at, actor, reason, changed_at
    FROM memberships_transition
    WHERE xid >= pg_snapshot_xmin($1::pg_snapshot)
        AND NOT pg_visible_in_snapshot(xid, $1::pg_snapshot)
        AND pg_visible_in_snapshot(xid, pg_current_snapshot())
)
SELECT pg_current_snapshot()::text AS now, page.*
FROM (SELECT) AS one
LEFT JOIN (SELECT * FROM fresh ORDER BY id LIMIT $2) AS page ON true
ORDER BY page.id
