//! A worker process: what it does, and how it is started, disturbed and ended.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio, exit};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};
use stoa_jobs_runner::{Backoff, Jobs, Postgres, Runner, Source, Sqlite, Store};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::desk::Desk;
use crate::stage::until;
use crate::task::{Host, Task};

/// Tells a process of this binary to be a worker.
const VARIABLE: &str = "STOA_JOBS_FAULT_WORKER";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) url: String,
    pub(crate) desk: PathBuf,
    pub(crate) slots: u32,
    pub(crate) lease: Duration,
    pub(crate) grace: Duration,
}

/// What a worker did until it was told to go.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) dead: u64,
    pub(crate) released: u64,
    pub(crate) fenced: u64,
}

impl Settings {
    pub(crate) fn of_this_process() -> Option<Self> {
        env::var(VARIABLE).ok().map(|settings| serde_json::from_str(&settings).unwrap())
    }
}

/// Says that it is ready, waits for a line, then works until SIGTERM; ends with whoever holds the other end of its input.
pub(crate) async fn work(settings: Settings) {
    if settings.url.starts_with("sqlite") {
        let options: SqliteConnectOptions = settings.url.parse().unwrap();
        let options = options.synchronous(SqliteSynchronous::Off).busy_timeout(Duration::from_secs(10));
        let pool = SqlitePoolOptions::new().max_connections(3).connect_with(options).await.unwrap();
        run(Sqlite, pool, settings).await;
    } else {
        let pool = PgPoolOptions::new().max_connections(3).connect(&settings.url).await.unwrap();
        run(Postgres, pool, settings).await;
    }
}

async fn run<S: Store + Clone, P: Source<Connection = S::Connection>>(store: S, source: P, settings: Settings) {
    let mut terminated = signal(SignalKind::terminate()).unwrap();
    let desk = Desk::new(&settings.desk);
    let (go, told) = oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        if io::stdin().read_line(&mut line).is_ok_and(|length| length > 0) {
            let _ = go.send(());
            let _ = io::stdin().read_line(&mut line);
        }
        exit(1);
    });
    desk.open(&format!("ready-{}", std::process::id()));
    let _ = told.await;

    let jobs = Jobs::new(store);
    let host = Host { jobs: jobs.clone(), source: source.clone(), desk: desk.clone() };
    let runner = Runner::new(jobs, source, host)
        .queue("default", settings.slots)
        .handle::<Task>()
        .backoff(Backoff::none())
        .lease(settings.lease)
        .grace(settings.grace)
        .poll_interval(Duration::from_millis(20));
    let tally = runner.run_until(async { _ = terminated.recv().await }).await.unwrap();
    let tally = Tally {
        succeeded: tally.succeeded,
        failed: tally.failed,
        dead: tally.dead,
        released: tally.released,
        fenced: tally.fenced,
    };
    std::fs::write(desk.path().join(format!("tally-{}", std::process::id())), serde_json::to_string(&tally).unwrap())
        .unwrap();
    exit(0);
}

/// A worker process; dropping it kills it with SIGKILL.
pub(crate) struct Worker {
    process: Child,
    desk: Desk,
}

impl Worker {
    /// Starts a process that works.
    pub(crate) async fn start(settings: &Settings) -> Self {
        let mut worker = Self::prepare(settings).await;
        worker.go();
        worker
    }

    /// Starts a process that has its connections and waits for [`go`](Self::go).
    pub(crate) async fn prepare(settings: &Settings) -> Self {
        let process = Command::new(env::current_exe().unwrap())
            .args(["--exact", "as_a_worker"])
            .env(VARIABLE, serde_json::to_string(settings).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut worker = Self { process: process.unwrap(), desk: Desk::new(&settings.desk) };
        let ready = format!("ready-{}", worker.id());
        until("the start of a worker", async || {
            assert!(worker.is_alive(), "the worker did not start");
            worker.desk.is_open(&ready).then_some(())
        })
        .await;
        worker
    }

    pub(crate) fn go(&mut self) {
        writeln!(self.process.stdin.as_mut().unwrap()).unwrap();
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// SIGKILL; returns when it is gone.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// SIGSTOP: it stands still and does not know.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    /// SIGTERM: it may take its time.
    pub(crate) fn ask_to_stop(&self) {
        self.signal("TERM");
    }

    /// Waits for its end, by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        until("the end of a worker", async || self.process.try_wait().unwrap()).await
    }

    /// SIGTERM, and what it did until then.
    pub(crate) async fn stop(self) -> Tally {
        self.ask_to_stop();
        self.tally().await
    }

    /// Waits for its orderly end.
    pub(crate) async fn tally(mut self) -> Tally {
        assert!(self.ended().await.success(), "the worker did not end in order");
        let tally = std::fs::read_to_string(self.desk.path().join(format!("tally-{}", self.id()))).unwrap();
        serde_json::from_str(&tally).unwrap()
    }

    fn signal(&self, name: &str) {
        let status = Command::new("sh").args(["-c", r#"kill -"$0" "$1""#, name, &self.id().to_string()]).status();
        assert!(status.unwrap().success(), "the worker is gone");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
