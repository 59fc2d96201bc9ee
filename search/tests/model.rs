//! Random operations give identical answers on memory, SQLite and PostgreSQL, and those of a brute-force oracle.

mod oracle;

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use oracle::{Answer, Oracle};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use stoa_search::{
    Audience, Cursor, Document, EntityId, Language, MatchMode, Memory, Postgres, Query, Search, Source, Sqlite, Store,
    Surface, Tag, Timings, memory,
};

/// Stems of themselves, so that the oracle needs no stemmer. The first ones are drawn often.
const WORDS: [&str; 9] = ["a", "to", "boat", "ship", "oar", "lake", "river", "c++", "anchor"];
const SURFACES: [Surface; 2] = [Surface::FEED, Surface::JOBS];
const IDS: [&str; 12] = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "x", "X", "x "];
const TAGS: [&str; 3] = ["crew", "Crew", "guests"];

#[derive(Clone, Debug)]
enum Operation {
    Upsert(Text),
    UpsertMany(Vec<Text>),
    Remove {
        surface: usize,
        id: usize,
    },
    SetAudience {
        surface: usize,
        id: usize,
        tags: Vec<usize>,
    },
    /// Which no answer shows.
    Compact {
        rows: u32,
    },
    Search(Question),
}

#[derive(Clone, Debug)]
struct Text {
    surface: usize,
    id: usize,
    title: Vec<usize>,
    body: Vec<usize>,
    tags: Vec<usize>,
    /// In days; `None`: of no day.
    age: Option<u16>,
}

#[derive(Clone, Debug)]
struct Question {
    words: Vec<usize>,
    without: Option<usize>,
    mode: MatchMode,
    title_weight: f32,
    limit: usize,
    surfaces: Vec<usize>,
    /// `None` sees everything.
    audience: Option<Vec<usize>>,
    /// `None` looks everywhere.
    within: Option<Vec<usize>>,
    /// In days.
    half_life: Option<u16>,
}

fn word() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 0..3_usize, 2 => 0..WORDS.len()]
}

fn text() -> impl Strategy<Value = Text> {
    let body = prop_oneof![6 => prop::collection::vec(word(), 0..12), 1 => prop::collection::vec(word(), 20..150)];
    let tags = prop::collection::vec(0..TAGS.len(), 0..3);
    let age = prop::option::of(0..40_u16);
    (0..SURFACES.len(), 0..IDS.len(), prop::collection::vec(word(), 0..4), body, tags, age)
        .prop_map(|(surface, id, title, body, tags, age)| Text { surface, id, title, body, tags, age })
}

fn question() -> impl Strategy<Value = Question> {
    let mode = prop_oneof![Just(MatchMode::All), Just(MatchMode::Any), Just(MatchMode::Auto)];
    let weight = prop_oneof![Just(2.5_f32), 0.0..10.0_f32];
    let audience = prop::option::weighted(0.8, prop::collection::vec(0..TAGS.len(), 0..3));
    let without = prop::option::weighted(0.2, word());
    let surfaces = prop::collection::vec(0..SURFACES.len(), 0..2);
    let within = prop::option::weighted(0.2, prop::collection::vec(0..TAGS.len(), 0..2));
    let half_life = prop::option::weighted(0.3, 1..20_u16);
    (prop::collection::vec(word(), 1..5), without, mode, weight, 1..6_usize, surfaces, audience, within, half_life)
        .prop_map(|(words, without, mode, title_weight, limit, surfaces, audience, within, half_life)| Question {
            words,
            without,
            mode,
            title_weight,
            limit,
            surfaces,
            audience,
            within,
            half_life,
        })
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => text().prop_map(Operation::Upsert),
        1 => prop::collection::vec(text(), 0..8).prop_map(Operation::UpsertMany),
        1 => (0..SURFACES.len(), 0..IDS.len()).prop_map(|(surface, id)| Operation::Remove { surface, id }),
        1 => (0..SURFACES.len(), 0..IDS.len(), prop::collection::vec(0..TAGS.len(), 0..3))
            .prop_map(|(surface, id, tags)| Operation::SetAudience { surface, id, tags }),
        2 => (0..10_u32).prop_map(|rows| Operation::Compact { rows }),
        3 => question().prop_map(Operation::Search),
    ]
}

fn phrase(words: &[usize]) -> String {
    words.iter().map(|&word| WORDS[word]).collect::<Vec<_>>().join(" ")
}

