-- The log of who did what: rows are added and read, never changed, replaced or removed.
--
-- Partitioned by time, so that old records can leave as a whole partition; one default partition takes what no month has been
-- made for. `json`, not `jsonb`: bodies keep their bytes. `xid` orders records by their transactions for a reader that must
-- not miss a slow one. Its index is a B-tree: writers notice no difference to BRIN or to none (47 to 51 us each), and the reader
-- needs the order and a cheap look for what is new, while BRIN is only as good as the last vacuum.
-- `leaf_hash` is computed from the values of the row; personal data is in `audit_private`, bound by the commitments.
-- An id begins with its time, so `id DESC` is the newest first, and each index answers one question in that order.
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
    client_trust text COLLATE "C",
    client_commit bytea,
    private_commit bytea,
    before json,
    after json,
    leaf_hash bytea NOT NULL,
    CONSTRAINT audit_record_pkey PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);

CREATE INDEX audit_record_entity_idx ON audit_record (entity_type, entity_id, id DESC);

CREATE INDEX audit_record_actor_idx ON audit_record (actor_kind, actor_id, id DESC);

CREATE INDEX audit_record_scope_idx ON audit_record (scope_type, scope_id, id DESC) WHERE scope_type IS NOT NULL;

CREATE INDEX audit_record_action_idx ON audit_record (action, id DESC);

-- Nearly all succeeds, and is found fastest by walking the log itself.
CREATE INDEX audit_record_outcome_idx ON audit_record (outcome, id DESC) WHERE outcome <> 'succeeded';

CREATE INDEX audit_record_xid_idx ON audit_record (xid, id);

CREATE TABLE audit_record_default PARTITION OF audit_record DEFAULT;

-- Personal data, to be deleted when its subject asks; `part` is `client` (the address) or `personal` (fields). Neither row
-- nor key is partitioned: uniqueness must not depend on the time.
CREATE TABLE audit_private (
    record_id uuid NOT NULL,
    part text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    subject text COLLATE "C",
    salt bytea NOT NULL,
    body bytea NOT NULL,
    CONSTRAINT audit_private_pkey PRIMARY KEY (record_id, part)
);

CREATE INDEX audit_private_subject_idx ON audit_private (subject) WHERE subject IS NOT NULL;

CREATE TABLE audit_idempotency (
    actor_kind text COLLATE "C" NOT NULL,
    actor_id text COLLATE "C" NOT NULL,
    action text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    record_id uuid NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT audit_idempotency_pkey PRIMARY KEY (actor_kind, actor_id, action, key)
);

-- What retention has removed: every record of these months. A missing record from elsewhere was not pruned.
CREATE TABLE audit_pruned (
    from_at timestamptz NOT NULL,
    until_at timestamptz NOT NULL,
    records bigint NOT NULL,
    pruned_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    CONSTRAINT audit_pruned_pkey PRIMARY KEY (from_at, until_at, pruned_at)
);

-- The Merkle log: sealing adds a leaf for each committed record. `place` is the record's `xid`: the leaves of one sealing lie in
-- the index on (xid, id) as they lie here, so that verifying is a walk along both.
CREATE TABLE audit_leaf (
    leaf_index bigint NOT NULL,
    record_id uuid NOT NULL,
    place bigint NOT NULL,
    leaf_hash bytea NOT NULL,
    CONSTRAINT audit_leaf_pkey PRIMARY KEY (leaf_index),
    CONSTRAINT audit_leaf_record_id_key UNIQUE (record_id),
    CONSTRAINT audit_leaf_hash_check CHECK (octet_length(leaf_hash) = 32)
);

-- Roots of complete subtrees of 256, 65,536, … leaves (levels 8, 16, …), for proofs: all between are computed from these and the
-- leaves, so that sealing writes one node for 255 leaves.
CREATE TABLE audit_node (
    level smallint NOT NULL,
    node_index bigint NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT audit_node_pkey PRIMARY KEY (level, node_index)
);

