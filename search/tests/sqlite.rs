//! The laws on SQLite.

use sqlx::{Connection, SqliteConnection};
use stoa_search::sqlite::MIGRATOR;
use stoa_search::{Audience, Document, EntityId, Error, Query, Search, Sqlite, Surface, conformance};

struct Harness(testkit::Sqlite);

impl Harness {
    async fn new() -> Self {
        Self(testkit::sqlite(&[&MIGRATOR]).await)
    }
}

impl conformance::Harness for Harness {
    type Store = Sqlite;
    type Source = sqlx::SqlitePool;

    const CONCURRENT_WRITERS: bool = false;

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

/// A row that this crate did not write is reported, and not as the caller's fault.
#[tokio::test]
async fn a_row_that_breaks_the_rules_is_corrupt() {
    let Harness(database) = Harness::new().await;
    let search = Search::new(Sqlite);
    let mut conn = database.pool().acquire().await.unwrap();
    let post = Document::new(Surface::FEED, EntityId::new("1").unwrap()).body("boat");
    search.upsert(&mut conn, &post).await.unwrap();
    for (statement, part) in [
        ("UPDATE search_document SET surface = ''", "surface"),
        ("UPDATE search_document SET entity_id = 'a' || char(10)", "entity id"),
        ("UPDATE search_document SET audience_tags = '[\"\"]'", "audience tags"),
        ("UPDATE search_document SET audience_tags = 'crew'", "audience tags"),
        ("UPDATE search_document SET recency_at = 9223372036854775807", "recency"),
        ("UPDATE search_dirty SET terms = x'01'", "terms"),
    ] {
        let mut tx = conn.begin().await.unwrap();
        sqlx::query(statement).execute(&mut *tx).await.unwrap();
        let error = search.search(&mut tx, &Query::text("boat"), &Audience::everything()).await.unwrap_err();
        assert!(matches!(error, Error::Corrupt { what } if what == part), "{statement}: {error:?}");
        assert!(!error.is_retryable());
    }
}

/// While releases change over, this one meets rows of the next, in a language and with an analyzer it does not know.
#[tokio::test]
async fn a_document_of_a_newer_release_fails_no_search() {
    let Harness(database) = Harness::new().await;
    let search = Search::new(Sqlite);
    let mut conn = database.pool().acquire().await.unwrap();
    let post = |id: &str| Document::new(Surface::FEED, EntityId::new(id).unwrap()).body("boat");
    search.upsert(&mut conn, &post("1")).await.unwrap();
    for statement in [
        "UPDATE search_document SET language = 'xx'",
        "UPDATE search_dirty SET terms = unhex('01C8C8' || substr(hex(terms), 7))",
    ] {
        sqlx::query(statement).execute(&mut *conn).await.unwrap();
    }
    search.upsert(&mut conn, &post("2")).await.unwrap();
    let results = search.search(&mut conn, &Query::text("boat"), &Audience::everything()).await.unwrap();
    assert_eq!((results.total, results.hits.len()), (2, 2));
    assert!(results.hits.iter().all(|hit| hit.snippet.html() == "<mark>boat</mark>"));
}
