//! How long history is kept, and who forgets it.

use std::time::Duration;

use tokio::time::sleep;

use crate::{Jobs, Source, Store};

/// How often a runner looks for what is old enough.
const INTERVAL: Duration = Duration::from_mins(1);
/// How long it forgets at a time.
const BUDGET: Duration = Duration::from_secs(20);

/// How long finished jobs are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Jobs that are done. Default: 7 days.
    pub succeeded: Duration,
    /// Jobs that somebody took out. Default: 30 days.
    pub cancelled: Duration,
    /// Jobs that were given up. Default: 90 days.
    pub dead: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            succeeded: Duration::from_hours(7 * 24),
            cancelled: Duration::from_hours(30 * 24),
            dead: Duration::from_hours(90 * 24),
        }
    }
}

/// What was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// Jobs that were done.
    pub succeeded: u64,
    /// Jobs that somebody took out.
    pub cancelled: u64,
    /// Jobs that were given up.
    pub dead: u64,
    /// Whether there may be more to forget: a limit or the time was up.
    pub is_cut: bool,
}

/// Forgets what is old enough, now and every minute, for as long as it is polled. Several may: each finds what others left.
pub(crate) async fn forget<S: Store, P: Source<Connection = S::Connection>>(
    jobs: Jobs<S>,
    source: P,
    retention: Retention,
) {
    loop {
        if let Err(error) = jobs.prune_within(&source, &retention, BUDGET).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the history could not be pruned");
        }
        sleep(INTERVAL).await;
    }
}
