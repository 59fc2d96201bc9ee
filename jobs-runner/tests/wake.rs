//! Jobs of other processes start soon. This binary starts itself as the other process.

use std::env;
use std::io::{Write, stdin};
use std::process::{Command, Stdio};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::Connection;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions};
use stoa_jobs_runner::{Context, Failure, Handler, Job, Jobs, Postgres, Runner, Source, Sqlite, Store};
use testkit::{Cluster, Durability};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// Names the database to the process that enqueues.
const ENQUEUER_VARIABLE: &str = "STOA_JOBS_WAKE_ENQUEUER";
const PATIENCE: Duration = Duration::from_secs(30);
/// What a job may take from its commit to its start.
const SOON: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_hours(1);
/// How many jobs are timed.
const JOBS: usize = 10;

/// Says when it starts.
#[derive(Serialize, Deserialize)]
struct Ping;

impl Job for Ping {
    const KIND: &'static str = "ping";
}

impl Handler<UnboundedSender<DateTime<Utc>>> for Ping {
    async fn run(self, cx: &Context<UnboundedSender<DateTime<Utc>>>) -> Result<(), Failure> {
        cx.state().send(Utc::now())?;
        Ok(())
    }
}

/// A runner that polls once an hour.
struct Running {
    started: UnboundedReceiver<DateTime<Utc>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    fn start<S: Store + Clone, P: Source<Connection = S::Connection>>(
        jobs: &Jobs<S>,
        source: &P,
        with: impl FnOnce(RunnerOf<S, P>) -> RunnerOf<S, P>,
    ) -> Self {
        let (sender, started) = unbounded_channel();
        let runner = with(Runner::new(jobs.clone(), source.clone(), sender).poll_interval(HOUR).handle::<Ping>());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            runner.run_until(async { drop(stopped.await) }).await.unwrap();
        });
        Self { started, stop, task }
    }

    async fn next(&mut self) -> DateTime<Utc> {
        timeout(PATIENCE, self.started.recv()).await.expect("no job started").unwrap()
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}

type RunnerOf<S, P> = Runner<S, P, UnboundedSender<DateTime<Utc>>>;

async fn enqueue<S: Store, P: Source<Connection = S::Connection>>(jobs: &Jobs<S>, source: &P) -> DateTime<Utc> {
    let mut tx = source.begin().await.unwrap();
    jobs.enqueue(&mut tx, &Ping).await.unwrap();
    source.commit(tx).await.unwrap();
    Utc::now()
}

/// Is the other process, if it was told so; in an ordinary run there is nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn enqueuer() {
    let Ok(url) = env::var(ENQUEUER_VARIABLE) else { return };
    if url.starts_with("sqlite") {
        enqueue_all(Jobs::new(Sqlite), SqlitePool::connect(&url).await.unwrap()).await;
    } else {
        enqueue_all(Jobs::new(Postgres), PgPool::connect(&url).await.unwrap()).await;
    }
}

/// Prints when each job was committed, and waits for a line before the next one.
async fn enqueue_all<S: Store, P: Source<Connection = S::Connection>>(jobs: Jobs<S>, source: P) {
    for _ in 0..JOBS {
        let committed = enqueue(&jobs, &source).await;
        jobs.notify(&source);
        println!("committed {}", committed.timestamp_micros());
        // Blocks this thread only: what notifies runs on another one.
        stdin().read_line(&mut String::new()).unwrap();
    }
}

