//! The laws on PostgreSQL.

use stoa_jobs_runner::postgres::MIGRATOR;
use stoa_jobs_runner::{Postgres, conformance};

struct Harness(testkit::Postgres);

impl Harness {
    async fn new() -> Self {
        Self(testkit::postgres(&[&MIGRATOR]).await)
    }
}

impl conformance::Harness for Harness {
    type Store = Postgres;
    type Source = sqlx::PgPool;

    fn store(&self) -> Postgres {
        Postgres
    }

    fn source(&self) -> sqlx::PgPool {
        self.0.pool().clone()
    }
}

stoa_jobs_runner::conformance!(Harness::new().await);
