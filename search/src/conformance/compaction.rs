//! What becomes of documents when they go from the log into segments: nothing that anybody could see.

use std::time::Duration;

use super::{Harness, crew, find, ids, post, search, tag, tags};
use crate::{Audience, EntityId, MatchMode, Query, Results, Search, Source, Store, Surface, Timings};

/// As long as it takes.
pub(super) const UNLIMITED: Duration = Duration::MAX;

/// All that an answer shows.
fn shown(results: &Results) -> String {
    let results = Results { timings: Timings::default(), ..results.clone() };
    format!("{results:?}")
}

/// The answers to some queries, which are those that analyzing every document gives.
pub(super) async fn answers<S: Store>(search: &Search<S>, conn: &mut S::Connection) -> Vec<String> {
    let mut answers = Vec::new();
    for text in ["boat", "boat more", "boat -more", "more and -boat", "absent"] {
        for mode in [MatchMode::All, MatchMode::Auto] {
            for audience in [crew(), tags(&["guests", "crew"]), Audience::everything()] {
                let query = Query::text(text).mode(mode).limit(7);
                let found = shown(&search.search(conn, &query, &audience).await.unwrap());
                let exact = shown(&search.search_exactly(conn, &query, &audience).await.unwrap());
                assert_eq!(found, exact, "{text:?}, {mode:?}, {audience:?}");
                answers.push(found);
            }
        }
    }
    answers
}

pub(super) fn id(id: &str) -> EntityId {
    EntityId::new(id).unwrap()
}

/// Another audience sees the document, the old one does not, and its text and place stay, in the log and in a segment.
pub async fn a_new_audience_changes_nothing_else<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let query = Query::text("boat");
    let mut conn = source.acquire().await.unwrap();
    search.upsert_many(&mut conn, &[post("1", "boat"), post("2", "boat")]).await.unwrap();
    let before = search.search(&mut conn, &query, &crew()).await.unwrap();
    assert!(!search.set_audience(&mut conn, &Surface::JOBS, &id("1"), [tag("guests")]).await.unwrap());
    for audience in ["guests", "crew", "guests"] {
        assert!(search.set_audience(&mut conn, &Surface::FEED, &id("1"), [tag(audience)]).await.unwrap());
        let expected = if audience == "crew" { vec!["2", "1"] } else { vec!["2"] };
        assert_eq!(find(&search, &mut conn, &query, &crew()).await, expected);
        assert_eq!(find(&search, &mut conn, &query, &tags(&["crew", "guests"])).await, ["2", "1"]);
        answers(&search, &mut conn).await;
        drop(conn);
        assert!(search.compact(&source, UNLIMITED).await.unwrap().is_complete);
        conn = source.acquire().await.unwrap();
        assert_eq!(find(&search, &mut conn, &query, &crew()).await, expected);
    }
    assert!(search.set_audience(&mut conn, &Surface::FEED, &id("1"), []).await.unwrap());
    assert_eq!(find(&search, &mut conn, &query, &tags(&["crew", "guests"])).await, ["2"]);
    let after = search.search(&mut conn, &query, &Audience::everything()).await.unwrap();
    assert_eq!((ids(&after), shown(&before)), (vec!["2", "1"], shown(&after)));
}

/// Hits, order, scores to the last bit, counts and cursors are the same however the documents are spread over log and segments, and with
/// a cache of any size as without.
pub async fn a_compaction_changes_no_answer<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let caches = [0, 3_000, 1 << 20].map(|bytes| Search::new(harness.store()).with_cache(bytes));
    let mut tx = source.begin().await.unwrap();
    for round in 0..6 {
        for n in 0..8 {
            let text = format!("boat {}", "and more ".repeat((n * 3 + round) % 7));
            let document = post(&((n * 5 + round) % 20).to_string(), &text);
            let guests = [tag(if n % 2 == 0 { "guests" } else { "crew" })];
            search.upsert(&mut tx, &document.audience(guests)).await.unwrap();
        }
        search.remove(&mut tx, &Surface::FEED, &id(&(round % 20).to_string())).await.unwrap();
        search.set_audience(&mut tx, &Surface::FEED, &id("7"), [tag("crew")]).await.unwrap();
        let before = answers(&search, &mut tx).await;
        // Some of the log, then all of it, then merges.
        for rows in [3, 100, 0, 0] {
            search.compact_step(&mut tx, rows).await.unwrap();
            assert_eq!(answers(&search, &mut tx).await, before, "{round}, {rows}");
            for cached in &caches {
                assert_eq!(answers(cached, &mut tx).await, before, "{round}, {rows}, cached");
            }
        }
    }
    source.commit(tx).await.unwrap();
    let mut conn = source.acquire().await.unwrap();
    let before = answers(&search, &mut conn).await;
    drop(conn);
    assert!(search.compact(&source, UNLIMITED).await.unwrap().is_complete);
    let again = search.compact(&source, UNLIMITED).await.unwrap();
    assert_eq!((again.changes, again.merged, again.is_complete), (0, 0, true));
    let mut conn = source.acquire().await.unwrap();
    assert_eq!(answers(&search, &mut conn).await, before);
}

