//! The laws on PostgreSQL, and what its schema refuses.

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool};
use stoa_audit::postgres::{MIGRATOR, Partition, Pruned, ROLES, create_partition, drop_partitions_before};
use stoa_audit::{
    Action, Actor, Anchor, Audit, Entity, EntityType, Error, Export, Filter, Format, Log, Origin, PageRequest,
    Postgres, Record, RequestContext, Sealer, Signer, Source, Trust, Verdict, WriterSink, conformance,
};

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

/// A record with rows in every table.
fn compound() -> Record {
    #[derive(serde::Serialize)]
    struct Person {
        name: &'static str,
    }
    impl stoa_audit::Audited for Person {
        const FIELDS: &'static [&'static str] = &[];
        const PERSONAL: &'static [&'static str] = &["name"];
    }
    let request = RequestContext::default().client([192, 0, 2, 7].into(), Trust::Direct);
    let record = record().request(&request).once("a".try_into().unwrap());
    record.personal("bob".try_into().unwrap(), &Person { name: "Bob" }).unwrap()
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

/// Personal data leaves whole or not at all, keys and what was pruned stay as they are.
#[tokio::test]
async fn the_database_refuses_to_change_what_belongs_to_a_record() {
    let database = testkit::postgres(&[&MIGRATOR]).await;
    let audit = Audit::new(Postgres);
    let mut conn = database.pool().acquire().await.unwrap();
    audit.record(&mut conn, &compound()).await.unwrap();
    sqlx::query("INSERT INTO audit_pruned VALUES ('2000-01-01', '2000-02-01', 1)").execute(&mut *conn).await.unwrap();
    for role in ["SET session_replication_role = origin", "SET session_replication_role = replica"] {
        sqlx::query(role).execute(&mut *conn).await.unwrap();
        for statement in [
            "UPDATE audit_private SET body = salt",
            "UPDATE audit_private SET subject = 'eve'",
            "TRUNCATE audit_private",
            "INSERT INTO audit_private SELECT * FROM audit_private ON CONFLICT (record_id, part) DO UPDATE SET salt = ''",
            "UPDATE audit_idempotency SET key = 'other'",
            "TRUNCATE audit_idempotency",
            "UPDATE audit_pruned SET records = 0",
            "DELETE FROM audit_pruned",
            "TRUNCATE audit_pruned",
        ] {
            let mut tx = conn.begin().await.unwrap();
            let error = sqlx::query(statement).execute(&mut *tx).await.expect_err(statement);
            assert!(error.to_string().contains("append-only"), "{role}, {statement}: {error}");
        }
    }
    sqlx::query("DELETE FROM audit_private").execute(&mut *conn).await.unwrap();
}

/// The statements of the documentation, on a real server: the application does its work and nothing beyond.
#[tokio::test]
async fn the_documented_roles_hold() {
    let database = testkit::postgres(&[&MIGRATOR]).await;
    let audit = Audit::new(Postgres);
    let mut conn = database.pool().acquire().await.unwrap();
    make_roles(&mut conn).await;
    let next_month = chrono::Utc::now() + chrono::TimeDelta::days(40);

    sqlx::query("SET ROLE audit_owner").execute(&mut *conn).await.unwrap();
    assert_eq!(create_partition(&mut conn, next_month).await.unwrap(), Partition::Created);
    sqlx::query("SET ROLE application").execute(&mut *conn).await.unwrap();
    let receipts = audit.record_many(&mut conn, &[compound(), record()]).await.unwrap();
    assert!(audit.record(&mut conn, &compound()).await.unwrap().is_repeated());
    assert_eq!(audit.list(&mut conn, &Filter::new(), &PageRequest::first(9)).await.unwrap().items.len(), 2);
    let mut csv = Vec::new();
    audit.export(&mut conn, &Filter::new(), &Export::new(Format::Csv), &mut csv).await.unwrap();
    assert_eq!(audit.erase(&mut conn, &"bob".try_into().unwrap(), &record()).await.unwrap().pieces, 1);
    assert!(audit.find(&mut conn, receipts[0].id()).await.unwrap().is_some());
    assert!(create_partition(&mut conn, next_month + chrono::TimeDelta::days(40)).await.is_err());
    assert!(drop_partitions_before(&mut conn, next_month + chrono::TimeDelta::days(40)).await.is_err());
    for statement in [
        "UPDATE audit_record SET actor_id = 'eve'",
        "DELETE FROM audit_record",
        "TRUNCATE audit_record",
        "DELETE FROM audit_record_default",
        "TRUNCATE audit_record_default",
        "INSERT INTO audit_record_default SELECT * FROM audit_record",
        "UPDATE audit_private SET salt = ''",
        "TRUNCATE audit_private",
        "UPDATE audit_idempotency SET key = ''",
        "DELETE FROM audit_idempotency",
        "INSERT INTO audit_pruned VALUES ('2000-01-01', '2001-01-01', 0)",
        "INSERT INTO audit_leaf VALUES (0, gen_random_uuid(), 1, sha256(''))",
        "INSERT INTO audit_checkpoint SELECT * FROM audit_checkpoint",
        "DELETE FROM audit_pruned",
        "ALTER TABLE audit_record DISABLE TRIGGER ALL",
        "ALTER TABLE audit_record DROP COLUMN leaf_hash",
        "DROP TRIGGER audit_record_append_only ON audit_record",
        "DROP TABLE audit_record",
        "DROP TABLE audit_private",
        "CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER shadow BEFORE INSERT ON audit_record FOR EACH ROW EXECUTE FUNCTION audit_refuse()",
        "GRANT ALL ON audit_record TO application",
    ] {
        let mut tx = conn.begin().await.unwrap();
        match sqlx::query(statement).execute(&mut *tx).await {
            Err(error) => assert_eq!(
                error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref(),
                Some("42501"),
                "{statement}: {error}"
            ),
            // PostgreSQL only warns of a grant that it does not make.
            Ok(_) => assert!(statement.starts_with("GRANT"), "{statement}"),
        }
    }
    let is_granted: bool = sqlx::query_scalar("SELECT has_table_privilege('application', 'audit_record', 'UPDATE')")
        .fetch_one(&mut *conn)
        .await
        .unwrap();
    assert!(!is_granted);
    // Roles are not in the database, which is thrown away: what they own here goes with it.
    sqlx::query("RESET ROLE").execute(&mut *conn).await.unwrap();
}

