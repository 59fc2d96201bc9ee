-- WhatsApp: whose telephone is whose, and what came in and goes out. Times are microseconds since 1970 in UTC.
-- Creates tables and indexes; safe beside the previous release.

CREATE TABLE campus_whatsapp_opt_in (
    person_id TEXT NOT NULL COLLATE BINARY,
    -- In digits. Whoever opted in has shown that it is theirs; a telephone is one person's.
    phone TEXT NOT NULL COLLATE BINARY,
    opted_in_at INTEGER NOT NULL,
    -- When they said STOP, if they did: nothing written before it is sent any more.
    stopped_at INTEGER,
    CONSTRAINT campus_whatsapp_opt_in_pkey PRIMARY KEY (person_id),
    CONSTRAINT campus_whatsapp_opt_in_phone_key UNIQUE (phone)
) STRICT, WITHOUT ROWID;

-- What somebody sends from their telephone to show that it is theirs: the newest code of each, and of it only what it hashes to.
CREATE TABLE campus_whatsapp_code (
    person_id TEXT NOT NULL COLLATE BINARY,
    hash TEXT NOT NULL COLLATE BINARY,
    expires_at INTEGER NOT NULL,
    CONSTRAINT campus_whatsapp_code_pkey PRIMARY KEY (person_id),
    CONSTRAINT campus_whatsapp_code_hash_key UNIQUE (hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE campus_whatsapp_inbound (
    -- The provider's id: a message that is delivered again is known by it.
    id TEXT NOT NULL COLLATE BINARY,
    phone TEXT NOT NULL COLLATE BINARY,
    kind TEXT NOT NULL COLLATE BINARY,
    -- Empty once it is handled.
    body TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    handled_at INTEGER,
    CONSTRAINT campus_whatsapp_inbound_pkey PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;

-- When somebody last wrote, and what is old enough to be forgotten.
CREATE INDEX campus_whatsapp_inbound_phone_idx ON campus_whatsapp_inbound (phone, received_at);
CREATE INDEX campus_whatsapp_inbound_received_idx ON campus_whatsapp_inbound (received_at);

CREATE TABLE campus_whatsapp_outbound (
    id TEXT NOT NULL COLLATE BINARY,
    -- What it replies to: every message has one reply at most.
    inbound_id TEXT COLLATE BINARY,
    person_id TEXT NOT NULL COLLATE BINARY,
    phone TEXT NOT NULL COLLATE BINARY,
    kind TEXT NOT NULL COLLATE BINARY,
    -- Empty once it is sent, or will not be.
    body TEXT NOT NULL,
    url TEXT NOT NULL,
    state TEXT NOT NULL COLLATE BINARY,
    provider_id TEXT COLLATE BINARY,
    problem TEXT,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    CONSTRAINT campus_whatsapp_outbound_pkey PRIMARY KEY (id),
    CONSTRAINT campus_whatsapp_outbound_inbound_key UNIQUE (inbound_id),
    CONSTRAINT campus_whatsapp_outbound_kind_check CHECK (kind IN ('text', 'template')),
    CONSTRAINT campus_whatsapp_outbound_state_check
        CHECK (state IN ('waiting', 'sent', 'delivered', 'read', 'failed', 'dropped'))
) STRICT, WITHOUT ROWID;

CREATE INDEX campus_whatsapp_outbound_provider_idx ON campus_whatsapp_outbound (provider_id);
CREATE INDEX campus_whatsapp_outbound_created_idx ON campus_whatsapp_outbound (created_at);
