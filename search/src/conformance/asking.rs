//! What a query can say besides words, and what it is told besides hits.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};

use super::{Harness, crew, find, ids, post, search, tag, tags};
use crate::{
    Audience, EntityId, Error, Language, MAX_QUERY, MatchMode, Query, Results, Search, Source, Store, Surface, Synonyms,
};

/// Puts what is in the log into segments.
async fn compact<H: Harness>(harness: &H) {
    assert!(search(harness).compact(&harness.source(), Duration::MAX).await.unwrap().is_complete);
}

async fn upsert<H: Harness>(harness: &H, posts: &[(&str, &str)]) {
    let posts: Vec<_> = posts.iter().map(|(id, text)| post(id, text)).collect();
    let mut conn = harness.source().acquire().await.unwrap();
    search(harness).upsert_many(&mut conn, &posts).await.unwrap();
}

async fn ask<H: Harness>(harness: &H, query: &Query, audience: &Audience) -> Results {
    let mut conn = harness.source().acquire().await.unwrap();
    search(harness).search(&mut conn, query, audience).await.unwrap()
}

/// All pages of a query.
async fn walk<S: Store>(
    search: &Search<S>,
    conn: &mut S::Connection,
    query: &Query,
    audience: &Audience,
) -> Vec<String> {
    let (mut walked, mut page) = (Vec::new(), query.clone());
    loop {
        let results = search.search(conn, &page, audience).await.unwrap();
        assert!(
            results.hits.len() <= query.limit
                && (results.is_partial || results.next.is_none() || results.hits.len() == query.limit)
        );
        walked.extend(ids(&results).into_iter().map(str::to_owned));
        let Some(next) = results.next else { return walked };
        page = query.clone().after(next.to_string().parse().unwrap());
    }
}

/// Numbers that look random and are always the same.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// A quotation finds exactly the texts that hold its words next to each other in their order, on pages of any size, with and
/// without segments; after a minus exactly the others.
pub async fn a_quotation_finds_words_as_they_stand<H: Harness>(harness: &H) {
    let words = ["boat", "lake", "oar", "to"];
    let mut dice = Dice(7);
    let texts: Vec<(String, String)> = (0..60)
        .map(|n| (format!("{n:02}"), (0..=dice.below(6)).map(|_| words[dice.below(4)]).collect::<Vec<_>>().join(" ")))
        .collect();
    for half in [&texts[..30], &texts[30..]] {
        upsert(harness, &half.iter().map(|(id, text)| (id.as_str(), text.as_str())).collect::<Vec<_>>()).await;
        let search = search(harness);
        let mut conn = harness.source().acquire().await.unwrap();
        for phrase in ["boat lake", "to to", "oar to boat", "lake boat lake"] {
            let holds = |text: &str| format!(" {text} ").contains(&format!(" {phrase} "));
            let there = texts.iter().filter(|(id, _)| half.last().is_some_and(|last| *id <= last.0));
            let (with, without): (BTreeSet<_>, BTreeSet<_>) = there
                .filter(|(_, text)| text.contains("boat"))
                .map(|(id, text)| (id.clone(), holds(text)))
                .partition(|(_, holds)| *holds);
            let [with, without] =
                [with, without].map(|found| found.into_iter().map(|(id, _)| id).collect::<BTreeSet<_>>());
            for limit in [1, 3, 100] {
                let found = walk(
                    &search,
                    &mut conn,
                    &Query::text(format!("boat \"{phrase}\"")).mode(MatchMode::All).limit(limit),
                    &crew(),
                )
                .await;
                assert_eq!(
                    (found.len(), found.into_iter().collect::<BTreeSet<_>>()),
                    (with.len(), with.clone()),
                    "{phrase}"
                );
                let found =
                    walk(&search, &mut conn, &Query::text(format!("boat -\"{phrase}\"")).limit(limit), &crew()).await;
                assert_eq!(
                    (found.len(), found.into_iter().collect::<BTreeSet<_>>()),
                    (without.len(), without.clone()),
                    "{phrase}"
                );
            }
            let all =
                search.search(&mut conn, &Query::text(format!("\"{phrase}\"")).limit(100), &crew()).await.unwrap();
            assert_eq!((all.total, all.counts.values().sum::<u64>()), (all.hits.len() as u64, all.hits.len() as u64));
        }
        drop(conn);
        compact(harness).await;
    }
}

