//! What keeps an index in order shows in no answer.

use std::time::Duration;

use super::compaction::{UNLIMITED, answers, id};
use super::{Harness, crew, find, post, search, tag};
use crate::store::Indexed;
use crate::terms::Terms;
use crate::{Audience, Document, Query, Search, Source, Store, Surface};

/// Indexes documents as a release might have whose analyzer did not stem, and saw a word or two where this one sees none.
async fn index_as_before<S: Store>(store: &S, conn: &mut S::Connection, documents: &[Document]) {
    let mut documents: Vec<&Document> = documents.iter().collect();
    documents.sort_by_key(|document| (&document.surface, &document.entity_id));
    let older = |document: &&Document| {
        let body = format!("{} and one two", document.body);
        let (terms, _) = Terms::of(&document.title, &body, crate::Language::Other);
        let mut bytes = terms.dated(document.recency).as_bytes().to_vec();
        (bytes[1], bytes[2]) = (0, crate::Language::English.byte());
        Indexed { document: (*document).clone(), terms: Terms::from_bytes(bytes).unwrap() }
    };
    store.upsert(conn, &documents.iter().map(older).collect::<Vec<_>>()).await.unwrap();
}

fn races(range: std::ops::Range<u32>) -> Vec<Document> {
    range.map(|n| post(&n.to_string(), &format!("boat races {}", "and more ".repeat(n as usize % 7)))).collect()
}

async fn count<S: Store>(search: &Search<S>, conn: &mut S::Connection, text: &str) -> u64 {
    search.search(conn, &Query::text(text).typos(false), &crew()).await.unwrap().total
}

/// Some documents at a time, as long as there is time, whether they are in the log or in segments; meanwhile every document is found, and
/// in the end as if it had never been otherwise.
pub async fn what_an_older_release_indexed_is_indexed_anew<H: Harness>(harness: &H) {
    let (search, store, source) = (search(harness), harness.store(), harness.source());
    let mut conn = source.acquire().await.unwrap();
    for part in [races(0..120), races(120..260)] {
        index_as_before(&store, &mut conn, &part).await;
        drop(conn);
        search.compact(&source, UNLIMITED).await.unwrap();
        conn = source.acquire().await.unwrap();
    }
    search.upsert_many(&mut conn, &races(255..280)).await.unwrap();
    drop(conn);
    search.compact(&source, UNLIMITED).await.unwrap();
    let mut conn = source.acquire().await.unwrap();
    index_as_before(&store, &mut conn, &races(280..290)).await;
    search.set_audience(&mut conn, &Surface::FEED, &id("3"), [tag("crew"), tag("guests")]).await.unwrap();
    search.set_audience(&mut conn, &Surface::FEED, &id("4"), []).await.unwrap();
    search.remove(&mut conn, &Surface::FEED, &id("5")).await.unwrap();
    let stats = search.stats(&mut conn).await.unwrap();
    assert_eq!((stats.documents, stats.outdated), (289, 265));
    assert_eq!((count(&search, &mut conn, "boat").await, count(&search, &mut conn, "race").await), (288, 25));
    drop(conn);

    let mut told = Vec::new();
    let nothing = search.reindex(&source, Duration::ZERO, |progress| told.push(progress)).await.unwrap();
    assert_eq!((nothing.documents, nothing.is_complete, told.len()), (0, false, 1));
    assert_eq!((told[0].done, told[0].total), (0, 265));
    let mut calls = 0;
    let mut before = 25;
    loop {
        let step = if calls < 2 { Duration::from_nanos(1) } else { UNLIMITED };
        let done = search.reindex(&source, step, |progress| assert!(progress.done <= progress.total)).await.unwrap();
        calls += 1;
        let mut conn = source.acquire().await.unwrap();
        let found = count(&search, &mut conn, "race").await;
        assert_eq!(count(&search, &mut conn, "boat").await, 288);
        assert!(found > before, "{found} after {calls} calls");
        before = found;
        if done.is_complete {
            break;
        }
    }
    assert_eq!((calls, before), (3, 288));
    let mut conn = source.acquire().await.unwrap();
    let stats = search.stats(&mut conn).await.unwrap();
    assert_eq!((stats.documents, stats.outdated), (289, 0));
    answers(&search, &mut conn).await;
    // Nor do later changes and compactions find a count that is off.
    search.upsert_many(&mut conn, &races(0..20)).await.unwrap();
    search.remove(&mut conn, &Surface::FEED, &id("30")).await.unwrap();
    answers(&search, &mut conn).await;
    drop(conn);
    assert!(search.compact(&source, UNLIMITED).await.unwrap().is_complete);
    let again = search.reindex(&source, UNLIMITED, |_| {}).await.unwrap();
    assert_eq!((again.documents, again.is_complete), (0, true));
    answers(&search, &mut source.acquire().await.unwrap()).await;
}

