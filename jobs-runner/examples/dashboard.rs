//! The dashboard over a worker that is busy: `cargo run -p stoa-jobs-runner --example dashboard`.

use std::time::Duration;

use axum::Router;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};
use stoa_jobs_runner::dashboard::{Action, Dashboard};
use stoa_jobs_runner::{Context, Cron, EnqueueOptions, Failure, Handler, Job, Jobs, Runner, Sqlite, sqlite};

#[derive(Serialize, Deserialize)]
struct Report {
    number: u64,
}

impl Job for Report {
    const KIND: &'static str = "report.monthly";
    const QUEUE: &'static str = "reports";
    const MAX_ATTEMPTS: u16 = 3;
}

impl Handler<()> for Report {
    async fn run(self, cx: &Context<()>) -> Result<(), Failure> {
        cx.progress(format!("reading ledger {}", self.number));
        tokio::time::sleep(Duration::from_millis(700 * (self.number % 5))).await;
        match self.number % 7 {
            3 => Err(Failure::fatal("ledger closed\ncaused by: the account does not exist any more")),
            5 => Err(Failure::retry("connection to ledger.internal:5432 refused")),
            _ => Ok(()),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::temp_dir().join(format!("jobs-dashboard-{}.db", std::process::id()));
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let pool = SqlitePool::connect_with(options.journal_mode(SqliteJournalMode::Wal)).await?;
    sqlite::MIGRATOR.run(&pool).await?;
    let jobs = Jobs::new(Sqlite);
    let later = EnqueueOptions::default().delay(Duration::from_hours(9));
    let reports = (0..400)
        .map(|number| (Report { number }, if number % 9 == 8 { later.clone() } else { EnqueueOptions::default() }));
    jobs.enqueue_many_with(&mut *pool.acquire().await?, &reports.collect::<Vec<_>>()).await?;
    let nightly = Cron::new("report.nightly", "30 2 * * *", Report { number: 0 })?.zone("Europe/Berlin")?;
    let runner = Runner::new(jobs.clone(), pool.clone(), ()).handle::<Report>().queue("reports", 4).cron(nightly);

    // Everybody who reaches this address is let in: a host asks who it is.
    let dashboard = Dashboard::new(jobs, pool, |_: &Parts, _: Action| async { true });
    let router = Router::new().nest("/jobs", dashboard.router());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8642").await?;
    println!("http://127.0.0.1:8642/jobs, and Ctrl-C to end");
    tokio::select! {
        ended = axum::serve(listener, router) => ended?,
        tally = runner.run_until(async { drop(tokio::signal::ctrl_c().await) }) => println!("{:?}", tally?),
    }
    Ok(std::fs::remove_file(&path)?)
}
