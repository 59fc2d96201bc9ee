//! The laws every backend obeys, for this crate's backends and yours. Not covered by version promises.
//!
//! Implement [`Harness`] in a test and write `stoa_search::conformance!(MyHarness::new().await);`.

mod asking;
mod compaction;
mod recommending;
mod texts;
mod upkeep;

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::Barrier;

use crate::{
    Audience, Cursor, CursorKey, Document, EntityId, Error, Language, MAX_PAGE, MatchMode, Query, Results, Search,
    Source, Store, Surface, Tag,
};

/// One fresh, empty, migrated database and the store under test.
pub trait Harness: Send + Sync {
    /// The store under test.
    type Store: Store + crate::recommendation::Store;
    /// Where its connections come from.
    type Source: Source<Connection = <Self::Store as Store>::Connection>;

    /// Whether two transactions can write at the same time.
    const CONCURRENT_WRITERS: bool;

    /// Returns the store.
    fn store(&self) -> Self::Store;
    /// Returns the database, which lives as long as the harness.
    fn source(&self) -> Self::Source;
    /// Sets a savepoint in the transaction open on the connection.
    fn savepoint(&self, conn: &mut <Self::Store as Store>::Connection) -> impl Future<Output = ()> + Send;
    /// Takes back what came after the savepoint.
    fn rollback_to_savepoint(&self, conn: &mut <Self::Store as Store>::Connection) -> impl Future<Output = ()> + Send;
}

