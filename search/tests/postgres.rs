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

    const CONCURRENT_WRITERS: bool = true;

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
        "UPDATE search_dirty SET terms = set_byte(set_byte(terms, 1, 200), 2, 200), language = 200",
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

fn boat(id: &str) -> Document {
    Document::new(Surface::FEED, EntityId::new(id).unwrap()).title("boat").body(format!("boat w{id}"))
}

/// Wherever a compactor dies, it changed nothing, and the next one does its work.
#[tokio::test]
async fn a_compactor_that_dies_half_way_changes_nothing() {
    let Harness(database) = Harness::new().await;
    let search = Search::new(Postgres);
    let mut conn = database.pool().acquire().await.unwrap();
    for id in 0..20 {
        search.upsert(&mut conn, &boat(&id.to_string())).await.unwrap();
    }
    let everything = Audience::everything();
    let expected = format!("{:?}", search.search(&mut conn, &Query::text("boat"), &everything).await.unwrap().hits);
    // It is dropped at every point where it waits for the database.
    let mut polls = 0;
    loop {
        let pool = database.pool().clone();
        let mut compaction = Box::pin(search.compact(&pool, std::time::Duration::MAX));
        let mut left = polls;
        let done = std::future::poll_fn(|context| match compaction.as_mut().poll(context) {
            std::task::Poll::Ready(done) => std::task::Poll::Ready(Some(done)),
            std::task::Poll::Pending if left == 0 => std::task::Poll::Ready(None),
            std::task::Poll::Pending => {
                left -= 1;
                std::task::Poll::Pending
            }
        })
        .await;
        drop(compaction);
        let found = search.search(&mut conn, &Query::text("boat"), &everything).await.unwrap();
        assert_eq!(format!("{:?}", found.hits), expected, "{polls}");
        // One that was dropped may still be on its way out, and counts as another compactor until then.
        if done.is_some_and(|done| done.unwrap().is_complete) {
            break;
        }
        polls += 1;
    }
    assert!(polls > 5, "{polls}");
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM search_dirty").fetch_one(&mut *conn).await.unwrap();
    assert_eq!(left, 0);
}

/// At REPEATABLE READ others may have compacted since: a writer leaves it to them and is not failed by it.
#[tokio::test]
async fn a_writer_with_an_old_snapshot_does_not_compact() {
    let Harness(database) = Harness::new().await;
    let search = Search::new(Postgres);
    let mut tx = database.pool().begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    let found = search.search(&mut tx, &Query::text("boat"), &Audience::everything()).await.unwrap();
    assert_eq!(found.total, 0);
    let mut conn = database.pool().acquire().await.unwrap();
    search.upsert(&mut conn, &boat("other")).await.unwrap();
    search.compact(database.pool(), std::time::Duration::MAX).await.unwrap();
    for id in 0..1300 {
        search.upsert(&mut tx, &boat(&id.to_string())).await.unwrap();
    }
    assert!(!search.compact_step(&mut tx, 10).await.unwrap());
    let found = search.search(&mut tx, &Query::text("boat"), &Audience::everything()).await.unwrap();
    assert_eq!(found.total, 1300);
    tx.commit().await.unwrap();
    let found = search.search(&mut conn, &Query::text("boat"), &Audience::everything()).await.unwrap();
    assert_eq!(found.total, 1301);
}

/// Damage is reported, and not as the caller's fault.
#[tokio::test]
async fn a_damaged_segment_is_corrupt() {
    let Harness(database) = Harness::new().await;
    let search = Search::new(Postgres);
    let mut conn = database.pool().acquire().await.unwrap();
    search.upsert(&mut conn, &boat("1")).await.unwrap();
    search.compact(database.pool(), std::time::Duration::MAX).await.unwrap();
    for statement in [
        "UPDATE search_segment SET head = '\\x01ff'",
        "UPDATE search_segment SET dead = '\\xff'",
        "UPDATE search_page SET block = '\\x0002'",
    ] {
        let mut tx = conn.begin().await.unwrap();
        sqlx::query(statement).execute(&mut *tx).await.unwrap();
        let error = search.search(&mut tx, &Query::text("boat"), &Audience::everything()).await.unwrap_err();
        assert!(matches!(error, Error::Corrupt { what: "segment" }), "{statement}: {error:?}");
    }
}

#[tokio::test]
async fn a_transaction_given_up_while_it_begins_leaves_none() {
    let database = testkit::postgres(&[]).await;
    database.give_up_beginning(|pool| async move { Source::begin(&pool).await.unwrap() }).await;
    database.give_up_beginning(|pool| async move { Source::begin_snapshot(&pool).await.unwrap() }).await;
}
