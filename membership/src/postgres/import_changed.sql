WITH given AS MATERIALIZED (
    SELECT *
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
        AS given (user_id, scope_type, scope_id, role, state, expires_at)
),
different AS MATERIALIZED (
    SELECT membership.user_id, membership.scope_type, membership.scope_id,
        membership.role AS before_role, membership.state AS before_state, membership.expires_at AS before_expires_at,
        given.role, given.state, given.expires_at,
        membership.state = 'banned' AND NOT $9 AS is_kept
    FROM given
    JOIN memberships_membership AS membership
        ON membership.user_id = given.user_id COLLATE "C"
        AND membership.scope_type = given.scope_type COLLATE "C"
        AND membership.scope_id = given.scope_id COLLATE "C"
    WHERE (membership.role, membership.state, membership.expires_at)
        IS DISTINCT FROM (given.role COLLATE "C", given.state COLLATE "C", given.expires_at)
),
updated AS (
    UPDATE memberships_membership AS membership
    SET role = different.role, state = different.state, expires_at = different.expires_at,
        version = membership.version + 1, changed_at = statement_timestamp()
    FROM different
    WHERE membership.user_id = different.user_id AND membership.scope_type = different.scope_type
        AND membership.scope_id = different.scope_id AND NOT is_kept
    RETURNING membership.user_id, membership.scope_type, membership.scope_id, membership.version, before_role, before_state,
        before_expires_at, membership.role, membership.state, membership.expires_at, membership.changed_at
),
logged AS (
    INSERT INTO memberships_transition
        (user_id, scope_type, scope_id, version, verb, before_role, before_state, before_expires_at,
        role, state, expires_at, actor, reason, changed_at)
    SELECT user_id, scope_type, scope_id, version, 'import', before_role, before_state, before_expires_at,
        role, state, expires_at, $7, $8, changed_at
    FROM updated
)
SELECT (SELECT count(*) FROM updated) AS updated, (SELECT count(*) FROM different WHERE is_kept) AS kept_banned
