//! `stoa-audit verify`: whether a log is still the one that was signed.
//!
//! One line says so on standard output, made of numbers, ids and words of our own: nothing stored can forge one. The exit code is
//! 0 if it is intact, 1 if it was tampered with, 2 if no checkpoint was there to compare with, 3 if it could not be told.

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sqlx::{Connection, PgConnection, SqliteConnection};
use stoa_audit::{Anchor, Log, Postgres, Report, Sqlite, Verdict, Verifier};

/// Verifies the audit log in a database.
#[derive(Parser)]
#[command(name = "stoa-audit", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compares every record with the log, and the log with a signed checkpoint.
    Verify {
        /// The database: postgres://… or sqlite:….
        #[arg(long, value_name = "URL")]
        database: String,
        /// The file with a checkpoint from outside the database. Without it nothing is ever intact.
        #[arg(long, value_name = "FILE", requires = "key")]
        checkpoint: Option<PathBuf>,
        /// The public key that signed it: name+id+key.
        #[arg(long, value_name = "VKEY", requires = "checkpoint")]
        key: Option<Verifier>,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Command::Verify { database, checkpoint, key } = match Arguments::try_parse() {
        Ok(arguments) => arguments.command,
        Err(error) => {
            // Its own exit code means something else here. If it cannot be shown, nobody reads it.
            drop(error.print());
            return if error.use_stderr() { ExitCode::from(3) } else { ExitCode::SUCCESS };
        }
    };
    let anchor = Option::zip(checkpoint, key).map(|(file, key)| anchor(&file, &key)).transpose();
    let report = match anchor {
        Ok(anchor) => verify(&database, anchor.as_ref()).await,
        Err(error) => Err(error),
    };
    match report {
        Ok(report) => {
            let Report { verdict, head, pruned, unsealed, .. } = report;
            println!(
                "{verdict} (leaves: {}, pruned: {pruned}, not sealed: {unsealed}, root: {})",
                head.size, head.root
            );
            match verdict {
                Verdict::Intact => ExitCode::SUCCESS,
                Verdict::Unanchored => ExitCode::from(2),
                _ => ExitCode::from(1),
            }
        }
        Err(error) => {
            eprintln!("error: {}", one_line(&*error));
            ExitCode::from(3)
        }
    }
}

fn anchor(file: &Path, key: &Verifier) -> Result<Anchor, Box<dyn Error + Send + Sync>> {
    let mut note = String::new();
    // One byte more than a note may have, so that a longer one is refused and not cut short.
    File::open(file)?.take(Verifier::MAX_NOTE_BYTES as u64 + 1).read_to_string(&mut note)?;
    Ok(Anchor::open(key, &note)?)
}

async fn verify(database: &str, anchor: Option<&Anchor>) -> Result<Report, Box<dyn Error + Send + Sync>> {
    if database.starts_with("sqlite:") {
        let mut conn = SqliteConnection::connect(database).await?;
        Ok(Log::new(Sqlite).verify(&mut *conn.begin().await?, anchor).await?)
    } else {
        let mut conn = PgConnection::connect(database).await?;
        let mut tx = conn.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        Ok(Log::new(Postgres).verify(&mut tx, anchor).await?)
    }
}

/// An error and its causes, some of which come from the database.
fn one_line(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    let texts: Vec<String> = causes.map(|cause| cause.to_string().escape_debug().collect()).collect();
    texts.join(": ")
}
