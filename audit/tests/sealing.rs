//! What happens to a sealed log that no law can bring about: dumps, retention, and many records.

use std::path::Path;
use std::process::Command;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use stoa_audit::postgres::{MIGRATOR, create_partition, drop_partitions_before};
use stoa_audit::{
    Action, Actor, Anchor, Audit, Entity, EntityType, Error, FileSink, Log, NewRecord, Origin, Postgres, Record,
    RecordId, RecordState, Sealer, Signer, Sqlite, Store, Verdict, WriterSink, sqlite, verify_consistency,
};
use stoa_audit::{LogStore, Report, Source};
use testkit::{Cluster, Durability};

fn signer() -> Signer {
    Signer::new(Origin::new("example.com/audit").unwrap(), &[1; 32])
}

fn record() -> Record {
    const CREATED: Action = Action::new("test.posts.v1.PostService/CreatePost");
    Record::new(CREATED, &Actor::user("ada").unwrap(), Entity::new(EntityType::from_static("post"), 1))
}

async fn write<S: Store, P: Source<Connection = S::Connection>>(store: S, source: &P, records: usize) {
    let mut conn = source.acquire().await.unwrap();
    Audit::new(store).record_many(&mut conn, &vec![record(); records]).await.unwrap();
}

/// Seals until the log has so many leaves, as a sealer that has just been started.
async fn seal<S: LogStore, P: Source<Connection = S::Connection>>(store: S, source: &P, size: u64) {
    let mut sealer = Sealer::new(store, source.clone(), signer(), WriterSink::new(Vec::new()));
    while sealer.seal_once().await.unwrap().size < size {}
}

/// Verifies against the last checkpoint.
async fn verify<S: LogStore + Copy, P: Source<Connection = S::Connection>>(store: S, source: &P) -> Report {
    let mut tx = source.begin_snapshot().await.unwrap();
    let note = Log::new(store).latest(&mut tx).await.unwrap().unwrap().note;
    let anchor = Anchor::open(signer().verifier(), &note).unwrap();
    Log::new(store).verify(&mut tx, Some(&anchor)).await.unwrap()
}

