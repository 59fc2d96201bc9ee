//! The tools of whoever runs campus: `adminctl`.

mod audit;
mod import;
mod members;
mod recommender;
mod search;

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde::Serialize;
use stoa_audit::{ActorName, Record};
use stoa_jobs_runner::cli::Cli as Jobs;

use crate::app::App;
use crate::backend::{Backend, Postgres, Sqlite};
use crate::cli::{Database, EMBEDDED};
use crate::error::{Result, causes};
use crate::worker;

/// Tools for whoever runs campus.
#[derive(Parser)]
#[command(name = "adminctl", version, after_help = EXIT_CODES)]
struct Arguments {
    /// Where the data is: `sqlite:PATH` or `postgres://USER@HOST/NAME`.
    #[arg(long, default_value = EMBEDDED, value_name = "URL", global = true)]
    database: Database,
    /// Prints JSON, one object a line.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 it failed, and standard error says why; 2 the command line is wrong; 3 there was nothing of the kind, or nothing \
to do; 4 what was looked at is not well: the doctor of the jobs warns, the audit log was tampered with, or the time was over before the \
work was.";

#[derive(Subcommand)]
enum Command {
    /// Works with jobs.
    Jobs(Jobs),
    /// Looks after the search index.
    #[command(subcommand)]
    Search(search::Command),
    /// Says who belongs to what, and changes it.
    #[command(subcommand)]
    Members(members::Command),
    /// Says whether the audit log is what it was, and takes it away.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Works on what people are recommended.
    #[command(subcommand)]
    Recommender(recommender::Command),
    /// Loads a file with one JSON object `{"id", "title", "body"}` a line. Importing it again changes nothing.
    Import(import::Arguments),
}

/// What the exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Nothing,
    Unwell,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::Nothing => Self::from(3),
            Outcome::Unwell => Self::from(4),
        }
    }
}

/// Where answers go: to people, or to machines.
#[derive(Clone, Copy, Debug)]
struct Output {
    is_json: bool,
}

impl Output {
    /// Writes one line.
    fn line(self, value: &impl Serialize, text: impl Display) {
        let line = if self.is_json { serde_json::to_string(value).ok() } else { Some(text.to_string()) };
        // Whoever closes the pipe has seen enough.
        let _ = writeln!(std::io::stdout(), "{}", line.unwrap_or_default());
    }
}

/// Does what the command line of this process says.
pub async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Only an import may make a database: to any other command a file that is not there is a slip of the pen.
    if arguments.database.is_missing() && !matches!(arguments.command, Command::Import(_)) {
        eprintln!("adminctl: there is no {}", arguments.database);
        return ExitCode::FAILURE;
    }
    let code = match &arguments.database {
        Database::Sqlite(path) => match Sqlite::open(path).await {
            Ok(backend) => run(backend, arguments).await,
            Err(error) => Err(error.into()),
        },
        Database::Postgres(url) => match Postgres::open(url).await {
            Ok(backend) => run(backend, arguments).await,
            Err(error) => Err(error.into()),
        },
    };
    code.unwrap_or_else(|error| {
        eprintln!("adminctl: {}", causes(&error));
        ExitCode::FAILURE
    })
}

async fn run<B: Backend>(backend: B, arguments: Arguments) -> Result<ExitCode> {
    let app = App::open(backend).await?;
    let output = Output { is_json: arguments.json };
    let outcome = match arguments.command {
        Command::Jobs(command) => return Ok(command.execute(worker::runner(app)).await),
        Command::Search(command) => search::run(&app, command, output).await?,
        Command::Members(command) => members::run(&app, command, output).await?,
        Command::Audit(command) => audit::run(&app, command, output).await?,
        Command::Recommender(command) => recommender::run(&app, command, output).await?,
        Command::Import(arguments) => import::run(&app, arguments, output).await?,
    };
    Ok(outcome.into())
}

/// Begins the record of what somebody did at the command line, of whom no more is known.
fn record(action: stoa_audit::Action, entity: stoa_audit::Entity) -> Result<Record> {
    Ok(Record::new(action, &stoa_audit::Actor::System(ActorName::try_from("adminctl")?), entity))
}
