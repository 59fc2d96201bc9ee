//! Tools for whoever runs campus: `cargo run --release -p campus --bin adminctl -- import --surface feed FILE.jsonl`.

use std::path::PathBuf;

use campus::app::App;
use campus::backend::{Backend, Postgres, Sqlite};
use campus::import::import;
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use stoa_search::Surface;

/// Tools for whoever runs campus.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where the data is: `sqlite:PATH` or a `postgres://` URL.
    #[arg(long, default_value = "sqlite:campus.sqlite", value_name = "URL", global = true)]
    database: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Loads documents, found by everybody, from a file with one JSON object `{"id", "title", "body"}` a line.
    Import {
        /// The surface they belong to: `feed`, `jobs`, `events`, …
        #[arg(long)]
        surface: String,
        /// Stops after this many documents.
        #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
        limit: u64,
        /// `.jsonl`, or `.jsonl.gz`.
        file: PathBuf,
    },
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    match arguments.database.strip_prefix("sqlite:") {
        Some(path) => run(Sqlite::open(path).await?, arguments.command).await,
        None => run(Postgres::open(&arguments.database).await?, arguments.command).await,
    }
}

async fn run<B: Backend>(backend: B, command: Command) -> Result<(), Box<dyn std::error::Error>> {
    let app = App::open(backend).await?;
    let Command::Import { surface, limit, file } = command;
    let surface = Surface::try_from(surface.as_str())?;
    let size = std::fs::metadata(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?.len();
    let bar = ProgressBar::new(size).with_style(ProgressStyle::with_template(
        "{bar:32} {percent:>3} %  {msg}  {elapsed_precise}, {eta_precise} to go",
    )?);
    let imported = import(&app, &surface, &file, limit, |imported| {
        bar.set_position(imported.bytes);
        bar.set_message(format!("{} documents", imported.documents));
    })
    .await?;
    bar.finish();
    println!("{} documents imported into {surface}", imported.documents);
    Ok(())
}