/// Roles are the whole server's: two tests at once would make the same one.
async fn make_roles(conn: &mut PgConnection) {
    static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _guard = ONE_AT_A_TIME.lock().await;
    sqlx::raw_sql(ROLES).execute(conn).await.unwrap();
}

/// A pool of connections in one role.
async fn as_role(database: &testkit::Postgres, role: &'static str) -> PgPool {
    let options: PgConnectOptions = database.url().parse().unwrap();
    PgPoolOptions::new().max_connections(4).connect_with(options.options([("role", role)])).await.unwrap()
}

/// The application adds, the sealer seals what is there, both find it right, and neither can change anything of the log.
#[tokio::test]
async fn a_sealer_needs_no_more_than_its_role() {
    let database = testkit::postgres(&[&MIGRATOR]).await;
    make_roles(&mut database.pool().acquire().await.unwrap()).await;
    let (application, sealing) = (as_role(&database, "application").await, as_role(&database, "audit_sealer").await);
    let signer = Signer::new(Origin::new("example.com/audit").unwrap(), &[1; 32]);
    let verifier = signer.verifier().clone();
    let mut sealer = Sealer::new(Postgres, sealing.clone(), signer, WriterSink::new(Vec::new()));
    let audit = Audit::new(Postgres);
    let mut conn = Source::acquire(&application).await.unwrap();
    for size in [2, 4] {
        audit.record(&mut conn, &record()).await.unwrap();
        audit.record(&mut conn, &compound().once(size.to_string().try_into().unwrap())).await.unwrap();
        // Another test's open transaction, on the same server, may hold it up.
        while sealer.seal_once().await.unwrap().size < size {}
    }
    for reader in [&application, &sealing] {
        let mut tx = reader.begin_snapshot().await.unwrap();
        let note = Log::new(Postgres).latest(&mut tx).await.unwrap().unwrap().note;
        let anchor = Anchor::open(&verifier, &note).unwrap();
        let report = Log::new(Postgres).verify(&mut tx, Some(&anchor)).await.unwrap();
        assert_eq!((report.verdict, report.head.size, report.unsealed), (Verdict::Intact, 4, 0));
    }
    for (role, pool) in [("application", &application), ("audit_sealer", &sealing)] {
        for statement in [
            "UPDATE audit_record SET actor_id = 'eve'",
            "DELETE FROM audit_record",
            "TRUNCATE audit_record",
            "UPDATE audit_leaf SET place = 1",
            "DELETE FROM audit_leaf",
            "TRUNCATE audit_leaf",
            "UPDATE audit_node SET hash = ''",
            "DELETE FROM audit_node",
            "TRUNCATE audit_node",
            "UPDATE audit_checkpoint SET note = ''",
            "DELETE FROM audit_checkpoint",
            "TRUNCATE audit_checkpoint",
            "TRUNCATE audit_private",
            "DROP TABLE audit_leaf",
            "ALTER TABLE audit_leaf DISABLE TRIGGER ALL",
        ] {
            let error = sqlx::query(statement).execute(pool).await.expect_err(statement);
            let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
            assert_eq!(code.as_deref(), Some("42501"), "{role}, {statement}: {error}");
        }
    }
    for statement in [
        "INSERT INTO audit_record SELECT * FROM audit_record",
        "DELETE FROM audit_private",
        "INSERT INTO audit_pruned VALUES ('2000-01-01', '2001-01-01', 0)",
    ] {
        assert!(sqlx::query(statement).execute(&sealing).await.is_err(), "{statement}");
    }
}

