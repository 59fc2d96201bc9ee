//! Deals whose time is over, found by the clock.

use std::time::Duration;

use chrono::Utc;
use serde::{Deserialize, Serialize};
use stoa_audit::{Action, Actor, ActorName, Record};
use stoa_jobs_runner::{Context, Cron, EnqueueOptions, Failure, Handler, Job};
use stoa_search::Surface;

use super::deals::{Deal, DealState};
use super::sql::{MarketplaceSql as _, UnlistSql as _};
use crate::app::App;
use crate::backend::Backend;
use crate::error::Result;
use crate::retry::retried;

pub(crate) const EXPIRED: Action = Action::new("bits.marketplace.v1.DealService/ExpireDeal");

/// How many deals expire in one transaction.
const BATCH: i64 = 500;

/// Lets every published deal whose time is over expire.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExpireDeals {}

impl ExpireDeals {
    /// Every minute, but never beside another one.
    ///
    /// # Errors
    /// If the expression could not be read; it can.
    pub fn schedule() -> Result<Cron> {
        let options = EnqueueOptions::default().unique("all");
        Ok(Cron::new("marketplace.expiry", "* * * * *", Self {})?.options(options)?)
    }
}

impl Job for ExpireDeals {
    const KIND: &'static str = "marketplace.expire";
    const QUEUE: &'static str = "marketplace_deal_expiry";
    const TIMEOUT: Option<Duration> = Some(Duration::from_mins(30));
}

impl<B: Backend> Handler<App<B>> for ExpireDeals {
    async fn run(self, context: &Context<App<B>>) -> Result<(), Failure> {
        let now = Utc::now().timestamp_micros();
        let mut expired = 0;
        loop {
            if context.is_cancelled() {
                return Err(Failure::release());
            }
            let some = retried(|| expire_some(context.state(), now)).await?;
            // Another one may have been faster with these, and leave us the next.
            if some == 0 && !is_any_due(context.state(), now).await? {
                return Ok(());
            }
            expired += some;
            context.progress(format!("{expired} deals"));
        }
    }
}

/// Expires some deals in one transaction: the state, the listing, the document and a record each. Only what this very statement moved
/// is recorded, so that expiring again, or twice at once, changes nothing.
async fn expire_some<B: Backend>(app: &App<B>, now: i64) -> Result<usize> {
    let system = Actor::System(ActorName::new("marketplace-expiry")?);
    let mut tx = app.begin().await?;
    let mut expired = tx.expire_deals(now, BATCH).await?;
    // In one order, so that nobody who writes the same documents waits for us while we wait for them.
    expired.sort_by(|a, b| a.id.cmp(&b.id));
    let mut records = Vec::with_capacity(expired.len());
    for after in &expired {
        app.search.remove(&mut tx, &Surface::MARKETPLACE, &after.id.as_str().try_into()?).await?;
        let before = Deal { state: DealState::Published.as_str().into(), ..after.clone() };
        records.push(Record::new(EXPIRED, &system, after.entity()?).diff(&before, after)?);
    }
    let ids: Vec<&str> = expired.iter().map(|deal| &*deal.id).collect();
    tx.unlist_deals(&ids).await?;
    app.audit.record_many(&mut tx, &records).await?;
    app.commit(tx).await?;
    Ok(expired.len())
}

async fn is_any_due<B: Backend>(app: &App<B>, now: i64) -> Result<bool> {
    let mut tx = app.read().await?;
    Ok(tx.is_any_due(now).await?)
}
