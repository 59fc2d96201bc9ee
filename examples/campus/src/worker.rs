//! The in-process worker.

use stoa_jobs_runner::{Job as _, Runner};

use crate::app::App;
use crate::backend::Backend;
use crate::error::Result;
use crate::groups::notify::NotifyGroup;

/// Runs jobs until `stop` is ready, then lets the running ones finish.
///
/// # Errors
/// If the database stays away.
pub async fn run<B: Backend>(app: App<B>, stop: impl Future<Output = ()> + Send) -> Result<()> {
    runner(app).queue(NotifyGroup::QUEUE, 4).run_until(stop).await?;
    Ok(())
}

/// Knows every job of campus, and serves no queue yet.
pub fn runner<B: Backend>(app: App<B>) -> Runner<B::Jobs, B::Pool, App<B>> {
    Runner::new(app.jobs.clone(), app.backend.pool().clone(), app).handle::<NotifyGroup>()
}
