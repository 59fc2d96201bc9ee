-- The log of who did what: rows are added and read, never changed, replaced or removed.
--
-- `seq` is the order of commits, since SQLite has one writer; AUTOINCREMENT never hands a number out twice. Times are INTEGER
-- microseconds UTC. `leaf_hash` is computed from the values of the row; personal data is in `audit_private`, bound by the
-- commitments. An id begins with its time, so `id DESC` is the newest first, and each index answers one question in that order.
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
    client_trust TEXT,
    client_commit BLOB,
    private_commit BLOB,
    before TEXT,
    after TEXT,
    leaf_hash BLOB NOT NULL,
    CONSTRAINT audit_record_id_key UNIQUE (id),
    CONSTRAINT audit_record_seq_check CHECK (seq > 0),
    CONSTRAINT audit_record_id_check CHECK (length(id) = 16),
    CONSTRAINT audit_record_before_check CHECK (json_valid(before)),
    CONSTRAINT audit_record_after_check CHECK (json_valid(after)),
    CONSTRAINT audit_record_client_commit_check CHECK (length(client_commit) = 32),
    CONSTRAINT audit_record_private_commit_check CHECK (length(private_commit) = 32),
    CONSTRAINT audit_record_leaf_hash_check CHECK (length(leaf_hash) = 32)
) STRICT;

CREATE INDEX audit_record_entity_idx ON audit_record (entity_type, entity_id, id DESC);

CREATE INDEX audit_record_actor_idx ON audit_record (actor_kind, actor_id, id DESC);

CREATE INDEX audit_record_scope_idx ON audit_record (scope_type, scope_id, id DESC) WHERE scope_type IS NOT NULL;

CREATE INDEX audit_record_action_idx ON audit_record (action, id DESC);

CREATE INDEX audit_record_outcome_idx ON audit_record (outcome, id DESC);

-- Personal data, to be deleted when its subject asks; `part` is `client` (the address) or `personal` (fields).
CREATE TABLE audit_private (
    record_id BLOB NOT NULL,
    part TEXT NOT NULL,
    at INTEGER NOT NULL,
    subject TEXT,
    salt BLOB NOT NULL,
    body BLOB NOT NULL,
    CONSTRAINT audit_private_pkey PRIMARY KEY (record_id, part)
) STRICT, WITHOUT ROWID;

CREATE INDEX audit_private_subject_idx ON audit_private (subject) WHERE subject IS NOT NULL;

CREATE TABLE audit_idempotency (
    actor_kind TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    action TEXT NOT NULL,
    key TEXT NOT NULL,
    record_id BLOB NOT NULL,
    at INTEGER NOT NULL,
    CONSTRAINT audit_idempotency_pkey PRIMARY KEY (actor_kind, actor_id, action, key)
) STRICT, WITHOUT ROWID;

-- What retention has removed, or may remove: every record from before `until_at`. A record that is missing from later was not
-- pruned.
CREATE TABLE audit_pruned (
    until_at INTEGER NOT NULL,
    pruned_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    CONSTRAINT audit_pruned_pkey PRIMARY KEY (until_at)
) STRICT;

-- The Merkle log: sealing adds a leaf for each committed record. `place` is the record's `seq`.
CREATE TABLE audit_leaf (
    leaf_index INTEGER CONSTRAINT audit_leaf_pkey PRIMARY KEY,
    record_id BLOB NOT NULL,
    place INTEGER NOT NULL,
    leaf_hash BLOB NOT NULL,
    CONSTRAINT audit_leaf_record_id_key UNIQUE (record_id),
    CONSTRAINT audit_leaf_hash_check CHECK (length(leaf_hash) = 32)
) STRICT;

-- Roots of complete subtrees of 256, 65,536, … leaves (levels 8, 16, …), for proofs: all between are computed from these and the
-- leaves, so that sealing writes one node for 255 leaves.
CREATE TABLE audit_node (
    level INTEGER NOT NULL,
    node_index INTEGER NOT NULL,
    hash BLOB NOT NULL,
    CONSTRAINT audit_node_pkey PRIMARY KEY (level, node_index)
) STRICT, WITHOUT ROWID;

