//! The laws on SQLite, and what its schema refuses.

use sqlx::{Connection, SqliteConnection};
use stoa_audit::sqlite::{MIGRATOR, prune_before};
use stoa_audit::{
    Action, Actor, Audit, Entity, EntityType, Error, Filter, PageRequest, Record, RequestContext, Sqlite, Trust,
    conformance,
};

struct Harness(testkit::Sqlite);

impl Harness {
    async fn new() -> Self {
        Self(testkit::sqlite(&[&MIGRATOR]).await)
    }
}

impl conformance::Harness for Harness {
    type Store = Sqlite;
    type Source = sqlx::SqlitePool;
    const CONCURRENT_WRITERS: bool = false;

    fn store(&self) -> Sqlite {
        Sqlite
    }

    fn source(&self) -> sqlx::SqlitePool {
        self.0.pool().clone()
    }

    async fn savepoint(&self, conn: &mut SqliteConnection) {
        sqlx::query("SAVEPOINT law").execute(conn).await.unwrap();
    }

    async fn rollback_to_savepoint(&self, conn: &mut SqliteConnection) {
        sqlx::query("ROLLBACK TO SAVEPOINT law").execute(conn).await.unwrap();
    }
}

stoa_audit::conformance!(Harness::new().await);

fn record() -> Record {
    const CREATED: Action = Action::new("test.posts.v1.PostService/CreatePost");
    Record::new(CREATED, &Actor::user("ada").unwrap(), Entity::new(EntityType::from_static("post"), 1))
}

/// Whatever reaches the file with SQL of its own, with and without recursive triggers.
#[tokio::test]
async fn the_database_refuses_to_change_replace_or_remove_a_record() {
    let database = testkit::sqlite(&[&MIGRATOR]).await;
    let audit = Audit::new(Sqlite);
    let mut conn = database.pool().acquire().await.unwrap();
    audit.record_many(&mut conn, &[record(), record()]).await.unwrap();
    let before = audit.list(&mut conn, &Filter::new(), &PageRequest::first(10)).await.unwrap();
    for recursive_triggers in ["PRAGMA recursive_triggers = off", "PRAGMA recursive_triggers = on"] {
        sqlx::query(recursive_triggers).execute(&mut *conn).await.unwrap();
        for statement in [
            "UPDATE audit_record SET actor_id = 'eve'",
            "UPDATE OR REPLACE audit_record SET seq = 1 WHERE seq = 2",
            "DELETE FROM audit_record",
            "DELETE FROM audit_record WHERE seq = 2",
            "INSERT OR REPLACE INTO audit_record SELECT * FROM audit_record WHERE seq = 1",
            "REPLACE INTO audit_record (id, at, action, actor_kind, actor_id, outcome, entity_type, entity_id, leaf_hash)
             SELECT id, at, action, actor_kind, 'eve', outcome, entity_type, entity_id, leaf_hash FROM audit_record",
            "REPLACE INTO audit_record (seq, id, at, action, actor_kind, actor_id, outcome, entity_type, entity_id, leaf_hash)
             SELECT seq, randomblob(16), at, action, actor_kind, 'eve', outcome, entity_type, entity_id, leaf_hash FROM audit_record",
            "INSERT INTO audit_record (id, at, action, actor_kind, actor_id, outcome, entity_type, entity_id, leaf_hash)
             SELECT id, at, action, actor_kind, 'eve', outcome, entity_type, entity_id, leaf_hash FROM audit_record WHERE true
             ON CONFLICT DO UPDATE SET actor_id = 'eve'",
        ] {
            let mut tx = conn.begin().await.unwrap();
            let error = sqlx::query(statement).execute(&mut *tx).await.expect_err(statement);
            assert!(error.to_string().contains("append-only"), "{statement}: {error}");
            tx.commit().await.unwrap();
        }
        assert_eq!(audit.list(&mut conn, &Filter::new(), &PageRequest::first(10)).await.unwrap(), before);
    }
}

/// Personal data leaves whole or not at all, keys and what was pruned stay as they are.
#[tokio::test]
async fn the_database_refuses_to_change_what_belongs_to_a_record() {
    let database = testkit::sqlite(&[&MIGRATOR]).await;
    let audit = Audit::new(Sqlite);
    let mut conn = database.pool().acquire().await.unwrap();
    let request = RequestContext::default().client([192, 0, 2, 7].into(), Trust::Direct);
    audit.record(&mut conn, &record().request(&request).once("a".try_into().unwrap())).await.unwrap();
    sqlx::query("INSERT INTO audit_pruned (until_at) VALUES (7)").execute(&mut *conn).await.unwrap();
    for statement in [
        "UPDATE audit_private SET body = salt",
        "INSERT OR REPLACE INTO audit_private SELECT record_id, part, at, 'eve', salt, body FROM audit_private",
        "UPDATE audit_idempotency SET key = 'other'",
        "UPDATE audit_pruned SET until_at = 8",
        "DELETE FROM audit_pruned",
    ] {
        let error = sqlx::query(statement).execute(&mut *conn).await.expect_err(statement);
        assert!(error.to_string().contains("append-only"), "{statement}: {error}");
    }
    sqlx::query("DELETE FROM audit_private").execute(&mut *conn).await.unwrap();
}

