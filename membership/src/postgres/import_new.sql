WITH given AS (
    SELECT *
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
        AS given (user_id, scope_type, scope_id, role, state, expires_at)
),
created AS (
    INSERT INTO memberships_membership
        (user_id, scope_type, scope_id, role, state, expires_at, version, created_at, changed_at)
    SELECT user_id, scope_type, scope_id, role, state, expires_at, 1, statement_timestamp(), statement_timestamp()
    FROM given
    ON CONFLICT DO NOTHING
    RETURNING user_id, scope_type, scope_id, role, state, expires_at, version, changed_at
),
logged AS (
    INSERT INTO memberships_transition
        (user_id, scope_type, scope_id, version, verb, role, state, expires_at, actor, reason, changed_at)
    SELECT user_id, scope_type, scope_id, version, 'import', role, state, expires_at, $7, $8, changed_at
    FROM created
)
SELECT count(*) AS created
FROM created
