-- The first attempt found the row stale, and holds it in the caller's transaction: to wait for owners now would be out of order, and somebody
-- who holds one of them may wait for this row. One who is free is enough.
WITH own AS MATERIALIZED (
    SELECT role, state, expires_at, version
    FROM memberships_membership
    WHERE user_id = $1 AND scope_type = $2 AND scope_id = $3
    FOR UPDATE
),
other AS MATERIALIZED (
    SELECT expires_at
    FROM memberships_membership
    WHERE scope_type = $2 AND scope_id = $3 AND state = 'active' AND role = ANY ($11::text[])
        AND user_id <> $1 AND (SELECT count(*) FROM own) >= 0
    FOR SHARE SKIP LOCKED
),
