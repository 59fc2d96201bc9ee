-- sqlx gives a statement that it does not keep a name all the same, and leaves it where it is: on a server connection that another
-- client has had before, the next one would meet its like.
BEGIN ISOLATION LEVEL READ COMMITTED;
DO $$
BEGIN
    EXECUTE COALESCE(
        (SELECT string_agg('DEALLOCATE ' || name, ';') FROM pg_prepared_statements WHERE starts_with(name, 'sqlx_s_')),
        'SELECT'
    );
END
$$
