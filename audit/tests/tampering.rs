//! What somebody does who owns the database: every change is found, and the record named.

use sqlx::{PgConnection, SqliteConnection};
use stoa_audit::{
    Action, Actor, Anchor, Audit, Entity, EntityType, Log, LogStore, Origin, Postgres, Record, RequestContext, Sealer,
    Signer, Source, Sqlite, Store, Trust, Verdict, WriterSink, postgres, sqlite,
};
use uuid::Uuid;

fn signer(seed: u8) -> Signer {
    Signer::new(Origin::new("example.com/audit").unwrap(), &[seed; 32])
}

fn record(index: usize) -> Record {
    const CREATED: Action = Action::new("test.posts.v1.PostService/CreatePost");
    #[derive(serde::Serialize)]
    struct Post {
        title: String,
    }
    impl stoa_audit::Audited for Post {
        const FIELDS: &'static [&'static str] = &["title"];
    }
    let entity = Entity::new(EntityType::from_static("post"), 1);
    let request = RequestContext::default().client([192, 0, 2, 7].into(), Trust::Direct);
    let post = Post { title: format!("Title {index}") };
    Record::new(CREATED, &Actor::user("ada").unwrap(), entity).request(&request).after(&post).unwrap()
}

async fn seal<S: LogStore, P: Source<Connection = S::Connection>>(store: S, source: P, seed: u8) {
    let mut sealer = Sealer::new(store, source, signer(seed), WriterSink::new(Vec::new()));
    // An older transaction of another test may hold the horizon back.
    while sealer.seal_once().await.unwrap().leaves == 0 {}
}

/// Writes and seals six records, two in a batch, and returns their ids and the last checkpoint.
async fn sealed<S, P>(store: S, source: &P) -> (Vec<Uuid>, Anchor)
where
    S: LogStore + Copy,
    P: Source<Connection = <S as Store>::Connection>,
{
    let mut conn = source.acquire().await.unwrap();
    let mut ids = Vec::new();
    for batch in 0..3 {
        let receipts = Audit::new(store).record_many(&mut conn, &[record(2 * batch), record(2 * batch + 1)]).await;
        ids.extend(receipts.unwrap().iter().map(|receipt| *receipt.id().as_uuid()));
        seal(store, source.clone(), 1).await;
    }
    let note = Log::new(store).latest(&mut conn).await.unwrap().unwrap().note;
    (ids, Anchor::open(signer(1).verifier(), &note).unwrap())
}

/// What is done, with the ids of the records as `$1`, and what is found.
type Case = (&'static [&'static str], fn(&[Uuid]) -> Verdict);

async fn on_postgres(cases: &[Case]) {
    for (statements, expected) in cases {
        let database = testkit::postgres(&[&postgres::MIGRATOR]).await;
        let (ids, anchor) = sealed(Postgres, database.pool()).await;
        let mut conn = database.pool().acquire().await.unwrap();
        for table in [
            "ALTER TABLE audit_record DISABLE TRIGGER ALL",
            "ALTER TABLE audit_record_default DISABLE TRIGGER ALL",
            "ALTER TABLE audit_leaf DISABLE TRIGGER ALL",
            "ALTER TABLE audit_node DISABLE TRIGGER ALL",
            "ALTER TABLE audit_checkpoint DISABLE TRIGGER ALL",
            "ALTER TABLE audit_private DISABLE TRIGGER ALL",
        ] {
            sqlx::query(table).execute(&mut *conn).await.unwrap();
        }
        for statement in *statements {
            if *statement == "reseal" {
                seal(Postgres, database.pool().clone(), 2).await;
                continue;
            }
            let changed = if statement.contains("$1") {
                sqlx::query(*statement).bind(&ids).execute(&mut *conn).await.unwrap()
            } else {
                sqlx::query(*statement).execute(&mut *conn).await.unwrap()
            };
            assert!(changed.rows_affected() > 0, "{statement}");
        }
        judged(&Log::new(Postgres), &mut *conn as &mut PgConnection, &anchor, expected(&ids), statements).await;
    }
}

