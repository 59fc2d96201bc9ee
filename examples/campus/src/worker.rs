//! The in-process worker.

use std::time::Duration;

use stoa_jobs_runner::{Job as _, Runner};

use crate::announcements::publish::{PublishAnnouncement, TellReaders};
use crate::app::App;
use crate::backend::Backend;
use crate::calendar::notify::{TellCancelled, TellMovedUp};
use crate::error::Result;
use crate::groups::notify::NotifyGroup;
use crate::marketplace::expiry::ExpireDeals;
use crate::mentorship::matching::{AssignMatches, ScoreMentees};
use crate::notifications::delivery::{self, Deliver};
use crate::notifications::digest::{self, SendDigests};
use crate::openings::expire::{self, CloseExpired};
use crate::recommender;
use crate::staff::accrual::{self, AccrueLeave};
use crate::staff::payroll::ComputeRun;
use crate::whatsapp::inbound::{self, AnswerMessage};
use crate::whatsapp::outbound::{self, SendMessage};

/// How long one compaction may take: the next one goes on.
const COMPACTION: Duration = Duration::from_secs(20);

/// How long one batch of the recommender may take: whoever is left has their turn in the next one.
const RECOMMENDING: Duration = Duration::from_mins(8);

/// Every queue, and how many of its jobs run at once.
pub const QUEUES: &[(&str, u32)] = &[
    // A fan-out to thousands keeps a processor of the database busy: the others are for people who wait.
    (NotifyGroup::QUEUE, 1),
    (CloseExpired::QUEUE, 1),
    (ScoreMentees::QUEUE, 4),
    (ExpireDeals::QUEUE, 1),
    (AccrueLeave::QUEUE, 1),
    (ComputeRun::QUEUE, 1),
    (Deliver::QUEUE, 4),
    (AnswerMessage::QUEUE, 4),
    (SendMessage::QUEUE, 4),
];

/// Runs jobs, and what is done by the clock, until `stop` is ready, then lets the running ones finish.
///
/// # Errors
/// If the database stays away.
pub async fn run<B: Backend>(app: App<B>, stop: impl Future<Output = ()> + Send) -> Result<()> {
    if app.whatsapp.is_some() {
        outbound::limit(&app).await?;
    }
    serving(app)
        .cron(expire::timetable()?)
        .cron(ExpireDeals::schedule()?)
        .cron(accrual::monthly()?)
        .cron(digest::schedule()?)
        .every("search.compact", Duration::from_mins(1), |batch| async move {
            let app: &App<B> = batch.state();
            app.search.compact(app.backend.pool(), COMPACTION).await?;
            Ok(())
        })
        .every("recommender", Duration::from_mins(10), |batch| async move {
            recommender::run(batch.state(), Some(&batch), Some(RECOMMENDING), |_| {}).await?;
            Ok(())
        })
        .every("notifications.forget", Duration::from_hours(1), |batch| async move {
            delivery::forget(batch.state()).await?;
            Ok(())
        })
        .every("whatsapp.forget", Duration::from_hours(1), |batch| async move {
            let app: &App<B> = batch.state();
            inbound::forget(app).await?;
            Ok(())
        })
        .run_until(stop)
        .await?;
    Ok(())
}

/// Serves every queue, and nothing by the clock.
pub fn serving<B: Backend>(app: App<B>) -> Runner<B::Jobs, B::Pool, App<B>> {
    QUEUES.iter().fold(runner(app), |runner, (queue, slots)| runner.queue(queue, *slots))
}

macro_rules! handle {
    ($($job:ty,)*) => {
        /// The kind of every job, and its queue.
        pub const JOBS: &[(&str, &str)] = &[$((<$job>::KIND, <$job>::QUEUE),)*];

        /// Knows every job of campus, and serves no queue yet.
        pub fn runner<B: Backend>(app: App<B>) -> Runner<B::Jobs, B::Pool, App<B>> {
            Runner::new(app.jobs.clone(), app.backend.pool().clone(), app)$(.handle::<$job>())*
        }
    };
}

handle! {
    NotifyGroup,
    TellMovedUp,
    TellCancelled,
    PublishAnnouncement,
    TellReaders,
    CloseExpired,
    ScoreMentees,
    AssignMatches,
    ExpireDeals,
    AccrueLeave,
    ComputeRun,
    Deliver,
    SendDigests,
    AnswerMessage,
    SendMessage,
}
