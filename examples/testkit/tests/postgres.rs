//! A test's PostgreSQL database is fresh, migrated, its own, and gone afterwards.

use std::sync::LazyLock;

use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| migrator("CREATE TABLE thing (id bigint PRIMARY KEY)"));

fn migrator(sql: &'static str) -> Migrator {
    let sql = SqlStr::from_static(sql);
    Migrator::with_migrations(vec![Migration::new(1, "initial".into(), MigrationType::Simple, sql, false)])
}

#[tokio::test]
async fn each_call_gives_a_database_of_its_own() {
    let first = testkit::postgres(&[&MIGRATOR]).await;
    let second = testkit::postgres(&[&MIGRATOR]).await;
    sqlx::query("INSERT INTO thing (id) VALUES (1)").execute(first.pool()).await.unwrap();
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM thing").fetch_one(second.pool()).await.unwrap();
    assert_eq!(count, 0);
    assert_ne!(first.url(), second.url());
}

#[tokio::test]
async fn other_migrations_give_another_template() {
    let nothing = testkit::postgres(&[]).await;
    let mut other = migrator("CREATE TABLE other (id bigint PRIMARY KEY)");
    other.dangerous_set_table_name("_other_migrations");
    let both = testkit::postgres(&[&MIGRATOR, &other]).await;
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(sqlx::query_scalar::<_, i64>(tables).fetch_one(nothing.pool()).await.unwrap(), 0);
    assert_eq!(sqlx::query_scalar::<_, i64>(tables).fetch_one(both.pool()).await.unwrap(), 4);
}

#[tokio::test]
async fn a_database_is_dropped_with_its_value_whoever_is_connected() {
    let witness = testkit::postgres(&[]).await;
    let database = testkit::postgres(&[&MIGRATOR]).await;
    let name: String = sqlx::query_scalar("SELECT current_database()").fetch_one(database.pool()).await.unwrap();
    let _open = database.pool().begin().await.unwrap();
    drop(database);
    let exists = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)";
    let exists: bool = sqlx::query_scalar(exists).bind(name).fetch_one(witness.pool()).await.unwrap();
    assert!(!exists);
}
