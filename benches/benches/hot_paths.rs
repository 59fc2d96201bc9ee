//! `cargo bench -p stoa-benches`: the hot paths on an embedded file, for watching them from change to change.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use serde::{Deserialize, Serialize};
use sqlx::Connection;
use stoa_audit::{Action, Actor, Audit, Entity, EntityId, EntityType, Record};
use stoa_benches::capabilities::{self, BenchCapability};
use stoa_jobs_runner::{Job, Jobs};
use stoa_membership::{By, CachedMembership, Membership, Memory, Scope, UserId, memory};
use stoa_search::{Audience, Document, Language, Query, Search, Source, Surface, Tag, analyzer};
use tokio::runtime::Runtime;

const TEXT: &str = "We launch at nine from the boat house, before the tide turns, and row past both bridges to the old mill. \
                    Novices sit beside people who never stopped; bring something warm for the way back and a story to tell.";

const RECORDED: Action = Action::new("bits.bench.v1.BenchService/Record");

#[derive(Serialize, Deserialize)]
struct Notify {
    post_id: u64,
}

impl Job for Notify {
    const KIND: &'static str = "bench.notify";
}

fn check(criterion: &mut Criterion) {
    let matrix = capabilities::matrix();
    criterion.bench_function("capabilities/check", |bencher| {
        bencher.iter(|| matrix.allows(black_box("admin"), black_box(BenchCapability::Ban)));
    });
}

fn is_member(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let _inside = runtime.enter(); // connections return to their pool in it
    let database = runtime.block_on(testkit::sqlite_durable(&[&stoa_membership::sqlite::MIGRATOR]));
    let membership = Membership::new(stoa_membership::Sqlite);
    let (user, scope) = (UserId::new("ada").expect("an id"), Scope::group("chess").expect("an id"));
    let mut conn = runtime.block_on(database.pool().acquire()).expect("the file opens");
    runtime.block_on(membership.join(&mut conn, &user, &scope, &By::user(&user))).expect("the file is there");
    criterion.bench_function("membership/is_member", |bencher| {
        bencher.iter(|| runtime.block_on(membership.is_member(&mut conn, &user, &scope)).expect("the file is there"));
    });
}

fn cached_is_member(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let (user, scope) = (UserId::new("ada").expect("an id"), Scope::group("chess").expect("an id"));
    let cached = CachedMembership::new(Membership::new(Memory), memory::Database::default());
    let watcher = cached.clone();
    runtime.spawn(async move { watcher.run_until(std::future::pending()).await });
    criterion.bench_function("membership/is_member from the cache", |bencher| {
        // One future for all: entering a runtime takes longer than the check.
        bencher.iter_custom(|calls| {
            runtime.block_on(async {
                let started = Instant::now();
                for _ in 0..calls {
                    black_box(cached.is_member(black_box(&user), black_box(&scope)).await.expect("nothing fails"));
                }
                started.elapsed()
            })
        });
    });
}

fn record(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let _inside = runtime.enter(); // connections return to their pool in it
    let database = runtime.block_on(testkit::sqlite_durable(&[&stoa_audit::sqlite::MIGRATOR]));
    let audit = Audit::new(stoa_audit::Sqlite);
    let entity = Entity::new(EntityType::from_static("post"), EntityId::new("1").expect("an id"));
    let record = Record::new(RECORDED, &Actor::user("ada").expect("an id"), entity);
    let mut tx = runtime.block_on(database.pool().begin_with("BEGIN IMMEDIATE")).expect("the file opens");
    criterion.bench_function("audit/record in a transaction", |bencher| {
        bencher.iter(|| runtime.block_on(audit.record(&mut tx, &record)).expect("the file is there"));
    });
}

fn enqueue(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let _inside = runtime.enter(); // connections return to their pool in it
    let database = runtime.block_on(testkit::sqlite_durable(&[&stoa_jobs_runner::sqlite::MIGRATOR]));
    let jobs = Jobs::new(stoa_jobs_runner::Sqlite);
    let mut tx = runtime.block_on(database.pool().begin_with("BEGIN IMMEDIATE")).expect("the file opens");
    criterion.bench_function("jobs/enqueue in a transaction", |bencher| {
        bencher.iter(|| runtime.block_on(jobs.enqueue(&mut tx, &Notify { post_id: 1 })).expect("the file is there"));
    });
}

