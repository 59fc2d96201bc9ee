//! Work at a steady rate under a snapshot that stays open: what finished jobs leave behind cannot be cleaned away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sqlx::PgPool;
use stoa_jobs_runner::{Context, Failure, Handler, Job, Jobs, Postgres, Runner, postgres};
use testkit::Cluster;
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::database;
use crate::case::Target;
use crate::{Case, Setup};

/// Jobs a second.
const RATE: usize = 800;
/// Jobs that are enqueued at once.
const CHUNK: usize = 10;
/// No longer than so long at full speed, for what ten minutes would leave behind.
const AGEING: Duration = Duration::from_secs(90);

#[derive(serde::Serialize, serde::Deserialize)]
struct Counted {}

impl Job for Counted {
    const KIND: &'static str = "bench.counted";
    const QUEUE: &'static str = "pinned";
}

impl Handler<Arc<AtomicUsize>> for Counted {
    async fn run(self, cx: &Context<Arc<AtomicUsize>>) -> Result<(), Failure> {
        cx.state().fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

pub(super) async fn compare(setup: &Setup, cluster: &Cluster) -> Case {
    // In a tenth of the time: the last minute, after nine minutes' worth of jobs at full speed.
    let (aged, seconds) = if setup.is_long() { (0, 600) } else { setup.pick((540 * RATE, 60), (4 * RATE, 3)) };
    let pool = database(cluster, "pinned", &postgres::MIGRATOR).await;
    let mut pin = pool.begin().await.expect("the server answers");
    sqlx::raw_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM jobs_queue_job")
        .execute(&mut *pin)
        .await
        .expect("the server answers");

    let done = Arc::new(AtomicUsize::new(0));
    let jobs = Jobs::new(Postgres);
    let (stop, stopped) = oneshot::channel::<()>();
    let runner = Runner::new(jobs.clone(), pool.clone(), done.clone()).handle::<Counted>();
    let running = tokio::spawn(async move { runner.run_until(async { drop(stopped.await) }).await });

    let aged = age(&jobs, &pool, &done, aged).await;
    let (offered, before) = (seconds * RATE, done.load(Ordering::Relaxed));
    let (mut enqueued, mut backlog, mut late) = (0, 0, Duration::ZERO);
    let mut ticks = interval(Duration::from_secs(1) * CHUNK as u32 / RATE as u32);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let started = Instant::now();
    while enqueued < offered {
        ticks.tick().await;
        enqueue(&jobs, &pool, CHUNK).await;
        enqueued += CHUNK;
        backlog = backlog.max(before + enqueued - done.load(Ordering::Relaxed));
        let due = Duration::from_secs_f64((enqueued - CHUNK) as f64 / RATE as f64);
        late = late.max(started.elapsed().saturating_sub(due));
    }
    let rate = (done.load(Ordering::Relaxed) - before) as f64 / started.elapsed().as_secs_f64();
    pin.rollback().await.expect("the server answers");
    drop(stop);
    running.await.expect("it does not panic").expect("the settings are sound");
    Case::absolute("jobs.pinned_snapshot_rate", rate / RATE as f64, "x", Target::AtLeast(0.95)).note(format!(
        "{RATE} jobs/s for {seconds} s after {aged} jobs under the same snapshot, 10 at once; at most {backlog} jobs behind, \
         the producer {} ms",
        late.as_millis()
    ))
}

/// Leaves behind what so many jobs leave, as fast as it can; says how many.
async fn age(jobs: &Jobs<Postgres>, pool: &PgPool, done: &AtomicUsize, wanted: usize) -> usize {
    let (started, mut enqueued) = (Instant::now(), 0);
    while enqueued < wanted && started.elapsed() < AGEING {
        if enqueued - done.load(Ordering::Relaxed) < 10_000 {
            enqueue(jobs, pool, 1000).await;
            enqueued += 1000;
        } else {
            sleep(Duration::from_millis(1)).await;
        }
    }
    while done.load(Ordering::Relaxed) < enqueued {
        sleep(Duration::from_millis(1)).await;
    }
    enqueued
}

async fn enqueue(jobs: &Jobs<Postgres>, pool: &PgPool, number: usize) {
    let new: Vec<Counted> = (0..number).map(|_| Counted {}).collect();
    let mut conn = pool.acquire().await.expect("the server answers");
    jobs.enqueue_many(&mut conn, &new).await.expect("the jobs are sound");
    jobs.wake();
}
