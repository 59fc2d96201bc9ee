//! A job, a retry and a worker on a SQLite file: `cargo run -p stoa-jobs-runner --example jobs_runner --features sqlite`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};
use stoa_jobs_runner::{Backoff, Context, Failure, Filter, Handler, Job, Jobs, PageRequest, Runner, Sqlite};
use tokio::sync::mpsc;

#[derive(Serialize, Deserialize)]
struct Welcome {
    user: String,
}

impl Job for Welcome {
    const KIND: &'static str = "mail.welcome";
}

impl Handler<mpsc::UnboundedSender<String>> for Welcome {
    async fn run(self, cx: &Context<mpsc::UnboundedSender<String>>) -> Result<(), Failure> {
        println!("welcoming {}, attempt {}", self.user, cx.attempt());
        if cx.attempt() == 1 {
            return Err(Failure::retry("the mail server is busy"));
        }
        Ok(cx.state().send(self.user)?)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::temp_dir().join(format!("jobs-runner-{}.db", std::process::id()));
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let pool = SqlitePool::connect_with(options.journal_mode(SqliteJournalMode::Wal)).await?;
    stoa_jobs_runner::sqlite::MIGRATOR.run(&pool).await?;

    let jobs = Jobs::new(Sqlite);
    let (sent, mut sending) = mpsc::unbounded_channel();
    let backoff = Backoff::exponential(Duration::from_millis(100), Duration::from_secs(1));
    let runner = Runner::new(jobs.clone(), pool.clone(), sent).handle::<Welcome>().backoff(backoff);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker = tokio::spawn(async move { runner.run_until(async { drop(stopped.await) }).await });

    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    jobs.enqueue(&mut tx, &Welcome { user: "eve".to_owned() }).await?;
    drop(tx); // rolled back: eve is never welcomed
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    jobs.enqueue(&mut tx, &Welcome { user: "ada".to_owned() }).await?;
    tx.commit().await?;
    jobs.wake();

    println!("sent to {}", sending.recv().await.ok_or("the worker is gone")?);
    stop.send(()).map_err(|()| "the worker is gone")?;
    println!("{:?}", worker.await??);
    for job in jobs.list(&mut *pool.acquire().await?, &Filter::default(), &PageRequest::first(10)).await?.items {
        println!("{} {} {} after {} attempts: {:?}", job.id, job.kind, job.state, job.attempt, job.last_error);
    }
    Ok(std::fs::remove_file(&path)?)
}