#[doc(hidden)]
#[macro_export]
macro_rules! __laws {
    ($emit:path, $harness:expr) => {
        $emit! { $harness;
            what_a_transaction_indexes_it_finds_at_once
            others_find_it_at_commit_and_not_before
            what_is_rolled_back_never_happened
            a_rolled_back_savepoint_takes_only_its_own_documents
            on_a_bare_connection_a_verb_stands_alone
            a_snapshot_that_is_committed_changes_nothing
            indexing_again_replaces_all_of_a_document
            removing_twice_is_removing_once
            ids_are_compared_as_bytes
            concurrent_writers_leave_one_document
            many_at_once_are_like_one_by_one
            batches_in_any_order_do_not_deadlock
            a_shared_tag_makes_visible
            without_tags_nobody_sees_anything
            counts_cover_only_what_is_visible
            the_audience_changes_no_score
            a_title_outranks_a_body
            among_equals_the_later_comes_first
            surfaces_restrict_the_hits
            auto_wants_all_words_if_they_fill_a_page
            a_minus_excludes
            each_document_is_found_in_its_own_language
            what_was_attached_comes_back
            a_hit_is_safe_as_html
            pages_of_any_size_yield_each_match_once
            writes_between_pages_move_no_other_document
            the_audience_comes_from_the_call
            a_damaged_or_foreign_cursor_is_refused
            no_text_fails_to_be_indexed
            a_huge_document_comes_back_within_bounds
            no_text_fails_as_a_query
            after_a_refusal_the_transaction_is_usable
            a_new_audience_changes_nothing_else
            a_compaction_changes_no_answer
            what_changes_during_a_compaction_is_not_lost
            what_is_written_beside_a_compaction_is_found
            a_snapshot_outlives_a_compaction
            a_compaction_that_is_not_committed_changes_nothing
            a_writer_compacts_on_the_way
            a_large_batch_is_like_many_small_ones
            a_quotation_finds_words_as_they_stand
            a_quotation_is_looked_for_within_bounds
            a_typo_is_forgiven
            what_others_wrote_is_not_suggested
            synonyms_are_found_too
            the_last_word_is_completed
            an_explanation_adds_up
            a_time_limit_ends_a_ranking
            recent_documents_can_count_more
            a_search_within_a_tag_is_narrower
            a_signal_is_recorded_once
            what_is_no_signal_or_candidate_is_refused
            a_signal_that_commits_late_is_read
            old_signals_are_pruned
            candidates_replace_those_before
            candidates_are_those_the_caller_may_see
            concurrent_candidates_never_mix
            what_an_older_release_indexed_is_indexed_anew
            a_snapshot_outlives_a_reindexing
            what_is_written_beside_a_reindexing_is_found
            stats_say_what_there_is
            a_cursor_without_the_seal_of_the_host_is_refused
            a_load_tells_how_far_it_has_come
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __law_tests {
    ($harness:expr; $($law:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                $crate::conformance::$law(&$harness).await;
            }
        )*
    };
}

/// Emits one test for each law. The expression makes a fresh harness and may `.await`.
#[macro_export]
macro_rules! conformance {
    ($harness:expr) => {
        $crate::__laws!($crate::__law_tests, $harness);
    };
}

pub use asking::{
    a_quotation_finds_words_as_they_stand, a_quotation_is_looked_for_within_bounds, a_search_within_a_tag_is_narrower,
    a_time_limit_ends_a_ranking, a_typo_is_forgiven, an_explanation_adds_up, recent_documents_can_count_more,
    synonyms_are_found_too, the_last_word_is_completed, what_others_wrote_is_not_suggested,
};
pub use compaction::{
    a_compaction_changes_no_answer, a_compaction_that_is_not_committed_changes_nothing,
    a_large_batch_is_like_many_small_ones, a_new_audience_changes_nothing_else, a_snapshot_outlives_a_compaction,
    a_writer_compacts_on_the_way, what_changes_during_a_compaction_is_not_lost,
    what_is_written_beside_a_compaction_is_found,
};

pub use recommending::{
    a_signal_is_recorded_once, a_signal_that_commits_late_is_read, candidates_are_those_the_caller_may_see,
    candidates_replace_those_before, concurrent_candidates_never_mix, old_signals_are_pruned,
    what_is_no_signal_or_candidate_is_refused,
};
pub use texts::{
    a_huge_document_comes_back_within_bounds, after_a_refusal_the_transaction_is_usable, no_text_fails_as_a_query,
    no_text_fails_to_be_indexed,
};
pub use upkeep::{
    a_load_tells_how_far_it_has_come, a_snapshot_outlives_a_reindexing, stats_say_what_there_is,
    what_an_older_release_indexed_is_indexed_anew, what_is_written_beside_a_reindexing_is_found,
};

fn search<H: Harness>(harness: &H) -> Search<H::Store> {
    Search::new(harness.store())
}

fn tag(name: &str) -> Tag {
    Tag::new(name).unwrap()
}

fn tags(names: &[&str]) -> Audience {
    Audience::tags(names.iter().map(|name| tag(name)))
}

/// A post that the group `crew` may see.
fn post(id: &str, text: &str) -> Document {
    Document::new(Surface::FEED, EntityId::new(id).unwrap()).body(text).audience([tag("crew")])
}

fn crew() -> Audience {
    tags(&["crew"])
}

fn ids(results: &Results) -> Vec<&str> {
    results.hits.iter().map(|hit| hit.entity_id.as_str()).collect()
}

async fn find<S: Store>(
    search: &Search<S>,
    conn: &mut S::Connection,
    query: &Query,
    audience: &Audience,
) -> Vec<String> {
    let results = search.search(conn, query, audience).await.unwrap();
    assert_eq!(results.hits.len() as u64, results.total.min(query.limit as u64));
    ids(&results).into_iter().map(str::to_owned).collect()
}

/// What a transaction wrote, it finds.
pub async fn what_a_transaction_indexes_it_finds_at_once<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let query = Query::text("boat");
    assert!(find(&search, &mut tx, &query, &crew()).await.is_empty());
    assert!(search.upsert(&mut tx, &post("1", "a boat")).await.unwrap().is_complete());
    assert_eq!(find(&search, &mut tx, &query, &crew()).await, ["1"]);
    search.upsert(&mut tx, &post("1", "a ship")).await.unwrap();
    assert!(find(&search, &mut tx, &query, &crew()).await.is_empty());
    search.upsert(&mut tx, &post("1", "a boat")).await.unwrap();
    assert!(search.remove(&mut tx, &Surface::FEED, &EntityId::new("1").unwrap()).await.unwrap());
    assert!(find(&search, &mut tx, &query, &crew()).await.is_empty());
}

/// Others find a document when, and only when, it has been committed; a snapshot stays one moment.
pub async fn others_find_it_at_commit_and_not_before<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let query = Query::text("boat");
    let mut tx = source.begin().await.unwrap();
    search.upsert(&mut tx, &post("1", "a boat")).await.unwrap();
    let mut reader = source.begin_snapshot().await.unwrap();
    assert!(find(&search, &mut reader, &query, &crew()).await.is_empty());
    source.commit(tx).await.unwrap();
    assert!(find(&search, &mut reader, &query, &crew()).await.is_empty(), "a snapshot is one moment");
    drop(reader);
    let mut reader = source.acquire().await.unwrap();
    assert_eq!(find(&search, &mut reader, &query, &crew()).await, ["1"]);
    let mut tx = source.begin().await.unwrap();
    assert!(search.set_audience(&mut tx, &Surface::FEED, &EntityId::new("1").unwrap(), [tag("guests")]).await.unwrap());
    assert!(find(&search, &mut tx, &query, &crew()).await.is_empty());
    assert_eq!(find(&search, &mut tx, &query, &tags(&["guests"])).await, ["1"]);
    assert_eq!(find(&search, &mut reader, &query, &crew()).await, ["1"]);
    source.commit(tx).await.unwrap();
    assert!(find(&search, &mut reader, &query, &crew()).await.is_empty());
}