/// The median, for this machine may have other things to do now and then; each one is started without a poll.
async fn another_process_is_heard<S: Store + Clone, P: Source<Connection = S::Connection>>(
    store: S,
    source: &P,
    url: &str,
) {
    let mut running = Running::start(&Jobs::new(store), source, Runner::listen);
    let mut enqueuer = Command::new(env::current_exe().unwrap())
        .args(["--exact", "wake::enqueuer", "--nocapture"])
        .env(ENQUEUER_VARIABLE, url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut go_on = enqueuer.stdin.take().unwrap();
    let mut started = Vec::new();
    for _ in 0..JOBS {
        started.push(running.next().await);
        writeln!(go_on, "started").unwrap();
    }
    let output = enqueuer.wait_with_output().unwrap();
    assert!(output.status.success());
    let committed = String::from_utf8(output.stdout).unwrap();
    let committed = committed.lines().filter_map(|line| line.split_once("committed ")?.1.parse::<i64>().ok());
    let mut delays: Vec<i64> =
        started.iter().zip(committed).map(|(started, committed)| started.timestamp_micros() - committed).collect();
    assert_eq!(delays.len(), JOBS);
    delays.sort_unstable();
    assert!(u128::try_from(delays[JOBS / 2]).unwrap_or_default() < SOON.as_micros(), "{delays:?} microseconds");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_another_process_starts_soon_on_postgres() {
    let database = testkit::postgres(&[&stoa_jobs_runner::postgres::MIGRATOR]).await;
    another_process_is_heard(Postgres, database.pool(), database.url()).await;
}

/// With a pool of one, too: to hear takes none of its connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_another_process_starts_soon_on_sqlite() {
    let database = testkit::sqlite(&[&stoa_jobs_runner::sqlite::MIGRATOR]).await;
    let pool = SqlitePoolOptions::new().max_connections(1).connect(database.url()).await.unwrap();
    another_process_is_heard(Sqlite, &pool, database.url()).await;
}

/// Two sets of clones, as in two processes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_was_cut_off_hears_again() {
    let database = testkit::postgres(&[&stoa_jobs_runner::postgres::MIGRATOR]).await;
    let (here, there) = (Jobs::new(Postgres), Jobs::new(Postgres));
    let mut running = Running::start(&here, database.pool(), Runner::listen);
    enqueue(&there, database.pool()).await;
    running.next().await;

    for _ in 0..3 {
        let cut_off = listener(database.pool(), None).await;
        // Nobody hears of this one, but whoever listens again looks first.
        enqueue(&there, database.pool()).await;
        let is_gone: bool = sqlx::query_scalar("SELECT pg_terminate_backend($1, 10000)")
            .bind(cut_off)
            .fetch_one(database.pool())
            .await
            .unwrap();
        assert!(is_gone);
        running.next().await;
        listener(database.pool(), Some(cut_off)).await;
        enqueue(&there, database.pool()).await;
        there.notify(database.pool());
        running.next().await;
    }
    running.stop().await;
}

/// Waits for the process id of a backend that listens, and is not the one of before.
async fn listener(pool: &PgPool, before: Option<i32>) -> i32 {
    let find = async {
        loop {
            let pid: Option<i32> = sqlx::query_scalar(
                r#"
                SELECT pid
                FROM pg_stat_activity
                WHERE datname = current_database() AND state = 'idle' AND query LIKE 'LISTEN %'
                    AND pid IS DISTINCT FROM $1
                "#,
            )
            .bind(before)
            .fetch_optional(pool)
            .await
            .unwrap();
            match pid {
                Some(pid) => return pid,
                None => tokio::task::yield_now().await,
            }
        }
    };
    timeout(PATIENCE, find).await.expect("nobody listens")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_killed_and_comes_back_is_heard_again() {
    let cluster = Cluster::start(Durability::Fast);
    let database = cluster.database(&[&stoa_jobs_runner::postgres::MIGRATOR]).await;
    let (here, there) = (Jobs::new(Postgres), Jobs::new(Postgres));
    let mut running =
        Running::start(&here, database.pool(), |runner| runner.poll_interval(Duration::from_secs(1)).listen());
    enqueue(&there, database.pool()).await;
    running.next().await;
    cluster.kill();
    cluster.restart();
    let pool = PgPool::connect(database.url()).await.unwrap();
    enqueue(&there, &pool).await;
    running.next().await;
    listener(&pool, None).await;
    running.stop().await;
}

/// However many commits there are: one notification at once, and one for all that follow at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notifications_are_debounced_and_the_last_commit_is_told() {
    let database = testkit::postgres(&[&stoa_jobs_runner::postgres::MIGRATOR]).await;
    let mut listener = sqlx::postgres::PgListener::connect(database.url()).await.unwrap();
    listener.listen("stoa_jobs").await.unwrap();
    let (here, there) = (Jobs::new(Postgres), Jobs::new(Postgres));
    let mut running = Running::start(&here, database.pool(), Runner::listen);
    let began = Instant::now();
    for _ in 0..200 {
        enqueue(&there, database.pool()).await;
        there.notify(database.pool());
    }
    for _ in 0..200 {
        running.next().await;
    }
    let at_most = began.elapsed().as_millis() / 10 + 2;
    // A last one may still be on its way.
    let mut heard = 0;
    while let Ok(notification) = timeout(SOON, listener.recv()).await {
        notification.unwrap();
        heard += 1;
    }
    assert!(heard > 0 && heard <= at_most + SOON.as_millis() / 10, "{heard} notifications, {at_most} expected");
    running.stop().await;
}

