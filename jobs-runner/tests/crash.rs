//! Worker processes, killed in the middle of their work. This binary starts itself as the worker.

use std::env;
use std::process::{Child, Command, Stdio, abort};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use stoa_jobs_runner::{
    Backoff, Context, DeadReason, Failure, Filter, Handler, Job, JobRecord, Jobs, PageRequest, Postgres, Runner,
    Source, Sqlite, State, Store,
};

/// Names the database to a worker process.
const WORKER_VARIABLE: &str = "STOA_JOBS_CRASH_WORKER";
const LEASE: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_mins(1);
const JOBS_A_ROUND: usize = 20;

/// Takes a moment.
#[derive(Serialize, Deserialize)]
struct Work {
    number: usize,
}

impl Job for Work {
    const KIND: &'static str = "work";
    const MAX_ATTEMPTS: u16 = 1000;
}

impl Handler<()> for Work {
    async fn run(self, _: &Context<()>) -> Result<(), Failure> {
        tokio::time::sleep(Duration::from_millis(10)).await;
        Ok(())
    }
}

/// Takes its process with it.
#[derive(Serialize, Deserialize)]
struct Bomb;

impl Job for Bomb {
    const KIND: &'static str = "bomb";
    const MAX_ATTEMPTS: u16 = 3;
}

impl Handler<()> for Bomb {
    async fn run(self, _: &Context<()>) -> Result<(), Failure> {
        abort()
    }
}

/// Is the worker, if it was told so; in an ordinary run there is nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker() {
    let Ok(url) = env::var(WORKER_VARIABLE) else { return };
    if url.starts_with("sqlite") {
        work(Sqlite, sqlx::SqlitePool::connect(&url).await.unwrap()).await;
    } else {
        work(Postgres, sqlx::PgPool::connect(&url).await.unwrap()).await;
    }
}

async fn work<S: Store + Clone, P: Source<Connection = S::Connection>>(store: S, source: P) {
    let runner = Runner::new(Jobs::new(store), source, ())
        .queue("default", 8)
        .handle::<Work>()
        .handle::<Bomb>()
        .backoff(Backoff::none())
        .lease(LEASE)
        .poll_interval(Duration::from_millis(20));
    // Ends by itself should nobody be left to kill it.
    runner.run_until(tokio::time::sleep(2 * PATIENCE)).await.unwrap();
}

#[tokio::test]
async fn no_job_is_lost_when_sqlite_workers_are_killed() {
    let database = testkit::sqlite(&[&stoa_jobs_runner::sqlite::MIGRATOR]).await;
    survive_kills(Sqlite, database.pool(), database.url()).await;
}

#[tokio::test]
async fn no_job_is_lost_when_postgres_workers_are_killed() {
    let database = testkit::postgres(&[&stoa_jobs_runner::postgres::MIGRATOR]).await;
    survive_kills(Postgres, database.pool(), database.url()).await;
}

#[tokio::test]
async fn a_job_that_kills_its_process_every_time_ends_dead() {
    let database = testkit::sqlite(&[&stoa_jobs_runner::sqlite::MIGRATOR]).await;
    let jobs = Jobs::new(Sqlite);
    let mut conn = database.pool().acquire().await.unwrap();
    let id = jobs.enqueue(&mut conn, &Bomb).await.unwrap();
    for attempt in 1..=3 {
        // The first worker finds the job, every other one the lease of the one before.
        let mut worker = Worker::start(database.url());
        let deadline = Instant::now() + PATIENCE;
        while worker.0.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "the worker survived its job");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(jobs.find(&mut conn, id).await.unwrap().unwrap().attempt, attempt);
    }
    let _worker = Worker::start(database.url());
    let job = wait_for(&jobs, database.pool(), |all| all.iter().find(|job| job.state == State::Dead).cloned()).await;
    assert_eq!((job.id, job.reason, job.attempt, job.crashes), (id, Some(DeadReason::Crashed), 3, 3));
}

async fn survive_kills<S: Store + Clone, P: Source<Connection = S::Connection>>(store: S, source: &P, url: &str) {
    let rounds = if env::var_os("STOA_TEST_FULL").is_some() { 50 } else { 5 };
    let jobs = Jobs::new(store);
    let mut tx = source.begin().await.unwrap();
    for number in 0..rounds * JOBS_A_ROUND {
        jobs.enqueue(&mut tx, &Work { number }).await.unwrap();
    }
    source.commit(tx).await.unwrap();

    let mut done = 0;
    for round in 0..rounds {
        // At another moment in every round: handlers are running, and reports are on their way.
        let enough = done + 1 + round % 13;
        let worker = Worker::start(url);
        done = wait_for(&jobs, source, |all| Some(succeeded(all)).filter(|done| *done >= enough)).await;
        drop(worker);
    }
    let _worker = Worker::start(url);
    let all = wait_for(&jobs, source, |all| (succeeded(all) == all.len()).then(|| all.to_vec())).await;
    assert_eq!(all.len(), rounds * JOBS_A_ROUND);
    assert!(all.iter().any(|job| job.crashes > 0), "no worker was killed with a job in its hands");
    assert!(all.iter().all(|job| job.attempt == job.crashes + 1), "an attempt is unaccounted for");
}

fn succeeded(all: &[JobRecord]) -> usize {
    all.iter().filter(|job| job.state == State::Succeeded).count()
}

/// Looks at all jobs until there is an answer.
async fn wait_for<S: Store, P: Source<Connection = S::Connection>, T>(
    jobs: &Jobs<S>,
    source: &P,
    mut answer: impl FnMut(&[JobRecord]) -> Option<T>,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut conn = source.acquire().await.unwrap();
        let all = jobs.list(&mut conn, &Filter::default(), &PageRequest::first(1000)).await.unwrap().items;
        drop(conn);
        if let Some(answer) = answer(&all) {
            return answer;
        }
        assert!(Instant::now() < deadline, "{} of {} jobs succeeded", succeeded(&all), all.len());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A worker process; dropping it kills it with SIGKILL.
struct Worker(Child);

impl Worker {
    fn start(url: &str) -> Self {
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "worker"])
            .env(WORKER_VARIABLE, url)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