/// Transaction numbers are those of the old cluster, far ahead of those that the new one gives out: what a restored dump has.
async fn restore(pool: &PgPool) {
    let mut tx = pool.begin().await.unwrap();
    for statement in [
        "SET LOCAL session_replication_role = replica",
        "ALTER TABLE audit_record DISABLE TRIGGER audit_record_append_only",
        "ALTER TABLE audit_leaf DISABLE TRIGGER audit_leaf_append_only",
        "ALTER TABLE audit_checkpoint DISABLE TRIGGER audit_checkpoint_append_only",
        "UPDATE audit_record SET xid = xid + 1000000000",
        "UPDATE audit_leaf SET place = place + 1000000000",
        "UPDATE audit_checkpoint SET cursor_place = cursor_place + 1000000000, cursor_cluster = 7",
        "ALTER TABLE audit_record ENABLE ALWAYS TRIGGER audit_record_append_only",
        "ALTER TABLE audit_leaf ENABLE ALWAYS TRIGGER audit_leaf_append_only",
        "ALTER TABLE audit_checkpoint ENABLE ALWAYS TRIGGER audit_checkpoint_append_only",
    ] {
        sqlx::query(statement).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
}

/// What the old cluster sealed stays, what it had not sealed yet is sealed at once, and what is new follows.
#[tokio::test(flavor = "multi_thread")]
async fn a_dump_restored_into_a_fresh_cluster_goes_on_being_sealed() {
    let database = testkit::postgres(&[&MIGRATOR]).await;
    let pool = database.pool();
    write(Postgres, pool, 3).await;
    seal(Postgres, pool, 3).await;
    write(Postgres, pool, 2).await;
    restore(pool).await;
    seal(Postgres, pool, 5).await;
    for size in [6, 7, 8] {
        write(Postgres, pool, 1).await;
        seal(Postgres, pool, size).await;
        let report = verify(Postgres, pool).await;
        assert_eq!((report.verdict, report.head.size, report.unsealed), (Verdict::Intact, size, 0));
    }
    // Once more, with nothing left over.
    restore(pool).await;
    write(Postgres, pool, 2).await;
    seal(Postgres, pool, 10).await;
    let report = verify(Postgres, pool).await;
    assert_eq!((report.verdict, report.head.size, report.unsealed), (Verdict::Intact, 10, 0));
}

/// A real one, by the server's own programs: transaction numbers of the old cluster that are ahead of the new one's, a tail that was not
/// sealed, and new records whose numbers later pass the old ones.
#[tokio::test(flavor = "multi_thread")]
async fn what_pg_dump_carries_to_another_cluster_goes_on_being_sealed() {
    let (old, new) = (Cluster::start(Durability::Fast), Cluster::start(Durability::Fast));
    let directory = tempfile::tempdir().unwrap();
    let (dump, checkpoint) = (directory.path().join("dump.sql"), directory.path().join("checkpoint"));
    let sealer = |pool: &PgPool| Sealer::new(Postgres, pool.clone(), signer(), FileSink::new(&checkpoint));

    let database = old.database(&[&MIGRATOR]).await;
    let pool = database.pool();
    use_up_numbers(pool, 3000).await;
    for _ in 0..50 {
        write(Postgres, pool, 100).await;
    }
    assert_eq!(sealer(pool).seal_once().await.unwrap().size, 4096);
    let note = std::fs::read_to_string(&checkpoint).unwrap();
    let mut open = pool.begin().await.unwrap();
    Audit::new(Postgres).record(&mut open, &record()).await.unwrap();
    let (programs, name): (String, String) =
        sqlx::query_as("SELECT setting, current_database()::text FROM pg_config WHERE name = 'BINDIR'")
            .fetch_one(pool)
            .await
            .unwrap();
    let run = |program: &str, url: &str, option: &str| {
        let mut command = Command::new(Path::new(&programs).join(program));
        command.args(["--no-psqlrc", "--set=ON_ERROR_STOP=1", "--quiet"].iter().filter(|_| program == "psql"));
        let output = command.arg(option).arg(&dump).arg(url).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run("pg_dump", &old.url(&name), "--file");
    drop(open);
    let url = new.url("postgres");
    run("psql", &url, "--file");

    let pool = &PgPool::connect(&url).await.unwrap();
    write(Postgres, pool, 3).await;
    let mut sealing = sealer(pool);
    while sealing.seal_once().await.unwrap().size < 5003 {}
    use_up_numbers(pool, 5000).await;
    write(Postgres, pool, 4).await;
    while sealing.seal_once().await.unwrap().leaves > 0 {}

    let report = verify(Postgres, pool).await;
    assert_eq!((report.verdict, report.head.size, report.unsealed), (Verdict::Intact, 5007, 0));
    let mut tx = pool.begin_snapshot().await.unwrap();
    let before = Anchor::open(signer().verifier(), &note).unwrap();
    let report = Log::new(Postgres).verify(&mut tx, Some(&before)).await.unwrap();
    assert_eq!((report.verdict, report.head.size), (Verdict::Intact, 5007));
    let proof = Log::new(Postgres).consistency_proof(&mut tx, 4096, 5007).await.unwrap();
    verify_consistency(&before.checkpoint().head, &report.head, &proof).unwrap();
    let (records, leaves, pairs): (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM audit_record), (SELECT count(DISTINCT record_id) FROM audit_leaf),
             (SELECT count(*) FROM audit_record JOIN audit_leaf ON record_id = id)",
    )
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    assert_eq!((records, leaves, pairs), (5007, 5007, 5007));
    drop(tx);
    // What keeps rows as they are came along.
    let mut conn = pool.acquire().await.unwrap();
    sqlx::query("SET session_replication_role = replica").execute(&mut *conn).await.unwrap();
    for statement in
        ["UPDATE audit_record_default SET actor_id = 'eve'", "DELETE FROM audit_leaf", "TRUNCATE audit_record"]
    {
        assert!(sqlx::query(statement).execute(&mut *conn).await.is_err(), "{statement}");
    }
}

async fn use_up_numbers(pool: &PgPool, transactions: usize) {
    let mut conn = pool.acquire().await.unwrap();
    for _ in 0..transactions {
        sqlx::query("SELECT pg_current_xact_id()").execute(&mut *conn).await.unwrap();
    }
}

/// A month that was never sealed and is restored before anything is.
#[tokio::test(flavor = "multi_thread")]
async fn a_dump_without_a_log_is_sealed_from_its_first_record() {
    let database = testkit::postgres(&[&MIGRATOR]).await;
    let pool = database.pool();
    write(Postgres, pool, 5000).await;
    sqlx::query("ALTER TABLE audit_record_default DISABLE TRIGGER ALL").execute(pool).await.unwrap();
    sqlx::query("UPDATE audit_record SET xid = xid + 1000000000").execute(pool).await.unwrap();
    write(Postgres, pool, 1).await;
    seal(Postgres, pool, 5001).await;
    let report = verify(Postgres, pool).await;
    assert_eq!((report.verdict, report.head.size, report.unsealed), (Verdict::Intact, 5001, 0));
}

/// What retention removed is no tampering, and is counted.
#[tokio::test(flavor = "multi_thread")]
async fn a_pruned_month_is_told_from_a_deleted_record_on_postgres() {
    let database = testkit::postgres(&[&MIGRATOR]).await;
    let pool = database.pool();
    let mut conn = pool.acquire().await.unwrap();
    let id = |month: u64| -> RecordId {
        // The first millisecond of January and of February 2026, as a record id has it.
        let millis = [1_767_225_600_000_u64, 1_769_904_000_000][usize::try_from(month).unwrap()];
        uuid::Uuid::from_u64_pair(millis << 16 | 0x7000, 1 << 63 | month).try_into().unwrap()
    };
    for month in [0, 1] {
        create_partition(&mut conn, id(month).at()).await.unwrap();
        let record = record();
        Postgres.append(&mut conn, &NewRecord::new(id(month), &record).unwrap()).await.unwrap();
    }
    write(Postgres, pool, 1).await;
    seal(Postgres, pool, 3).await;
    assert_eq!(drop_partitions_before(&mut conn, id(1).at()).await.unwrap().len(), 1);
    let report = verify(Postgres, pool).await;
    assert_eq!((report.verdict, report.pruned, report.head.size), (Verdict::Intact, 1, 3));
    sqlx::query("DROP TABLE audit_record_202602").execute(&mut *conn).await.unwrap();
    assert_eq!(verify(Postgres, pool).await.verdict, Verdict::Missing { record: *id(1).as_uuid() });
}

/// A month goes as long as there is no log at all. Once there is one, none goes that holds a record without a leaf, nor does any other
/// that was asked for with it, and the caller's transaction stays usable.
#[tokio::test(flavor = "multi_thread")]
async fn no_month_is_dropped_that_is_not_sealed() {
    let database = testkit::postgres(&[&MIGRATOR]).await;
    let pool = database.pool();
    let mut tx = pool.begin().await.unwrap();
    let month = |number: u32| -> DateTime<Utc> { format!("2026-0{number}-01T00:00:00Z").parse().unwrap() };
    for number in [1, 2, 3] {
        create_partition(&mut tx, month(number)).await.unwrap();
        append_at(&mut tx, month(number)).await;
    }
    assert_eq!(drop_partitions_before(&mut tx, month(2)).await.unwrap().len(), 1);
    tx.commit().await.unwrap();
    seal(Postgres, pool, 2).await;

    let mut tx = pool.begin().await.unwrap();
    append_at(&mut tx, month(3)).await;
    append_at(&mut tx, month(3)).await;
    let refused = drop_partitions_before(&mut tx, month(4)).await;
    assert!(matches!(refused, Err(Error::Unsealed { records: 2 })), "{refused:?}");
    let (records, spans): (i64, i64) =
        sqlx::query_as("SELECT (SELECT count(*) FROM audit_record), (SELECT count(*) FROM audit_pruned)")
            .fetch_one(&mut *tx)
            .await
            .unwrap();
    assert_eq!((records, spans), (4, 1));
    assert_eq!(drop_partitions_before(&mut tx, month(3)).await.unwrap().len(), 1);
    tx.commit().await.unwrap();

    seal(Postgres, pool, 4).await;
    let mut conn = pool.acquire().await.unwrap();
    assert_eq!(drop_partitions_before(&mut conn, month(4)).await.unwrap()[0].records, 3);
    let report = verify(Postgres, pool).await;
    assert_eq!((report.verdict, report.pruned, report.head.size), (Verdict::Intact, 4, 4));
}

async fn append_at(conn: &mut sqlx::PgConnection, moment: DateTime<Utc>) {
    let millis = moment.timestamp_millis().unsigned_abs();
    let id = uuid::Uuid::from_u64_pair(millis << 16 | 0x7000, 1 << 63 | u64::from(uuid::Uuid::new_v4().as_fields().0));
    let record = record();
    Postgres.append(conn, &NewRecord::new(id.try_into().unwrap(), &record).unwrap()).await.unwrap();
}

/// The same, where rows go and not partitions: neither a row goes, nor is it written down that it may.
#[tokio::test(flavor = "multi_thread")]
async fn no_record_is_pruned_that_is_not_sealed() {
    let database = testkit::sqlite(&[&sqlite::MIGRATOR]).await;
    let pool = database.pool();
    let mut conn = pool.acquire().await.unwrap();
    let receipts = Audit::new(Sqlite).record_many(&mut conn, &vec![record(); 5]).await.unwrap();
    assert_eq!(sqlite::prune_before(&mut conn, receipts[1].id().at(), 10).await.unwrap(), 1);
    seal(Sqlite, pool, 4).await;
    let later = Audit::new(Sqlite).record_many(&mut conn, &vec![record(); 2]).await.unwrap();
    let refused = sqlite::prune_before(&mut conn, later[1].id().at(), 10).await;
    assert!(matches!(refused, Err(Error::Unsealed { records: 1 })), "{refused:?}");
    let (records, spans): (i64, i64) =
        sqlx::query_as("SELECT (SELECT count(*) FROM audit_record), (SELECT count(*) FROM audit_pruned)")
            .fetch_one(&mut *conn)
            .await
            .unwrap();
    assert_eq!((records, spans), (6, 1));
    seal(Sqlite, pool, 6).await;
    assert_eq!(sqlite::prune_before(&mut conn, later[1].id().at(), 10).await.unwrap(), 5);
    let report = verify(Sqlite, pool).await;
    assert_eq!((report.verdict, report.pruned, report.head.size), (Verdict::Intact, 5, 6));
}

/// Where rows go and not partitions.
#[tokio::test(flavor = "multi_thread")]
async fn a_pruned_record_is_told_from_a_deleted_one_on_sqlite() {
    let database = testkit::sqlite(&[&sqlite::MIGRATOR]).await;
    let pool = database.pool();
    let mut conn = pool.acquire().await.unwrap();
    let receipts = Audit::new(Sqlite).record_many(&mut conn, &vec![record(); 4]).await.unwrap();
    seal(Sqlite, pool, 4).await;
    assert_eq!(sqlite::prune_before(&mut conn, receipts[2].id().at(), 10).await.unwrap(), 2);
    let report = verify(Sqlite, pool).await;
    assert_eq!((report.verdict, report.pruned, report.head.size), (Verdict::Intact, 2, 4));
    sqlx::query("DROP TRIGGER audit_record_no_delete").execute(&mut *conn).await.unwrap();
    sqlx::query("DELETE FROM audit_record WHERE seq = 3").execute(&mut *conn).await.unwrap();
    let missing = Verdict::Missing { record: *receipts[2].id().as_uuid() };
    assert_eq!(verify(Sqlite, pool).await.verdict, missing);
}

/// 64 writers while a sealer seals: 10,000 records each where `STOA_TEST_FULL` asks for it.
#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_writers_leave_no_gap() {
    let each: u64 = if std::env::var_os("STOA_TEST_FULL").is_some() { 10_000 } else { 100 };
    let database = testkit::postgres(&[&MIGRATOR]).await;
    let pool = database.pool();
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let pool = pool.clone();
        writers.spawn(async move {
            for _ in 0..each / 50 {
                write(Postgres, &pool, 50).await;
            }
        });
    }
    let size = 64 * each;
    tokio::join!(writers.join_all(), seal(Postgres, pool, size));
    let mut conn = pool.acquire().await.unwrap();
    let (mut next, page) = (0, 10_000);
    while next < size {
        let leaves = Postgres.compare(&mut conn, next, page).await.unwrap();
        assert!(leaves.iter().all(|leaf| leaf.state == RecordState::Intact));
        assert!(leaves.iter().map(|leaf| leaf.index).eq(next..next + leaves.len() as u64));
        next += leaves.len() as u64;
    }
    assert_eq!(verify(Postgres, pool).await.verdict, Verdict::Intact);
}

/// A sealer reads from the file what it published, and does not go on from less.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_its_end_is_not_sealed_on() {
    let database = testkit::sqlite(&[&sqlite::MIGRATOR]).await;
    let pool = database.pool();
    let file = tempfile::tempdir().unwrap();
    let sealer = || Sealer::new(Sqlite, pool.clone(), signer(), FileSink::new(file.path().join("checkpoint")));
    for size in [2, 4] {
        write(Sqlite, pool, 2).await;
        assert_eq!(sealer().seal_once().await.unwrap().size, size);
    }
    for statement in [
        "DROP TRIGGER audit_leaf_no_delete",
        "DROP TRIGGER audit_checkpoint_no_delete",
        "DELETE FROM audit_leaf WHERE leaf_index > 1",
        "DELETE FROM audit_checkpoint WHERE tree_size > 2",
    ] {
        sqlx::query(statement).execute(pool).await.unwrap();
    }
    assert!(matches!(sealer().seal_once().await, Err(Error::Diverged)));
}
