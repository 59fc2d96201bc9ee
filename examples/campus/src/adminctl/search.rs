//! `adminctl search`.

use std::time::Duration;

use clap::Subcommand;
use serde_json::json;

use super::{Outcome, Output};
use crate::app::App;
use crate::backend::Backend;
use crate::cli::Bar;
use crate::error::Result;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Analyzes documents anew that a former release has indexed. Searches go on meanwhile.
    Reindex(Budget),
    /// Turns the log of changes and small segments into larger ones. Searches go on meanwhile.
    Compact(Budget),
    /// Measures the index.
    Stats,
}

#[derive(clap::Args)]
pub(super) struct Budget {
    /// Stops after so many seconds; the next call goes on.
    #[arg(long, default_value_t = 3600, value_name = "SECONDS")]
    within: u64,
}

impl Budget {
    fn duration(&self) -> Duration {
        Duration::from_secs(self.within)
    }
}

pub(super) async fn run<B: Backend>(app: &App<B>, command: Command, output: Output) -> Result<Outcome> {
    match command {
        Command::Reindex(budget) => {
            let bar = Bar::of(0);
            let told = |progress: stoa_search::Progress| {
                bar.set(progress.done, progress.total, format!("{} of {} documents", progress.done, progress.total));
            };
            let done = app.search.reindex(app.backend.pool(), budget.duration(), told).await?;
            drop(bar);
            let value = json!({ "documents": done.documents, "is_complete": done.is_complete });
            output.line(&value, format_args!("{} documents analyzed anew{}", done.documents, rest(done.is_complete)));
            Ok(outcome(done.is_complete))
        }
        Command::Compact(budget) => {
            let bar = Bar::endless();
            let done = bar.wait("compacting", app.search.compact(app.backend.pool(), budget.duration())).await?;
            drop(bar);
            let value = json!({ "changes": done.changes, "merged": done.merged, "is_complete": done.is_complete });
            output.line(
                &value,
                format_args!(
                    "{} changes put into segments, {} segments merged{}",
                    done.changes,
                    done.merged,
                    rest(done.is_complete),
                ),
            );
            Ok(outcome(done.is_complete))
        }
        Command::Stats => {
            let stats = app.search.stats(&mut *app.read().await?).await?;
            let value = json!({
                "documents": stats.documents,
                "words": stats.words,
                "changes": stats.changes,
                "segments": stats.segments,
                "outdated": stats.outdated,
                "segment_bytes": stats.segment_bytes,
                "log_bytes": stats.log_bytes,
                "stored_bytes": stats.stored_bytes,
            });
            output.line(
                &value,
                format_args!(
                    "{} documents of about {} words\n{} segments, {} bytes\n{} changes in the log, {} bytes\n{} to be analyzed anew",
                    stats.documents,
                    stats.words,
                    stats.segments,
                    stats.segment_bytes,
                    stats.changes,
                    stats.log_bytes,
                    stats.outdated,
                ),
            );
            Ok(Outcome::Done)
        }
    }
}

fn rest(is_complete: bool) -> &'static str {
    if is_complete { "" } else { "; there is more to do" }
}

fn outcome(is_complete: bool) -> Outcome {
    if is_complete { Outcome::Done } else { Outcome::Unwell }
}
