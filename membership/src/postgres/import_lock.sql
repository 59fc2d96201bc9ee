-- The given rows and the owners of their scopes are locked in the order in which guarded writes lock, so that the guard is
-- decided on what nobody else can change. Returns the scopes that have an owner.
WITH given AS MATERIALIZED (
    SELECT *
    FROM unnest($1::text[], $2::text[], $3::text[]) AS given (user_id, scope_type, scope_id)
),
owner_role AS MATERIALIZED (
    SELECT *
    FROM unnest($4::text[], $5::text[]) AS owner_role (scope_type, role)
),
wanted AS MATERIALIZED (
    SELECT user_id COLLATE "C", scope_type COLLATE "C", scope_id COLLATE "C"
    FROM given
    UNION
    SELECT membership.user_id, membership.scope_type, membership.scope_id
    FROM (SELECT DISTINCT scope_type, scope_id FROM given) AS touched
    JOIN owner_role USING (scope_type)
    JOIN memberships_membership AS membership
        ON membership.scope_type = touched.scope_type COLLATE "C"
        AND membership.scope_id = touched.scope_id COLLATE "C"
        AND membership.state = 'active'
        AND membership.role = owner_role.role COLLATE "C"
),
held AS MATERIALIZED (
    SELECT membership.*
    FROM memberships_membership AS membership
    JOIN wanted USING (user_id, scope_type, scope_id)
    ORDER BY user_id, scope_type, scope_id
    FOR UPDATE OF membership
)
SELECT DISTINCT held.scope_type, held.scope_id
FROM held
JOIN owner_role ON held.scope_type = owner_role.scope_type COLLATE "C" AND held.role = owner_role.role COLLATE "C"
WHERE held.state = 'active' AND (held.expires_at IS NULL OR held.expires_at > statement_timestamp())