fn document(text: &Text) -> Document {
    let document = Document::new(SURFACES[text.surface].clone(), EntityId::new(IDS[text.id]).unwrap())
        .title(phrase(&text.title))
        .body(phrase(&text.body))
        .language(if text.id < 6 { Language::English } else { Language::Other })
        .audience(text.tags.iter().map(|&tag| Tag::new(TAGS[tag]).unwrap()));
    match text.age {
        Some(age) => document.recency(Utc::now() - TimeDelta::days(age.into())),
        None => document,
    }
}

/// A page of answers: `(surface, id, score)` of every hit, the total, the counts.
type Page = (Vec<(String, String, f32)>, u64, Vec<(String, u64)>);

/// Applies the operations in one transaction and collects every page of every search.
async fn answers<S: Store, P: Source<Connection = S::Connection>>(
    search: &Search<S>,
    source: &P,
    operations: &[Operation],
) -> Vec<Vec<Page>> {
    let mut tx = source.begin().await.unwrap();
    let mut answers = Vec::new();
    for operation in operations {
        match operation {
            Operation::Upsert(text) => {
                search.upsert(&mut tx, &document(text)).await.unwrap();
            }
            Operation::UpsertMany(texts) => {
                let documents: Vec<_> = texts.iter().map(document).collect();
                search.upsert_many(&mut tx, &documents).await.unwrap();
            }
            Operation::Remove { surface, id } => {
                search.remove(&mut tx, &SURFACES[*surface], &EntityId::new(IDS[*id]).unwrap()).await.unwrap();
            }
            Operation::SetAudience { surface, id, tags } => {
                let tags = tags.iter().map(|&tag| Tag::new(TAGS[tag]).unwrap());
                let id = EntityId::new(IDS[*id]).unwrap();
                search.set_audience(&mut tx, &SURFACES[*surface], &id, tags).await.unwrap();
            }
            Operation::Compact { rows } => {
                search.compact_step(&mut tx, *rows).await.unwrap();
            }
            Operation::Search(question) => answers.push(pages(search, &mut tx, question).await),
        }
    }
    answers
}

async fn pages<S: Store>(search: &Search<S>, conn: &mut S::Connection, question: &Question) -> Vec<Page> {
    let without = question.without.map_or(String::new(), |word| format!(" -{}", WORDS[word]));
    let query = Query::text(phrase(&question.words) + &without)
        .mode(question.mode)
        .title_weight(question.title_weight)
        .limit(question.limit)
        .surfaces(question.surfaces.iter().map(|&surface| SURFACES[surface].clone()));
    let audience = match &question.audience {
        None => Audience::everything(),
        Some(tags) => Audience::tags(tags.iter().map(|&tag| Tag::new(TAGS[tag]).unwrap())),
    };
    let audience = match &question.within {
        None => audience,
        Some(tags) => audience.within(tags.iter().map(|&tag| Tag::new(TAGS[tag]).unwrap())),
    };
    let query = match question.half_life {
        None => query,
        Some(days) => query.boost_recency(Duration::from_hours(24 * u64::from(days))),
    };
    let (mut pages, mut page) = (Vec::new(), query.clone());
    loop {
        let mut results = search.search(conn, &page, &audience).await.unwrap();
        let mut exact = search.search_exactly(conn, &page, &audience).await.unwrap();
        results.timings = Timings::default();
        exact.timings = Timings::default();
        assert_eq!(format!("{results:?}"), format!("{exact:?}"), "the index changes nothing, to the last bit");
        let hits = results.hits.iter().map(|hit| (hit.surface.to_string(), hit.entity_id.to_string(), hit.score));
        let counts = results.counts.iter().map(|(surface, count)| (surface.to_string(), *count));
        pages.push((hits.collect(), results.total, counts.collect()));
        let Some(next) = results.next else { return pages };
        page = query.clone().after(next.to_string().parse::<Cursor>().unwrap());
    }
}

/// What the oracle answers to the same operations, and how large the pages are.
fn expected(operations: &[Operation]) -> Vec<(Answer, usize)> {
    let mut oracle = Oracle::default();
    let mut answers = Vec::new();
    for operation in operations {
        match operation {
            Operation::Upsert(text) => oracle.upsert(text),
            Operation::UpsertMany(texts) => oracle.upsert_many(texts),
            Operation::Remove { surface, id } => oracle.remove(*surface, *id),
            Operation::SetAudience { surface, id, tags } => oracle.set_audience(*surface, *id, tags),
            Operation::Compact { .. } => {}
            Operation::Search(question) => answers.push((oracle.answer(question), question.limit)),
        }
    }
    answers
}