/// A dropped transaction neither adds nor replaces nor removes.
pub async fn what_is_rolled_back_never_happened<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    search.upsert(&mut tx, &post("1", "a boat")).await.unwrap();
    search.upsert(&mut tx, &post("2", "another boat")).await.unwrap();
    source.commit(tx).await.unwrap();

    let mut tx = source.begin().await.unwrap();
    search.upsert(&mut tx, &post("1", "a ship")).await.unwrap();
    search.remove(&mut tx, &Surface::FEED, &EntityId::new("2").unwrap()).await.unwrap();
    search.upsert(&mut tx, &post("3", "a third boat")).await.unwrap();
    drop(tx);
    let mut tx = source.begin().await.unwrap();
    search.set_audience(&mut tx, &Surface::FEED, &EntityId::new("1").unwrap(), []).await.unwrap();
    drop(tx);
    let mut reader = source.begin().await.unwrap();
    let found = find(&search, &mut reader, &Query::text("boat"), &crew()).await;
    assert_eq!(BTreeSet::from_iter(found), BTreeSet::from(["1".to_owned(), "2".to_owned()]));
    assert!(find(&search, &mut reader, &Query::text("ship"), &crew()).await.is_empty());
}

/// What was indexed, replaced and removed since the savepoint is as it was; what came before and after stays.
pub async fn a_rolled_back_savepoint_takes_only_its_own_documents<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    search.upsert_many(&mut tx, &[post("1", "a boat"), post("2", "a boat")]).await.unwrap();
    harness.savepoint(&mut tx).await;
    search.upsert(&mut tx, &post("1", "a ship")).await.unwrap();
    search.upsert_many(&mut tx, &[post("3", "a boat"), post("4", "a boat")]).await.unwrap();
    search.set_audience(&mut tx, &Surface::FEED, &EntityId::new("2").unwrap(), []).await.unwrap();
    search.remove(&mut tx, &Surface::FEED, &EntityId::new("2").unwrap()).await.unwrap();
    harness.rollback_to_savepoint(&mut tx).await;
    search.upsert(&mut tx, &post("5", "a boat")).await.unwrap();
    source.commit(tx).await.unwrap();

    let mut conn = source.acquire().await.unwrap();
    assert_eq!(find(&search, &mut conn, &Query::text("boat"), &crew()).await, ["5", "2", "1"]);
    assert!(find(&search, &mut conn, &Query::text("ship"), &crew()).await.is_empty());
}

/// Outside a transaction each verb commits by itself: what is done through one connection is seen through another.
pub async fn on_a_bare_connection_a_verb_stands_alone<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let (mut one, mut other) = (source.acquire().await.unwrap(), source.acquire().await.unwrap());
    let query = Query::text("boat");
    search.upsert(&mut one, &post("1", "a boat")).await.unwrap();
    assert_eq!(find(&search, &mut other, &query, &crew()).await, ["1"]);
    search.upsert_many(&mut other, &[post("2", "a boat"), post("3", "a boat")]).await.unwrap();
    assert_eq!(find(&search, &mut one, &query, &crew()).await, ["3", "2", "1"]);
    search.remove(&mut one, &Surface::FEED, &EntityId::new("2").unwrap()).await.unwrap();
    drop(one);
    assert_eq!(find(&search, &mut other, &query, &crew()).await, ["3", "1"]);
}

/// Committing a snapshot neither brings back what it saw nor loses what others committed since.
pub async fn a_snapshot_that_is_committed_changes_nothing<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut snapshot = source.begin_snapshot().await.unwrap();
    assert!(find(&search, &mut snapshot, &Query::text("boat"), &crew()).await.is_empty());
    let mut tx = source.begin().await.unwrap();
    search.upsert(&mut tx, &post("1", "a boat")).await.unwrap();
    source.commit(tx).await.unwrap();
    source.commit(snapshot).await.unwrap();
    let mut conn = source.acquire().await.unwrap();
    assert_eq!(find(&search, &mut conn, &Query::text("boat"), &crew()).await, ["1"]);
}

