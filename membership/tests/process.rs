//! A second process that checks through the cache sees every ban within the promised staleness.
//!
//! The second process is this binary again, told by an environment variable which database to use. It answers checks on its
//! standard output, one a line, and ends with its standard input. The parent alone keeps the time: it counts from the return of
//! its commit to the moment before it sends a check, so that no clock has to be shared.

use std::collections::VecDeque;
use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use sqlx::{PgPool, SqlitePool};
use stoa_membership::{
    By, CachedMembership, Membership, Postgres, Result, Scope, Source, Sqlite, Store, UserId, postgres, sqlite,
};

/// Names the database to the second process.
const CHILD_VARIABLE: &str = "STOA_MEMBERSHIP_CACHE_CHILD";
const STALENESS: Duration = Duration::from_millis(50);
/// Bans overlap in time: all of a batch are waited for at once.
const BATCHES: usize = 20;
const BANS_A_BATCH: usize = 50;
const PATIENCE: Duration = Duration::from_secs(30);

fn main() {
    // Whoever lists tests must not run this one.
    if env::args().any(|argument| argument == "--list") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    match env::var(CHILD_VARIABLE) {
        Ok(url) if url.starts_with("sqlite") => {
            let pool = runtime.block_on(SqlitePool::connect(&url)).unwrap();
            answer(&runtime, Sqlite, pool);
        }
        Ok(url) => {
            let pool = runtime.block_on(PgPool::connect(&url)).unwrap();
            answer(&runtime, Postgres, pool);
        }
        Err(_) => {
            let database = runtime.block_on(testkit::sqlite(&[&sqlite::MIGRATOR]));
            runtime.block_on(every_ban_is_seen_in_time("sqlite", Sqlite, database.pool().clone(), database.url()));
            let database = runtime.block_on(testkit::postgres(&[&postgres::MIGRATOR]));
            runtime.block_on(every_ban_is_seen_in_time("postgres", Postgres, database.pool().clone(), database.url()));
        }
    }
}

async fn every_ban_is_seen_in_time<S: Store, P: Source<Connection = S::Connection>>(
    name: &str,
    store: S,
    source: P,
    url: &str,
) {
    let membership = Membership::new(store);
    let mut tx = source.begin().await.unwrap();
    for number in 0..BATCHES * BANS_A_BATCH {
        membership.join(&mut tx, &user(number), &chess(), &by()).await.unwrap();
    }
    source.commit(tx).await.unwrap();

    let mut other = Other::start(url);
    let (mut served, mut stale, mut oldest) = (0, 0, Duration::ZERO);
    for batch in 0..BATCHES {
        let numbers = batch * BANS_A_BATCH..(batch + 1) * BANS_A_BATCH;
        for number in numbers.clone() {
            assert!(other.check(number).is_member);
            let again = other.check(number);
            assert!(again.is_member);
            served += usize::from(again.is_from_memory);
        }
        let mut unseen = VecDeque::new();
        for number in numbers.clone() {
            let mut tx = source.begin().await.unwrap();
            membership.ban(&mut tx, &user(number), &chess(), &by()).await.unwrap();
            source.commit(tx).await.unwrap();
            unseen.push_back((number, Instant::now()));
        }
        let all_committed = Instant::now();
        while let Some((number, committed)) = unseen.pop_front() {
            let age = committed.elapsed();
            if other.check(number).is_member {
                assert!(age < STALENESS, "{name}: a ban was not seen {age:?} after its commit");
                (stale, oldest) = (stale + 1, oldest.max(age));
                unseen.push_back((number, committed));
            }
        }
        // What was seen stays seen, and each ban is checked at an age at which it has to be.
        while all_committed.elapsed() < STALENESS {
            other.check(0);
        }
        for number in numbers {
            assert!(!other.check(number).is_member, "{name}: a ban was seen and then not");
        }
    }
    let bans = BATCHES * BANS_A_BATCH;
    println!(
        "{name}: {bans} of {bans} bans seen in time; {served} of {bans} checks before and {stale} after a ban came from the other \
         process's memory, the last {oldest:?} after the commit"
    );
    assert!(served > bans * 9 / 10, "{name}: the other process hardly used its cache");
}

/// The other process, ended with this value.
struct Other {
    process: Child,
    checks: ChildStdin,
    answers: Receiver<String>,
}

struct Answer {
    is_member: bool,
    is_from_memory: bool,
}

impl Other {
    fn start(url: &str) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.env(CHILD_VARIABLE, url).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (checks, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let (sender, answers) = mpsc::channel();
        // A thread, for a read cannot be given up and a channel can.
        thread::spawn(move || {
            BufReader::new(output).lines().map_while(io::Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { process, checks, answers }
    }

    fn check(&mut self, number: usize) -> Answer {
        writeln!(self.checks, "{number}").unwrap();
        let answer = self.answers.recv_timeout(PATIENCE).expect("the other process answers");
        let (is_member, connections) = answer.split_once(' ').unwrap();
        Answer { is_member: is_member == "true", is_from_memory: connections == "0" }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // By its own id, and it may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Is the second process: says of each user whether it is a member, and how many connections were taken meanwhile.
fn answer<S: Store, P: Source<Connection = S::Connection>>(runtime: &tokio::runtime::Runtime, store: S, source: P) {
    let source = Counted { source, acquired: Arc::default() };
    let cache = CachedMembership::new(Membership::new(store), source.clone()).max_staleness(STALENESS);
    let watcher = cache.clone();
    runtime.spawn(async move { watcher.run_until(std::future::pending()).await });
    for line in io::stdin().lines() {
        let user = user(line.unwrap().parse().unwrap());
        let before = source.acquired.load(Ordering::Relaxed);
        let is_member = runtime.block_on(cache.is_member(&user, &chess())).unwrap();
        // Those of the watcher count as well: if there is none, the answer came from memory for sure.
        println!("{is_member} {}", source.acquired.load(Ordering::Relaxed) - before);
    }
}

fn user(number: usize) -> UserId {
    UserId::new(format!("user-{number}")).unwrap()
}

fn chess() -> Scope {
    Scope::group("chess").unwrap()
}

fn by() -> By {
    By::user(&UserId::new("root").unwrap())
}

/// Counts the connections that a pool lends.
#[derive(Clone)]
struct Counted<P> {
    source: P,
    acquired: Arc<AtomicUsize>,
}

impl<P: Source> Source for Counted<P> {
    type Connection = P::Connection;
    type Guard = P::Guard;
    type Transaction = P::Transaction;

    async fn acquire(&self) -> Result<P::Guard> {
        self.acquired.fetch_add(1, Ordering::Relaxed);
        self.source.acquire().await
    }

    async fn begin(&self) -> Result<P::Transaction> {
        self.source.begin().await
    }

    async fn begin_snapshot(&self) -> Result<P::Transaction> {
        self.source.begin_snapshot().await
    }

    async fn commit(&self, tx: P::Transaction) -> Result<()> {
        self.source.commit(tx).await
    }
}
