//! Who writes and then searches finds what was written, whoever else writes, and whatever is compacted meanwhile: 10,000 pairs on eight
//! connections, ten times as many with `STOA_TEST_FULL=1`.

use std::sync::Arc;
use std::time::Duration;

use stoa_search::{Audience, Document, EntityId, Postgres, Query, Search, Source, Sqlite, Store, Surface, Tag};
use tokio::sync::Notify;

const WRITERS: usize = 8;

fn pairs() -> usize {
    if std::env::var_os("STOA_TEST_FULL").is_some_and(|value| value == "1") { 100_000 } else { 10_000 }
}

fn tag(name: &str) -> Tag {
    Tag::new(name).unwrap()
}

/// What the writer knows of one of its documents.
#[derive(Clone, Default)]
struct Known {
    /// The word that only its present text holds; none if it is gone.
    word: Option<String>,
    /// One that it held before.
    before: Option<String>,
    is_hidden: bool,
}

/// Changes documents of its own one after the other, and after each commit asks on another connection for what is new and what is old.
async fn write_and_search<S: Store, P: Source<Connection = S::Connection>>(
    search: Search<S>,
    source: P,
    writer: usize,
    is_time: Arc<Notify>,
) {
    let crew = Audience::tags([tag("crew")]);
    let mut documents = vec![Known::default(); 40];
    for n in 0..pairs() / WRITERS {
        let at = n * 7 % documents.len();
        let (known, id) = (&mut documents[at], EntityId::new(format!("{writer} {at}")).unwrap());
        let mut tx = source.begin().await.unwrap();
        match (n % 5, &known.word) {
            (3, Some(_)) => {
                assert!(search.remove(&mut tx, &Surface::FEED, &id).await.unwrap());
                *known = Known { word: None, before: known.word.take(), is_hidden: false };
            }
            (4, Some(_)) => {
                known.is_hidden = !known.is_hidden;
                let tags = [tag(if known.is_hidden { "guests" } else { "crew" })];
                assert!(search.set_audience(&mut tx, &Surface::FEED, &id, tags).await.unwrap());
            }
            _ => {
                let word = format!("w{writer}n{n}");
                let document = Document::new(Surface::FEED, id.clone()).title("boat").body(format!("{word} and more"));
                search.upsert(&mut tx, &document.audience([tag("crew")])).await.unwrap();
                *known = Known { before: known.word.replace(word.clone()), word: Some(word), is_hidden: false };
            }
        }
        source.commit(tx).await.unwrap();
        if n % 100 == 0 {
            is_time.notify_one();
        }
        let mut conn = source.acquire().await.unwrap();
        for (word, is_found) in [(&known.word, !known.is_hidden), (&known.before, false)] {
            let Some(word) = word else { continue };
            let found = search.search(&mut conn, &Query::text(word).typos(false), &crew).await.unwrap();
            let ids: Vec<&str> = found.hits.iter().map(|hit| hit.entity_id.as_str()).collect();
            assert_eq!(ids, if is_found { vec![id.as_str()] } else { vec![] }, "{word} at {n}");
        }
    }
}

async fn all<S, P>(store: fn() -> S, source: P)
where
    S: Store,
    P: Source<Connection = S::Connection>,
{
    let is_time = Arc::new(Notify::new());
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let search = Search::new(store()).with_cache(if writer % 2 == 0 { 1 << 20 } else { 0 });
            tokio::spawn(write_and_search(search, source.clone(), writer, is_time.clone()))
        })
        .collect();
    let compactor = tokio::spawn(async move {
        loop {
            is_time.notified().await;
            Search::new(store()).compact(&source, Duration::from_millis(50)).await.unwrap();
        }
    });
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(!compactor.is_finished(), "a compaction failed");
    compactor.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_is_missed_on_postgres() {
    let database = testkit::postgres(&[&stoa_search::postgres::MIGRATOR]).await;
    all(|| Postgres, database.pool().clone()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_is_missed_on_sqlite() {
    let database = testkit::sqlite(&[&stoa_search::sqlite::MIGRATOR]).await;
    all(|| Sqlite, database.pool().clone()).await;
}