/// The old title, text and audience are gone.
pub async fn indexing_again_replaces_all_of_a_document<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let old = post("1", "old text").title("ancient").url("/old").extra("old").recency(DateTime::UNIX_EPOCH);
    search.upsert(&mut tx, &old).await.unwrap();
    search.upsert(&mut tx, &post("1", "fresh words").audience([tag("guests")])).await.unwrap();
    for gone in ["old", "text", "ancient"] {
        assert!(find(&search, &mut tx, &Query::text(gone), &Audience::everything()).await.is_empty(), "{gone}");
    }
    assert!(find(&search, &mut tx, &Query::text("fresh"), &crew()).await.is_empty());
    let results = search.search(&mut tx, &Query::text("fresh"), &tags(&["guests"])).await.unwrap();
    let hit = &results.hits[0];
    assert_eq!(
        (results.total, hit.title.text.as_str(), &hit.url, &hit.extra, hit.recency),
        (1, "", &None, &None, None)
    );
}

/// The second time there is nothing to remove, which is no error.
pub async fn removing_twice_is_removing_once<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let id = EntityId::new("1").unwrap();
    search.upsert(&mut tx, &post("1", "a boat")).await.unwrap();
    assert!(!search.remove(&mut tx, &Surface::JOBS, &id).await.unwrap());
    assert!(search.remove(&mut tx, &Surface::FEED, &id).await.unwrap());
    assert!(!search.remove(&mut tx, &Surface::FEED, &id).await.unwrap());
    search.upsert(&mut tx, &post("1", "a boat again")).await.unwrap();
    assert_eq!(find(&search, &mut tx, &Query::text("boat"), &crew()).await, ["1"]);
}

/// Case, normal form and blanks make another surface, id or tag.
pub async fn ids_are_compared_as_bytes<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let names = ["ada", "Ada", "ada ", "caf\u{e9}", "cafe\u{301}", "%", "'; --", "{\"a\",b}", "日本"];
    for name in names {
        let document = Document::new(Surface::new(name).unwrap(), EntityId::new(name).unwrap());
        search.upsert(&mut tx, &document.body("boat").audience([tag(name)])).await.unwrap();
    }
    for name in names {
        let surface = Surface::new(name).unwrap();
        assert_eq!(find(&search, &mut tx, &Query::text("boat"), &tags(&[name])).await, [name]);
        let query = Query::text("boat").surfaces([surface.clone()]);
        assert_eq!(find(&search, &mut tx, &query, &Audience::everything()).await, [name]);
    }
    for (left, name) in names.iter().enumerate().rev() {
        assert!(search.remove(&mut tx, &Surface::new(*name).unwrap(), &EntityId::new(*name).unwrap()).await.unwrap());
        assert_eq!(find(&search, &mut tx, &Query::text("boat"), &Audience::everything()).await.len(), left);
    }
}

