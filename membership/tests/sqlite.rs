//! The laws on SQLite.

use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use stoa_membership::sqlite::MIGRATOR;
use stoa_membership::{By, Error, Membership, Scope, Sqlite, UserId, conformance};

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

/// A bare verb commits by itself, and the commit can fail although the statement has answered.
#[tokio::test]
async fn a_commit_that_fails_on_a_bare_connection_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    // With a rollback journal, a reader keeps a writer from committing.
    let options = SqliteConnectOptions::new()
        .filename(directory.path().join("rollback.sqlite"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Delete)
        .busy_timeout(Duration::ZERO);
    let pool = SqlitePoolOptions::new().max_connections(2).connect_with(options).await.unwrap();
    MIGRATOR.run(&pool).await.unwrap();
    let (membership, ada) = (Membership::new(Sqlite), UserId::new("ada").unwrap());
    let chess = Scope::group("chess").unwrap();

    let mut reader = pool.begin().await.unwrap();
    assert!(!membership.is_member(&mut reader, &ada, &chess).await.unwrap());
    let mut conn = pool.acquire().await.unwrap();
    let error = membership.join(&mut conn, &ada, &chess, &By::user(&ada)).await.unwrap_err();
    assert!(matches!(error, Error::Backend(_)) && error.is_retryable(), "{error:?}");
    reader.rollback().await.unwrap();
    assert!(!membership.is_member(&mut conn, &ada, &chess).await.unwrap());
    assert!(membership.join(&mut conn, &ada, &chess, &By::user(&ada)).await.unwrap().is_created());
}

#[tokio::test]
async fn a_row_that_breaks_the_rules_is_corrupt_and_no_member() {
    let harness = Harness::new().await;
    let (membership, ada) = (Membership::new(Sqlite), UserId::new("ada").unwrap());
    let chess = Scope::group("chess").unwrap();
    let mut conn = harness.0.pool().acquire().await.unwrap();
    membership.join(&mut conn, &ada, &chess, &By::user(&ada)).await.unwrap();
    sqlx::raw_sql("PRAGMA ignore_check_constraints = ON; UPDATE memberships_membership SET state = 'member'")
        .execute(&mut *conn)
        .await
        .unwrap();
    assert!(matches!(membership.is_member(&mut conn, &ada, &chess).await, Err(Error::Corrupt { what: "state" })));
}
