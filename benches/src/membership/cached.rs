//! From memory.

use std::collections::HashSet;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, RwLock};
use std::time::Duration;
use std::{fs, thread};

use stoa_membership::{
    By, CachedMembership, Grant, Import, ImportRow, Membership, Memory, Result, Role, Scope, Source, UserId, memory,
};
use tokio::runtime::Handle;

use crate::case::Target;
use crate::timing::median;
use crate::{Case, Setup};

type Cached = CachedMembership<Memory, Counted>;
type Pair = (UserId, Scope);

pub(super) async fn compare(setup: &Setup) -> Vec<Case> {
    let pairs = pairs(setup.size(100_000, 5_000));
    let source = Counted { database: memory::Database::default(), acquired: Arc::default() };
    load(&source, &pairs).await;

    // What reading needs besides is there by the second time.
    fill(&watched(&source, pairs.len()).await, &pairs).await;
    let cached = watched(&source, pairs.len()).await;
    let before = resident_bytes();
    fill(&cached, &pairs).await;
    let bytes = (resident_bytes() - before) as f64;
    source.acquired.store(0, Ordering::Relaxed);
    fill(&cached, &pairs).await;
    let kept = pairs.len() - source.acquired.load(Ordering::Relaxed);
    let bytes = Case::absolute("membership.cached_bytes", bytes / kept as f64, "B", Target::AtMost(256.0))
        .note(format!("resident set, {kept} of {} entries kept, UUIDs as text", pairs.len()));
    let mut cases = checks(setup, &cached, &pairs);
    cases.push(bytes);
    cases
}

/// Entries at random places of the whole cache, and one hot entry.
fn checks(setup: &Setup, cached: &Cached, pairs: &[Pair]) -> Vec<Case> {
    let calls = setup.size(2_000_000, 50_000);
    let hot = &pairs[..1];
    let set: RwLock<HashSet<&Pair>> = RwLock::new(pairs.iter().collect());
    let (mut alone, mut alone_hot, mut sets) = (Vec::new(), Vec::new(), Vec::new());
    let (mut ratios, mut hot_ratios, mut both) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=setup.rounds() {
        let one = nanoseconds(1, cached, pairs, calls);
        let two = nanoseconds(2, cached, pairs, calls);
        let hot_one = nanoseconds(1, cached, hot, calls);
        let hot_two = nanoseconds(2, cached, hot, calls);
        let set = in_set(&set, pairs, calls);
        // The first round warms up.
        if round > 0 {
            alone.push(one);
            both.push(two);
            alone_hot.push(hot_one);
            sets.push(set);
            ratios.push(two / one);
            hot_ratios.push(hot_two / hot_one);
        }
    }
    let (one, two, ratio, hot_ratio) = (median(alone), median(both), median(ratios), median(hot_ratios));
    vec![
        Case::absolute("membership.cached_check_ns", one, "ns", Target::AtMost(100.0))
            .beside("HashSet in an RwLock", median(sets))
            .note(format!(
                "{} entries; a hot one {:.1} ns; with a second thread {ratio:.2}x, a hot one {hot_ratio:.2}x",
                pairs.len(),
                median(alone_hot)
            )),
        Case::ratio("membership.cached_check_2_threads", two, "ns", "alone", one, Target::AtMost(1.3))
            .note(format!("a hot entry {hot_ratio:.2}x")),
    ]
}

/// The mean time on a processor of a check while so many threads check at once: what else the machine does meanwhile is not
/// theirs, and that they wait for one another's cache lines is.
fn nanoseconds(threads: usize, cached: &Cached, pairs: &[Pair], calls: usize) -> f64 {
    let (runtime, start) = (Handle::current(), Barrier::new(threads));
    let run = |thread: usize| {
        // Each begins elsewhere.
        let pairs = pairs.iter().cycle().skip(thread * pairs.len() / threads).take(calls);
        start.wait();
        runtime.block_on(async {
            let started = on_processor();
            for (user, scope) in pairs {
                assert!(cached.is_member(black_box(user), black_box(scope)).await.expect("nothing fails in memory"));
            }
            (on_processor() - started) as f64 / calls as f64
        })
    };
    thread::scope(|scope| {
        let runs: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        runs.into_iter().map(|run| run.join().expect("the checks are right")).sum::<f64>() / threads as f64
    })
}

fn in_set(set: &RwLock<HashSet<&Pair>>, pairs: &[Pair], calls: usize) -> f64 {
    let started = on_processor();
    for pair in pairs.iter().cycle().take(calls) {
        assert!(set.read().expect("nobody panics").contains(black_box(pair)));
    }
    (on_processor() - started) as f64 / calls as f64
}

/// The nanoseconds that this thread has been on a processor, to a tick, as Linux tells it.
fn on_processor() -> u64 {
    let times = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells it");
    times.split(' ').next().and_then(|time| time.parse().ok()).expect("a number of nanoseconds")
}

/// A cache with room for so many, which is watched.
async fn watched(source: &Counted, capacity: usize) -> Cached {
    let cached = CachedMembership::new(Membership::new(Memory), source.clone()).capacity(capacity);
    let watcher = cached.clone();
    tokio::spawn(async move { watcher.run_until(std::future::pending()).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    cached
}

async fn fill(cached: &Cached, pairs: &[Pair]) {
    for (user, scope) in pairs {
        assert!(cached.is_member(user, scope).await.expect("nothing fails in memory"));
    }
}

async fn load(source: &Counted, pairs: &[Pair]) {
    let grant = Grant::new(Role::new("member").expect("a role within the bounds"));
    let rows = pairs.iter().map(|(user, scope)| ImportRow::active(user.clone(), scope.clone(), grant.clone()));
    let rows = Import::new(rows).expect("distinct rows, not too many");
    let mut tx = source.begin().await.expect("nothing fails in memory");
    let membership = Membership::new(Memory);
    membership.import(&mut tx, &rows, &By::user(&pairs[0].0)).await.expect("nothing fails in memory");
    source.commit(tx).await.expect("nothing fails in memory");
}

/// Ids that have the shape of UUIDs.
fn pairs(count: usize) -> Vec<Pair> {
    let uuid = |kind: usize, number: usize| {
        let bits = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        format!("{:08x}-{:04x}-7{kind:03x}-8000-{number:012x}", bits >> 32, bits & 0xffff)
    };
    let pair = |number| {
        let user = UserId::new(uuid(1, number)).expect("an id within the bounds");
        (user, Scope::group(uuid(2, number % 1000)).expect("an id within the bounds"))
    };
    (0..count).map(pair).collect()
}

/// A source that counts how often it is asked for a connection, which is what a check that is not served from memory does.
#[derive(Clone)]
struct Counted {
    database: memory::Database,
    acquired: Arc<AtomicUsize>,
}

impl Source for Counted {
    type Connection = memory::Connection;
    type Guard = <memory::Database as Source>::Guard;
    type Transaction = <memory::Database as Source>::Transaction;

    async fn acquire(&self) -> Result<Self::Guard> {
        self.acquired.fetch_add(1, Ordering::Relaxed);
        self.database.acquire().await
    }

    async fn begin(&self) -> Result<Self::Transaction> {
        self.database.begin().await
    }

    async fn begin_snapshot(&self) -> Result<Self::Transaction> {
        self.database.begin_snapshot().await
    }

    async fn commit(&self, tx: Self::Transaction) -> Result<()> {
        self.database.commit(tx).await
    }
}

/// What of this process is in memory, as Linux tells it.
fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells it");
    let kilobytes: usize = line.trim().trim_end_matches(" kB").parse().expect("a number of kilobytes");
    kilobytes * 1024
}
