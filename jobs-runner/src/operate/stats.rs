//! Figures for whoever watches: bounded, so that they cost the same at ten jobs and at ten million.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{Queue, WorkerId};

/// How far back [`QueueStats::finished`] looks.
pub(crate) const WINDOW: Duration = Duration::from_mins(5);

/// A number that is counted up to a bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many were counted.
    pub value: u64,
    /// Whether the counting stopped there: there may be more.
    pub is_cut: bool,
}

impl fmt::Display for Count {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.value, if self.is_cut { "+" } else { "" })
    }
}

/// How the whole is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The queues that hold jobs, are paused, or finished one of the latest jobs; by name.
    pub queues: Vec<QueueStats>,
    /// Dead jobs in the history.
    pub dead: Count,
    /// Cancelled jobs in the history.
    pub cancelled: Count,
    /// About how many jobs the history keeps. PostgreSQL: the planner's estimate; SQLite: the span of their ids, gaps included.
    pub kept: u64,
}

/// How one queue is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStats {
    /// Which queue.
    pub queue: Queue,
    /// Whether nobody claims from it.
    pub is_paused: bool,
    /// Jobs that are due and wait for a free slot.
    pub ready: Count,
    /// Jobs that a runner holds.
    pub running: Count,
    /// Jobs that are due later and have not failed.
    pub scheduled: Count,
    /// Jobs that have failed and wait for their next attempt.
    pub failed: Count,
    /// How long the ready job that waits longest has been due; of jobs with a limit key, of those that were counted.
    pub oldest: Option<Duration>,
    /// What was finished lately.
    pub finished: Finished,
}

/// How many jobs were finished within the last five minutes, or within the shorter time that the latest of them took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finished {
    /// Done.
    pub succeeded: u64,
    /// Given up.
    pub dead: u64,
    /// Taken out of the queue.
    pub cancelled: u64,
    /// The time they were counted over.
    pub window: Duration,
}

impl Finished {
    /// Returns how many jobs were finished in a minute, one way or another.
    #[allow(clippy::cast_precision_loss)] // bounded counts
    pub fn per_minute(&self) -> f64 {
        let finished = (self.succeeded + self.dead + self.cancelled) as f64;
        if finished == 0.0 { 0.0 } else { finished * 60.0 / self.window.as_secs_f64().max(0.001) }
    }
}

impl QueueStats {
    pub(crate) fn empty(queue: Queue, is_paused: bool, window: Duration) -> Self {
        let count = Count::default();
        Self {
            queue,
            is_paused,
            ready: count,
            running: count,
            scheduled: count,
            failed: count,
            oldest: None,
            finished: Finished { window, ..Finished::default() },
        }
    }
}

/// One loop of a runner, as it beats.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerRecord {
    /// Which one.
    pub id: WorkerId,
    /// Which queue it serves; `None`: a worker of an earlier release, which does not say.
    pub queue: Option<Queue>,
    /// The process that it is part of: host and process id, as in `web-1:4711`. `None` as for `queue`.
    pub process: Option<String>,
    /// Since when it beats.
    pub started_at: DateTime<Utc>,
    /// Until when its jobs are its own unless it beats again.
    pub lease_until: DateTime<Utc>,
    /// Whether that moment has passed.
    pub is_lost: bool,
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) use rows::{LatestRow, QueueRow, queue_stats};

/// Figures as the databases answer them.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod rows {
    use std::collections::BTreeMap;

    use super::{Count, QueueStats, WINDOW};
    use crate::store::{corrupt, duration};
    use crate::{Queue, Result};

    /// Queue; paused; ready, running, scheduled, failed; whether the walks over the due and the later ones were cut; the age of
    /// the oldest ready one.
    pub(crate) type QueueRow = (String, bool, i64, i64, i64, i64, bool, bool, Option<i64>);
    /// Queue; succeeded, dead, cancelled; how long ago the first of them was.
    pub(crate) type LatestRow = (String, i64, i64, i64, i64);

    impl Count {
        pub(crate) fn bounded(counted: i64, bound: u32) -> Self {
            let counted = counted.unsigned_abs();
            Self { value: counted.min(bound.into()), is_cut: counted > bound.into() }
        }
    }

    pub(crate) fn queue_stats(queues: Vec<QueueRow>, latest: Vec<LatestRow>, bound: u32) -> Result<Vec<QueueStats>> {
        let counted: i64 = latest.iter().map(|(_, succeeded, dead, cancelled, _)| succeeded + dead + cancelled).sum();
        let first = latest.iter().map(|(_, _, _, _, first)| *first).max();
        let window = first.filter(|_| counted >= i64::from(bound)).map_or(WINDOW, duration);
        let parse = |queue: String| corrupt("queue", Queue::new(queue));
        let mut stats = BTreeMap::new();
        for (queue, is_paused, ready, running, scheduled, failed, due_is_cut, later_is_cut, oldest) in queues {
            let count = |counted, is_cut| {
                let count = Count::bounded(counted, bound);
                Count { is_cut: is_cut || count.is_cut, ..count }
            };
            let queue = parse(queue)?;
            let row = QueueStats {
                ready: count(ready, due_is_cut),
                running: count(running, due_is_cut),
                scheduled: count(scheduled, later_is_cut),
                failed: count(failed, later_is_cut),
                oldest: oldest.map(duration),
                ..QueueStats::empty(queue.clone(), is_paused, window)
            };
            stats.insert(queue, row);
        }
        for (queue, succeeded, dead, cancelled, _) in latest {
            let queue = parse(queue)?;
            let row = stats.entry(queue.clone()).or_insert_with(|| QueueStats::empty(queue, false, window));
            row.finished.succeeded = succeeded.unsigned_abs();
            row.finished.dead = dead.unsigned_abs();
            row.finished.cancelled = cancelled.unsigned_abs();
        }
        Ok(stats.into_values().collect())
    }
}
