//! The laws on SQLite.

use stoa_jobs_runner::sqlite::MIGRATOR;
use stoa_jobs_runner::{Sqlite, conformance};

struct Harness(testkit::Sqlite);

impl Harness {
    async fn new() -> Self {
        Self(testkit::sqlite(&[&MIGRATOR]).await)
    }
}

impl conformance::Harness for Harness {
    type Store = Sqlite;
    type Source = sqlx::SqlitePool;

    fn store(&self) -> Sqlite {
        Sqlite
    }

    fn source(&self) -> sqlx::SqlitePool {
        self.0.pool().clone()
    }
}

stoa_jobs_runner::conformance!(Harness::new().await);
