//! A test's SQLite database is fresh, migrated, its own, and gone afterwards.

use std::sync::LazyLock;

use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let sql = SqlStr::from_static("CREATE TABLE thing (id INTEGER PRIMARY KEY) STRICT");
    Migrator::with_migrations(vec![Migration::new(1, "initial".into(), MigrationType::Simple, sql, false)])
});

#[tokio::test]
async fn each_call_gives_a_file_of_its_own_which_goes_with_its_value() {
    let first = testkit::sqlite(&[&MIGRATOR]).await;
    let second = testkit::sqlite(&[&MIGRATOR]).await;
    sqlx::query("INSERT INTO thing (id) VALUES (1)").execute(first.pool()).await.unwrap();
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM thing").fetch_one(second.pool()).await.unwrap();
    assert_eq!(count, 0);
    assert_eq!(first.url(), format!("sqlite://{}", first.path().display()));
    let path = first.path().to_owned();
    assert!(path.exists());
    drop(first);
    assert!(!path.exists());
}

#[tokio::test]
async fn readers_see_the_last_commit_while_somebody_writes() {
    let database = testkit::sqlite(&[&MIGRATOR]).await;
    let mut tx = database.pool().begin_with("BEGIN IMMEDIATE").await.unwrap();
    sqlx::query("INSERT INTO thing (id) VALUES (1)").execute(&mut *tx).await.unwrap();
    let count = || sqlx::query_scalar::<_, i64>("SELECT count(*) FROM thing").fetch_one(database.pool());
    assert_eq!(count().await.unwrap(), 0);
    tx.commit().await.unwrap();
    assert_eq!(count().await.unwrap(), 1);
}

#[tokio::test]
async fn only_the_durable_database_is_flushed() {
    for (database, synchronous) in [(testkit::sqlite(&[]).await, 0), (testkit::sqlite_durable(&[]).await, 2)] {
        let pragma = "SELECT synchronous, foreign_keys, timeout FROM pragma_synchronous, pragma_foreign_keys, pragma_busy_timeout";
        let row: (i64, i64, i64) = sqlx::query_as(pragma).fetch_one(database.pool()).await.unwrap();
        assert_eq!(row, (synchronous, 1, 10_000));
    }
}
