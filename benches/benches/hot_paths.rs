//! `cargo bench -p stoa-benches`: the hot paths on an embedded file, for watching them from change to change.

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use serde::{Deserialize, Serialize};
use stoa_audit::{Action, Actor, Audit, Entity, EntityId, EntityType, Record};
use stoa_benches::capabilities::{self, BenchCapability};
use stoa_jobs_runner::{Job, Jobs};
use stoa_membership::{By, CachedMembership, Membership, Memory, Scope, UserId, memory};
use stoa_search::{Audience, Document, Language, Query, Search, Surface, Tag, analyzer};
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

fn search(criterion: &mut Criterion) {
    criterion.bench_function("search/analyze 40 words", |bencher| {
        bencher.iter(|| {
            analyzer::words(black_box(TEXT), |word| {
                black_box(analyzer::term(word.text, Language::English));
            });
        });
    });

    let runtime = Runtime::new().expect("a runtime");
    let _inside = runtime.enter(); // connections return to their pool in it
    let database = runtime.block_on(testkit::sqlite_durable(&[&stoa_search::sqlite::MIGRATOR]));
    let search = Search::new(stoa_search::Sqlite);
    let tag = Tag::try_from("group:rowing").expect("a tag");
    let document = |number: usize| {
        Document::new(Surface::FEED, number.to_string().as_str().try_into().expect("an id"))
            .title(format!("Outing {number}"))
            .body(TEXT)
            .audience([tag.clone()])
    };
    let documents: Vec<Document> = (0..1000).map(document).collect();
    let mut tx = runtime.block_on(database.pool().begin_with("BEGIN IMMEDIATE")).expect("the file opens");
    runtime.block_on(search.upsert_many(&mut tx, &documents)).expect("the file is there");
    criterion.bench_function("search/upsert in a transaction", |bencher| {
        bencher.iter(|| runtime.block_on(search.upsert(&mut tx, &documents[7])).expect("the file is there"));
    });
    let audience = Audience::tags([tag.clone()]);
    criterion.bench_function("search/search 1,000 documents exactly", |bencher| {
        bencher.iter(|| {
            runtime.block_on(search.search(&mut tx, &Query::text("old mill"), &audience)).expect("the file is there")
        });
    });
}

criterion_group!(benches, check, is_member, cached_is_member, record, enqueue, search);
criterion_main!(benches);
