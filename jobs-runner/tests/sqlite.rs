//! The laws on SQLite.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqlitePool, SqlitePoolOptions};
use stoa_jobs_runner::sqlite::MIGRATOR;
use stoa_jobs_runner::{Context, Failure, Handler, Job, Jobs, Runner, Sqlite, conformance};

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

/// Asks the database something while it runs.
#[derive(Serialize, Deserialize)]
struct Ask;

impl Job for Ask {
    const KIND: &'static str = "ask";
}

impl Handler<SqlitePool> for Ask {
    async fn run(self, cx: &Context<SqlitePool>) -> Result<(), Failure> {
        let answer: i64 = sqlx::query_scalar("SELECT CAST(42 AS bigint)").fetch_one(cx.state()).await?;
        if answer == 42 { Ok(()) } else { Err(Failure::fatal("a wrong answer")) }
    }
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