-- The log as it stood after each sealing: `note` is the signed checkpoint, `frontier` the right edge of the tree, the cursor says
-- which records were looked at. Two sealers cannot both seal at one size, nor one record twice.
CREATE TABLE audit_checkpoint (
    tree_size bigint NOT NULL,
    root bytea NOT NULL,
    note text COLLATE "C" NOT NULL,
    sealed_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    frontier bytea NOT NULL,
    cursor_cluster bigint NOT NULL,
    cursor_restoring boolean NOT NULL,
    cursor_place bigint NOT NULL,
    cursor_id uuid NOT NULL,
    CONSTRAINT audit_checkpoint_pkey PRIMARY KEY (tree_size)
);

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

CREATE TRIGGER audit_private_no_change BEFORE UPDATE ON audit_private
    FOR EACH ROW EXECUTE FUNCTION audit_refuse();

ALTER TABLE audit_private ENABLE ALWAYS TRIGGER audit_private_no_change;

CREATE TRIGGER audit_private_no_truncate BEFORE TRUNCATE ON audit_private
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();

ALTER TABLE audit_private ENABLE ALWAYS TRIGGER audit_private_no_truncate;

CREATE TRIGGER audit_idempotency_no_change BEFORE UPDATE ON audit_idempotency
    FOR EACH ROW EXECUTE FUNCTION audit_refuse();

ALTER TABLE audit_idempotency ENABLE ALWAYS TRIGGER audit_idempotency_no_change;

CREATE TRIGGER audit_idempotency_no_truncate BEFORE TRUNCATE ON audit_idempotency
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();

ALTER TABLE audit_idempotency ENABLE ALWAYS TRIGGER audit_idempotency_no_truncate;

CREATE TRIGGER audit_pruned_append_only BEFORE UPDATE OR DELETE ON audit_pruned
    FOR EACH ROW EXECUTE FUNCTION audit_refuse();

ALTER TABLE audit_pruned ENABLE ALWAYS TRIGGER audit_pruned_append_only;

CREATE TRIGGER audit_pruned_no_truncate BEFORE TRUNCATE ON audit_pruned
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();

ALTER TABLE audit_pruned ENABLE ALWAYS TRIGGER audit_pruned_no_truncate;

CREATE TRIGGER audit_leaf_append_only BEFORE UPDATE OR DELETE ON audit_leaf
    FOR EACH ROW EXECUTE FUNCTION audit_refuse();

ALTER TABLE audit_leaf ENABLE ALWAYS TRIGGER audit_leaf_append_only;

CREATE TRIGGER audit_leaf_no_truncate BEFORE TRUNCATE ON audit_leaf
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();

ALTER TABLE audit_leaf ENABLE ALWAYS TRIGGER audit_leaf_no_truncate;

CREATE TRIGGER audit_node_append_only BEFORE UPDATE OR DELETE ON audit_node
    FOR EACH ROW EXECUTE FUNCTION audit_refuse();

ALTER TABLE audit_node ENABLE ALWAYS TRIGGER audit_node_append_only;

CREATE TRIGGER audit_node_no_truncate BEFORE TRUNCATE ON audit_node
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();

ALTER TABLE audit_node ENABLE ALWAYS TRIGGER audit_node_no_truncate;

CREATE TRIGGER audit_checkpoint_append_only BEFORE UPDATE OR DELETE ON audit_checkpoint
    FOR EACH ROW EXECUTE FUNCTION audit_refuse();

ALTER TABLE audit_checkpoint ENABLE ALWAYS TRIGGER audit_checkpoint_append_only;

CREATE TRIGGER audit_checkpoint_no_truncate BEFORE TRUNCATE ON audit_checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();

ALTER TABLE audit_checkpoint ENABLE ALWAYS TRIGGER audit_checkpoint_no_truncate;

