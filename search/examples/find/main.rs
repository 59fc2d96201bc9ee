//! Indexes a folder of text files, or a file with a JSON object in every line, into SQLite and searches it in the terminal:
//! `cargo run --release -p stoa-search --features sqlite --example find -- papers.jsonl index.db quantum well`.
//!
//! Without words it asks for them. With `-` instead of the folder it searches what was indexed before.

mod files;
mod terminal;

use std::error::Error;
use std::io::{BufRead, Write};

use indicatif::{ProgressBar, ProgressStyle};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};
use stoa_search::{Search, Sqlite, sqlite};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, index, words @ ..] = &arguments[..] else {
        return Err("find FOLDER|FILE.jsonl|- INDEX.db [WORD]...".into());
    };
    let options = SqliteConnectOptions::new().filename(index).create_if_missing(true);
    let pool = SqlitePool::connect_with(options.journal_mode(SqliteJournalMode::Wal)).await?;
    sqlite::MIGRATOR.run(&pool).await?;
    let search = Search::new(Sqlite);
    if input != "-" {
        let documents = files::read(input.as_ref())?;
        let bar = ProgressBar::new(documents.len() as u64);
        bar.set_style(ProgressStyle::with_template("{bar:40} {pos} of {len} documents, {per_sec}, {eta} to go")?);
        let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
        search.upsert_many_with(&mut tx, &documents, |progress| bar.set_position(progress.done)).await?;
        tx.commit().await?;
        bar.finish();
    }
    let mut conn = pool.acquire().await?;
    if !words.is_empty() {
        return terminal::show(&search, &mut conn, &words.join(" ")).await;
    }
    loop {
        print!("search for: ");
        std::io::stdout().flush()?;
        let Some(text) = std::io::stdin().lock().lines().next() else { return Ok(()) };
        terminal::show(&search, &mut conn, &text?).await?;
    }
}
