//! The laws on PostgreSQL.

use sqlx::{Connection, PgConnection};
use stoa_search::postgres::MIGRATOR;
use stoa_search::{Audience, Document, EntityId, Error, Postgres, Query, Search, Source, Surface, conformance};

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

/// A row that this crate did not write is reported, and not as the caller's fault.
#[tokio::test]
async fn a_row_that_breaks_the_rules_is_corrupt() {
    let Harness(database) = Harness::new().await;
    let search = Search::new(Postgres);
    let mut conn = database.pool().acquire().await.unwrap();
    let post = Document::new(Surface::FEED, EntityId::new("1").unwrap()).body("boat");
    search.upsert(&mut conn, &post).await.unwrap();
    for (statement, part) in [
        ("UPDATE search_document SET surface = ''", "surface"),
        ("UPDATE search_document SET entity_id = 'a' || chr(10)", "entity id"),
        ("UPDATE search_document SET audience_tags = '{\"\"}'", "audience tags"),
        ("UPDATE search_dirty SET terms = '\\x01'", "terms"),
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
    let search = Search::new(Postgres);
    let mut conn = database.pool().acquire().await.unwrap();
    let post = |id: &str| Document::new(Surface::FEED, EntityId::new(id).unwrap()).body("boat");
    search.upsert(&mut conn, &post("1")).await.unwrap();
    for statement in [
        "UPDATE search_document SET language = 'xx'",
        "UPDATE search_dirty SET terms = set_byte(set_byte(terms, 1, 200), 2, 200)",
    ] {
        sqlx::query(statement).execute(&mut *conn).await.unwrap();
    }
    search.upsert(&mut conn, &post("2")).await.unwrap();
    let results = search.search(&mut conn, &Query::text("boat"), &Audience::everything()).await.unwrap();
    assert_eq!((results.total, results.hits.len()), (2, 2));
    assert!(results.hits.iter().all(|hit| hit.snippet.html() == "<mark>boat</mark>"));
}

/// Whatever the default of the database: at REPEATABLE READ the second of two writers of a document would fail.
#[tokio::test]
async fn a_transaction_that_writes_is_read_committed() {
    let Harness(database) = Harness::new().await;
    let mut options = (*database.pool().connect_options()).clone();
    options = options.options([("default_transaction_isolation", "repeatable read")]);
    let pool = sqlx::PgPool::connect_with(options).await.unwrap();
    let mut tx = Source::begin(&pool).await.unwrap();
    let level: String = sqlx::query_scalar("SHOW transaction_isolation").fetch_one(&mut *tx).await.unwrap();
    assert_eq!(level, "read committed");
    drop(tx);
    pool.close().await;
}
