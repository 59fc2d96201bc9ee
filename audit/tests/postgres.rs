//! The laws on PostgreSQL, and what its schema refuses.

use sqlx::{Connection, PgConnection};
use stoa_audit::postgres::MIGRATOR;
use stoa_audit::{Action, Actor, Audit, Entity, EntityType, Error, Filter, PageRequest, Postgres, Record, conformance};

struct Harness(testkit::Postgres);

impl Harness {
    async fn new() -> Self {
        Self(testkit::postgres(&[&MIGRATOR]).await)
    }
}

impl conformance::Harness for Harness {
    type Store = Postgres;
    type Source = sqlx::PgPool;
    const CONCURRENT_WRITERS: bool = true;

    fn store(&self) -> Postgres {
        Postgres
    }

    fn source(&self) -> sqlx::PgPool {
        self.0.pool().clone()
    }

    async fn savepoint(&self, conn: &mut PgConnection) {
        sqlx::query("SAVEPOINT law").execute(conn).await.unwrap();
    }

    async fn rollback_to_savepoint(&self, conn: &mut PgConnection) {
        sqlx::query("ROLLBACK TO SAVEPOINT law").execute(conn).await.unwrap();
    }
}

stoa_audit::conformance!(Harness::new().await);

fn record() -> Record {
    const CREATED: Action = Action::new("test.posts.v1.PostService/CreatePost");
    Record::new(CREATED, &Actor::user("ada").unwrap(), Entity::new(EntityType::from_static("post"), 1))
}

/// Whatever reaches the tables with SQL of its own, as the owner, also where ordinary triggers are switched off, and also on a
/// partition that somebody adds later.
#[tokio::test]
async fn the_database_refuses_to_change_replace_or_remove_a_record() {
    let database = testkit::postgres(&[&MIGRATOR]).await;
    let audit = Audit::new(Postgres);
    let mut conn = database.pool().acquire().await.unwrap();
    sqlx::query(
        "CREATE TABLE audit_record_early PARTITION OF audit_record FOR VALUES FROM (MINVALUE) TO ('2001-01-01 00:00Z')",
    )
    .execute(&mut *conn)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO audit_record (id, at, action, actor_kind, actor_id, outcome, entity_type, entity_id, leaf_hash)
         VALUES ('00e3f4a9-c400-7000-8000-000000000000', '2000-12-31 12:00Z', 'a.b.v1.C/D', 'user', 'eve', 'failed', 'post', '1', '')",
    )
    .execute(&mut *conn)
    .await
    .unwrap();
    audit.record_many(&mut conn, &[record(), record()]).await.unwrap();

    for role in ["SET session_replication_role = origin", "SET session_replication_role = replica"] {
        sqlx::query(role).execute(&mut *conn).await.unwrap();
        for statement in [
            "UPDATE audit_record SET actor_id = 'eve'",
            "UPDATE audit_record_default SET actor_id = 'eve'",
            "UPDATE audit_record_early SET actor_id = 'eve'",
            "UPDATE audit_record SET at = '2000-01-01 00:00Z'",
            "DELETE FROM audit_record",
            "DELETE FROM audit_record_default",
            "DELETE FROM audit_record_early",
            "TRUNCATE audit_record",
            "TRUNCATE audit_record_default",
            "INSERT INTO audit_record SELECT * FROM audit_record WHERE true ON CONFLICT (id, at) DO UPDATE SET actor_id = 'eve'",
            "MERGE INTO audit_record USING (SELECT 1) AS one ON true WHEN MATCHED THEN DELETE",
        ] {
            let mut tx = conn.begin().await.unwrap();
            let error = sqlx::query(statement).execute(&mut *tx).await.expect_err(statement);
            assert!(error.to_string().contains("append-only"), "{role}, {statement}: {error}");
        }
    }
    let (records, eves): (i64, i64) =
        sqlx::query_as("SELECT count(*), count(*) FILTER (WHERE actor_id = 'eve') FROM audit_record")
            .fetch_one(&mut *conn)
            .await
            .unwrap();
    assert_eq!((records, eves), (3, 1));
}

/// A sealer will read by `xid`: it is the transaction's own, savepoints or not.
#[tokio::test]
async fn a_record_carries_the_id_of_its_transaction() {
    let database = testkit::postgres(&[&MIGRATOR]).await;
    let audit = Audit::new(Postgres);
    let mut conn = database.pool().acquire().await.unwrap();
    let mut tx = conn.begin().await.unwrap();
    audit.record(&mut tx, &record()).await.unwrap();
    let mut savepoint = tx.begin().await.unwrap();
    audit.record_many(&mut savepoint, &[record(), record()]).await.unwrap();
    savepoint.commit().await.unwrap();
    let (records, same): (i64, bool) =
        sqlx::query_as("SELECT count(*), bool_and(xid = pg_current_xact_id()::text::bigint) FROM audit_record")
            .fetch_one(&mut *tx)
            .await
            .unwrap();
    assert_eq!((records, same), (3, true));
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
                ", decode(repeat('00', 32), 'hex'))"
            )
        };
    }
    let database = testkit::postgres(&[&MIGRATOR]).await;
    let audit = Audit::new(Postgres);
    let mut conn = database.pool().acquire().await.unwrap();
    for (statement, column) in [
        (
            insert!(
                "'f47ac10b-58cc-4372-a567-0e02b2c3d479', '1970-01-01 00:00:01Z', 'a.b.v1.C/D', 'user', 'u', 'failed', 'post', '1', NULL, NULL, NULL"
            ),
            "id",
        ),
        (
            insert!(
                "'00000000-03e8-7000-8000-000000000000', '1970-01-01 00:00:02Z', 'a.b.v1.C/D', 'user', 'u', 'failed', 'post', '1', NULL, NULL, NULL"
            ),
            "at",
        ),
        (
            insert!(
                "'00000000-03e8-7000-8000-000000000000', '1970-01-01 00:00:01Z', 'create', 'user', 'u', 'failed', 'post', '1', NULL, NULL, NULL"
            ),
            "action",
        ),
        (
            insert!(
                "'00000000-03e8-7000-8000-000000000000', '1970-01-01 00:00:01Z', 'a.b.v1.C/D', 'bot', 'u', 'failed', 'post', '1', NULL, NULL, NULL"
            ),
            "actor",
        ),
        (
            insert!(
                "'00000000-03e8-7000-8000-000000000000', '1970-01-01 00:00:01Z', 'a.b.v1.C/D', 'user', 'u', 'odd', 'post', '1', NULL, NULL, NULL"
            ),
            "outcome",
        ),
        (
            insert!(
                "'00000000-03e8-7000-8000-000000000000', '1970-01-01 00:00:01Z', 'a.b.v1.C/D', 'user', 'u', 'failed', 'Post', '1', NULL, NULL, NULL"
            ),
            "entity_type",
        ),
        (
            insert!(
                "'00000000-03e8-7000-8000-000000000000', '1970-01-01 00:00:01Z', 'a.b.v1.C/D', 'user', 'u', 'failed', 'post', '', NULL, NULL, NULL"
            ),
            "entity_id",
        ),
        (
            insert!(
                "'00000000-03e8-7000-8000-000000000000', '1970-01-01 00:00:01Z', 'a.b.v1.C/D', 'user', 'u', 'failed', 'post', '1', 'group', NULL, NULL"
            ),
            "scope",
        ),
        (
            insert!(
                "'00000000-03e8-7000-8000-000000000000', '1970-01-01 00:00:01Z', 'a.b.v1.C/D', 'user', 'u', 'failed', 'post', '1', NULL, decode(repeat('00', 32), 'hex'), NULL"
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
