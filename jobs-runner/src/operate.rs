//! What operators do to jobs: many at once, by filter, and to the history.

mod doctor;
mod retention;
pub(crate) mod stats;
#[cfg(any(feature = "cli", feature = "dashboard"))]
pub(crate) mod visible;

use std::time::Duration;

use tokio::time::Instant;
use tracing::instrument;

pub use self::doctor::{Finding, Holder, Level};
pub(crate) use self::retention::forget;
pub use self::retention::{Pruned, Retention};
pub use self::stats::{Count, Finished, QueueStats, Stats, WorkerRecord};
use crate::{Filter, JobId, Jobs, Result, Source, State, Store};

/// How many jobs of a kind are counted before "more than".
const BOUND: u32 = 10_000;
/// How many jobs one transaction forgets: a few ten milliseconds on either database.
const BATCH: u32 = 2_000;

impl<S: Store> Jobs<S> {
    /// Gives a waiting job up: it is dead, reason `fatal`, and says why. Says whether there was one.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the database failed.
    #[instrument(level = "debug", name = "jobs.discard", skip_all)]
    pub async fn discard(&self, conn: &mut S::Connection, id: JobId, why: &str) -> Result<bool> {
        self.store.discard(conn, id, why).await
    }

    /// Cancels up to `limit` jobs that wait or run, as [`cancel`](Self::cancel) does, and says how many.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the database failed.
    #[instrument(level = "debug", name = "jobs.cancel_many", skip_all)]
    pub async fn cancel_many(&self, conn: &mut S::Connection, filter: &Filter, limit: u32) -> Result<u64> {
        self.store.cancel_many(conn, filter, limit).await
    }

    /// Removes up to `limit` waiting and up to `limit` finished jobs, and says how many.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the database failed.
    #[instrument(level = "debug", name = "jobs.delete_many", skip_all)]
    pub async fn delete_many(&self, conn: &mut S::Connection, filter: &Filter, limit: u32) -> Result<u64> {
        self.store.delete_many(conn, filter, limit).await
    }

    /// Forgets up to `limit` finished jobs of each state that are older than they need to be, the oldest first.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the database failed.
    #[instrument(level = "debug", name = "jobs.prune", skip_all)]
    pub async fn prune(&self, conn: &mut S::Connection, retention: &Retention, limit: u32) -> Result<Pruned> {
        let succeeded = self.store.prune(conn, State::Succeeded, retention.succeeded, limit).await?;
        let cancelled = self.store.prune(conn, State::Cancelled, retention.cancelled, limit).await?;
        let dead = self.store.prune(conn, State::Dead, retention.dead, limit).await?;
        let is_cut = [succeeded, cancelled, dead].contains(&u64::from(limit));
        Ok(Pruned { succeeded, cancelled, dead, is_cut })
    }

    /// Forgets finished jobs that are older than they need to be, in short transactions of its own, until none is left or the
    /// time is up.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the database failed; what was forgotten before stays forgotten.
    pub async fn prune_within<P>(&self, source: &P, retention: &Retention, budget: Duration) -> Result<Pruned>
    where
        P: Source<Connection = S::Connection>,
    {
        let began = Instant::now();
        let mut pruned = Pruned::default();
        loop {
            let mut tx = source.begin().await?;
            let batch = self.prune(&mut tx, retention, BATCH).await?;
            source.commit(tx).await?;
            pruned.succeeded += batch.succeeded;
            pruned.cancelled += batch.cancelled;
            pruned.dead += batch.dead;
            pruned.is_cut = batch.is_cut;
            if !batch.is_cut || began.elapsed() >= budget {
                return Ok(pruned);
            }
        }
    }

    /// Says how the queues are doing. It counts no more than 10,000 jobs of a kind.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the database failed.
    #[instrument(level = "debug", name = "jobs.stats", skip_all)]
    pub async fn stats(&self, conn: &mut S::Connection) -> Result<Stats> {
        self.store.stats(conn, BOUND).await
    }

    /// Lists the workers that beat, or did until they were lost, those that came last first; at most a thousand.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the database failed.
    #[instrument(level = "debug", name = "jobs.workers", skip_all)]
    pub async fn workers(&self, conn: &mut S::Connection) -> Result<Vec<WorkerRecord>> {
        self.store.workers(conn).await
    }

    /// Examines the database under the queues.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the database failed.
    #[instrument(level = "debug", name = "jobs.doctor", skip_all)]
    pub async fn doctor(&self, conn: &mut S::Connection) -> Result<Vec<Finding>> {
        let mut findings = self.store.doctor(conn).await?;
        let workers = self.store.workers(conn).await?;
        let stats = self.store.stats(conn, BOUND).await?;
        let lost = workers.iter().filter(|worker| worker.is_lost).count();
        if lost > 0 {
            findings.push(Finding::LostWorkers { count: lost as u64 });
        }
        for queue in stats.queues {
            if let Some(age) = queue.oldest {
                let is_served = |worker: &WorkerRecord| {
                    !worker.is_lost && worker.queue.as_ref().is_none_or(|served| *served == queue.queue)
                };
                if !queue.is_paused && !workers.iter().any(is_served) {
                    findings.push(Finding::Unserved { queue: queue.queue.clone() });
                }
                findings.push(Finding::Waiting { queue: queue.queue.clone(), age });
            }
            if queue.is_paused {
                findings.push(Finding::Paused { queue: queue.queue });
            }
        }
        // What matters first; a stable sort keeps what belongs together.
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.level()));
        Ok(findings)
    }
}
