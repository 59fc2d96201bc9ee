-- All rows of a record in one statement. Keys are claimed first, in their order, so that two batches cannot wait for each
-- other in a circle; of a key that is taken, nothing else is written. The record's order in the batch is in its id.
new AS (
    SELECT *
    FROM unnest(
        $1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
        $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
        $16::bytea[], $17::bytea[], $18::text[], $19::text[], $20::bytea[],
        $21::text[], $22::text[], $23::bytea[], $24::text[], $25::text[], $26::bytea[], $27::text[]
    ) AS new (
        id, at, action, actor_kind, actor_id, impersonator_id, on_behalf_of_id, outcome,
        entity_type, entity_id, scope_type, scope_id, request_id, trace_id, client_trust,
        client_commit, private_commit, before, after, leaf_hash,
        key, client_subject, client_salt, client_body, private_subject, private_salt, private_body
    )
),
claimed AS (
    INSERT INTO audit_idempotency (actor_kind, actor_id, action, key, record_id, at)
    SELECT actor_kind, actor_id, action, key, id, at
    FROM new
    WHERE key IS NOT NULL
    ORDER BY actor_kind, actor_id, action, key, id
    ON CONFLICT DO NOTHING
    RETURNING record_id
),
written AS (
    INSERT INTO audit_record (
        id, at, action, actor_kind, actor_id, impersonator_id, on_behalf_of_id, outcome,
        entity_type, entity_id, scope_type, scope_id, request_id, trace_id, client_trust,
        client_commit, private_commit, before, after, leaf_hash
    )
    SELECT
        id, at, action, actor_kind, actor_id, impersonator_id, on_behalf_of_id, outcome,
        entity_type, entity_id, scope_type, scope_id, request_id, trace_id, client_trust,
        client_commit, private_commit, before::json, after::json, leaf_hash
    FROM new
    WHERE key IS NULL OR id IN (SELECT record_id FROM claimed)
    RETURNING id
),
private AS (
    INSERT INTO audit_private (record_id, part, at, subject, salt, body)
    SELECT new.id, private.part, new.at, private.subject, private.salt, convert_to(private.body, 'UTF8')
    FROM new
    JOIN written ON written.id = new.id
    CROSS JOIN LATERAL (
        VALUES ('client', client_subject, client_salt, client_body), ('personal', private_subject, private_salt, private_body)
    ) AS private (part, subject, salt, body)
    WHERE private.salt IS NOT NULL
)