/// The set of hits is the same, their scores to 1e-4, and they stand in the order of their scores, the later of equals first.
fn agree(found: &[Vec<Page>], expected: &[(Answer, usize)]) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.len(), expected.len());
    for (pages, (answer, limit)) in found.iter().zip(expected) {
        let total = answer.hits.len();
        let sizes: Vec<usize> = pages.iter().map(|page| page.0.len()).collect();
        let full_sizes: Vec<usize> =
            (0..total.max(1)).step_by(*limit).map(|start| (total - start).min(*limit)).collect();
        prop_assert_eq!(sizes, full_sizes);
        for (_, found_total, counts) in pages {
            prop_assert_eq!((*found_total, counts), (total as u64, &answer.counts));
        }
        let mut previous = (f32::INFINITY, u64::MAX);
        for (surface, id, score) in pages.iter().flat_map(|page| &page.0) {
            let Some(&(expected, place)) = answer.hits.get(&(surface.clone(), id.clone())) else {
                return Err(TestCaseError::fail(format!("{surface} {id} is no hit")));
            };
            prop_assert!((f64::from(*score) - expected).abs() <= 1e-4, "{score} is not {expected}");
            let order = previous.0.total_cmp(score).then(previous.1.cmp(&place));
            prop_assert!(order.is_gt(), "{surface} {id} is late");
            previous = (*score, place);
        }
    }
    Ok(())
}

#[test]
fn backends_agree_with_each_other_and_with_brute_force() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let sqlite = runtime.block_on(testkit::sqlite(&[&stoa_search::sqlite::MIGRATOR]));
    let postgres = runtime.block_on(testkit::postgres(&[&stoa_search::postgres::MIGRATOR]));
    let cases = if std::env::var_os("STOA_TEST_FULL").is_some() { 1280 } else { 128 };
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    runner
        .run(&prop::collection::vec(operation(), 0..80), |operations| {
            // Each case runs in a transaction that is rolled back: the next one starts from nothing.
            let today = Utc::now().date_naive();
            let database = memory::Database::default();
            let in_memory = runtime.block_on(answers(&Search::new(Memory), &database, &operations));
            let on_sqlite = runtime.block_on(answers(&Search::new(Sqlite), sqlite.pool(), &operations));
            let on_postgres = runtime.block_on(answers(&Search::new(Postgres), postgres.pool(), &operations));
            if Utc::now().date_naive() != today {
                return Ok(()); // Everything has aged by a day on the way.
            }
            agree(&in_memory, &expected(&operations))?;
            prop_assert_eq!(&on_sqlite, &in_memory, "scores are the same to the last bit");
            prop_assert_eq!(&on_postgres, &in_memory, "scores are the same to the last bit");
            Ok(())
        })
        .unwrap();
}

#[test]
fn any_text_in_any_language_is_indexed_and_finds_itself() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let cases = if std::env::var_os("STOA_TEST_FULL").is_some() { 20_000 } else { 2000 };
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let language = prop::sample::select(Language::ALL);
    // Arbitrary characters rarely make words: most texts are drawn from the letters the stemmers know.
    let letters = "[a-zà-ÿąćęłńóśźżőűşğıα-ωάέήίόύώа-яёіїєґا-يऀ-हि-्ก-ฮ東京語カタ가나'’.+# -]{0,40}";
    let text = prop_oneof![3 => letters, 1 => ".{0,40}"];
    runner
        .run(&(text, language), |(text, language)| {
            let (search, database) = (Search::new(Memory), memory::Database::default());
            let document =
                Document::new(Surface::FEED, EntityId::new("1").unwrap()).body(text.clone()).language(language);
            let results = runtime.block_on(async {
                let mut tx = Source::begin(&database).await.unwrap();
                search.upsert(&mut tx, &document).await.unwrap();
                // A minus would exclude.
                let query = Query::text(text.replace('-', " ")).mode(MatchMode::All);
                search.search(&mut tx, &query, &Audience::everything()).await.unwrap()
            });
            let mut has_words = false;
            stoa_search::analyzer::words(&text, |_| has_words = true);
            prop_assert_eq!(results.total, u64::from(has_words));
            for hit in &results.hits {
                prop_assert_eq!(hit.snippet.marks.is_empty(), false, "{:?}", hit);
            }
            Ok(())
        })
        .unwrap();
}