/// How many documents the searches are over.
const DOCUMENTS: usize = 20_000;

/// Documents with a word in each fourth of them, one in each hundredth, one in each two-thousandth, and others from here and there.
fn documents() -> Vec<Document> {
    let tag = Tag::try_from("group:rowing").expect("a tag");
    let document = |number: usize| {
        let mut body = String::new();
        for (every, word) in [(4, "common "), (100, "middling "), (2000, "rare ")] {
            if number.is_multiple_of(every) {
                body.push_str(word);
            }
        }
        let words = TEXT.split(' ').cycle().skip(number % 31).take(10 + number % 40);
        body.extend(words.flat_map(|word| [word, " "]));
        Document::new(Surface::FEED, number.to_string().as_str().try_into().expect("an id"))
            .title(format!("Outing {number}"))
            .body(body)
            .audience([tag.clone()])
    };
    (0..DOCUMENTS).map(document).collect()
}

fn analyze(criterion: &mut Criterion) {
    criterion.bench_function("search/analyze 40 words", |bencher| {
        bencher.iter(|| {
            analyzer::words(black_box(TEXT), |word| {
                black_box(analyzer::term(word.text, Language::English));
            });
        });
    });
}

/// Postings without a database: what nobody may see is decoded and counted, what all may see is scored and the best are kept as well.
fn rank(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let database = stoa_search::memory::Database::default();
    let search = Search::new(stoa_search::Memory);
    let mut conn = runtime.block_on(Source::acquire(&database)).expect("nothing fails");
    runtime.block_on(search.upsert_many(&mut conn, &documents())).expect("nothing fails");
    let stranger = Audience::tags([Tag::try_from("group:chess").expect("a tag")]);
    for (name, audience) in [("decode", &stranger), ("decode, score and keep 20 of", &Audience::everything())] {
        criterion.bench_function(&format!("search/{name} 5,000 postings"), |bencher| {
            let query = Query::text("common");
            bencher.iter(|| {
                let found = search.search(&mut conn, &query, audience);
                runtime.block_on(found).expect("nothing fails")
            });
        });
    }
}

fn search(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let _inside = runtime.enter(); // connections return to their pool in it
    let database = runtime.block_on(testkit::sqlite_durable(&[&stoa_search::sqlite::MIGRATOR]));
    let search = Search::new(stoa_search::Sqlite);
    let documents = documents();
    let mut conn = runtime.block_on(database.pool().acquire()).expect("the file opens");
    runtime.block_on(search.upsert_many(&mut conn, &documents)).expect("the file is there");
    let audience = Audience::tags([Tag::try_from("group:rowing").expect("a tag")]);
    for (word, share) in [("common", "a quarter"), ("middling", "a hundredth"), ("rare", "a two-thousandth")] {
        criterion.bench_function(&format!("search/a word in {share} of 20,000 documents"), |bencher| {
            let query = Query::text(word);
            bencher.iter(|| {
                let found = search.search(&mut conn, &query, &audience);
                runtime.block_on(found).expect("the file is there")
            });
        });
    }
    criterion.bench_function("search/compact 999 changes", |bencher| {
        bencher.iter_custom(|steps| {
            let mut elapsed = Duration::ZERO;
            for _ in 0..steps {
                runtime.block_on(search.upsert_many(&mut conn, &documents[..999])).expect("the file is there");
                let started = Instant::now();
                let compacted = search.compact(database.pool(), Duration::from_hours(1));
                runtime.block_on(compacted).expect("the file is there");
                elapsed += started.elapsed();
            }
            elapsed
        });
    });
    let mut tx = runtime.block_on(conn.begin_with("BEGIN IMMEDIATE")).expect("the file opens");
    criterion.bench_function("search/upsert in a transaction", |bencher| {
        bencher.iter(|| runtime.block_on(search.upsert(&mut tx, &documents[7])).expect("the file is there"));
    });
}

criterion_group!(benches, check, is_member, cached_is_member, record, enqueue, analyze, rank, search);
criterion_main!(benches);
