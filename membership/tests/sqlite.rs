//! The laws on SQLite.

use stoa_membership::sqlite::MIGRATOR;
use stoa_membership::{Sqlite, conformance};

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

stoa_membership::conformance!(Harness::new().await);