/// Of very many texts that hold the words of a quotation otherwise a page looks at some only, says so, and the next goes on.
pub async fn a_quotation_is_looked_for_within_bounds<H: Harness>(harness: &H) {
    let ids: Vec<String> = (0..1200).map(|n| format!("{n:04}")).collect();
    let texts = ids
        .iter()
        .enumerate()
        .map(|(n, id)| (id.as_str(), if n % 600 == 0 { "a row boat" } else { "boat row row row boat" }));
    upsert(harness, &texts.collect::<Vec<_>>()).await;
    let mut conn = harness.source().acquire().await.unwrap();
    let query = Query::text("\"a row boat\"").limit(5);
    assert!(find(&search(harness), &mut conn, &query, &tags(&["guests"])).await.is_empty());
    let query = Query::text("\"boat row boat\"").limit(5);
    let first = search(harness).search(&mut conn, &query, &crew()).await.unwrap();
    assert!(first.is_partial && first.hits.is_empty() && first.next.is_some() && first.total == 1198 + 2, "{first:?}");
    assert!(walk(&search(harness), &mut conn, &query, &crew()).await.is_empty());
    assert_eq!(
        walk(&search(harness), &mut conn, &Query::text("\"a row boat\"").limit(1), &crew()).await,
        ["0600", "0000"]
    );
}

/// A word that nobody wrote stands for those that look like it, in the log and in segments, on every page.
pub async fn a_typo_is_forgiven<H: Harness>(harness: &H) {
    upsert(
        harness,
        &[("1", "neural networks"), ("2", "a neural boat"), ("3", "rural network"), ("4", "Ärgerliche Sache")],
    )
    .await;
    for _ in 0..2 {
        let results = ask(harness, &Query::text("nueral netwroks"), &crew()).await;
        assert_eq!((ids(&results)[0], results.did_you_mean.as_deref()), ("1", Some("neural networks")));
        assert_eq!(results.hits[0].snippet.html(), "<mark>neural</mark> <mark>networks</mark>");
        let results = ask(harness, &Query::text("netwroks").limit(1), &crew()).await;
        let next = Query::text("netwroks").limit(1).after(results.next.unwrap().to_string().parse().unwrap());
        let second = ask(harness, &next, &crew()).await;
        assert_eq!((results.total, second.total, second.next), (2, 2, None));
        assert_ne!(results.hits[0].entity_id, second.hits[0].entity_id);
        for (text, hits) in
            [("nueral -boat", 1), ("\"nueral\"", 0), ("nueral -netwroks", 2), ("xeural", 0), ("boaz", 1), ("nrl", 0)]
        {
            assert_eq!(ask(harness, &Query::text(text), &crew()).await.hits.len(), hits, "{text}");
        }
        let none = ask(harness, &Query::text("nueral").typos(false), &crew()).await;
        assert_eq!((none.hits.len(), none.did_you_mean), (0, None));
        let none = ask(harness, &Query::text("neural"), &crew()).await;
        assert_eq!((none.hits.len(), none.did_you_mean), (2, None));
        compact(harness).await;
    }
}

/// Words of documents that a caller may not see change nothing of what it is told.
pub async fn what_others_wrote_is_not_suggested<H: Harness>(harness: &H) {
    upsert(harness, &[("1", "a neural boat"), ("2", "networks")]).await;
    let search = search(harness);
    for round in 0..2 {
        let mut conn = harness.source().acquire().await.unwrap();
        let mut told = Vec::new();
        for text in ["nueral", "secert", "secret", "netwroks neurol"] {
            let results = search.search(&mut conn, &Query::text(text), &crew()).await.unwrap();
            told.push((ids(&results).join(" "), results.total, results.did_you_mean));
        }
        for text in ["n", "ne", "sec", "nue"] {
            told.push((search.suggest(&mut conn, text, &crew(), 10).await.unwrap().join(" "), 0, None));
        }
        let expected = [("1", 1, Some("neural")), ("", 0, None), ("", 0, None), ("1 2", 2, Some("networks neural"))];
        let expected = expected.map(|(ids, total, meant)| (ids.to_owned(), total, meant.map(str::to_owned)));
        for (told, expected) in told.iter().zip(&expected) {
            let mut ids: Vec<_> = told.0.split(' ').collect();
            ids.sort_unstable();
            assert_eq!((ids.join(" "), told.1, &told.2), (expected.0.clone(), expected.1, &expected.2));
        }
        assert_eq!(
            told[4..].iter().map(|told| told.0.as_str()).collect::<Vec<_>>(),
            ["networks neural", "networks neural", "", ""]
        );
        for (n, text) in ["nueral", "secret", "nuee", "netwroks", "neutral"].iter().enumerate() {
            let hidden = post(&format!("hidden {round} {n}"), text).audience([tag("guests")]);
            search.upsert(&mut conn, &hidden).await.unwrap();
        }
        drop(conn);
        if round == 0 {
            continue;
        }
        compact(harness).await;
    }
}

