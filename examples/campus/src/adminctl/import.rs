//! `adminctl import`.

use std::path::PathBuf;

use serde_json::json;
use stoa_search::Surface;

use super::{Outcome, Output};
use crate::app::App;
use crate::backend::Backend;
use crate::cli::Bar;
use crate::error::{Error, Result};
use crate::import::posts::import as import_posts;
use crate::import::{Imported, import};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The surface they belong to: `feed`, `jobs`, `events`, … A line of the feed that has `"categories": […]` becomes a post in the
    /// group of the first of them; any other is a document that everybody finds.
    #[arg(long)]
    surface: String,
    /// Makes posts of lines that have categories, as `--surface feed` does.
    #[arg(long)]
    as_posts: bool,
    /// Stops after this many lines.
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    limit: u64,
    /// `.jsonl`, or `.jsonl.gz`.
    file: PathBuf,
}

pub(super) async fn run<B: Backend>(app: &App<B>, arguments: Arguments, output: Output) -> Result<Outcome> {
    let Arguments { surface, as_posts, limit, file } = arguments;
    let surface = Surface::try_from(surface.as_str())?;
    let unreadable = |error: std::io::Error| Error::Invalid(format!("cannot read {}: {error}", file.display()));
    let size = std::fs::metadata(&file).map_err(unreadable)?.len();
    let bar = Bar::of(size);
    let told = |bytes: u64, lines: u64| bar.set(bytes, size, format!("{lines} lines"));
    if as_posts || surface == Surface::FEED {
        let done = import_posts(app, &surface, &file, limit, |done| told(done.bytes, done.lines())).await?;
        drop(bar);
        let value = json!({
            "posts": done.posts,
            "changed": done.changed,
            "groups": done.groups,
            "documents": done.documents,
        });
        output.line(
            &value,
            format_args!(
                "{} posts imported, {} of them new or changed, and {} groups made; {} documents imported into {surface}",
                done.posts, done.changed, done.groups, done.documents,
            ),
        );
        if done.posts > 0 && !output.is_json {
            eprintln!("Posts are found by the members of their group: join one, or use `adminctl members add`.");
        }
        return Ok(if done.lines() == 0 { Outcome::Nothing } else { Outcome::Done });
    }
    let done = import(app, &surface, &file, limit, |done: Imported| told(done.bytes, done.documents)).await?;
    drop(bar);
    let value = json!({ "documents": done.documents });
    output.line(&value, format_args!("{} documents imported into {surface}", done.documents));
    Ok(if done.documents == 0 { Outcome::Nothing } else { Outcome::Done })
}
