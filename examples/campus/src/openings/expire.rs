//! Closing what is past its day: a job that the timetable enqueues once a day.

use chrono::Utc;
use serde::{Deserialize, Serialize};
use stoa_audit::{Action, Actor, Record};
use stoa_jobs_runner::{Context, Cron, Failure, Handler, Job};
use stoa_search::Surface;

use super::sql::OpeningSql as _;
use crate::app::App;
use crate::backend::Backend;
use crate::error::Result;

pub(crate) const EXPIRED: Action = Action::new("bits.openings.v1.OpeningService/ExpireOpening");

/// How many are closed in one transaction.
const BATCH: i64 = 100;

/// Closes every opening that is past its day.
#[derive(Debug, Serialize, Deserialize)]
pub struct CloseExpired {}

impl Job for CloseExpired {
    const KIND: &'static str = "openings.close_expired";
    const QUEUE: &'static str = "openings";
}

impl<B: Backend> Handler<App<B>> for CloseExpired {
    async fn run(self, context: &Context<App<B>>) -> Result<(), Failure> {
        close_expired(context.state(), Utc::now().timestamp_micros()).await?;
        Ok(())
    }
}

/// The days of all openings end at midnight in UTC: shortly after it, their job runs.
pub(crate) fn timetable() -> stoa_jobs_runner::Result<Cron> {
    Cron::new(CloseExpired::KIND, "5 0 * * *", CloseExpired {})
}

/// Closes what is past its day at that moment, in microseconds since 1970, batch by batch; says how many were closed. Each batch is
/// a transaction of its own, and closing again changes nothing: after a crash the job starts over.
///
/// # Errors
/// [`Error::Internal`](crate::error::Error::Internal); what was closed before stays closed.
pub async fn close_expired<B: Backend>(app: &App<B>, now: i64) -> Result<u64> {
    let mut count = 0;
    loop {
        let mut tx = app.begin().await?;
        let ids = tx.expired_openings(now, BATCH).await?;
        if ids.is_empty() {
            return Ok(count);
        }
        let mut records = Vec::new();
        for id in ids {
            // Somebody else may have closed it meanwhile.
            let Some(closed) = tx.close_opening(&id, now).await? else { continue };
            app.search.remove(&mut tx, &Surface::JOBS, &id.as_str().try_into()?).await?;
            let actor = Actor::System("openings".try_into()?);
            records.push(Record::new(EXPIRED, &actor, closed.entity()?).after(&closed)?);
        }
        app.audit.record_many(&mut tx, &records).await?;
        app.commit(tx).await?;
        count += records.len() as u64;
    }
}
