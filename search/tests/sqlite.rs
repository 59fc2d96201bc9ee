//! The laws on SQLite.

use sqlx::SqliteConnection;
use stoa_search::sqlite::MIGRATOR;
use stoa_search::{Audience, Document, EntityId, Query, Search, Sqlite, Surface, conformance};

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

    async fn savepoint(&self, conn: &mut SqliteConnection) {
        sqlx::query("SAVEPOINT law").execute(conn).await.unwrap();
    }

    async fn rollback_to_savepoint(&self, conn: &mut SqliteConnection) {
        sqlx::query("ROLLBACK TO SAVEPOINT law").execute(conn).await.unwrap();
    }
}

stoa_search::conformance!(Harness::new().await);

#[tokio::test]
async fn a_batch_that_fails_half_way_leaves_nothing_of_itself() {
    let Harness(database) = Harness::new().await;
    sqlx::raw_sql(
        r#"
        CREATE TRIGGER refuse BEFORE INSERT ON search_document WHEN new.entity_id = 'bad'
        BEGIN
            SELECT RAISE(ABORT, 'refused');
        END
        "#,
    )
    .execute(database.pool())
    .await
    .unwrap();
    let search = Search::new(Sqlite);
    let post = |id: &str| Document::new(Surface::FEED, EntityId::new(id).unwrap()).body("boat");
    let found = Query::text("boat");

    let mut conn = database.pool().acquire().await.unwrap();
    assert!(search.upsert_many(&mut conn, &[post("1"), post("bad")]).await.is_err());
    assert_eq!(search.search(&mut conn, &found, &Audience::everything()).await.unwrap().total, 0);

    let mut tx = database.pool().begin_with("BEGIN IMMEDIATE").await.unwrap();
    search.upsert(&mut tx, &post("2")).await.unwrap();
    assert!(search.upsert_many(&mut tx, &[post("1"), post("bad")]).await.is_err());
    tx.commit().await.unwrap();
    assert_eq!(search.search(&mut conn, &found, &Audience::everything()).await.unwrap().total, 1);
}
