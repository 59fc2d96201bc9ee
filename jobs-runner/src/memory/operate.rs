//! What operators do and see.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Connection, Row, Rows, delta};
use crate::operate::stats::WINDOW;
use crate::{
    Count, DeadReason, Filter, Finding, JobId, Outcome, Queue, QueueStats, Result, State, Stats, WorkerRecord,
};

pub(super) async fn discard(conn: &mut Connection, id: JobId, why: &str) -> Result<bool> {
    conn.write(|rows, now| {
        let Some(row) = rows.jobs.get_mut(&id).filter(|row| row.waits()) else { return Ok(false) };
        // Whoever cancelled it while it ran, before its claim was given up, wished for less.
        row.is_cancelled = false;
        row.end(&Outcome::Failed { error: why.to_owned(), retry: None, reason: DeadReason::Fatal }, now);
        rows.leave(id);
        Ok(true)
    })
    .await
}

pub(super) async fn cancel_many(conn: &mut Connection, filter: &Filter, limit: u32) -> Result<u64> {
    conn.write(|rows, now| {
        let live = rows.jobs.values().filter(|row| row.job.finished_at.is_none() && filter.is_met_by(&row.job));
        let live: Vec<(JobId, State)> = live.map(|row| (row.job.id, row.job.state)).take(limit as usize).collect();
        for (id, state) in &live {
            match (state, rows.jobs.get_mut(id)) {
                (State::Running, Some(row)) => row.is_cancelled = true,
                _ => rows.finish(*id, State::Cancelled, None, now),
            }
        }
        Ok(live.len() as u64)
    })
    .await
}

pub(super) async fn delete_many(conn: &mut Connection, filter: &Filter, limit: u32) -> Result<u64> {
    conn.write(|rows, _| {
        let wanted = || rows.jobs.values().filter(|row| filter.is_met_by(&row.job));
        let waiting = wanted().filter(|row| row.waits()).map(|row| row.job.id).take(limit as usize);
        let finished = wanted().filter(|row| row.job.finished_at.is_some()).map(|row| row.job.id).take(limit as usize);
        let ids: Vec<JobId> = waiting.chain(finished).collect();
        Ok(ids.iter().filter(|id| rows.delete(**id)).count() as u64)
    })
    .await
}

pub(super) async fn prune(conn: &mut Connection, state: State, older_than: Duration, limit: u32) -> Result<u64> {
    conn.write(|rows, now| {
        let is_old = |at: DateTime<Utc>| at <= now - delta(older_than);
        let old = rows.jobs.values().filter(|row| row.job.state == state && row.job.finished_at.is_some_and(is_old));
        let mut old: Vec<_> = old.map(|row| (row.job.finished_at, row.job.id)).collect();
        old.sort_unstable();
        old.truncate(limit as usize);
        Ok(old.iter().filter(|(_, id)| rows.delete(*id)).count() as u64)
    })
    .await
}

pub(super) fn stats(conn: &Connection, bound: u32) -> Stats {
    let now = conn.database.now();
    conn.read(|rows| {
        let mut latest: Vec<&Row> =
            rows.jobs.values().filter(|row| row.job.finished_at.is_some_and(|at| at > now - delta(WINDOW))).collect();
        latest.sort_by_key(|row| std::cmp::Reverse(row.job.finished_at));
        latest.truncate(bound as usize);
        let first = latest.last().filter(|_| latest.len() >= bound as usize).and_then(|row| row.job.finished_at);
        let window = first.and_then(|at| (now - at).to_std().ok()).unwrap_or(WINDOW);

        let mut queues: BTreeMap<Queue, QueueStats> = BTreeMap::new();
        let live = rows.jobs.values().filter(|row| row.job.finished_at.is_none());
        let named = live.clone().chain(latest.iter().copied()).map(|row| &row.job.queue).chain(&rows.paused);
        for queue in named {
            let is_paused = rows.paused.contains(queue);
            queues.entry(queue.clone()).or_insert_with(|| QueueStats::empty(queue.clone(), is_paused, window));
        }
        for (name, queue) in &mut queues {
            let of = |is: fn(&Row, bool) -> bool| {
                let jobs = live.clone().filter(|row| row.job.queue == *name);
                count(jobs.filter(|row| is(row, row.job.run_at <= now)).count(), bound)
            };
            queue.running = of(|row, _| !row.waits());
            queue.ready = of(|row, is_due| row.waits() && is_due);
            queue.scheduled = of(|row, is_due| row.job.state == State::Pending && !is_due);
            queue.failed = of(|row, is_due| row.job.state == State::Failed && !is_due);
            let ready = live.clone().filter(|row| row.job.queue == *name && row.waits() && row.job.run_at <= now);
            queue.oldest = ready.map(|row| row.job.run_at).min().and_then(|at| (now - at).to_std().ok());
            for row in latest.iter().filter(|row| row.job.queue == *name) {
                match row.job.state {
                    State::Succeeded => queue.finished.succeeded += 1,
                    State::Dead => queue.finished.dead += 1,
                    _ => queue.finished.cancelled += 1,
                }
            }
        }
        let kept = |state| rows.jobs.values().filter(move |row| row.job.state == state).count();
        Stats {
            queues: queues.into_values().collect(),
            dead: count(kept(State::Dead), bound),
            cancelled: count(kept(State::Cancelled), bound),
            kept: rows.jobs.values().filter(|row| row.job.finished_at.is_some()).count() as u64,
        }
    })
}

fn count(counted: usize, bound: u32) -> Count {
    Count { value: counted.min(bound as usize) as u64, is_cut: counted > bound as usize }
}

pub(super) fn workers(conn: &Connection) -> Vec<WorkerRecord> {
    let now = conn.database.now();
    conn.read(|rows| {
        let workers = rows.workers.iter().map(|(id, worker)| WorkerRecord {
            id: *id,
            queue: Some(worker.queue.clone()),
            process: Some(worker.process.clone()),
            started_at: worker.started_at,
            lease_until: worker.lease_until,
            is_lost: worker.lease_until <= now,
        });
        let mut workers: Vec<_> = workers.collect();
        workers.sort_by_key(|worker| (std::cmp::Reverse(worker.started_at), worker.id.as_i64()));
        workers.truncate(1000);
        workers
    })
}

/// There is nothing under it that could be wrong.
pub(super) fn doctor() -> Vec<Finding> {
    Vec::new()
}

impl Rows {
    /// Forgets a job that is not running, with the key it stands for.
    pub(super) fn delete(&mut self, id: JobId) -> bool {
        match self.jobs.get(&id) {
            Some(row) if row.job.state != State::Running => {
                self.unique.retain(|_, (job, until)| *job != id || until.is_some());
                self.jobs.remove(&id).is_some()
            }
            _ => false,
        }
    }
}
