//! The laws on PostgreSQL.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use stoa_jobs_runner::postgres::MIGRATOR;
use stoa_jobs_runner::{
    Context, Error, Failure, Finding, Handler, Holder, JobId, Jobs, Level, Postgres, Runner, Source, Store, conformance,
};

use crate::support::{self, Ask, Pair};

struct Harness(testkit::Postgres);

impl Harness {
    async fn new() -> Self {
        Self(testkit::postgres(&[&MIGRATOR]).await)
    }
}

impl conformance::Harness for Harness {
    type Store = Postgres;
    type Source = PgPool;

    fn store(&self) -> Postgres {
        Postgres
    }

    fn source(&self) -> PgPool {
        self.0.pool().clone()
    }
}

stoa_jobs_runner::conformance!(Harness::new().await);

impl Handler<PgPool> for Ask {
    async fn run(self, cx: &Context<PgPool>) -> Result<(), Failure> {
        let answer: i64 = sqlx::query_scalar("SELECT CAST(42 AS bigint)").fetch_one(cx.state()).await?;
        if answer == 42 { Ok(()) } else { Err(Failure::fatal("a wrong answer")) }
    }
}

#[tokio::test]
async fn a_worker_of_an_earlier_release_may_serve_any_queue() {
    let harness = Harness::new().await;
    let mut conn = harness.0.pool().acquire().await.unwrap();
    let beat =
        "INSERT INTO jobs_queue_worker (id, lease_until, started_at) VALUES (7, now() + interval '1 hour', now())";
    sqlx::raw_sql(beat).execute(&mut *conn).await.unwrap();
    support::is_not_unserved(&Postgres, &mut conn).await;
}

/// The pool has one connection, and the handlers get it.
#[tokio::test]
async fn no_connection_is_held_while_a_handler_runs() {
    let harness = Harness::new().await;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(5))
        .connect(harness.0.url())
        .await
        .unwrap();
    let jobs = Jobs::new(Postgres);
    for _ in 0..5 {
        let mut conn = pool.acquire().await.unwrap();
        jobs.enqueue(&mut conn, &Ask).await.unwrap();
    }
    let tally = Runner::new(jobs, pool.clone(), pool).handle::<Ask>().drain().await.unwrap();
    assert_eq!(tally.succeeded, 5, "{tally:?}");
}

/// Claims of two open transactions: neither waits, neither gets what the other has, and a rollback gives it back.
#[tokio::test]
async fn an_open_claim_is_skipped_and_not_waited_for() {
    let harness = Harness::new().await;
    let pool = harness.0.pool();
    let jobs = Jobs::new(Postgres);
    let mut conn = pool.acquire().await.unwrap();
    let first = jobs.enqueue(&mut conn, &Ask).await.unwrap();
    let second = jobs.enqueue(&mut conn, &Ask).await.unwrap();

    let (mut one, mut other) = (pool.begin().await.unwrap(), pool.begin().await.unwrap());
    assert_eq!(claim(&mut one, 1).await, [first]);
    let skipping = tokio::time::timeout(Duration::from_secs(10), claim(&mut other, 10)).await;
    assert_eq!(skipping.expect("the claim waited for a lock"), [second]);
    one.rollback().await.unwrap();
    other.commit().await.unwrap();
    assert_eq!(claim(&mut conn, 10).await, [first]);
}

async fn claim(conn: &mut PgConnection, limit: u32) -> Vec<JobId> {
    let claimed = support::claim(&Postgres, conn, limit, Duration::from_hours(1)).await;
    claimed.iter().map(|job| job.claim.id).collect()
}

/// A database whose default isolation is stricter: a job that was claimed since the transaction began is skipped all the same.
#[tokio::test]
async fn a_stricter_default_isolation_does_not_make_claims_fail() {
    let harness = Harness::new().await;
    let options: PgConnectOptions = harness.0.url().parse().unwrap();
    let pool =
        PgPool::connect_with(options.options([("default_transaction_isolation", "repeatable read")])).await.unwrap();
    let mut conn = pool.acquire().await.unwrap();
    let default: String = sqlx::query_scalar("SHOW transaction_isolation").fetch_one(&mut *conn).await.unwrap();
    assert_eq!(default, "repeatable read");
    let id = Jobs::new(Postgres).enqueue(&mut conn, &Ask).await.unwrap();

    let mut late = Source::begin(&pool).await.unwrap();
    assert!(Postgres.find(&mut late, id).await.unwrap().is_some());
    assert_eq!(claim(&mut conn, 1).await, [id]);
    assert_eq!(claim(&mut late, 1).await, []);
}

