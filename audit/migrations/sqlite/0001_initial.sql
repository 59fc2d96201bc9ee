-- The log of who did what: rows are added and read, never changed, replaced or removed.
--
-- `seq` is the order of commits, since SQLite has one writer; AUTOINCREMENT never hands a number out twice. Times are INTEGER
-- microseconds UTC. The two indexes answer "what happened to this?" and "what did they do?".
-- Lock: creates new objects only. Safe beside the previous release: there is none.
CREATE TABLE audit_record (
    seq INTEGER CONSTRAINT audit_record_pkey PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL,
    at INTEGER NOT NULL,
    action TEXT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    impersonator_id TEXT,
    on_behalf_of_id TEXT,
    outcome TEXT NOT NULL,
    entity_type TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    scope_type TEXT,
    scope_id TEXT,
    request_id TEXT,
    trace_id TEXT,
    client_ip TEXT,
    client_trust TEXT,
    before TEXT,
    after TEXT,
    CONSTRAINT audit_record_id_key UNIQUE (id),
    CONSTRAINT audit_record_seq_check CHECK (seq > 0),
    CONSTRAINT audit_record_id_check CHECK (length(id) = 16),
    CONSTRAINT audit_record_before_check CHECK (json_valid(before)),
    CONSTRAINT audit_record_after_check CHECK (json_valid(after))
) STRICT;

CREATE INDEX audit_record_entity_idx ON audit_record (entity_type, entity_id, id DESC);

CREATE INDEX audit_record_actor_idx ON audit_record (actor_kind, actor_id, id DESC);

CREATE TRIGGER audit_record_no_update BEFORE UPDATE ON audit_record
BEGIN
    SELECT RAISE(ABORT, 'audit records are append-only');
END;

CREATE TRIGGER audit_record_no_delete BEFORE DELETE ON audit_record
BEGIN
    SELECT RAISE(ABORT, 'audit records are append-only');
END;

-- INSERT OR REPLACE deletes the row in its way without a delete trigger, unless recursive_triggers is on. A row that takes no
-- number of its own shows up here with seq -1, which no row has.
CREATE TRIGGER audit_record_no_replace BEFORE INSERT ON audit_record
WHEN EXISTS (SELECT 1 FROM audit_record WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM audit_record WHERE seq = NEW.seq)
BEGIN
    SELECT RAISE(ABORT, 'audit records are append-only');
END;
