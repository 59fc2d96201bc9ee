-- Marketplace: partners, their deals, and what was redeemed. Times are microseconds since 1970 in UTC.
-- Creates tables and indexes; safe beside the previous release.

CREATE TABLE campus_partner (
    id TEXT NOT NULL COLLATE BINARY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    CONSTRAINT campus_partner_pkey PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;

CREATE TABLE campus_deal (
    id TEXT NOT NULL COLLATE BINARY,
    partner_id TEXT NOT NULL COLLATE BINARY,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    -- The audience tags of whoever may redeem it, one a line, sorted.
    audience TEXT NOT NULL,
    state TEXT NOT NULL COLLATE BINARY,
    starts_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL,
    -- How many may redeem it, and have. No statement can make it more.
    redemption_limit INTEGER NOT NULL,
    redeemed INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    CONSTRAINT campus_deal_pkey PRIMARY KEY (id),
    CONSTRAINT campus_deal_partner_fkey FOREIGN KEY (partner_id) REFERENCES campus_partner (id),
    CONSTRAINT campus_deal_state_check CHECK (state IN ('draft', 'published', 'expired', 'withdrawn')),
    CONSTRAINT campus_deal_ends_check CHECK (starts_at < ends_at),
    CONSTRAINT campus_deal_redeemed_check CHECK (redeemed BETWEEN 0 AND redemption_limit)
) STRICT, WITHOUT ROWID;

CREATE INDEX campus_deal_partner_idx ON campus_deal (partner_id, id);
CREATE INDEX campus_deal_due_idx ON campus_deal (ends_at, id) WHERE state = 'published';

-- Where published deals are listed: a row for each tag of the audience, as long as they are published.
CREATE TABLE campus_deal_listing (
    tag TEXT NOT NULL COLLATE BINARY,
    deal_id TEXT NOT NULL COLLATE BINARY,
    CONSTRAINT campus_deal_listing_pkey PRIMARY KEY (tag, deal_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX campus_deal_listing_deal_idx ON campus_deal_listing (deal_id);

CREATE TABLE campus_redemption (
    code TEXT NOT NULL COLLATE BINARY,
    deal_id TEXT NOT NULL COLLATE BINARY,
    person_id TEXT NOT NULL COLLATE BINARY,
    redeemed_at INTEGER NOT NULL,
    verified_at INTEGER,
    CONSTRAINT campus_redemption_pkey PRIMARY KEY (code),
    -- Each deal once for each person.
    CONSTRAINT campus_redemption_person_key UNIQUE (person_id, deal_id),
    CONSTRAINT campus_redemption_deal_fkey FOREIGN KEY (deal_id) REFERENCES campus_deal (id)
) STRICT, WITHOUT ROWID;
