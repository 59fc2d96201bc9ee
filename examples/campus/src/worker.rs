//! The in-process worker.

use crate::announcements::publish::{PublishAnnouncement, TellReaders};
use std::time::Duration;

use crate::app::App;
use crate::backend::Backend;
use crate::calendar::notify::{TellCancelled, TellMovedUp};
use crate::error::Result;
use crate::groups::notify::NotifyGroup;
use crate::openings::expire::{self, CloseExpired};
use crate::recommender;

/// How long one compaction may take: the next one goes on.
const COMPACTION: Duration = Duration::from_secs(20);

/// How long one batch of the recommender may take: whoever is left has their turn in the next one.
const RECOMMENDING: Duration = Duration::from_mins(8);
use crate::marketplace::expiry::ExpireDeals;
use crate::mentorship::matching::{AssignMatches, ScoreMentees};
use crate::staff::accrual::{self, AccrueLeave};
use crate::staff::payroll::ComputeRun;

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
        .every("search.compact", Duration::from_mins(1), |batch| async move {
            let app: &App<B> = batch.state();
            app.search.compact(app.backend.pool(), COMPACTION).await?;
            Ok(())
        })
        .every("recommender", Duration::from_mins(10), |batch| async move {
            recommender::run(batch.state(), Some(&batch), Some(RECOMMENDING), |_| {}).await?;
            Ok(())
        })
        .queue("staff_leave", 1)
        .handle::<AccrueLeave>()
        .cron(accrual::monthly()?)
        .queue("staff_payroll", 1)
        .handle::<ComputeRun>()
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