/// Retention removes the oldest in batches, with all that belongs to them, and opens no way to anything newer.
#[tokio::test]
async fn retention_removes_what_it_announced_and_nothing_else() {
    let database = testkit::sqlite(&[&MIGRATOR]).await;
    let audit = Audit::new(Sqlite);
    let mut conn = database.pool().acquire().await.unwrap();
    let request = RequestContext::default().client([192, 0, 2, 7].into(), Trust::Direct);
    let records: Vec<Record> =
        (0..10_u8).map(|index| record().request(&request).once(index.to_string().try_into().unwrap())).collect();
    let receipts = audit.record_many(&mut conn, &records).await.unwrap();
    let moment = receipts[7].id().at();
    for expected in [3, 3, 1, 0] {
        assert_eq!(prune_before(&mut conn, moment, 3).await.unwrap(), expected);
    }
    assert_eq!(prune_before(&mut conn, receipts[2].id().at(), 3).await.unwrap(), 0);
    let left: (i64, i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM audit_record), (SELECT count(*) FROM audit_private),
             (SELECT count(*) FROM audit_idempotency), (SELECT count(*) FROM audit_pruned)",
    )
    .fetch_one(&mut *conn)
    .await
    .unwrap();
    assert_eq!(left, (3, 3, 3, 1));
    let error = sqlx::query("DELETE FROM audit_record").execute(&mut *conn).await.unwrap_err();
    assert!(error.to_string().contains("append-only"), "{error}");
    let next = audit.record(&mut conn, &record()).await.unwrap();
    let seq: i64 = sqlx::query_scalar("SELECT seq FROM audit_record WHERE id = $1")
        .bind(next.id().as_uuid())
        .fetch_one(&mut *conn)
        .await
        .unwrap();
    assert_eq!(seq, 11, "a number is never used twice");
}

/// A sealer will read by `seq`: it follows the order of commits and of a batch.
#[tokio::test]
async fn sequence_numbers_follow_the_order_of_records() {
    let database = testkit::sqlite(&[&MIGRATOR]).await;
    let audit = Audit::new(Sqlite);
    let mut conn = database.pool().acquire().await.unwrap();
    let mut tx = conn.begin_with("BEGIN IMMEDIATE").await.unwrap();
    audit.record_many(&mut tx, &[record(), record()]).await.unwrap();
    drop(tx);
    let receipts = audit.record_many(&mut conn, &vec![record(); 20]).await.unwrap();
    let ids: Vec<uuid::Uuid> =
        sqlx::query_scalar("SELECT id FROM audit_record ORDER BY seq").fetch_all(&mut *conn).await.unwrap();
    assert_eq!(ids, receipts.iter().map(|receipt| *receipt.id().as_uuid()).collect::<Vec<_>>());
}

/// A row that this crate did not write is reported, not misread.
#[tokio::test]
async fn a_row_that_breaks_the_rules_is_corrupt() {
    macro_rules! insert {
        ($values:literal) => {
            concat!(
                "INSERT INTO audit_record (id, at, action, actor_kind, actor_id, outcome, entity_type, entity_id,
                     scope_type, client_commit, client_trust, leaf_hash) VALUES (",
                $values,
                ", zeroblob(32))"
            )
        };
    }
    let database = testkit::sqlite(&[&MIGRATOR]).await;
    let audit = Audit::new(Sqlite);
    let mut conn = database.pool().acquire().await.unwrap();
    for (statement, column) in [
        (
            insert!(
                "x'0000000003e840008000000000000000', 1000000, 'a.b.v1.C/D', 'user', 'u', 'failed', 'post', '1', NULL, NULL, NULL"
            ),
            "id",
        ),
        (
            insert!(
                "x'0000000003e870008000000000000000', 2000000, 'a.b.v1.C/D', 'user', 'u', 'failed', 'post', '1', NULL, NULL, NULL"
            ),
            "at",
        ),
        (
            insert!(
                "x'0000000003e870008000000000000000', 1000000, 'create', 'user', 'u', 'failed', 'post', '1', NULL, NULL, NULL"
            ),
            "action",
        ),
        (
            insert!(
                "x'0000000003e870008000000000000000', 1000000, 'a.b.v1.C/D', 'bot', 'u', 'failed', 'post', '1', NULL, NULL, NULL"
            ),
            "actor",
        ),
        (
            insert!(
                "x'0000000003e870008000000000000000', 1000000, 'a.b.v1.C/D', 'user', 'u', 'odd', 'post', '1', NULL, NULL, NULL"
            ),
            "outcome",
        ),
        (
            insert!(
                "x'0000000003e870008000000000000000', 1000000, 'a.b.v1.C/D', 'user', 'u', 'failed', 'Post', '1', NULL, NULL, NULL"
            ),
            "entity_type",
        ),
        (
            insert!(
                "x'0000000003e870008000000000000000', 1000000, 'a.b.v1.C/D', 'user', 'u', 'failed', 'post', '', NULL, NULL, NULL"
            ),
            "entity_id",
        ),
        (
            insert!(
                "x'0000000003e870008000000000000000', 1000000, 'a.b.v1.C/D', 'user', 'u', 'failed', 'post', '1', 'group', NULL, NULL"
            ),
            "scope",
        ),
        (
            insert!(
                "x'0000000003e870008000000000000000', 1000000, 'a.b.v1.C/D', 'user', 'u', 'failed', 'post', '1', NULL, zeroblob(32), NULL"
            ),
            "client",
        ),
    ] {
        let mut tx = conn.begin().await.unwrap();
        sqlx::query(statement).execute(&mut *tx).await.unwrap();
        let error = audit.list(&mut tx, &Filter::new(), &PageRequest::first(10)).await.unwrap_err();
        assert!(matches!(error, Error::Corrupt { what } if what == column), "{column}: {error:?}");
        assert!(!error.is_retryable());
    }
}