/// Of two writers of one new document the later one's text stays, once.
pub async fn concurrent_writers_leave_one_document<H: Harness>(harness: &H) {
    let barrier = Arc::new(Barrier::new(4));
    let writers: Vec<_> = (0..4)
        .map(|n| {
            let (search, source, barrier) = (search(harness), harness.source(), barrier.clone());
            tokio::spawn(async move {
                barrier.wait().await;
                let mut tx = source.begin().await.unwrap();
                search.upsert(&mut tx, &post("1", &format!("boat number{n}"))).await.unwrap();
                source.commit(tx).await.unwrap();
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let (search, mut conn) = (search(harness), harness.source().acquire().await.unwrap());
    assert_eq!(find(&search, &mut conn, &Query::text("boat"), &crew()).await, ["1"]);
    let query = Query::text("number0 number1 number2 number3").mode(MatchMode::Any);
    assert_eq!(find(&search, &mut conn, &query, &crew()).await, ["1"]);
}

/// `upsert_many` takes none, some and the same one twice, and leaves what `upsert` in the order of the ids would.
pub async fn many_at_once_are_like_one_by_one<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    assert!(search.upsert_many(&mut tx, &[]).await.unwrap().is_empty());
    search.upsert(&mut tx, &post("5", "an old ship")).await.unwrap();
    let mut many: Vec<Document> = (0..300).map(|n| post(&n.to_string(), "a boat")).collect();
    many.push(post("7", "a ship"));
    many.push(post("8", "x").title("y".repeat(200)));
    let reports = search.upsert_many(&mut tx, &many).await.unwrap();
    assert_eq!((reports.len(), reports[0].is_complete(), reports[301].cut_words), (302, true, 1));
    assert_eq!(find(&search, &mut tx, &Query::text("ship"), &crew()).await, ["7"]);
    let results = search.search(&mut tx, &Query::text("boat").limit(MAX_PAGE), &crew()).await.unwrap();
    // Within a call the order is that of the ids. The fifth was there before the others: among equals it comes last.
    let mut expected: Vec<String> = (0..300).filter(|n| ![5, 7, 8].contains(n)).map(|n| n.to_string()).collect();
    expected.sort_by(|a, b| b.cmp(a));
    expected.truncate(MAX_PAGE);
    assert_eq!((results.total, ids(&results)), (298, expected.iter().map(String::as_str).collect()));
}

/// Callers who index the same documents, each in another order, take turns.
pub async fn batches_in_any_order_do_not_deadlock<H: Harness>(harness: &H) {
    let barrier = Arc::new(Barrier::new(4));
    let writers: Vec<_> = (0..4)
        .map(|n| {
            let (search, source, barrier) = (search(harness), harness.source(), barrier.clone());
            tokio::spawn(async move {
                let mut done = Ok(());
                // In the first round all documents are new. Every writer begins elsewhere.
                for round in 0..4 {
                    let text = format!("boat round{round}");
                    let mut batch: Vec<Document> = (0..200).map(|id| post(&id.to_string(), &text)).collect();
                    batch.rotate_left(50 * n);
                    if n % 2 == 0 {
                        batch.reverse();
                    }
                    barrier.wait().await;
                    let mut tx = source.begin().await.unwrap();
                    match search.upsert_many(&mut tx, &batch).await {
                        Ok(_) => source.commit(tx).await.unwrap(),
                        Err(error) => done = Err(error),
                    }
                }
                done
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    let (search, mut conn) = (search(harness), harness.source().acquire().await.unwrap());
    let results = search.search(&mut conn, &Query::text("round3").limit(1), &crew()).await.unwrap();
    assert_eq!(results.total, 200);
}

/// One tag in common is enough, and none in common is not.
pub async fn a_shared_tag_makes_visible<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    for (id, audience) in [("1", vec!["a"]), ("2", vec!["a", "b"]), ("3", vec!["c"])] {
        search.upsert(&mut tx, &post(id, "boat").audience(audience.into_iter().map(tag))).await.unwrap();
    }
    for (audience, expected) in
        [(vec!["a"], vec!["2", "1"]), (vec!["b", "x"], vec!["2"]), (vec!["A", "ab", ""], vec![])]
    {
        let audience = Audience::tags(audience.into_iter().filter_map(|name| Tag::new(name).ok()));
        assert_eq!(find(&search, &mut tx, &Query::text("boat"), &audience).await, expected);
    }
}

/// A caller without tags sees nothing, a document without tags is seen by nobody, and `everything` sees it all.
pub async fn without_tags_nobody_sees_anything<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    search.upsert(&mut tx, &post("1", "boat")).await.unwrap();
    search.upsert(&mut tx, &post("2", "boat").audience([])).await.unwrap();
    let query = Query::text("boat");
    assert!(find(&search, &mut tx, &query, &tags(&[])).await.is_empty());
    assert_eq!(find(&search, &mut tx, &query, &crew()).await, ["1"]);
    assert_eq!(find(&search, &mut tx, &query, &Audience::everything()).await, ["2", "1"]);
}

/// Neither the total nor the counts tell of a document that the caller may not see.
pub async fn counts_cover_only_what_is_visible<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    for (surface, id, audience) in [
        (Surface::FEED, "1", "crew"),
        (Surface::FEED, "2", "guests"),
        (Surface::JOBS, "3", "guests"),
        (Surface::EVENTS, "4", "crew"),
    ] {
        let document = Document::new(surface, EntityId::new(id).unwrap()).body("boat").audience([tag(audience)]);
        search.upsert(&mut tx, &document).await.unwrap();
    }
    let results = search.search(&mut tx, &Query::text("boat").limit(1), &crew()).await.unwrap();
    let counts: Vec<_> = results.counts.iter().map(|(surface, count)| (surface.as_str(), *count)).collect();
    assert_eq!((results.total, counts), (2, vec![("events", 1), ("feed", 1)]));
}

/// Scores follow from all documents of the snapshot, so that they are comparable between callers.
pub async fn the_audience_changes_no_score<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    search.upsert(&mut tx, &post("1", "a boat and an oar")).await.unwrap();
    let alone = search.search(&mut tx, &Query::text("boat"), &crew()).await.unwrap().hits[0].score;
    search.upsert(&mut tx, &post("2", "a ship").audience([tag("guests")])).await.unwrap();
    let mut scores = Vec::new();
    for audience in [crew(), tags(&["crew", "guests"]), Audience::everything()] {
        scores.push(search.search(&mut tx, &Query::text("boat"), &audience).await.unwrap().hits[0].score);
    }
    assert_eq!(scores, [scores[0]; 3]);
    assert!(scores[0] > alone, "a word is rarer among more documents");
}

/// With the weight turned down to nothing, the title still matches and no longer counts.
pub async fn a_title_outranks_a_body<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    search.upsert(&mut tx, &post("title", "on the river").title("boat")).await.unwrap();
    search.upsert(&mut tx, &post("body", "boat on the").title("river")).await.unwrap();
    assert_eq!(find(&search, &mut tx, &Query::text("boat"), &crew()).await, ["title", "body"]);
    assert_eq!(find(&search, &mut tx, &Query::text("boat").title_weight(0.0), &crew()).await, ["body", "title"]);
    let results = search.search(&mut tx, &Query::text("boat").title_weight(1.0), &crew()).await.unwrap();
    assert_eq!(results.hits[0].score.to_bits(), results.hits[1].score.to_bits());
}

/// Replacing a document does not make it later.
pub async fn among_equals_the_later_comes_first<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    for id in ["2", "1", "3"] {
        search.upsert(&mut tx, &post(id, "boat")).await.unwrap();
    }
    search.upsert(&mut tx, &post("2", "boat")).await.unwrap();
    assert_eq!(find(&search, &mut tx, &Query::text("boat"), &crew()).await, ["3", "1", "2"]);
}

/// Hits and total keep to the surfaces asked for; the counts tell of the others too.
pub async fn surfaces_restrict_the_hits<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let own = Surface::new("regatta").unwrap();
    for surface in [Surface::FEED, Surface::JOBS, own.clone()] {
        let document =
            Document::new(surface.clone(), EntityId::new("same").unwrap()).body("boat").audience([tag("crew")]);
        search.upsert(&mut tx, &document).await.unwrap();
    }
    let query = Query::text("boat").surfaces([Surface::FEED, own.clone()]);
    let results = search.search(&mut tx, &query, &crew()).await.unwrap();
    let surfaces: Vec<&Surface> = results.hits.iter().map(|hit| &hit.surface).collect();
    assert_eq!((surfaces, results.total, results.counts.len()), (vec![&own, &Surface::FEED], 2, 3));
    let none = Query::text("boat").surfaces([Surface::MARKETPLACE]);
    assert!(find(&search, &mut tx, &none, &crew()).await.is_empty());
}