/// A writer that began before a compaction and commits after it: its text is found, and what it replaced and removed is gone.
pub async fn what_changes_during_a_compaction_is_not_lost<H: Harness>(harness: &H) {
    if !H::CONCURRENT_WRITERS {
        return;
    }
    let (search, source) = (search(harness), harness.source());
    let mut conn = source.acquire().await.unwrap();
    for n in ["1", "2", "3", "4"] {
        search.upsert(&mut conn, &post(n, "boat")).await.unwrap();
    }
    search.upsert(&mut conn, &post("2", "old boat")).await.unwrap();
    for _ in 0..2 {
        let mut writer = source.begin().await.unwrap();
        search.upsert(&mut writer, &post("1", "ship")).await.unwrap();
        search.remove(&mut writer, &Surface::FEED, &id("2")).await.unwrap();
        search.set_audience(&mut writer, &Surface::FEED, &id("3"), [tag("guests")]).await.unwrap();
        search.upsert(&mut writer, &post("5", "boat")).await.unwrap();
        assert!(search.compact(&source, UNLIMITED).await.unwrap().is_complete);
        answers(&search, &mut writer).await;
        source.commit(writer).await.unwrap();
        for _ in 0..2 {
            assert_eq!(find(&search, &mut conn, &Query::text("ship"), &crew()).await, ["1"]);
            assert_eq!(find(&search, &mut conn, &Query::text("boat"), &crew()).await, ["5", "4"]);
            assert!(find(&search, &mut conn, &Query::text("old"), &crew()).await.is_empty());
            answers(&search, &mut conn).await;
            assert!(search.compact(&source, UNLIMITED).await.unwrap().is_complete);
        }
        search.upsert(&mut conn, &post("1", "boat")).await.unwrap();
        search.upsert(&mut conn, &post("2", "old boat")).await.unwrap();
        search.upsert(&mut conn, &post("3", "boat")).await.unwrap();
        search.remove(&mut conn, &Surface::FEED, &id("5")).await.unwrap();
    }
}

/// Writers who search for what they have just committed, while compactions run without a pause, miss nothing.
pub async fn what_is_written_beside_a_compaction_is_found<H: Harness>(harness: &H) {
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let (search, source) = (search(harness), harness.source());
            tokio::spawn(async move {
                for round in 0..40 {
                    let (name, text) = (format!("{writer} {}", round % 5), format!("boat w{writer}r{round}"));
                    let mut tx = source.begin().await.unwrap();
                    search.upsert(&mut tx, &post(&name, &text)).await.unwrap();
                    source.commit(tx).await.unwrap();
                    let mut conn = source.acquire().await.unwrap();
                    let query = Query::text(text.split_once(' ').unwrap().1);
                    assert_eq!(find(&search, &mut conn, &query, &crew()).await, [name]);
                }
            })
        })
        .collect();
    let compactor = {
        let (search, source) = (search(harness), harness.source());
        tokio::spawn(async move {
            for _ in 0..40 {
                search.compact(&source, UNLIMITED).await.unwrap();
            }
        })
    };
    for task in writers.into_iter().chain([compactor]) {
        task.await.unwrap();
    }
    let (search, mut conn) = (search(harness), harness.source().acquire().await.unwrap());
    let all = search.search(&mut conn, &Query::text("boat").limit(100), &crew()).await.unwrap();
    assert_eq!((all.total, all.hits.len()), (15, 15));
    answers(&search, &mut conn).await;
}

