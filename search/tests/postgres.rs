//! The laws on PostgreSQL.

use sqlx::PgConnection;
use stoa_search::postgres::MIGRATOR;
use stoa_search::{Audience, Document, EntityId, Postgres, Query, Search, Surface, conformance};

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

    async fn savepoint(&self, conn: &mut PgConnection) {
        sqlx::query("SAVEPOINT law").execute(conn).await.unwrap();
    }

    async fn rollback_to_savepoint(&self, conn: &mut PgConnection) {
        sqlx::query("ROLLBACK TO SAVEPOINT law").execute(conn).await.unwrap();
    }
}

stoa_search::conformance!(Harness::new().await);

#[tokio::test]
async fn a_batch_that_fails_half_way_leaves_nothing_of_itself() {
    let Harness(database) = Harness::new().await;
    sqlx::raw_sql(
        r#"
        ALTER TABLE search_document ADD CONSTRAINT refuse CHECK (entity_id <> 'bad')
        "#,
    )
    .execute(database.pool())
    .await
    .unwrap();
    let search = Search::new(Postgres);
    let post = |id: &str| Document::new(Surface::FEED, EntityId::new(id).unwrap()).body("boat");

    let mut conn = database.pool().acquire().await.unwrap();
    assert!(search.upsert_many(&mut conn, &[post("1"), post("bad")]).await.is_err());
    assert_eq!(search.search(&mut conn, &Query::text("boat"), &Audience::everything()).await.unwrap().total, 0);
}