async fn on_sqlite(cases: &[Case]) {
    for (statements, expected) in cases {
        let database = testkit::sqlite(&[&sqlite::MIGRATOR]).await;
        let (ids, anchor) = sealed(Sqlite, database.pool()).await;
        let list = format!("[{}]", ids.iter().map(|id| format!("\"{}\"", id.simple())).collect::<Vec<_>>().join(","));
        let mut conn = database.pool().acquire().await.unwrap();
        for trigger in [
            "DROP TRIGGER audit_record_no_update",
            "DROP TRIGGER audit_record_no_delete",
            "DROP TRIGGER audit_leaf_no_update",
            "DROP TRIGGER audit_leaf_no_delete",
            "DROP TRIGGER audit_node_no_delete",
            "DROP TRIGGER audit_checkpoint_no_update",
            "DROP TRIGGER audit_checkpoint_no_delete",
            "DROP TRIGGER audit_private_no_update",
        ] {
            sqlx::query(trigger).execute(&mut *conn).await.unwrap();
        }
        for statement in *statements {
            if *statement == "reseal" {
                seal(Sqlite, database.pool().clone(), 2).await;
                continue;
            }
            let changed = if statement.contains("$1") {
                sqlx::query(*statement).bind(&list).execute(&mut *conn).await.unwrap()
            } else {
                sqlx::query(*statement).execute(&mut *conn).await.unwrap()
            };
            assert!(changed.rows_affected() > 0, "{statement}");
        }
        judged(&Log::new(Sqlite), &mut *conn as &mut SqliteConnection, &anchor, expected(&ids), statements).await;
    }
}