/// A snapshot taken before changes and compactions sees what it saw.
pub async fn a_snapshot_outlives_a_compaction<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut conn = source.acquire().await.unwrap();
    for n in 0..20 {
        search.upsert(&mut conn, &post(&n.to_string(), "boat and more")).await.unwrap();
    }
    let mut before_all = source.begin_snapshot().await.unwrap();
    let expected = answers(&search, &mut before_all).await;
    search.compact(&source, UNLIMITED).await.unwrap();
    let mut compacted = source.begin_snapshot().await.unwrap();
    assert_eq!(answers(&search, &mut compacted).await, expected);
    for n in 0..10 {
        search.upsert(&mut conn, &post(&n.to_string(), "ship")).await.unwrap();
        search.remove(&mut conn, &Surface::FEED, &id(&(n + 10).to_string())).await.unwrap();
        search.compact(&source, UNLIMITED).await.unwrap();
    }
    assert_eq!(answers(&search, &mut before_all).await, expected);
    assert_eq!(answers(&search, &mut compacted).await, expected);
    assert_eq!(find(&search, &mut conn, &Query::text("ship"), &crew()).await.len(), 10);
}

/// Rolled back with the transaction it ran in, or with a savepoint of it.
pub async fn a_compaction_that_is_not_committed_changes_nothing<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    for n in 0..30 {
        search.upsert(&mut tx, &post(&(n % 20).to_string(), &format!("boat more{n}"))).await.unwrap();
    }
    let before = answers(&search, &mut tx).await;
    harness.savepoint(&mut tx).await;
    search.upsert(&mut tx, &post("new", "boat")).await.unwrap();
    assert!(search.compact_step(&mut tx, 10).await.unwrap());
    assert!(search.compact_step(&mut tx, 10).await.unwrap());
    harness.rollback_to_savepoint(&mut tx).await;
    assert_eq!(answers(&search, &mut tx).await, before);
    source.commit(tx).await.unwrap();

    let mut tx = source.begin().await.unwrap();
    assert!(search.compact_step(&mut tx, 100).await.unwrap());
    assert_eq!(answers(&search, &mut tx).await, before);
    drop(tx);
    let mut conn = source.acquire().await.unwrap();
    assert_eq!(answers(&search, &mut conn).await, before);
    drop(conn);
    // The rolled-back one may still be on its way out, and counts as another compactor until then.
    let mut changes = 0;
    loop {
        let done = search.compact(&source, UNLIMITED).await.unwrap();
        changes += done.changes;
        if done.is_complete {
            break;
        }
    }
    assert_eq!(changes, 30);
}

/// Where nobody else compacts, the log does not grow without end.
pub async fn a_writer_compacts_on_the_way<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    for n in 0..1500 {
        search.upsert(&mut tx, &post(&(n % 50).to_string(), &format!("boat w{n}"))).await.unwrap();
    }
    assert_eq!(find(&search, &mut tx, &Query::text("w1499"), &crew()).await, ["49"]);
    assert!(find(&search, &mut tx, &Query::text("w1449"), &crew()).await.is_empty());
    answers(&search, &mut tx).await;
    source.commit(tx).await.unwrap();
    let left = search.compact(&source, UNLIMITED).await.unwrap();
    assert!(left.changes < 1500, "{left:?}");
}

/// Whether documents come at once or one by one, whether they are new or not.
pub async fn a_large_batch_is_like_many_small_ones<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    search.upsert(&mut tx, &post("7", "ship")).await.unwrap();
    search.compact_step(&mut tx, 10).await.unwrap();
    search.upsert(&mut tx, &post("9", "ship")).await.unwrap();
    let mut many: Vec<_> =
        (0..1100).map(|n| post(&n.to_string(), &format!("boat {}", "more ".repeat(n % 5)))).collect();
    many.push(post("11", "another ship"));
    let reports = search.upsert_many(&mut tx, &many).await.unwrap();
    assert_eq!(reports.len(), 1101);
    assert_eq!(find(&search, &mut tx, &Query::text("ship"), &crew()).await, ["11"]);
    let results = search.search(&mut tx, &Query::text("boat"), &crew()).await.unwrap();
    assert_eq!(results.total, 1099);
    answers(&search, &mut tx).await;
    search.remove(&mut tx, &Surface::FEED, &id("1000")).await.unwrap();
    search.upsert_many(&mut tx, &many).await.unwrap();
    answers(&search, &mut tx).await;
    source.commit(tx).await.unwrap();
    search.compact(&source, UNLIMITED).await.unwrap();
    answers(&search, &mut source.acquire().await.unwrap()).await;
}
