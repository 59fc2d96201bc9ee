//! The in-process worker.

use std::time::Duration;

use stoa_jobs_runner::{Job as _, Runner};

use crate::announcements::publish::{PublishAnnouncement, TellReaders};
use crate::app::App;
use crate::backend::Backend;
use crate::calendar::notify::{TellCancelled, TellMovedUp};
use crate::error::Result;
use crate::groups::notify::NotifyGroup;
use crate::openings::expire::{self, CloseExpired};
use crate::recommender;
use crate::staff::accrual::{self, AccrueLeave};
use crate::staff::payroll::ComputeRun;

/// How long one compaction may take: the next one goes on.
const COMPACTION: Duration = Duration::from_secs(20);

/// How long one batch of the recommender may take: whoever is left has their turn in the next one.
const RECOMMENDING: Duration = Duration::from_mins(8);

/// Runs jobs until `stop` is ready, then lets the running ones finish.
///
/// # Errors
/// If the database stays away.
pub async fn run<B: Backend>(app: App<B>, stop: impl Future<Output = ()> + Send) -> Result<()> {
    runner(app)
        .queue(NotifyGroup::QUEUE, 4)
        .queue(CloseExpired::QUEUE, 1)
        .queue(AccrueLeave::QUEUE, 1)
        .queue(ComputeRun::QUEUE, 1)
        .cron(expire::timetable()?)
        .cron(accrual::monthly()?)
        .every("search.compact", Duration::from_mins(1), |batch| async move {
            let app: &App<B> = batch.state();
            app.search.compact(app.backend.pool(), COMPACTION).await?;
            Ok(())
        })
        .every("recommender", Duration::from_mins(10), |batch| async move {
            recommender::run(batch.state(), Some(&batch), Some(RECOMMENDING), |_| {}).await?;
            Ok(())
        })
        .run_until(stop)
        .await?;
    Ok(())
}

/// Knows every job of campus, and serves no queue yet.
pub fn runner<B: Backend>(app: App<B>) -> Runner<B::Jobs, B::Pool, App<B>> {
    Runner::new(app.jobs.clone(), app.backend.pool().clone(), app)
        .handle::<NotifyGroup>()
        .handle::<TellMovedUp>()
        .handle::<TellCancelled>()
        .handle::<PublishAnnouncement>()
        .handle::<TellReaders>()
        .handle::<CloseExpired>()
        .handle::<AccrueLeave>()
        .handle::<ComputeRun>()
}