/// `Auto` is decided by the first page, and later pages keep to it.
pub async fn auto_wants_all_words_if_they_fill_a_page<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    for (id, text) in [("1", "boat oar"), ("2", "boat"), ("3", "oar boat"), ("4", "oar"), ("5", "ship")] {
        search.upsert(&mut tx, &post(id, text)).await.unwrap();
    }
    let query = Query::text("boat oar");
    assert_eq!(find(&search, &mut tx, &query.clone().mode(MatchMode::All), &crew()).await, ["3", "1"]);
    assert_eq!(find(&search, &mut tx, &query.clone().mode(MatchMode::Any), &crew()).await.len(), 4);
    let full = search.search(&mut tx, &query.clone().limit(2), &crew()).await.unwrap();
    assert_eq!((full.mode, full.total, full.next.is_none()), (MatchMode::All, 2, true));
    let relaxed = search.search(&mut tx, &query.clone().limit(3), &crew()).await.unwrap();
    assert_eq!((relaxed.mode, relaxed.total), (MatchMode::Any, 4));
    // A smaller second page would be filled by all words; the query goes on as it began.
    let second = query.limit(1).after(relaxed.next.unwrap());
    let second = search.search(&mut tx, &second, &crew()).await.unwrap();
    assert_eq!((second.mode, second.total, second.hits.len()), (MatchMode::Any, 4, 1));
}

/// A word after a minus sign must not occur; a query of nothing else finds nothing.
pub async fn a_minus_excludes<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    search.upsert(&mut tx, &post("1", "boats and oars")).await.unwrap();
    search.upsert(&mut tx, &post("2", "boats and sails")).await.unwrap();
    assert_eq!(find(&search, &mut tx, &Query::text("boat -oar"), &crew()).await, ["2"]);
    assert!(find(&search, &mut tx, &Query::text("-oar"), &crew()).await.is_empty());
}

