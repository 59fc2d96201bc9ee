-- As begin.sql, for a transaction that only reads.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
DO $$
BEGIN
    EXECUTE COALESCE(
        (SELECT string_agg('DEALLOCATE ' || name, ';') FROM pg_prepared_statements WHERE starts_with(name, 'sqlx_s_')),
        'SELECT'
    );
END
$$
