WITH removed AS (
    DELETE FROM memberships_membership
    WHERE user_id = $1
    RETURNING user_id, scope_type, scope_id, role, state, expires_at, version
),
forgotten AS (
    DELETE FROM memberships_transition
    WHERE user_id = $1
    RETURNING id
),
unnamed AS (
    UPDATE memberships_transition
    SET actor = NULL
    WHERE actor = $1 AND user_id <> $1
    RETURNING id
),
logged AS (
    INSERT INTO memberships_transition (scope_type, scope_id, verb, changed_at)
    SELECT scope_type, scope_id, 'purge', statement_timestamp()
    FROM removed
)
SELECT (SELECT count(*) FROM forgotten) AS transitions, (SELECT count(*) FROM unnamed) AS mentions,
    removed.*, statement_timestamp() AS read_at
FROM (SELECT) AS one
LEFT JOIN removed ON true
