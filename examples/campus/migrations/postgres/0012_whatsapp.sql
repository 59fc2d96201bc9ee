-- WhatsApp: whose telephone is whose, and what came in and goes out. Times are microseconds since 1970 in UTC.
-- Creates tables and indexes; locks nothing that exists; safe beside the previous release.

CREATE TABLE campus_whatsapp_opt_in (
    person_id text COLLATE "C" NOT NULL,
    -- In digits. Whoever opted in has shown that it is theirs; a telephone is one person's.
    phone text COLLATE "C" NOT NULL,
    opted_in_at bigint NOT NULL,
    -- When they said STOP, if they did: nothing written before it is sent any more.
    stopped_at bigint,
    CONSTRAINT campus_whatsapp_opt_in_pkey PRIMARY KEY (person_id),
    CONSTRAINT campus_whatsapp_opt_in_phone_key UNIQUE (phone)
);

-- What somebody sends from their telephone to show that it is theirs: the newest code of each, and of it only what it hashes to.
CREATE TABLE campus_whatsapp_code (
    person_id text COLLATE "C" NOT NULL,
    hash text COLLATE "C" NOT NULL,
    expires_at bigint NOT NULL,
    CONSTRAINT campus_whatsapp_code_pkey PRIMARY KEY (person_id),
    CONSTRAINT campus_whatsapp_code_hash_key UNIQUE (hash)
);

CREATE TABLE campus_whatsapp_inbound (
    -- The provider's id: a message that is delivered again is known by it.
    id text COLLATE "C" NOT NULL,
    phone text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    -- Empty once it is handled.
    body text NOT NULL,
    received_at bigint NOT NULL,
    handled_at bigint,
    CONSTRAINT campus_whatsapp_inbound_pkey PRIMARY KEY (id)
);

-- When somebody last wrote, and what is old enough to be forgotten.
CREATE INDEX campus_whatsapp_inbound_phone_idx ON campus_whatsapp_inbound (phone, received_at);
CREATE INDEX campus_whatsapp_inbound_received_idx ON campus_whatsapp_inbound (received_at);

CREATE TABLE campus_whatsapp_outbound (
    id text COLLATE "C" NOT NULL,
    -- What it replies to: every message has one reply at most.
    inbound_id text COLLATE "C",
    person_id text COLLATE "C" NOT NULL,
    phone text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    -- Empty once it is sent, or will not be.
    body text NOT NULL,
    url text NOT NULL,
    state text COLLATE "C" NOT NULL,
    provider_id text COLLATE "C",
    problem text,
    created_at bigint NOT NULL,
    changed_at bigint NOT NULL,
    CONSTRAINT campus_whatsapp_outbound_pkey PRIMARY KEY (id),
    CONSTRAINT campus_whatsapp_outbound_inbound_key UNIQUE (inbound_id),
    CONSTRAINT campus_whatsapp_outbound_kind_check CHECK (kind IN ('text', 'template')),
    CONSTRAINT campus_whatsapp_outbound_state_check
        CHECK (state IN ('waiting', 'sent', 'delivered', 'read', 'failed', 'dropped'))
);

CREATE INDEX campus_whatsapp_outbound_provider_idx ON campus_whatsapp_outbound (provider_id);
CREATE INDEX campus_whatsapp_outbound_created_idx ON campus_whatsapp_outbound (created_at);
