-- What is left of the rows of `$1` that were just deleted. Only of those: a row that somebody wrote since keeps its history.
WITH removed AS MATERIALIZED (
    SELECT *
    FROM unnest($2::text[], $3::text[]) AS removed (scope_type, scope_id)
),
forgotten AS (
    DELETE FROM memberships_transition AS transition
    USING removed
    WHERE transition.user_id = $1
        AND transition.scope_type = removed.scope_type COLLATE "C"
        AND transition.scope_id = removed.scope_id COLLATE "C"
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
SELECT (SELECT count(*) FROM forgotten) AS transitions, (SELECT count(*) FROM unnamed) AS mentions