/// A snapshot that was taken before a reindexing sees what it saw.
pub async fn a_snapshot_outlives_a_reindexing<H: Harness>(harness: &H) {
    let (search, store, source) = (search(harness), harness.store(), harness.source());
    let mut conn = source.acquire().await.unwrap();
    index_as_before(&store, &mut conn, &races(0..50)).await;
    drop(conn);
    search.compact(&source, UNLIMITED).await.unwrap();
    let mut snapshot = source.begin_snapshot().await.unwrap();
    assert_eq!(count(&search, &mut snapshot, "race").await, 0);
    let before = find(&search, &mut snapshot, &Query::text("boat more").limit(100), &crew()).await;
    assert!(search.reindex(&source, UNLIMITED, |_| {}).await.unwrap().is_complete);
    assert_eq!(count(&search, &mut snapshot, "race").await, 0);
    assert_eq!(find(&search, &mut snapshot, &Query::text("boat more").limit(100), &crew()).await, before);
    drop(snapshot);
    assert_eq!(count(&search, &mut source.acquire().await.unwrap(), "race").await, 50);
}

/// What writers change meanwhile stays changed, and every number is right in the end.
pub async fn what_is_written_beside_a_reindexing_is_found<H: Harness>(harness: &H) {
    let (search, store, source) = (search(harness), harness.store(), harness.source());
    let mut conn = source.acquire().await.unwrap();
    index_as_before(&store, &mut conn, &races(0..300)).await;
    drop(conn);
    search.compact(&source, UNLIMITED).await.unwrap();
    let writer = {
        let (search, source) = (super::search(harness), source.clone());
        tokio::spawn(async move {
            for n in 0..60_u32 {
                let (at, name) = (n * 5, (n * 5).to_string());
                let mut tx = source.begin().await.unwrap();
                match n % 4 {
                    0 => drop(search.upsert(&mut tx, &post(&name, &format!("ship w{n}"))).await.unwrap()),
                    1 => assert!(search.remove(&mut tx, &Surface::FEED, &id(&name)).await.unwrap()),
                    2 => drop(search.upsert_many(&mut tx, &races(at..at + 3)).await.unwrap()),
                    _ => {
                        let crew = [tag("crew"), tag("guests")];
                        assert!(search.set_audience(&mut tx, &Surface::FEED, &id(&name), crew).await.unwrap());
                    }
                }
                source.commit(tx).await.unwrap();
                let mut conn = source.acquire().await.unwrap();
                let found = find(&search, &mut conn, &Query::text(format!("w{n}")).typos(false), &crew()).await;
                assert_eq!(found.len(), usize::from(n % 4 == 0), "{n}");
            }
        })
    };
    while !writer.is_finished() {
        search.reindex(&source, Duration::from_millis(5), |_| {}).await.unwrap();
        search.compact(&source, Duration::from_millis(5)).await.unwrap();
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
    assert!(search.reindex(&source, UNLIMITED, |_| {}).await.unwrap().is_complete);
    let mut conn = source.acquire().await.unwrap();
    assert_eq!((count(&search, &mut conn, "race").await, count(&search, &mut conn, "ship").await), (270, 15));
    assert_eq!(search.stats(&mut conn).await.unwrap().documents, 285);
    answers(&search, &mut conn).await;
}

/// Exactly, in the log and out of it, in the transaction and for others.
pub async fn stats_say_what_there_is<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let stats = search.stats(&mut tx).await.unwrap();
    assert_eq!((stats.documents, stats.words, stats.changes, stats.segments), (0, 0, 0, 0));
    search.upsert_many(&mut tx, &races(0..10)).await.unwrap();
    search.upsert(&mut tx, &post("3", "one two three")).await.unwrap();
    search.remove(&mut tx, &Surface::FEED, &id("4")).await.unwrap();
    let others = search.stats(&mut source.begin_snapshot().await.unwrap()).await.unwrap();
    assert_eq!((others.documents, others.changes, others.generation), (0, 0, stats.generation));
    let logged = search.stats(&mut tx).await.unwrap();
    assert_eq!((logged.documents, logged.changes, logged.segments, logged.outdated), (9, 12, 0, 0));
    assert!(logged.log_bytes > 100 && logged.segment_bytes == 0, "{logged:?}");
    source.commit(tx).await.unwrap();
    search.compact(&source, UNLIMITED).await.unwrap();
    let stats = search.stats(&mut source.acquire().await.unwrap()).await.unwrap();
    assert_eq!((stats.documents, stats.words, stats.changes, stats.segments), (9, logged.words, 0, 1));
    assert!(stats.log_bytes == 0 && stats.segment_bytes > 100, "{stats:?}");
}

/// From none to all, however many there are; two for one document are one.
pub async fn a_load_tells_how_far_it_has_come<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut conn = source.acquire().await.unwrap();
    for count in [3, 2_500] {
        let mut documents = races(0..count);
        documents.push(post("1", "boat"));
        let mut told = Vec::new();
        let reports = search.upsert_many_with(&mut conn, &documents, |progress| told.push(progress)).await.unwrap();
        assert_eq!(reports.len(), documents.len());
        assert!(told.iter().all(|progress| progress.total == u64::from(count)), "{told:?}");
        assert!(told.is_sorted_by_key(|progress| progress.done));
        assert_eq!(told.last().map(|progress| progress.done), Some(u64::from(count)));
        let everything = Audience::everything();
        assert_eq!(search.search(&mut conn, &Query::text("boat"), &everything).await.unwrap().total, u64::from(count));
    }
}
