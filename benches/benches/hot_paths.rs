//! `cargo bench -p stoa-benches`: the hot paths, for watching them from change to change.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use stoa_benches::capabilities::{self, BenchCapability};
use stoa_membership::{Membership, Scope, Sqlite, UserId};

fn check(criterion: &mut Criterion) {
    let matrix = capabilities::matrix();
    criterion.bench_function("capabilities/check", |bencher| {
        bencher.iter(|| matrix.allows(black_box("admin"), black_box(BenchCapability::Ban)));
    });
}

fn is_member(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let database = runtime.block_on(testkit::sqlite_durable(&[&stoa_membership::sqlite::MIGRATOR]));
    let membership = Membership::new(Sqlite);
    let (user, scope) = (UserId::new("ada").expect("an id"), Scope::group("chess").expect("an id"));
    let mut conn = runtime.block_on(async {
        let mut conn = database.pool().acquire().await.expect("the file opens");
        membership.join(&mut conn, &user, &scope).await.expect("the file is there");
        conn
    });
    criterion.bench_function("membership/is_member on SQLite", |bencher| {
        bencher.iter(|| runtime.block_on(membership.is_member(&mut conn, &user, &scope)).expect("the file is there"));
    });
}

criterion_group!(benches, check, is_member);
criterion_main!(benches);
