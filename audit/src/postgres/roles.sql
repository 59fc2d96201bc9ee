-- Who may do what, to be run once by a superuser after the migrations. `audit_owner` owns the tables and runs migrations and
-- retention; the application adds and reads, and removes personal data, and nothing else; `audit_sealer` reads, adds to the log, and
-- verifies. Put your own role's name in the place of `application`, and grant it `audit_sealer` if it seals as well. Neither needs
-- a right on any partition: what they do goes through `audit_record`.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'audit_owner') THEN
        CREATE ROLE audit_owner NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'application') THEN
        CREATE ROLE application NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'audit_sealer') THEN
        CREATE ROLE audit_sealer NOLOGIN;
    END IF;
END
$$;

GRANT USAGE, CREATE ON SCHEMA public TO audit_owner;
ALTER TABLE audit_record OWNER TO audit_owner;
ALTER TABLE audit_record_default OWNER TO audit_owner;
ALTER TABLE audit_private OWNER TO audit_owner;
ALTER TABLE audit_idempotency OWNER TO audit_owner;
ALTER TABLE audit_pruned OWNER TO audit_owner;
ALTER TABLE audit_leaf OWNER TO audit_owner;
ALTER TABLE audit_node OWNER TO audit_owner;
ALTER TABLE audit_checkpoint OWNER TO audit_owner;
ALTER FUNCTION audit_refuse() OWNER TO audit_owner;
ALTER FUNCTION audit_create_partition(timestamptz) OWNER TO audit_owner;
ALTER FUNCTION audit_drop_partitions(timestamptz) OWNER TO audit_owner;

GRANT USAGE ON SCHEMA public TO application, audit_sealer;
GRANT SELECT, INSERT ON audit_record, audit_idempotency TO application;
GRANT SELECT, INSERT, DELETE ON audit_private TO application;

-- Everybody may read the log, for proofs, and what was pruned, to verify.
GRANT SELECT ON audit_leaf, audit_node, audit_checkpoint, audit_pruned TO application;

GRANT SELECT ON audit_record, audit_private, audit_pruned TO audit_sealer;
GRANT SELECT, INSERT ON audit_leaf, audit_node, audit_checkpoint TO audit_sealer;
