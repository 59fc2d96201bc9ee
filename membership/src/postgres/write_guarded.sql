-- A count of the other owners without locks would let two owners leave at once (write skew). The rows are locked in the order of their
-- users, each count making the next wait for the one before: whoever comes second waits, and then sees what is left. An owner who
-- only has to stay is shared among all who rely on that.
WITH lower AS MATERIALIZED (
    SELECT expires_at
    FROM memberships_membership
    WHERE scope_type = $2 AND scope_id = $3 AND state = 'active' AND role = ANY ($11::text[]) AND user_id < $1
    ORDER BY user_id
    FOR SHARE
),
own AS MATERIALIZED (
    SELECT role, state, expires_at, version
    FROM memberships_membership
    WHERE user_id = $1 AND scope_type = $2 AND scope_id = $3 AND (SELECT count(*) FROM lower) >= 0
    FOR UPDATE
),
higher AS MATERIALIZED (
    SELECT expires_at
    FROM memberships_membership
    WHERE scope_type = $2 AND scope_id = $3 AND state = 'active' AND role = ANY ($11::text[])
        AND user_id > $1 AND (SELECT count(*) FROM own) >= 0
    ORDER BY user_id
    FOR SHARE
),
other AS (
    SELECT expires_at FROM lower
    UNION ALL
    SELECT expires_at FROM higher
),
