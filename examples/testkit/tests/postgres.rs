//! A test's PostgreSQL database: fresh, migrated, its own, and gone afterwards.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use std::sync::LazyLock;

static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let sql = "CREATE TABLE thing (id bigint PRIMARY KEY)";
    Migrator::with_migrations(vec![Migration::new(
        1,
        "initial".into(),
        MigrationType::Simple,
        sql.into_sql_str(),
        false,
    )])
});

#[tokio::test]
async fn each_call_gives_a_migrated_database_of_its_own() {
    let first = testkit::postgres(&[&MIGRATOR]).await;
    let second = testkit::postgres(&[&MIGRATOR]).await;
    sqlx::query("INSERT INTO thing (id) VALUES (1)").execute(first.pool()).await.unwrap();
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM thing").fetch_one(second.pool()).await.unwrap();
    assert_eq!(count, 0);
}