-- Makes the partition of one month, or says why not. Names and bounds are computed here, from a time alone, in UTC.
CREATE FUNCTION audit_create_partition(month timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    start_at timestamptz := date_trunc('month', month, 'UTC');
    end_at timestamptz := date_trunc('month', date_trunc('month', month, 'UTC') + interval '35 days', 'UTC');
    name text := 'audit_record_' || to_char(start_at AT TIME ZONE 'UTC', 'YYYYMM');
BEGIN
    -- In the order in which a writer takes them.
    LOCK TABLE ONLY audit_record IN ACCESS EXCLUSIVE MODE;
    LOCK TABLE audit_record_default IN ACCESS EXCLUSIVE MODE;
    IF to_regclass(name) IS NOT NULL THEN
        RETURN 'exists';
    END IF;
    -- What is in the default partition cannot be moved: it is append-only too.
    IF EXISTS (SELECT FROM audit_record_default WHERE at >= start_at AND at < end_at) THEN
        RETURN 'occupied';
    END IF;
    EXECUTE format('CREATE TABLE %I PARTITION OF audit_record FOR VALUES FROM (%L) TO (%L)', name, start_at, end_at);
    EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()', name || '_no_truncate', name);
    EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER %I', name, name || '_no_truncate');
    EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER audit_record_append_only', name);
    RETURN 'created';
END
$$;

-- Drops the partitions of months that have ended by then, with the personal data and the keys of their records. Where the log is in
-- use and one of these months holds records that have no leaf yet, it drops nothing, and names those months and how many there are.
CREATE FUNCTION audit_drop_partitions(before timestamptz)
RETURNS TABLE (from_at timestamptz, until_at timestamptz, records bigint, unsealed bigint) LANGUAGE plpgsql AS $$
DECLARE
    name text;
    names text[] := ARRAY[]::text[];
    is_sealed boolean := true;
BEGIN
    FOR name IN
        SELECT relname
        FROM pg_inherits
        JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent = 'audit_record'::regclass AND relname ~ '^audit_record_[0-9]{6}$'
        ORDER BY relname
    LOOP
        from_at := to_date(right(name, 6), 'YYYYMM')::timestamp AT TIME ZONE 'UTC';
        until_at := date_trunc('month', from_at + interval '35 days', 'UTC');
        CONTINUE WHEN until_at > before;
        names := names || name;
        -- Nothing is added to a month while it is counted, and all others are written to until it is dropped.
        EXECUTE format('LOCK TABLE %I IN SHARE MODE', name);
        IF EXISTS (SELECT FROM audit_checkpoint) THEN
            EXECUTE format(
                'SELECT count(*) FROM %I AS record WHERE NOT EXISTS (SELECT FROM audit_leaf WHERE record_id = record.id)', name
            ) INTO unsealed;
            IF unsealed > 0 THEN
                is_sealed := false;
                RETURN NEXT;
            END IF;
        END IF;
    END LOOP;
    IF NOT is_sealed THEN
        RETURN;
    END IF;
    unsealed := 0;
    FOREACH name IN ARRAY names LOOP
        from_at := to_date(right(name, 6), 'YYYYMM')::timestamp AT TIME ZONE 'UTC';
        until_at := date_trunc('month', from_at + interval '35 days', 'UTC');
        EXECUTE format('SELECT count(*) FROM %I', name) INTO records;
        EXECUTE format('DELETE FROM audit_private USING %I AS record WHERE record_id = record.id', name);
        DELETE FROM audit_idempotency AS used WHERE used.at >= from_at AND used.at < until_at;
        LOCK TABLE ONLY audit_record IN ACCESS EXCLUSIVE MODE;
        EXECUTE format('DROP TABLE %I', name);
        INSERT INTO audit_pruned (from_at, until_at, records) VALUES (from_at, until_at, records);
        RETURN NEXT;
    END LOOP;
END
$$;
