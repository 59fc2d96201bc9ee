-- Nobody else's row matters. The row is locked before its version is compared, so that a caller in a transaction who finds it stale holds
-- it by then and succeeds at the second attempt.
WITH own AS MATERIALIZED (
    SELECT role, state, expires_at, version
    FROM memberships_membership
    WHERE user_id = $1 AND scope_type = $2 AND scope_id = $3
    FOR UPDATE
),
other AS (
    SELECT NULL::timestamptz AS expires_at
    WHERE false
),
