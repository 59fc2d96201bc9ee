//! The in-process worker.

use crate::announcements::publish::{PublishAnnouncement, TellReaders};
use crate::app::App;
use crate::backend::Backend;
use crate::calendar::notify::{TellCancelled, TellMovedUp};
use crate::error::Result;
use crate::groups::notify::NotifyGroup;
use crate::marketplace::expiry::ExpireDeals;
use crate::mentorship::matching::{AssignMatches, ScoreMentees};
use crate::openings::expire::{self, CloseExpired};

/// Runs jobs until `stop` is ready, then lets the running ones finish.
///
/// # Errors
/// If the database stays away.
pub async fn run<B: Backend>(app: App<B>, stop: impl Future<Output = ()> + Send) -> Result<()> {
    stoa_jobs_runner::Runner::new(app.jobs.clone(), app.backend.pool().clone(), app)
        .queue("notifications", 4)
        .queue("openings", 1)
        .handle::<NotifyGroup>()
        .handle::<TellMovedUp>()
        .handle::<TellCancelled>()
        .handle::<PublishAnnouncement>()
        .handle::<TellReaders>()
        .handle::<CloseExpired>()
        .cron(expire::timetable()?)
        .queue("mentorship_matching", 4)
        .handle::<ScoreMentees>()
        .handle::<AssignMatches>()
        .queue("marketplace_deal_expiry", 1)
        .handle::<ExpireDeals>()
        .cron(ExpireDeals::schedule()?)
        .run_until(stop)
        .await?;
    Ok(())
}
