-- Marketplace: partners, their deals, and what was redeemed. Times are microseconds since 1970 in UTC.
-- Creates tables and indexes; locks nothing that exists; safe beside the previous release.

CREATE TABLE campus_partner (
    id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    description text NOT NULL,
    created_at bigint NOT NULL,
    CONSTRAINT campus_partner_pkey PRIMARY KEY (id)
);

CREATE TABLE campus_deal (
    id text COLLATE "C" NOT NULL,
    partner_id text COLLATE "C" NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    -- The audience tags of whoever may redeem it, one a line, sorted.
    audience text NOT NULL,
    state text COLLATE "C" NOT NULL,
    starts_at bigint NOT NULL,
    ends_at bigint NOT NULL,
    -- How many may redeem it, and have. No statement can make it more.
    redemption_limit bigint NOT NULL,
    redeemed bigint NOT NULL,
    created_at bigint NOT NULL,
    CONSTRAINT campus_deal_pkey PRIMARY KEY (id),
    CONSTRAINT campus_deal_partner_fkey FOREIGN KEY (partner_id) REFERENCES campus_partner (id),
    CONSTRAINT campus_deal_state_check CHECK (state IN ('draft', 'published', 'expired', 'withdrawn')),
    CONSTRAINT campus_deal_ends_check CHECK (starts_at < ends_at),
    CONSTRAINT campus_deal_redeemed_check CHECK (redeemed BETWEEN 0 AND redemption_limit)
);

CREATE INDEX campus_deal_partner_idx ON campus_deal (partner_id, id);
CREATE INDEX campus_deal_due_idx ON campus_deal (ends_at, id) WHERE state = 'published';

-- Where published deals are listed: a row for each tag of the audience, as long as they are published.
CREATE TABLE campus_deal_listing (
    tag text COLLATE "C" NOT NULL,
    deal_id text COLLATE "C" NOT NULL,
    CONSTRAINT campus_deal_listing_pkey PRIMARY KEY (tag, deal_id)
);

CREATE INDEX campus_deal_listing_deal_idx ON campus_deal_listing (deal_id);

CREATE TABLE campus_redemption (
    code text COLLATE "C" NOT NULL,
    deal_id text COLLATE "C" NOT NULL,
    person_id text COLLATE "C" NOT NULL,
    redeemed_at bigint NOT NULL,
    verified_at bigint,
    CONSTRAINT campus_redemption_pkey PRIMARY KEY (code),
    -- Each deal once for each person.
    CONSTRAINT campus_redemption_person_key UNIQUE (person_id, deal_id),
    CONSTRAINT campus_redemption_deal_fkey FOREIGN KEY (deal_id) REFERENCES campus_deal (id)
);
