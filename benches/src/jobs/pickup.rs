//! How long an idle runner takes to start a job: from the call that enqueues it to the first line of its handler, the commit
//! in between included.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::sqlite::SqlitePoolOptions;
use stoa_jobs_runner::{
    Context, Failure, Handler, Job, Jobs, Postgres, Runner, Source, Sqlite, Store, postgres, sqlite,
};
use testkit::Cluster;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::database;
use crate::case::Target;
use crate::timing::percentile;
use crate::{Case, Setup};

#[derive(Serialize, Deserialize)]
struct Ping {}

impl Job for Ping {
    const KIND: &'static str = "bench.ping";
    const QUEUE: &'static str = "pickup";
}

type Started = mpsc::UnboundedSender<Instant>;

impl Handler<Started> for Ping {
    async fn run(self, cx: &Context<Started>) -> Result<(), Failure> {
        cx.state().send(Instant::now())?;
        Ok(())
    }
}

/// How the runner learns of a job.
#[derive(Clone, Copy)]
enum Path {
    /// In the same process, told after the commit.
    Wake,
    /// With another pool and another `Jobs`, as in another process: told on PostgreSQL, seen on SQLite.
    Listen,
    /// By itself.
    Poll,
}

/// Percentiles in milliseconds.
struct Pickup {
    p50: f64,
    p99: f64,
    /// From the end of the commit.
    committed_p50: f64,
    committed_p99: f64,
    jobs: usize,
}

impl Pickup {
    fn case(&self, name: &'static str, target: f64) -> Case {
        Case::absolute(name, self.p50, "ms", Target::AtMost(target)).note(format!(
            "p99 {:.2} ms; from the end of the commit p50 {:.2}, p99 {:.2}; {} jobs",
            self.p99, self.committed_p50, self.committed_p99, self.jobs
        ))
    }
}

pub(super) async fn compare(setup: &Setup, cluster: &Cluster) -> Vec<Case> {
    let pool = database(cluster, "pickup", &postgres::MIGRATOR).await;
    let other_pool = PgPool::connect(&cluster.url("pickup")).await.expect("the server answers");
    // Two minutes in all, most of them idle: between two jobs, and at the end.
    let many = setup.size(1000, 50);
    let few = setup.size(100, 20);
    let wake = measure(Postgres, &pool, &pool, Path::Wake, many).await;
    let notify = measure(Postgres, &pool, &other_pool, Path::Listen, few).await;
    let poll = measure(Postgres, &pool, &other_pool, Path::Poll, few).await;

    let file = testkit::sqlite_durable(&[&sqlite::MIGRATOR]).await;
    let other_file = SqlitePoolOptions::new().connect_with((*file.pool().connect_options()).clone()).await;
    let other_file = other_file.expect("the file is there");
    let sqlite_wake = measure(Sqlite, file.pool(), file.pool(), Path::Wake, many / 2).await;
    let sqlite_listen = measure(Sqlite, file.pool(), &other_file, Path::Listen, few).await;
    let sqlite_poll = measure(Sqlite, file.pool(), &other_file, Path::Poll, few).await;
    let idle = idle(Postgres, &pool, setup).await;
    let sqlite_idle = self::idle(Sqlite, file.pool(), setup).await;
    vec![
        Case::absolute("jobs.pickup_p50_ms", wake.p50, "ms", Target::AtMost(1.5)).note("with wake()"),
        Case::absolute("jobs.pickup_p99_ms", wake.p99, "ms", Target::AtMost(5.0)).note("with wake()"),
        wake.case("jobs.pickup_wake", 1.5),
        notify.case("jobs.pickup_notify", 5.0),
        poll.case("jobs.pickup_poll", 100.0).note("a job every 100 ms"),
        sqlite_wake.case("jobs.pickup_sqlite_wake", 5.0),
        sqlite_listen.case("jobs.pickup_sqlite_data_version", 20.0),
        sqlite_poll.case("jobs.pickup_sqlite_poll", 100.0).note("a job every 100 ms"),
        Case::absolute("jobs.idle_cpu", idle, "%", Target::AtMost(1.0)).note("of one core, listening"),
        Case::absolute("jobs.idle_sqlite_cpu", sqlite_idle, "%", Target::AtMost(2.0)).note("of one core, listening"),
    ]
}

/// The share of one core that this process takes while a runner listens and nothing happens, in percent.
async fn idle<S: Store + Clone, P: Source<Connection = S::Connection>>(store: S, source: &P, setup: &Setup) -> f64 {
    let (sender, _started) = mpsc::unbounded_channel();
    let runner = Runner::new(Jobs::new(store), source.clone(), sender).handle::<Ping>().listen();
    let time = Duration::from_secs(setup.size(10, 5) as u64);
    let watched = async {
        sleep(Duration::from_secs(2)).await;
        let before = cpu_nanoseconds();
        sleep(time).await;
        (cpu_nanoseconds() - before) as f64 / time.as_nanos() as f64 * 100.0
    };
    let (share, shares) = oneshot::channel();
    let ran = runner.run_until(async { share.send(watched.await).expect("it is waited for") }).await;
    ran.expect("the runner is set up");
    shares.await.expect("it was sent")
}

/// What the threads of this process have run for; 0 where the system does not say.
fn cpu_nanoseconds() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let schedules = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok());
    schedules.filter_map(|schedule| schedule.split(' ').next()?.parse::<u64>().ok()).sum()
}

async fn measure<S: Store + Clone, P: Source<Connection = S::Connection>>(
    store: S,
    runners: &P,
    enqueuers: &P,
    path: Path,
    count: usize,
) -> Pickup {
    let (sender, mut started) = mpsc::unbounded_channel();
    let here = Jobs::new(store.clone());
    let there = if matches!(path, Path::Wake) { here.clone() } else { Jobs::new(store) };
    let runner = Runner::new(here, runners.clone(), sender).handle::<Ping>();
    let runner = match path {
        Path::Wake => runner.poll_interval(Duration::from_hours(1)),
        Path::Listen => runner.poll_interval(Duration::from_hours(1)).listen(),
        Path::Poll => runner,
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(async move { runner.run_until(async { drop(stopped.await) }).await });
    let (mut whole, mut committed) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let warm_up = count / 10;
    for number in 0..warm_up + count {
        // Idle again, and in no step with anything that ticks.
        let idle = if matches!(path, Path::Wake) { 20 } else { 100 };
        sleep(Duration::from_micros(idle * 1000 + (number as u64 * 7919) % 10_000)).await;
        let began = Instant::now();
        let mut tx = enqueuers.begin().await.expect("the database answers");
        there.enqueue(&mut tx, &Ping {}).await.expect("the database answers");
        enqueuers.commit(tx).await.expect("the database answers");
        let ended = Instant::now();
        match path {
            Path::Wake => there.wake(),
            Path::Listen => there.notify(enqueuers),
            Path::Poll => {}
        }
        let at = started.recv().await.expect("the runner runs");
        if number >= warm_up {
            whole.push(at - began);
            committed.push(at.saturating_duration_since(ended));
        }
    }
    stop.send(()).expect("the runner runs");
    running.await.expect("no panic").expect("the runner is set up");
    Pickup {
        p50: percentile(whole.clone(), 50) / 1e3,
        p99: percentile(whole, 99) / 1e3,
        committed_p50: percentile(committed.clone(), 50) / 1e3,
        committed_p99: percentile(committed, 99) / 1e3,
        jobs: count,
    }
}
