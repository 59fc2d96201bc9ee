//! Processes with the same cron entry, killed while it ticks. This binary starts itself as one of them.

use std::env;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chrono::DateTime;
use serde::{Deserialize, Serialize};
use stoa_jobs_runner::{Cron, Filter, Job, Jobs, Missed, PageRequest, Postgres, Runner, Source, Sqlite, Store};

/// Names the database to a process.
const VARIABLE: &str = "STOA_JOBS_CLOCK";
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Serialize, Deserialize)]
struct Tick {
    at: i64,
}

impl Job for Tick {
    const KIND: &'static str = "tick";
}

/// Is the process, if it was told so; in an ordinary run there is nothing to do.
#[tokio::test]
async fn clock() {
    let Ok(url) = env::var(VARIABLE) else { return };
    if url.starts_with("sqlite") {
        tick(Sqlite, sqlx::SqlitePool::connect(&url).await.unwrap()).await;
    } else {
        tick(Postgres, sqlx::PgPool::connect(&url).await.unwrap()).await;
    }
}

async fn tick<S: Store + Clone, P: Source<Connection = S::Connection>>(store: S, source: P) {
    let entry = Cron::with("tick", "* * * * * *", |tick| Tick { at: tick.timestamp() }).unwrap();
    let runner = Runner::new(Jobs::new(store), source, ()).cron(entry.missed(Missed::CatchUp(1000)));
    // Ends by itself should nobody be left to kill it.
    runner.run_until(tokio::time::sleep(2 * PATIENCE)).await.unwrap();
}

#[tokio::test]
async fn every_tick_is_one_job_while_sqlite_processes_are_killed() {
    let database = testkit::sqlite(&[&stoa_jobs_runner::sqlite::MIGRATOR]).await;
    survive_kills(Sqlite, database.pool(), database.url()).await;
}

#[tokio::test]
async fn every_tick_is_one_job_while_postgres_processes_are_killed() {
    let database = testkit::postgres(&[&stoa_jobs_runner::postgres::MIGRATOR]).await;
    survive_kills(Postgres, database.pool(), database.url()).await;
}

async fn survive_kills<S: Store + Clone, P: Source<Connection = S::Connection>>(store: S, source: &P, url: &str) {
    let rounds = if env::var_os("STOA_TEST_FULL").is_some() { 20 } else { 2 };
    let jobs = Jobs::new(store);
    let mut clocks: Vec<Clock> = (0..3).map(|_| Clock::start(url)).collect();
    let mut ticks = Vec::new();
    for round in 0..rounds {
        let enough = ticks.len() + 1;
        ticks = wait_for(&jobs, source, enough).await;
        // Two of three in every other round, and all of them now and then: then the tick is caught up with.
        let killed = if round % 5 == 4 { 3 } else { 1 + round % 2 };
        clocks.drain(..killed);
        clocks.extend((0..killed).map(|_| Clock::start(url)));
    }
    let enough = ticks.len() + 1;
    ticks = wait_for(&jobs, source, enough).await;
    let first = ticks[0];
    let expected: Vec<i64> = (0..).zip(&ticks).map(|(second, _)| first + second).collect();
    assert_eq!(ticks, expected, "a tick was lost, or became two jobs");
    let mut conn = source.acquire().await.unwrap();
    let entry = &jobs.schedule(&mut conn).await.unwrap()[0];
    assert!(entry.last_fire_at >= ticks.last().and_then(|tick| DateTime::from_timestamp(*tick, 0)));
}

/// Waits for so many jobs, and returns their ticks, sorted.
async fn wait_for<S: Store, P: Source<Connection = S::Connection>>(
    jobs: &Jobs<S>,
    source: &P,
    enough: usize,
) -> Vec<i64> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut conn = source.acquire().await.unwrap();
        let all = jobs.list(&mut conn, &Filter::default(), &PageRequest::first(1000)).await.unwrap().items;
        drop(conn);
        if all.len() >= enough {
            let mut ticks: Vec<i64> =
                all.iter().map(|job| serde_json::from_str::<Tick>(&job.payload).unwrap().at).collect();
            ticks.sort_unstable();
            return ticks;
        }
        assert!(Instant::now() < deadline, "{} ticks became jobs", all.len());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A process; dropping it kills it with SIGKILL.
struct Clock(Child);

impl Clock {
    fn start(url: &str) -> Self {
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "clock::clock"])
            .env(VARIABLE, url)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
