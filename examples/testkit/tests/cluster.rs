//! A cluster stops, crashes and comes back on the same port with the same data.

use std::sync::LazyLock;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Connection, PgConnection, SqlStr};
use testkit::{Cluster, Durability};

static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let sql = SqlStr::from_static("CREATE TABLE thing (id bigint PRIMARY KEY)");
    Migrator::with_migrations(vec![Migration::new(1, "initial".into(), MigrationType::Simple, sql, false)])
});

#[tokio::test]
async fn what_was_committed_survives_a_crash_and_what_was_not_does_not() {
    let cluster = Cluster::start(Durability::Fast);
    let database = cluster.database(&[&MIGRATOR]).await;
    sqlx::query("INSERT INTO thing (id) VALUES (1)").execute(database.pool()).await.unwrap();
    let mut tx = database.pool().begin().await.unwrap();
    sqlx::query("INSERT INTO thing (id) VALUES (2)").execute(&mut *tx).await.unwrap();

    cluster.kill();
    assert!(tx.commit().await.is_err());
    assert!(PgConnection::connect(database.url()).await.is_err());

    cluster.restart();
    let ids: Vec<i64> = sqlx::query_scalar("SELECT id FROM thing").fetch_all(database.pool()).await.unwrap();
    assert_eq!(ids, [1]);
}

#[tokio::test]
async fn a_stopped_cluster_starts_again_and_stopping_twice_is_stopping() {
    let cluster = Cluster::start(Durability::Fast);
    let database = cluster.database(&[&MIGRATOR]).await;
    cluster.stop();
    cluster.stop();
    assert!(PgConnection::connect(database.url()).await.is_err());
    cluster.restart();
    cluster.restart();
    let mut conn = PgConnection::connect(database.url()).await.unwrap();
    sqlx::query("INSERT INTO thing (id) VALUES (1)").execute(&mut conn).await.unwrap();
}

#[tokio::test]
async fn only_a_fast_cluster_forgoes_flushing() {
    for (durability, expected) in [(Durability::Fast, "off"), (Durability::Durable, "on")] {
        let cluster = Cluster::start(durability);
        let mut conn = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
        for query in ["SHOW fsync", "SHOW full_page_writes"] {
            let setting: String = sqlx::query_scalar(query).fetch_one(&mut conn).await.unwrap();
            assert_eq!(setting, expected, "{durability:?}: {query}");
        }
    }
}
