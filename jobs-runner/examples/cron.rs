//! A cron entry and a periodic loop in two processes' worth of runners: `cargo run -p stoa-jobs-runner --example cron --features sqlite,cron`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};
use stoa_jobs_runner::{Context, Cron, Failure, Handler, Job, Jobs, Runner, Sqlite};

#[derive(Serialize, Deserialize)]
struct Chime {
    at: String,
}

impl Job for Chime {
    const KIND: &'static str = "clock.chime";
}

impl Handler<SqlitePool> for Chime {
    async fn run(self, cx: &Context<SqlitePool>) -> Result<(), Failure> {
        println!("job {}: it is {}", cx.id(), self.at);
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::temp_dir().join(format!("jobs-runner-cron-{}.db", std::process::id()));
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let pool = SqlitePool::connect_with(options.journal_mode(SqliteJournalMode::Wal)).await?;
    stoa_jobs_runner::sqlite::MIGRATOR.run(&pool).await?;
    println!("30 February: {}", Cron::new("never", "0 0 30 2 *", Chime { at: String::new() }).unwrap_err());

    let jobs = Jobs::new(Sqlite);
    let start = |number: u32| {
        let every_second = Cron::with("clock", "* * * * * *", |tick| Chime { at: tick.format("%T").to_string() });
        let runner = Runner::new(jobs.clone(), pool.clone(), pool.clone())
            .handle::<Chime>()
            .cron(every_second?.zone("Europe/Berlin")?)
            .every("count", Duration::from_millis(700), move |batch| async move {
                let mut tx = batch.state().begin_with("BEGIN IMMEDIATE").await?;
                let sql = "SELECT count(*) FROM jobs_queue_history";
                let done: i64 = sqlx::query_scalar(sql).fetch_one(&mut *tx).await?;
                println!(
                    "runner {number} leads: {done} jobs done, still entitled: {}",
                    batch.still_leads(&mut tx).await?
                );
                Ok(tx.commit().await?)
            });
        let stop = tokio::time::sleep(Duration::from_secs(2 * u64::from(number)));
        Ok::<_, stoa_jobs_runner::Error>(tokio::spawn(async move { runner.run_until(stop).await }))
    };
    // The first one stops after two seconds, the second one goes on: no tick twice, none lost.
    let (first, second) = (start(1)?, start(2)?);
    println!("{:?}\n{:?}", first.await??, second.await??);
    for entry in jobs.schedule(&mut *pool.acquire().await?).await? {
        println!("{} {} {}: last {:?}", entry.name, entry.expression, entry.zone, entry.last_fire_at);
    }
    Ok(std::fs::remove_file(&path)?)
}