/// A query finds the synonyms it was given, which count less than the word itself.
pub async fn synonyms_are_found_too<H: Harness>(harness: &H) {
    upsert(harness, &[("1", "a car"), ("2", "an automobile"), ("3", "a boat"), ("4", "automobiles and cars")]).await;
    let synonyms = Arc::new(Synonyms::default().alike(["car", "automobile"]));
    for _ in 0..2 {
        let query = Query::text("car").synonyms(synonyms.clone());
        let results = ask(harness, &query, &crew()).await;
        let mut found = ids(&results);
        assert_eq!((found.remove(0), results.total, results.did_you_mean.clone()), ("4", 3, None));
        assert!(results.hits.iter().all(|hit| !hit.snippet.marks.is_empty()));
        assert_eq!(ask(harness, &Query::text("car"), &crew()).await.total, 2);
        let first = ask(harness, &query.clone().limit(1), &crew()).await;
        let foreign = Query::text("car").limit(1).after(first.next.unwrap());
        let mut conn = harness.source().acquire().await.unwrap();
        let refused = search(harness).search(&mut conn, &foreign, &crew()).await;
        assert!(matches!(refused, Err(Error::CursorForeign)));
        drop(conn);
        compact(harness).await;
    }
}

/// The word that is being typed is completed with what finds most, together with the words before it.
pub async fn the_last_word_is_completed<H: Harness>(harness: &H) {
    let posts = [
        ("1", "row boats"),
        ("2", "a row boat"),
        ("3", "boating on a lake"),
        ("4", "bond"),
        ("5", "the Böe"),
        ("6", "connections"),
    ];
    upsert(harness, &posts).await;
    {
        let mut conn = harness.source().acquire().await.unwrap();
        let german = post("7", "Bögen").language(Language::German);
        search(harness).upsert(&mut conn, &german).await.unwrap();
    }
    for _ in 0..2 {
        let mut conn = harness.source().acquire().await.unwrap();
        for (text, expected) in [
            ("bo", &["boats", "böe", "bond", "bögen"][..]),
            ("row b", &["row boats"]),
            ("Row  BOA", &["Row  boats"]),
            ("row x", &[]),
            ("connectio", &["connections"]),
            ("böe", &["böe"]),
            ("bo ", &[]),
            ("", &[]),
            ("bond -bo", &[]),
        ] {
            let mut found = search(harness).suggest(&mut conn, text, &crew(), 10).await.unwrap();
            // The most frequent first; the rest in no order that matters.
            if let [_, rest @ ..] = &mut found[..] {
                rest.sort_unstable();
            }
            let mut expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
            if let [_, rest @ ..] = &mut expected[..] {
                rest.sort_unstable();
            }
            assert_eq!(found, expected, "{text:?}");
        }
        assert_eq!(search(harness).suggest(&mut conn, "bo", &crew(), 1).await.unwrap().len(), 1);
        assert!(search(harness).suggest(&mut conn, "bo", &tags(&["guests"]), 9).await.unwrap().is_empty());
        let refused = search(harness).suggest(&mut conn, &"x".repeat(MAX_QUERY + 1), &crew(), 9).await;
        assert!(matches!(refused, Err(Error::QueryTooLong { .. })));
        drop(conn);
        compact(harness).await;
    }
}

/// An explanation adds up to the score of the hit, and there is none of what the caller may not see.
pub async fn an_explanation_adds_up<H: Harness>(harness: &H) {
    upsert(harness, &[("1", "neural boat boat"), ("2", "a boat"), ("3", "lake")]).await;
    let synonyms = Arc::new(Synonyms::default().alike(["boat", "ship"]));
    let search = search(harness);
    for _ in 0..2 {
        let mut conn = harness.source().acquire().await.unwrap();
        let query = Query::text("boat nueral the").synonyms(synonyms.clone());
        let results = search.search(&mut conn, &query, &crew()).await.unwrap();
        assert_eq!(results.total, 2);
        for hit in &results.hits {
            let why = search.explain(&mut conn, &query, &crew(), &hit.surface, &hit.entity_id).await.unwrap().unwrap();
            let sum: f32 = why.parts.iter().map(|part| part.score).sum();
            assert!(
                why.is_match && why.score.to_bits() == hit.score.to_bits() && (sum - hit.score).abs() < 1e-5,
                "{why:?}"
            );
            assert!(why.parts.iter().all(|part| (part.score > 0.0) == (part.in_title || part.in_body)));
        }
        let why = |id: &'static str, query: Query, audience| {
            let search = &search;
            async move {
                let mut conn = harness.source().acquire().await.unwrap();
                search.explain(&mut conn, &query, &audience, &Surface::FEED, &EntityId::new(id).unwrap()).await.unwrap()
            }
        };
        drop(conn);
        assert!(!why("3", Query::text("boat"), crew()).await.unwrap().is_match);
        assert!(!why("1", Query::text("\"boat neural\""), crew()).await.unwrap().is_match);
        assert_eq!(why("1", Query::text("boat"), tags(&["guests"])).await, None);
        assert_eq!(why("9", Query::text("boat"), crew()).await, None);
        compact(harness).await;
    }
}

