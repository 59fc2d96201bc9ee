//! A host's command line: `cargo run -p stoa-jobs-runner --example adminctl -- --database jobs.db jobs stats`.

use std::process::ExitCode;

use clap::Parser;
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};
use stoa_jobs_runner::{Context, Failure, Handler, Job, Jobs, Runner, Sqlite, cli, sqlite};

#[derive(Parser)]
struct Adminctl {
    /// A SQLite file, created if missing.
    #[arg(long)]
    database: std::path::PathBuf,
    #[command(subcommand)]
    area: Area,
}

#[derive(clap::Subcommand)]
enum Area {
    /// Works with jobs.
    Jobs(cli::Cli),
    /// Enqueues a welcome.
    Welcome { user: String },
}

#[derive(Serialize, Deserialize)]
struct Welcome {
    user: String,
}

impl Job for Welcome {
    const KIND: &'static str = "mail.welcome";
}

impl Handler<()> for Welcome {
    async fn run(self, _: &Context<()>) -> Result<(), Failure> {
        if self.user.is_empty() { Err(Failure::fatal("nobody to welcome")) } else { Ok(()) }
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let Adminctl { database, area } = Adminctl::parse();
    let options = SqliteConnectOptions::new().filename(database).create_if_missing(true);
    let pool = SqlitePool::connect_with(options.journal_mode(SqliteJournalMode::Wal)).await?;
    sqlite::MIGRATOR.run(&pool).await?;
    let jobs = Jobs::new(Sqlite);
    match area {
        Area::Jobs(command) => Ok(command.execute(Runner::new(jobs, pool, ()).handle::<Welcome>()).await),
        Area::Welcome { user } => {
            println!("{}", jobs.enqueue(&mut *pool.acquire().await?, &Welcome { user }).await?);
            Ok(ExitCode::SUCCESS)
        }
    }
}
