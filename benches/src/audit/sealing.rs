//! Sealing what is there, sealing what comes, and verifying it.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sqlx::types::Uuid;
use sqlx::{PgConnection, PgPool};
use stoa_audit::{
    Actor, Anchor, Audit, CheckpointSink, Log, Origin, Postgres, Record, Sealer, Signer, Source, Verdict, WriterSink,
};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::{CREATED, Post, connect, entity};
use crate::case::Target;
use crate::timing::{median, percentile};
use crate::{Case, Setup};

pub(super) async fn compare(setup: &Setup, url: &str) -> Vec<Case> {
    let pool = PgPool::connect(url).await.expect("the server answers");
    let mut cases = vec![seal(setup, &pool, url).await, verify(setup, &pool).await];
    cases.push(lag(setup, &pool, url).await);
    cases
}

fn signer() -> Signer {
    Signer::new(Origin::new("bench.example/audit").expect("a name within the bounds"), &[7; 32])
}

async fn seal(setup: &Setup, pool: &PgPool, url: &str) -> Case {
    let records = setup.size(40_000, 5_000);
    let mut conn = connect(url).await;
    // Loading is not what is measured.
    sqlx::query("SET synchronous_commit = off").execute(&mut conn).await.expect("the server answers");
    let mut sealer = Sealer::new(Postgres, pool.clone(), signer(), WriterSink::new(tokio::io::sink()));
    let mut rates = Vec::new();
    for _ in 0..=setup.rounds() {
        load(&mut conn, records).await;
        let (started, mut sealed) = (Instant::now(), 0);
        while sealed < records as u64 {
            sealed += sealer.seal_once().await.expect("the server answers").leaves;
        }
        rates.push(sealed as f64 / started.elapsed().as_secs_f64());
    }
    rates.remove(0);
    rates.sort_by(f64::total_cmp);
    let (least, most) = (rates[0], rates[rates.len() - 1]);
    Case::absolute("audit.seal_rows_s", median(rates), "/s", Target::AtLeast(50_000.0))
        .note(format!("{records} committed records a round, rounds {least:.0} to {most:.0}, fsync on"))
}

/// Records of half a kilobyte, a thousand a transaction.
async fn load(conn: &mut PgConnection, records: usize) {
    let (post, actor) = (Post::new(), Actor::user("user-1").expect("an id within the bounds"));
    let record = |id| Record::new(CREATED, &actor, entity(id)).after(&post).expect("a body within the bounds");
    for batch in 0..records / 1000 {
        let batch: Vec<Record> = (batch * 1000..(batch + 1) * 1000).map(record).collect();
        Audit::new(Postgres).record_many(conn, &batch).await.expect("the server answers");
    }
    // As autovacuum does in time.
    sqlx::query("VACUUM ANALYZE audit_record, audit_leaf").execute(conn).await.expect("the tables are there");
}

/// All that has been sealed, on one connection without parallel workers, against a checkpoint.
async fn verify(setup: &Setup, pool: &PgPool) -> Case {
    let log = Log::new(Postgres);
    let mut tx = pool.begin_snapshot().await.expect("the server answers");
    sqlx::query("SET LOCAL max_parallel_workers_per_gather = 0").execute(&mut *tx).await.expect("the server answers");
    let latest = log.latest(&mut tx).await.expect("the server answers").expect("all is sealed");
    let anchor = Anchor::open(signer().verifier(), &latest.note).expect("the signer's own");
    let server: i32 =
        sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *tx).await.expect("the server answers");
    let (server, client) = (server.to_string(), String::from("self"));
    let (mut rates, mut records, mut verified) = (Vec::new(), 0, 0);
    let before = [processor(&server), processor(&client)];
    for _ in 0..setup.size(5, 1) {
        let started = Instant::now();
        let report = log.verify(&mut tx, Some(&anchor)).await.expect("the server answers");
        assert_eq!((report.verdict, report.unsealed), (Verdict::Intact, 0));
        records = report.head.size;
        rates.push(records as f64 / started.elapsed().as_secs_f64());
        verified += records;
    }
    rates.sort_by(f64::total_cmp);
    let (least, most) = (rates[0], rates[rates.len() - 1]);
    let [server, client] = [processor(&server) - before[0], processor(&client) - before[1]];
    let each = |seconds: f64| seconds * 1e6 / verified as f64;
    Case::absolute("audit.verify_rows_s", verified as f64 / (server + client), "/s", Target::AtLeast(300_000.0)).note(
        format!(
            "{records} records on one connection, by the time that both take on a processor: server {:.2} us, client {:.2} us \
             a record; by the clock {:.0}/s, rounds {least:.0} to {most:.0}",
            each(server),
            each(client),
            median(rates)
        ),
    )
}