/// A ranking that takes too long ends with what it has seen and says so.
pub async fn a_time_limit_ends_a_ranking<H: Harness>(harness: &H) {
    upsert(harness, &[("1", "boat"), ("2", "boat")]).await;
    compact(harness).await;
    let results = ask(harness, &Query::text("boat").time_limit(Duration::ZERO), &crew()).await;
    assert!(results.is_partial && results.next.is_none());
    let results = ask(harness, &Query::text("boat").time_limit(Duration::MAX), &crew()).await;
    assert_eq!((results.is_partial, results.total), (false, 2));
}

/// Of documents that match alike the recent ones come first, in the log and in segments, and whatever was written after the first page.
pub async fn recent_documents_can_count_more<H: Harness>(harness: &H) {
    let search = search(harness);
    let day = |age: i64| Utc::now() - TimeDelta::days(age);
    let mut conn = harness.source().acquire().await.unwrap();
    for (id, age) in [("today", 0), ("old", 400), ("week", 7), ("coming", -30), ("ancient", 90_000)] {
        search.upsert(&mut conn, &post(id, "boat").recency(day(age))).await.unwrap();
    }
    search.upsert(&mut conn, &post("none", "boat")).await.unwrap();
    drop(conn);
    for _ in 0..2 {
        let query = Query::text("boat").boost_recency(Duration::from_hours(24 * 7));
        let results = ask(harness, &query, &crew()).await;
        assert_eq!(ids(&results), ["coming", "today", "week", "none", "ancient", "old"]);
        let scores: Vec<f32> = results.hits.iter().map(|hit| hit.score / results.hits[5].score).collect();
        assert!(
            scores.iter().zip([2.0, 2.0, 1.5, 1.0, 1.0, 1.0]).all(|(score, expected)| (score - expected).abs() < 1e-6)
        );
        let mut conn = harness.source().acquire().await.unwrap();
        assert_eq!(walk(&search, &mut conn, &query.clone().limit(2), &crew()).await, ids(&results));
        let plain = search.search(&mut conn, &Query::text("boat"), &crew()).await.unwrap();
        assert_eq!(ids(&plain), ["none", "ancient", "coming", "week", "old", "today"]);
        assert!(
            search
                .set_audience(&mut conn, &Surface::FEED, &EntityId::new("old").unwrap(), [tag("crew")])
                .await
                .unwrap()
        );
        drop(conn);
        compact(harness).await;
    }
}

/// A search within a tag finds what carries that tag besides one of the caller's, and counts nothing else.
pub async fn a_search_within_a_tag_is_narrower<H: Harness>(harness: &H) {
    let search = search(harness);
    let mut conn = harness.source().acquire().await.unwrap();
    for (id, own) in [("1", &["crew", "rowing"][..]), ("2", &["crew"]), ("3", &["rowing"]), ("4", &["crew", "chess"])] {
        search.upsert(&mut conn, &post(id, "boat").audience(own.iter().map(|own| tag(own)))).await.unwrap();
    }
    drop(conn);
    for _ in 0..2 {
        for (audience, expected) in [
            (crew().within([tag("rowing")]), &["1"][..]),
            (crew().within([tag("chess"), tag("rowing")]), &["4", "1"]),
            (crew().within([]), &[]),
            (crew().within([tag("nobody")]), &[]),
            (tags(&[]).within([tag("rowing")]), &[]),
            (Audience::everything().within([tag("rowing")]), &["3", "1"]),
        ] {
            let results = ask(harness, &Query::text("boat"), &audience).await;
            assert_eq!((ids(&results), results.total), (expected.to_vec(), expected.len() as u64), "{audience:?}");
            let mut conn = harness.source().acquire().await.unwrap();
            assert_eq!(search.suggest(&mut conn, "boa", &audience, 5).await.unwrap().len(), expected.len().min(1));
        }
        compact(harness).await;
    }
}
