//! The laws on PostgreSQL.

use stoa_search::postgres::MIGRATOR;
use stoa_search::{Postgres, conformance};

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

stoa_search::conformance!(Harness::new().await);