/// Without a single poll, in the same process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wake_after_the_commit_starts_the_job_soon() {
    let postgres = testkit::postgres(&[&stoa_jobs_runner::postgres::MIGRATOR]).await;
    wakes(Postgres, postgres.pool()).await;
    let sqlite = testkit::sqlite(&[&stoa_jobs_runner::sqlite::MIGRATOR]).await;
    wakes(Sqlite, sqlite.pool()).await;
}

async fn wakes<S: Store + Clone, P: Source<Connection = S::Connection>>(store: S, source: &P) {
    let jobs = Jobs::new(store);
    let mut running = Running::start(&jobs, source, |runner| runner);
    let mut delays = Vec::new();
    for _ in 0..JOBS {
        // An uncommitted job does not start, whoever is woken: the memory of a handler would show it.
        let mut tx = source.begin().await.unwrap();
        jobs.enqueue(&mut tx, &Ping).await.unwrap();
        jobs.wake();
        tokio::task::yield_now().await;
        assert!(running.started.try_recv().is_err());
        source.commit(tx).await.unwrap();
        let committed = Utc::now();
        jobs.wake();
        delays.push(running.next().await - committed);
    }
    delays.sort_unstable();
    assert!(delays[JOBS / 2].to_std().unwrap_or_default() < SOON, "{delays:?}");
    running.stop().await;
}

/// A writer that keeps the file for longer than anybody waits: nothing of it comes to light, and nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_sqlite_is_no_error() {
    let database = testkit::sqlite(&[&stoa_jobs_runner::sqlite::MIGRATOR]).await;
    let options: SqliteConnectOptions = database.url().parse().unwrap();
    let options = options.journal_mode(SqliteJournalMode::Wal).busy_timeout(Duration::from_millis(1));
    let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await.unwrap();
    let jobs = Jobs::new(Sqlite);
    enqueue(&jobs, &pool).await;
    let mut writer = SqliteConnection::connect(database.url()).await.unwrap();
    let writing = writer.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let (sender, mut started) = unbounded_channel();
    let runner = Runner::new(jobs.clone(), pool, sender).handle::<Ping>();
    let draining = tokio::spawn(async move { runner.drain().await });
    assert!(timeout(SOON, started.recv()).await.is_err(), "a job started under another writer's lock");
    writing.commit().await.unwrap();
    let tally = timeout(PATIENCE, draining).await.unwrap().unwrap().expect("busy is no error of a runner");
    assert_eq!(tally.succeeded, 1, "{tally:?}");
}

/// In an idle database the polls grow apart; the pool's connections are all free meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_runner_holds_no_connection_of_the_pool() {
    let database = testkit::postgres(&[&stoa_jobs_runner::postgres::MIGRATOR]).await;
    let pool = PgPoolOptions::new().max_connections(1).connect(database.url()).await.unwrap();
    let jobs = Jobs::new(Postgres);
    let mut running = Running::start(&jobs, &pool, Runner::listen);
    listener(database.pool(), None).await;
    for _ in 0..JOBS {
        enqueue(&jobs, &pool).await;
        jobs.notify(&pool);
        running.next().await;
    }
    assert_eq!(pool.size(), 1);
    running.stop().await;
}
