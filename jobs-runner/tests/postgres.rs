//! The laws on PostgreSQL.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use stoa_jobs_runner::postgres::MIGRATOR;
use stoa_jobs_runner::{
    ClaimRequest, Context, Failure, Handler, Job, JobId, Jobs, Kind, Postgres, Queue, Runner, Store, Token, conformance,
};

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

/// Asks the database something while it runs.
#[derive(Serialize, Deserialize)]
struct Ask;

impl Job for Ask {
    const KIND: &'static str = "ask";
}

impl Handler<PgPool> for Ask {
    async fn run(self, cx: &Context<PgPool>) -> Result<(), Failure> {
        let answer: i64 = sqlx::query_scalar("SELECT CAST(42 AS bigint)").fetch_one(cx.state()).await?;
        if answer == 42 { Ok(()) } else { Err(Failure::fatal("a wrong answer")) }
    }
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
    let request = ClaimRequest {
        queue: &Queue::from_static(Ask::QUEUE),
        kinds: &[Kind::from_static(Ask::KIND)],
        limit,
        lease: Duration::from_hours(1),
        token: Token::random(),
    };
    Postgres.claim(conn, &request).await.unwrap().iter().map(|job| job.claim.id).collect()
}
