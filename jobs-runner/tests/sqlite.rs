//! The laws on SQLite.

use std::time::Duration;

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions};
use stoa_jobs_runner::sqlite::MIGRATOR;
use stoa_jobs_runner::{Context, Error, Failure, Finding, Handler, Jobs, Runner, Sqlite, conformance};

use crate::support::{self, Ask, Pair};

struct Harness(testkit::Sqlite);

impl Harness {
    async fn new() -> Self {
        Self(testkit::sqlite(&[&MIGRATOR]).await)
    }
}

impl conformance::Harness for Harness {
    type Store = Sqlite;
    type Source = SqlitePool;

    fn store(&self) -> Sqlite {
        Sqlite
    }

    fn source(&self) -> SqlitePool {
        self.0.pool().clone()
    }
}

stoa_jobs_runner::conformance!(Harness::new().await);

impl Handler<SqlitePool> for Ask {
    async fn run(self, cx: &Context<SqlitePool>) -> Result<(), Failure> {
        let answer: i64 = sqlx::query_scalar("SELECT CAST(42 AS bigint)").fetch_one(cx.state()).await?;
        if answer == 42 { Ok(()) } else { Err(Failure::fatal("a wrong answer")) }
    }
}

#[tokio::test]
async fn a_worker_of_an_earlier_release_may_serve_any_queue() {
    let harness = Harness::new().await;
    let mut conn = harness.0.pool().acquire().await.unwrap();
    let beat = "INSERT INTO jobs_queue_worker (id, lease_until, started_at) VALUES (7, 4000000000000000, 0)";
    sqlx::raw_sql(beat).execute(&mut *conn).await.unwrap();
    support::is_not_unserved(&Sqlite, &mut conn).await;
}

/// The pool has one connection, and the handlers get it.
#[tokio::test]
async fn no_connection_is_held_while_a_handler_runs() {
    let harness = Harness::new().await;
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(5))
        .connect(harness.0.url())
        .await
        .unwrap();
    let jobs = Jobs::new(Sqlite);
    for _ in 0..5 {
        let mut conn = pool.acquire().await.unwrap();
        jobs.enqueue(&mut conn, &Ask).await.unwrap();
    }
    let tally = Runner::new(jobs, pool.clone(), pool).handle::<Ask>().drain().await.unwrap();
    assert_eq!(tally.succeeded, 5, "{tally:?}");
}

/// A statement that ends jobs and cannot keep them does nothing at all, although nobody rolls it back.
#[tokio::test]
async fn on_a_bare_connection_half_a_method_never_stays() {
    let harness = Harness::new().await;
    let mut conn = harness.0.pool().acquire().await.unwrap();
    let pair = Pair::claim(&Sqlite, &mut conn).await;
    sqlx::raw_sql(
        r#"
        CREATE TRIGGER refuse BEFORE INSERT ON jobs_queue_history
        BEGIN
            SELECT RAISE(ABORT, 'refused');
        END
        "#,
    )
    .execute(&mut *conn)
    .await
    .unwrap();
    pair.is_held_by_refusals(&Sqlite, &mut conn).await;
    sqlx::raw_sql("DROP TRIGGER refuse").execute(&mut *conn).await.unwrap();
    pair.ends(&Sqlite, &mut conn).await;
}

/// What nobody could have stored through this crate is the database's fault, not the caller's.
#[tokio::test]
async fn a_corrupt_row_is_no_invalid_input() {
    let harness = Harness::new().await;
    let mut conn = harness.0.pool().acquire().await.unwrap();
    let jobs = Jobs::new(Sqlite);
    let id = jobs.enqueue(&mut conn, &Ask).await.unwrap();
    for (what, sql) in [
        ("kind", "UPDATE jobs_queue_job SET kind = 'No Kind'"),
        ("queue", "UPDATE jobs_queue_job SET queue = 'No Queue'"),
    ] {
        sqlx::query(sql).execute(&mut *conn).await.unwrap();
        let found = jobs.find(&mut conn, id).await;
        assert!(matches!(found, Err(Error::Corrupt { what: at }) if at == what), "{found:?}");
    }
}

/// Without a write-ahead log a reader holds up the commit, and a bare enqueue commits after it has returned its row.
#[tokio::test]
async fn a_commit_that_fails_is_no_success() {
    let harness = Harness::new().await;
    harness.0.pool().close().await;
    let options: SqliteConnectOptions = harness.0.url().parse().unwrap();
    let options = options.journal_mode(SqliteJournalMode::Delete).busy_timeout(Duration::from_millis(10));
    let mut writer = SqliteConnection::connect_with(&options).await.unwrap();
    let mut reader = SqliteConnection::connect_with(&options).await.unwrap();
    let mut reading = reader.begin().await.unwrap();
    sqlx::query("SELECT id FROM jobs_queue_job").fetch_all(&mut *reading).await.unwrap();

    let jobs = Jobs::new(Sqlite);
    let refused = jobs.enqueue(&mut writer, &Ask).await;
    assert!(matches!(&refused, Err(error) if error.is_retryable()), "{refused:?}");
    reading.rollback().await.unwrap();
    let id = jobs.enqueue(&mut writer, &Ask).await.unwrap();
    assert!(jobs.find(&mut reader, id).await.unwrap().is_some());
}

/// How the file is written, and how much of it is log or empty.
#[tokio::test]
async fn the_doctor_measures_the_file() {
    let harness = Harness::new().await;
    let jobs = Jobs::new(Sqlite);
    let mut conn = harness.0.pool().acquire().await.unwrap();
    jobs.enqueue(&mut conn, &Ask).await.unwrap();
    let findings = jobs.doctor(&mut conn).await.unwrap();
    assert!(findings.contains(&Finding::JournalMode { mode: "wal".to_owned() }), "{findings:?}");
    let is_log = |finding: &Finding| matches!(finding, Finding::Wal { bytes } if *bytes > 0);
    assert!(findings.iter().any(is_log), "{findings:?}");
    let is_free = |finding: &Finding| matches!(finding, Finding::FreePages { pages, .. } if *pages > 0);
    assert!(findings.iter().any(is_free), "{findings:?}");
}