async fn judged<S: LogStore>(
    log: &Log<S>,
    conn: &mut S::Connection,
    anchor: &Anchor,
    expected: Verdict,
    statements: &[&str],
) {
    let report = log.verify(conn, Some(anchor)).await.unwrap();
    assert_eq!(report.verdict, expected, "{statements:?}");
    assert!(report.verdict.is_tampered());
    assert_eq!(report.verdict.to_string().lines().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_found_on_postgres() {
    on_postgres(&[
        // One byte of a body.
        (
            &["UPDATE audit_record SET after = replace(after::text, 'Title 3', 'Title 4')::json WHERE id = ($1::uuid[])[4]"],
            |ids| Verdict::Altered { record: ids[3] },
        ),
        (&["UPDATE audit_record SET after = (' ' || after::text)::json WHERE id = ($1::uuid[])[1]"], |ids| {
            Verdict::Altered { record: ids[0] }
        }),
        (&["UPDATE audit_record SET actor_id = 'eve' WHERE id = ($1::uuid[])[6]"], |ids| Verdict::Altered {
            record: ids[5],
        }),
        (&["UPDATE audit_record SET at = at + interval '1 microsecond' WHERE id = ($1::uuid[])[2]"], |ids| {
            Verdict::Altered { record: ids[1] }
        }),
        (
            &["UPDATE audit_record SET leaf_hash = set_byte(leaf_hash, 7, get_byte(leaf_hash, 7) # 1) WHERE id = ($1::uuid[])[2]"],
            |ids| Verdict::Altered { record: ids[1] },
        ),
        // Personal data.
        (&["UPDATE audit_private SET body = 'x' WHERE record_id = ($1::uuid[])[5]"], |ids| Verdict::Altered {
            record: ids[4],
        }),
        // Removed, in the middle and at the end.
        (&["DELETE FROM audit_record WHERE id = ($1::uuid[])[3]"], |ids| Verdict::Missing { record: ids[2] }),
        (&["DELETE FROM audit_record WHERE id = ($1::uuid[])[6]"], |ids| Verdict::Missing { record: ids[5] }),
        // Added where nothing is sealed any more, under an id of its own or of another.
        (
            &["INSERT INTO audit_record (id, at, xid, action, actor_kind, actor_id, outcome, entity_type, entity_id, leaf_hash)
               SELECT '00000000-03e8-7000-8000-000000000000', '1970-01-01 00:00:01Z', xid, action, actor_kind, actor_id, outcome,
                   entity_type, entity_id, leaf_hash
               FROM audit_record WHERE id = ($1::uuid[])[3]"],
            |_| Verdict::Inserted { record: "00000000-03e8-7000-8000-000000000000".parse().unwrap() },
        ),
        (
            &["INSERT INTO audit_record (id, at, xid, action, actor_kind, actor_id, outcome, entity_type, entity_id, leaf_hash)
               SELECT id, '2000-01-01 00:00:01Z', xid, action, actor_kind, actor_id, outcome, entity_type, entity_id, leaf_hash
               FROM audit_record WHERE id = ($1::uuid[])[3]"],
            |ids| Verdict::Altered { record: ids[2] },
        ),
        // Swapped: what two records say, and where they are.
        (
            &["UPDATE audit_record AS one SET after = other.after, leaf_hash = other.leaf_hash FROM audit_record AS other
               WHERE one.id = ($1::uuid[])[2] AND other.id = ($1::uuid[])[5] OR one.id = ($1::uuid[])[5] AND other.id = ($1::uuid[])[2]"],
            |ids| Verdict::Altered { record: ids[1] },
        ),
        (
            &["UPDATE audit_record AS one SET xid = other.xid FROM audit_record AS other
               WHERE one.id = ($1::uuid[])[2] AND other.id = ($1::uuid[])[5] OR one.id = ($1::uuid[])[5] AND other.id = ($1::uuid[])[2]"],
            |ids| Verdict::Reordered { record: ids[1] },
        ),
        // Leaves: within what one checkpoint covers, and beyond.
        (
            &[
                "UPDATE audit_leaf SET leaf_index = 100 WHERE leaf_index = 2",
                "UPDATE audit_leaf SET leaf_index = 2 WHERE leaf_index = 3",
                "UPDATE audit_leaf SET leaf_index = 3 WHERE leaf_index = 100",
            ],
            |ids| Verdict::Reordered { record: ids[2] },
        ),
        (
            &[
                "UPDATE audit_leaf SET leaf_index = 100 WHERE leaf_index = 1",
                "UPDATE audit_leaf SET leaf_index = 1 WHERE leaf_index = 4",
                "UPDATE audit_leaf SET leaf_index = 4 WHERE leaf_index = 100",
            ],
            |_| Verdict::Rewritten { after: 0 },
        ),
        // The leaf with its record, in all tables.
        (
            &["WITH changed AS (UPDATE audit_leaf SET leaf_hash = sha256('x') WHERE leaf_index = 2)
               UPDATE audit_record SET leaf_hash = sha256('x') WHERE id = ($1::uuid[])[3]"],
            |ids| Verdict::Altered { record: ids[2] },
        ),
        (&["DELETE FROM audit_leaf WHERE leaf_index = 2"], |_| Verdict::Rewritten { after: 2 }),
        (&["DELETE FROM audit_leaf WHERE leaf_index = 5"], |_| Verdict::Truncated { signed: 6, found: 5 }),
        // The tail, everywhere.
        (
            &[
                "DELETE FROM audit_leaf WHERE leaf_index >= 4",
                "DELETE FROM audit_checkpoint WHERE tree_size > 4",
                "DELETE FROM audit_record WHERE id = ANY(($1::uuid[])[5:6])",
            ],
            |_| Verdict::Truncated { signed: 6, found: 4 },
        ),
        (
            &[
                "DELETE FROM audit_leaf",
                "DELETE FROM audit_checkpoint",
                "DELETE FROM audit_record",
            ],
            |_| Verdict::Truncated { signed: 6, found: 0 },
        ),
        // All anew, by another key: with one record less, and with none changed.
        (
            &[
                "DELETE FROM audit_leaf",
                "DELETE FROM audit_checkpoint",
                "UPDATE audit_record SET xid = xid - 100 WHERE id = ($1::uuid[])[5]",
                "reseal",
            ],
            |_| Verdict::Rewritten { after: 0 },
        ),
        (&["DELETE FROM audit_leaf", "DELETE FROM audit_checkpoint", "reseal"], |_| Verdict::Rewritten { after: 6 }),
        (&["UPDATE audit_checkpoint SET root = sha256('x') WHERE tree_size = 4"], |_| Verdict::Rewritten { after: 2 }),
        (&["UPDATE audit_checkpoint SET note = note || 'x' WHERE tree_size = 6"], |_| Verdict::Rewritten { after: 6 }),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_found_on_sqlite() {
    on_sqlite(&[
        (
            &["UPDATE audit_record SET after = replace(after, 'Title 3', 'Title 4') WHERE id = unhex($1 ->> 3)"],
            |ids| Verdict::Altered { record: ids[3] },
        ),
        (&["UPDATE audit_record SET after = ' ' || after WHERE id = unhex($1 ->> 0)"], |ids| Verdict::Altered {
            record: ids[0],
        }),
        (&["UPDATE audit_record SET actor_id = 'eve' WHERE id = unhex($1 ->> 5)"], |ids| Verdict::Altered {
            record: ids[5],
        }),
        (&["UPDATE audit_record SET at = at + 1 WHERE id = unhex($1 ->> 1)"], |ids| Verdict::Altered {
            record: ids[1],
        }),
        (&["UPDATE audit_record SET leaf_hash = zeroblob(32) WHERE id = unhex($1 ->> 1)"], |ids| Verdict::Altered {
            record: ids[1],
        }),
        (&["UPDATE audit_private SET body = x'00' WHERE record_id = unhex($1 ->> 4)"], |ids| Verdict::Altered {
            record: ids[4],
        }),
        (&["DELETE FROM audit_record WHERE id = unhex($1 ->> 2)"], |ids| Verdict::Missing { record: ids[2] }),
        (&["DELETE FROM audit_record WHERE id = unhex($1 ->> 5)"], |ids| Verdict::Missing { record: ids[5] }),
        // A gap, made by a record that moved to a higher number, takes the one that is added.
        (
            &[
                "UPDATE audit_record SET seq = 100 WHERE id = unhex($1 ->> 5)",
                "UPDATE audit_leaf SET place = 100 WHERE leaf_index = 5",
                "UPDATE audit_checkpoint SET cursor_place = 100 WHERE tree_size = 6",
                "INSERT INTO audit_record (seq, id, at, action, actor_kind, actor_id, outcome, entity_type, entity_id, leaf_hash)
                 SELECT 50, x'0000000003e870008000000000000000', at, action, actor_kind, actor_id, outcome, entity_type, entity_id, leaf_hash
                 FROM audit_record WHERE id = unhex($1 ->> 2)",
            ],
            |_| Verdict::Inserted { record: "00000000-03e8-7000-8000-000000000000".parse().unwrap() },
        ),
        (
            &["UPDATE audit_record
               SET after = (SELECT after FROM audit_record WHERE id = unhex($1 ->> 4)),
                   leaf_hash = (SELECT leaf_hash FROM audit_record WHERE id = unhex($1 ->> 4))
               WHERE id = unhex($1 ->> 1)"],
            |ids| Verdict::Altered { record: ids[1] },
        ),
        (
            &[
                "UPDATE audit_record SET seq = 100 WHERE id = unhex($1 ->> 1)",
                "UPDATE audit_record SET seq = 2 WHERE id = unhex($1 ->> 4)",
                "UPDATE audit_record SET seq = 5 WHERE id = unhex($1 ->> 1)",
            ],
            |ids| Verdict::Reordered { record: ids[1] },
        ),
        (
            &[
                "UPDATE audit_leaf SET leaf_index = 100 WHERE leaf_index = 2",
                "UPDATE audit_leaf SET leaf_index = 2 WHERE leaf_index = 3",
                "UPDATE audit_leaf SET leaf_index = 3 WHERE leaf_index = 100",
            ],
            |ids| Verdict::Reordered { record: ids[2] },
        ),
        (
            &[
                "UPDATE audit_leaf SET leaf_index = 100 WHERE leaf_index = 1",
                "UPDATE audit_leaf SET leaf_index = 1 WHERE leaf_index = 4",
                "UPDATE audit_leaf SET leaf_index = 4 WHERE leaf_index = 100",
            ],
            |_| Verdict::Rewritten { after: 0 },
        ),
        (&["DELETE FROM audit_leaf WHERE leaf_index = 2"], |_| Verdict::Rewritten { after: 2 }),
        (&["DELETE FROM audit_leaf WHERE leaf_index = 5"], |_| Verdict::Truncated { signed: 6, found: 5 }),
        (
            &[
                "DELETE FROM audit_leaf WHERE leaf_index >= 4",
                "DELETE FROM audit_checkpoint WHERE tree_size > 4",
                "DELETE FROM audit_record WHERE id IN (unhex($1 ->> 4), unhex($1 ->> 5))",
            ],
            |_| Verdict::Truncated { signed: 6, found: 4 },
        ),
        (
            &["DELETE FROM audit_leaf", "DELETE FROM audit_checkpoint", "DELETE FROM audit_record"],
            |_| Verdict::Truncated { signed: 6, found: 0 },
        ),
        (
            &[
                "DELETE FROM audit_leaf",
                "DELETE FROM audit_checkpoint",
                "UPDATE audit_record SET seq = 100 WHERE id = unhex($1 ->> 1)",
                "reseal",
            ],
            |_| Verdict::Rewritten { after: 0 },
        ),
        (&["DELETE FROM audit_leaf", "DELETE FROM audit_checkpoint", "reseal"], |_| Verdict::Rewritten { after: 6 }),
        (&["UPDATE audit_checkpoint SET root = zeroblob(32) WHERE tree_size = 4"], |_| Verdict::Rewritten { after: 2 }),
        (&["UPDATE audit_checkpoint SET note = note || 'x' WHERE tree_size = 6"], |_| Verdict::Rewritten { after: 6 }),
    ])
    .await;
}