-- The log as it stood after each sealing: `note` is the signed checkpoint, `frontier` the right edge of the tree, the cursor says
-- which records were looked at. Two sealers cannot both seal at one size, nor one record twice.
CREATE TABLE audit_checkpoint (
    tree_size INTEGER CONSTRAINT audit_checkpoint_pkey PRIMARY KEY,
    root BLOB NOT NULL,
    note TEXT NOT NULL,
    sealed_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    frontier BLOB NOT NULL,
    cursor_place INTEGER NOT NULL
) STRICT;

CREATE TRIGGER audit_record_no_update BEFORE UPDATE ON audit_record
BEGIN
    SELECT RAISE(ABORT, 'audit records are append-only');
END;

-- Retention removes what it has written down before that it will, and nothing else is removed.
CREATE TRIGGER audit_record_no_delete BEFORE DELETE ON audit_record
WHEN OLD.at >= coalesce((SELECT max(until_at) FROM audit_pruned), OLD.at)
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

CREATE TRIGGER audit_private_no_update BEFORE UPDATE ON audit_private
BEGIN
    SELECT RAISE(ABORT, 'audit records are append-only');
END;

CREATE TRIGGER audit_private_no_replace BEFORE INSERT ON audit_private
WHEN EXISTS (SELECT 1 FROM audit_private WHERE record_id = NEW.record_id AND part = NEW.part)
BEGIN
    SELECT RAISE(ABORT, 'audit records are append-only');
END;

CREATE TRIGGER audit_idempotency_no_update BEFORE UPDATE ON audit_idempotency
BEGIN
    SELECT RAISE(ABORT, 'audit records are append-only');
END;

CREATE TRIGGER audit_pruned_no_update BEFORE UPDATE ON audit_pruned
BEGIN
    SELECT RAISE(ABORT, 'audit records are append-only');
END;

CREATE TRIGGER audit_pruned_no_delete BEFORE DELETE ON audit_pruned
BEGIN
    SELECT RAISE(ABORT, 'audit records are append-only');
END;

CREATE TRIGGER audit_leaf_no_update BEFORE UPDATE ON audit_leaf
BEGIN
    SELECT RAISE(ABORT, 'audit records are append-only');
END;

CREATE TRIGGER audit_leaf_no_delete BEFORE DELETE ON audit_leaf
BEGIN
    SELECT RAISE(ABORT, 'audit records are append-only');
END;

CREATE TRIGGER audit_leaf_no_replace BEFORE INSERT ON audit_leaf
WHEN EXISTS (SELECT 1 FROM audit_leaf WHERE leaf_index = NEW.leaf_index)
    OR EXISTS (SELECT 1 FROM audit_leaf WHERE record_id = NEW.record_id)
BEGIN
    SELECT RAISE(ABORT, 'audit records are append-only');
END;

CREATE TRIGGER audit_node_no_update BEFORE UPDATE ON audit_node
BEGIN
    SELECT RAISE(ABORT, 'audit records are append-only');
END;

CREATE TRIGGER audit_node_no_delete BEFORE DELETE ON audit_node
BEGIN
    SELECT RAISE(ABORT, 'audit records are append-only');
END;

CREATE TRIGGER audit_node_no_replace BEFORE INSERT ON audit_node
WHEN EXISTS (SELECT 1 FROM audit_node WHERE level = NEW.level AND node_index = NEW.node_index)
BEGIN
    SELECT RAISE(ABORT, 'audit records are append-only');
END;

CREATE TRIGGER audit_checkpoint_no_update BEFORE UPDATE ON audit_checkpoint
BEGIN
    SELECT RAISE(ABORT, 'audit records are append-only');
END;

CREATE TRIGGER audit_checkpoint_no_delete BEFORE DELETE ON audit_checkpoint
BEGIN
    SELECT RAISE(ABORT, 'audit records are append-only');
END;

CREATE TRIGGER audit_checkpoint_no_replace BEFORE INSERT ON audit_checkpoint
WHEN EXISTS (SELECT 1 FROM audit_checkpoint WHERE tree_size = NEW.tree_size)
BEGIN
    SELECT RAISE(ABORT, 'audit records are append-only');
END;