/// A month's partition takes its records, refuses what all refuse, and leaves with all that belongs to them, and nothing else.
#[tokio::test]
async fn months_come_and_go_as_partitions() {
    let database = testkit::postgres(&[&MIGRATOR]).await;
    let audit = Audit::new(Postgres);
    let mut conn = database.pool().acquire().await.unwrap();
    let moment = |text: &str| text.parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    for (month, expected) in [
        ("2026-01-31T23:59:59Z", Partition::Created),
        ("2026-01-01T00:00:00Z", Partition::Exists),
        ("2026-02-01T00:00:00Z", Partition::Created),
        ("2026-12-31T23:00:00Z", Partition::Created),
    ] {
        assert_eq!(create_partition(&mut conn, moment(month)).await.unwrap(), expected, "{month}");
    }
    // In March there is a record already, in the default partition.
    for (at, id) in [
        ("2026-01-15 12:00Z", "019bc1b8-1800-7000-8000-000000000001"),
        ("2026-02-15 12:00Z", "019c6151-1000-7000-8000-000000000002"),
        ("2026-03-15 12:00Z", "019cf183-8800-7000-8000-000000000003"),
    ] {
        sqlx::query(
            "INSERT INTO audit_record (id, at, action, actor_kind, actor_id, outcome, entity_type, entity_id, leaf_hash)
             VALUES ($1::uuid, $2::timestamptz, 'a.b.v1.C/D', 'user', 'ada', 'failed', 'post', '1', '')",
        )
        .bind(id)
        .bind(at)
        .execute(&mut *conn)
        .await
        .unwrap();
        for statement in [
            "INSERT INTO audit_private VALUES ($1::uuid, 'client', $2::timestamptz, 'ada', '', '')",
            "INSERT INTO audit_idempotency VALUES ('user', 'ada', 'a.b.v1.C/D', $1::text, $1::uuid, $2::timestamptz)",
        ] {
            sqlx::query(statement).bind(id).bind(at).execute(&mut *conn).await.unwrap();
        }
    }
    assert_eq!(create_partition(&mut conn, moment("2026-03-01T00:00:00Z")).await.unwrap(), Partition::Occupied);
    let kept = audit.record(&mut conn, &compound()).await.unwrap();

    for role in ["SET session_replication_role = replica", "SET session_replication_role = origin"] {
        sqlx::query(role).execute(&mut *conn).await.unwrap();
        for statement in [
            "TRUNCATE audit_record_202601",
            "DELETE FROM audit_record_202601",
            "UPDATE audit_record_202601 SET actor_id = 'eve'",
            "TRUNCATE audit_record_202612",
        ] {
            let error = sqlx::query(statement).execute(&mut *conn).await.expect_err(statement);
            assert!(error.to_string().contains("append-only"), "{role}, {statement}: {error}");
        }
    }

    assert_eq!(drop_partitions_before(&mut conn, moment("2026-01-31T23:59:59Z")).await.unwrap(), []);
    let january = Pruned { from: moment("2026-01-01T00:00:00Z"), until: moment("2026-02-01T00:00:00Z"), records: 1 };
    assert_eq!(drop_partitions_before(&mut conn, moment("2026-02-28T23:59:59Z")).await.unwrap(), [january]);
    let left: (i64, i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM audit_record), (SELECT count(*) FROM audit_private),
             (SELECT count(*) FROM audit_idempotency), (SELECT sum(records)::bigint FROM audit_pruned)",
    )
    .fetch_one(&mut *conn)
    .await
    .unwrap();
    assert_eq!(left, (3, 4, 3, 1));
    assert!(audit.find(&mut conn, kept.id()).await.unwrap().is_some());
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

#[tokio::test]
async fn a_transaction_given_up_while_it_begins_leaves_none() {
    let database = testkit::postgres(&[]).await;
    database.give_up_beginning(|pool| async move { Source::begin(&pool).await.unwrap() }).await;
    database.give_up_beginning(|pool| async move { Source::begin_snapshot(&pool).await.unwrap() }).await;
}