/// The words of a query are stemmed as those of each document were; a caller need not say which language it writes.
pub async fn each_document_is_found_in_its_own_language<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let french = post("fr", "Les chevaux de l'École").language(Language::French);
    let russian = post("ru", "новые книги").language(Language::Russian);
    let chinese = post("zh", "东京大学").language(Language::Other);
    let name = post("name", "Zoë Banks, C++").language(Language::Other);
    search.upsert_many(&mut tx, &[post("en", "Running horses"), french, russian, chinese, name]).await.unwrap();
    for (text, expected) in [
        ("horse run", vec!["en"]),
        ("cheval", vec!["fr"]),
        ("ecole", vec!["fr"]),
        ("книга", vec!["ru"]),
        ("大学", vec!["zh"]),
        ("京", vec!["zh"]),
        ("zoe banks", vec!["name"]),
        ("ZOE\u{308}", vec!["name"]),
        ("bank", vec![]),
        ("c++", vec!["name"]),
        ("c", vec![]),
    ] {
        let query = Query::text(text).mode(MatchMode::All).typos(false);
        assert_eq!(find(&search, &mut tx, &query, &crew()).await, expected, "{text}");
    }
}

/// Moments come back to the microsecond.
pub async fn what_was_attached_comes_back<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let at = DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap();
    let extra = r#"{"likes": 3, "by": "Zoë \u0000 'quoted'"}"#;
    let document = post("1", "a boat")
        .title("A  title\twith  blanks ")
        .url("https://example.org/?a=1&b=2")
        .extra(extra)
        .recency(at);
    search.upsert(&mut tx, &document).await.unwrap();
    let results = search.search(&mut tx, &Query::text("boat"), &crew()).await.unwrap();
    let hit = &results.hits[0];
    assert_eq!((hit.title.text.as_str(), hit.snippet.text.as_str()), ("A  title\twith  blanks ", "a boat"));
    assert_eq!((hit.url.as_deref(), hit.extra.as_deref()), (Some("https://example.org/?a=1&b=2"), Some(extra)));
    assert_eq!((hit.recency, hit.surface.as_str()), (Some(at), "feed"));
    for wild in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
        search.upsert(&mut tx, &document.clone().recency(wild)).await.unwrap();
        assert_eq!(find(&search, &mut tx, &Query::text("boat"), &crew()).await, ["1"]);
    }
}

/// Markup of a document is shown, never obeyed.
pub async fn a_hit_is_safe_as_html<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let document = post("1", "<mark>boats</mark> & <script>alert(1)</script>").title("<b>Boat</b>");
    search.upsert(&mut tx, &document).await.unwrap();
    let results = search.search(&mut tx, &Query::text("boat"), &crew()).await.unwrap();
    assert_eq!(results.hits[0].title.html(), "&lt;b&gt;<mark>Boat</mark>&lt;/b&gt;");
    assert_eq!(
        results.hits[0].snippet.html(),
        "&lt;mark&gt;<mark>boats</mark>&lt;/mark&gt; &amp; &lt;script&gt;alert(1)&lt;/script&gt;"
    );
}

/// Thirty documents of ten different scores, so that pages end between equals too.
async fn fill<S: Store>(search: &Search<S>, conn: &mut S::Connection) {
    let documents: Vec<Document> =
        (0..30).map(|n| post(&n.to_string(), &format!("boat {}", "and more ".repeat(n % 10)))).collect();
    search.upsert_many(conn, &documents).await.unwrap();
}

/// Walks over all pages, in the order of a single large one.
pub async fn pages_of_any_size_yield_each_match_once<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    fill(&search, &mut tx).await;
    let all = find(&search, &mut tx, &Query::text("boat more").limit(100), &crew()).await;
    assert_eq!(all.len(), 30);
    for limit in [1, 2, 7, 15, 29, 30, 31] {
        let query = Query::text("boat more").mode(MatchMode::Any).limit(limit);
        let (mut walked, mut page) = (Vec::new(), query.clone());
        loop {
            let results = search.search(&mut tx, &page, &crew()).await.unwrap();
            assert_eq!((results.total, results.counts[&Surface::FEED]), (30, 30));
            walked.extend(ids(&results).into_iter().map(str::to_owned));
            let Some(next) = results.next else { break };
            // As a link carries it.
            page = query.clone().after(next.to_string().parse().unwrap());
        }
        assert_eq!(walked, all, "{limit}");
    }
}

