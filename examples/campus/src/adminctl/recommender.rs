//! `adminctl recommender`.

use std::time::Duration;

use clap::Subcommand;
use serde_json::json;

use super::{Outcome, Output};
use crate::app::App;
use crate::backend::Backend;
use crate::cli::Bar;
use crate::error::Result;
use crate::recommender;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Makes candidates for everybody who did something since the last batch. The server does so every ten minutes: stop it first.
    Run {
        /// Stops after so many seconds; the next batch goes on.
        #[arg(long, default_value_t = 3600, value_name = "SECONDS")]
        within: u64,
    },
}

pub(super) async fn run<B: Backend>(app: &App<B>, command: Command, output: Output) -> Result<Outcome> {
    let Command::Run { within } = command;
    let bar = Bar::endless();
    let told = |done: recommender::Progress| {
        bar.set(0, 0, format!("{} signals, {} changes, {} people", done.signals, done.changes, done.people));
    };
    let done = recommender::run(app, None, Some(Duration::from_secs(within)), told).await?;
    drop(bar);
    let value = json!({
        "signals": done.signals,
        "changes": done.changes,
        "people": done.people,
        "is_complete": done.is_complete,
    });
    let rest = if done.is_complete { "" } else { "; there is more to do" };
    output
        .line(&value, format_args!("{} signals read, candidates made for {} people{rest}", done.signals, done.people));
    Ok(if done.is_complete { Outcome::Done } else { Outcome::Unwell })
}