/// A statement that ends jobs and cannot keep them does nothing at all, although nobody rolls it back.
#[tokio::test]
async fn on_a_bare_connection_half_a_method_never_stays() {
    let harness = Harness::new().await;
    let mut conn = harness.0.pool().acquire().await.unwrap();
    let pair = Pair::claim(&Postgres, &mut conn).await;
    sqlx::raw_sql(
        r#"
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON jobs_queue_history FOR EACH ROW EXECUTE FUNCTION refuse();
        "#,
    )
    .execute(&mut *conn)
    .await
    .unwrap();
    pair.is_held_by_refusals(&Postgres, &mut conn).await;
    sqlx::raw_sql("DROP TRIGGER refuse ON jobs_queue_history").execute(&mut *conn).await.unwrap();
    pair.ends(&Postgres, &mut conn).await;
}

/// What nobody could have stored through this crate is the database's fault, not the caller's.
#[tokio::test]
async fn a_corrupt_row_is_no_invalid_input() {
    let harness = Harness::new().await;
    let mut conn = harness.0.pool().acquire().await.unwrap();
    let jobs = Jobs::new(Postgres);
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

/// An old snapshot is named with who holds it, and what somebody changed about the table.
#[tokio::test]
async fn the_doctor_finds_what_slows_a_queue_down() {
    let harness = Harness::new().await;
    let pool = harness.0.pool();
    let jobs = Jobs::new(Postgres);
    let mut conn = pool.acquire().await.unwrap();
    let names = |findings: Vec<Finding>| findings.iter().map(Finding::name).collect::<Vec<_>>();
    let before = names(jobs.doctor(&mut conn).await.unwrap());
    assert!(before.contains(&"rows") && before.contains(&"index") && !before.contains(&"overridden"), "{before:?}");

    let mut old = Source::begin_snapshot(pool).await.unwrap();
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *old).await.unwrap();
    sqlx::raw_sql("ALTER TABLE jobs_queue_job SET (fillfactor = 100, autovacuum_enabled = off)")
        .execute(&mut *conn)
        .await
        .unwrap();
    let findings = jobs.doctor(&mut conn).await.unwrap();
    let is_it = |finding: &Finding| matches!(finding, Finding::HeldHorizon { holder: Holder::Session { pid: held, .. }, held: Some(_), .. } if *held == pid);
    assert!(findings.iter().any(is_it), "{findings:?}");
    let table = "jobs_queue_job".to_owned();
    assert!(findings.contains(&Finding::Overridden { table: table.clone(), parameter: "fillfactor=44".to_owned() }));
    assert!(findings.contains(&Finding::VacuumOff { table: Some(table) }));
    assert_eq!(findings[0].level(), Level::Warning);
    old.rollback().await.unwrap();
}

/// Prepared and forgotten: no session shows it, and it holds the vacuum up for good.
#[tokio::test]
async fn the_doctor_names_a_prepared_transaction() {
    let harness = Harness::new().await;
    let mut conn = harness.0.pool().acquire().await.unwrap();
    let allowed: i32 = sqlx::query_scalar("SELECT current_setting('max_prepared_transactions')::int")
        .fetch_one(&mut *conn)
        .await
        .unwrap();
    if allowed == 0 {
        return; // a server of somebody else's
    }
    sqlx::raw_sql(
        r#"
        BEGIN;
        DELETE FROM jobs_queue_pause;
        SELECT pg_current_xact_id();
        PREPARE TRANSACTION 'stoa_jobs_forgotten';
        "#,
    )
    .execute(&mut *conn)
    .await
    .unwrap();
    let findings = Jobs::new(Postgres).doctor(&mut conn).await.unwrap();
    sqlx::raw_sql("ROLLBACK PREPARED 'stoa_jobs_forgotten'").execute(&mut *conn).await.unwrap();
    let is_it = |finding: &Finding| matches!(finding, Finding::HeldHorizon { holder: Holder::Prepared { gid }, .. } if gid == "stoa_jobs_forgotten");
    assert!(findings.iter().any(is_it), "{findings:?}");
}

#[tokio::test]
async fn a_transaction_given_up_while_it_begins_leaves_none() {
    let database = testkit::postgres(&[]).await;
    database.give_up_beginning(|pool| async move { Source::begin(&pool).await.unwrap() }).await;
    database.give_up_beginning(|pool| async move { Source::begin_snapshot(&pool).await.unwrap() }).await;
}