/// Whatever others add, change and remove between two pages, a document that stays as it is appears once, in order.
pub async fn writes_between_pages_move_no_other_document<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    fill(&search, &mut tx).await;
    source.commit(tx).await.unwrap();
    let query = Query::text("boat more").mode(MatchMode::Any).limit(4);
    let mut conn = source.acquire().await.unwrap();
    let before = find(&search, &mut conn, &query.clone().limit(100), &crew()).await;
    drop(conn);
    let (mut walked, mut page) = (Vec::new(), query.clone());
    for round in 0.. {
        let mut conn = source.acquire().await.unwrap();
        let results = search.search(&mut conn, &page, &crew()).await.unwrap();
        drop(conn);
        walked.extend(ids(&results).into_iter().map(str::to_owned));
        let Some(next) = results.next else { break };
        page = query.clone().after(next);
        // Each round shifts the average length and how rare the words are.
        let mut tx = source.begin().await.unwrap();
        for n in 0..20 {
            search.upsert(&mut tx, &post(&format!("new {round} {n}"), &"more and ".repeat(40))).await.unwrap();
        }
        search.remove(&mut tx, &Surface::FEED, &EntityId::new("3").unwrap()).await.unwrap();
        search.upsert(&mut tx, &post("4", "a boat that moved")).await.unwrap();
        source.commit(tx).await.unwrap();
    }
    let unchanged = |id: &&String| !id.starts_with("new") && !["3", "4"].contains(&id.as_str());
    assert_eq!(
        walked.iter().filter(unchanged).collect::<Vec<_>>(),
        before.iter().filter(unchanged).collect::<Vec<_>>()
    );
}

/// A cursor given away opens nothing.
pub async fn the_audience_comes_from_the_call<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    fill(&search, &mut tx).await;
    let query = Query::text("boat").limit(5);
    let next = search.search(&mut tx, &query, &crew()).await.unwrap().next.unwrap();
    let results = search.search(&mut tx, &query.after(next), &tags(&["guests"])).await.unwrap();
    assert_eq!((results.total, results.hits.len(), results.counts.len(), results.next), (0, 0, 0, None));
}

/// A cursor fits the query that made it and no other.
pub async fn a_damaged_or_foreign_cursor_is_refused<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    fill(&search, &mut tx).await;
    let next = search.search(&mut tx, &Query::text("boat").limit(5), &crew()).await.unwrap().next.unwrap();
    let text = next.to_string();
    for damaged in ["", "x", &text[2..], &text[..text.len() - 1], &text.replacen(&text[20..21], "g", 1)] {
        assert!(matches!(damaged.parse::<Cursor>(), Err(Error::CursorDamaged)), "{damaged}");
    }
    for other in [
        Query::text("more"),
        Query::text("boat more"),
        Query::text(""),
        Query::text("boat").surfaces([Surface::FEED]),
        Query::text("boat").mode(MatchMode::Any),
        Query::text("boat").title_weight(1.0),
    ] {
        let refused = search.search(&mut tx, &other.clone().after(next.clone()), &crew()).await;
        assert!(matches!(refused, Err(Error::CursorForeign)), "{other:?}");
    }
    assert_eq!(find(&search, &mut tx, &Query::text("boat").limit(100), &crew()).await.len(), 30);
}

/// A host with a key takes back only the cursors it sealed; without one, only those that nobody did.
pub async fn a_cursor_without_the_seal_of_the_host_is_refused<H: Harness>(harness: &H) {
    let (bare, source) = (search(harness), harness.source());
    let key = |byte| CursorKey::new([byte; 32]).unwrap();
    let (mine, same, other) = (
        search(harness).with_cursor_key(key(1)),
        search(harness).with_cursor_key(key(1)),
        search(harness).with_cursor_key(key(2)),
    );
    let mut tx = source.begin().await.unwrap();
    fill(&bare, &mut tx).await;
    let query = Query::text("boat").limit(7);
    for (giver, takers, refusers) in
        [(&bare, vec![&bare], vec![&mine]), (&mine, vec![&mine, &same], vec![&bare, &other])]
    {
        let first = giver.search(&mut tx, &query, &crew()).await.unwrap();
        let next: Cursor = first.next.unwrap().to_string().parse().unwrap();
        let query = query.clone().after(next);
        let mut pages = Vec::new();
        for taker in takers {
            pages.push(ids(&taker.search(&mut tx, &query, &crew()).await.unwrap()).join(" "));
        }
        pages.dedup();
        assert_eq!(pages.len(), 1);
        for refuser in refusers {
            assert!(matches!(refuser.search(&mut tx, &query, &crew()).await, Err(Error::CursorDamaged)));
        }
    }
}