/// The seconds that a process has spent on a processor, in hundredths, as Linux tells it.
fn processor(process: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("Linux tells it");
    let figures = status.rsplit(')').next().expect("a name in brackets").split_whitespace();
    let ticks: f64 = figures.skip(11).take(2).map(|ticks| ticks.parse::<f64>().expect("a number")).sum();
    ticks / 100.0
}

/// Sixteen milliseconds apart, each of 32 writers: 2,000 a second.
const PACE: Duration = Duration::from_millis(16);

/// From the commit of a record to the checkpoint that has it, published.
async fn lag(setup: &Setup, pool: &PgPool, url: &str) -> Case {
    let sink = Published::default();
    let mut sealer = Sealer::new(Postgres, pool.clone(), signer(), sink.clone());
    let (stop, stopped) = oneshot::channel::<()>();
    let sealing = tokio::spawn(async move {
        let until = async { stopped.await.expect("it is told") };
        sealer.run_until(until).await.expect("nobody else writes the log");
    });
    let time = Duration::from_secs(setup.size(10, 1) as u64);
    let mut writers = JoinSet::new();
    for _ in 0..32 {
        writers.spawn(append(connect(url).await, time));
    }
    let started = Instant::now();
    let committed: Vec<(Uuid, Instant)> = writers.join_all().await.into_iter().flatten().collect();
    let rate = committed.len() as f64 / started.elapsed().as_secs_f64();
    stop.send(()).expect("it runs");
    sealing.await.expect("it ends");

    let leaves: Vec<(Uuid, i64)> = sqlx::query_as("SELECT record_id, leaf_index FROM audit_leaf")
        .fetch_all(pool)
        .await
        .expect("the server answers");
    let leaves: HashMap<Uuid, i64> = leaves.into_iter().collect();
    let published = sink.0.lock().expect("nobody panics");
    let lags = committed.iter().map(|(id, committed)| {
        let checkpoint = published.partition_point(|&(size, _)| size <= leaves[id]);
        published[checkpoint].1.saturating_duration_since(*committed)
    });
    let lags: Vec<Duration> = lags.collect();
    let (p50, p99) = (percentile(lags.clone(), 50) / 1e3, percentile(lags, 99) / 1e3);
    Case::absolute("audit.seal_lag_p99_ms", p99, "ms", Target::AtMost(1000.0)).note(format!(
        "{rate:.0} appends/s by 32 writers, fsync on, from commit to published checkpoint; p50 {p50:.0} ms"
    ))
}

async fn append(mut conn: PgConnection, time: Duration) -> Vec<(Uuid, Instant)> {
    let (post, actor) = (Post::new(), Actor::user("user-1").expect("an id within the bounds"));
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut committed, started) = (Vec::new(), Instant::now());
    while started.elapsed() < time {
        ticks.tick().await;
        let record =
            Record::new(CREATED, &actor, entity(committed.len())).after(&post).expect("a body within the bounds");
        let receipt = Audit::new(Postgres).record(&mut conn, &record).await.expect("the server answers");
        committed.push((*receipt.id().as_uuid(), Instant::now()));
    }
    committed
}

/// When checkpoints of which size were published.
#[derive(Clone, Default)]
struct Published(Arc<Mutex<Vec<(i64, Instant)>>>);

impl CheckpointSink for Published {
    async fn last(&mut self) -> io::Result<Option<String>> {
        Ok(None)
    }

    async fn publish(&mut self, note: &str) -> io::Result<()> {
        let size = note.lines().nth(1).and_then(|line| line.parse().ok()).expect("the second line of a checkpoint");
        self.0.lock().expect("nobody panics").push((size, Instant::now()));
        Ok(())
    }
}
