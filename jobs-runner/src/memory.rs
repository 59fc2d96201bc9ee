//! The backend in memory: the executable specification, and the one for unit tests.

mod cron;
mod leader;
mod limit;
mod operate;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Mutex as WriterLock, OwnedMutexGuard};

use crate::handler::storable;
use crate::limit::Began;
use crate::record::AttemptError;
use crate::store::{CRASH, MAX_DURATION, MAX_ERRORS, signals};
use crate::{
    Cancelled, Claim, ClaimRequest, Claimed, CronEntry, CronRecord, DeadReason, Due, Enqueued, Filter, Finding,
    Heartbeat, JobId, JobRecord, Kind, Lead, Limit, LimitKey, Name, NewJob, Orphans, Outcome, Queue, Report, Reported,
    Rescued, Result, Settlement, Signal, Source, State, Stats, Store, Timetable, Token, Turned, Unique, WorkerId,
    WorkerRecord,
};

/// Keeps jobs in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory;

/// A database in memory with a clock that stands still: one writer at a time, readers see what was committed, drop is rollback.
#[derive(Clone, Debug)]
pub struct Database {
    committed: Arc<Mutex<Rows>>,
    writer: Arc<WriterLock<()>>,
    clock: Arc<Mutex<DateTime<Utc>>>,
}

/// What one transaction sees; outside a transaction, what is committed.
#[derive(Debug)]
pub struct Connection {
    database: Database,
    working: Option<Rows>,
}

/// A transaction on a [`Database`]; dropping it rolls it back.
#[derive(Debug)]
pub struct Transaction {
    conn: Connection,
    _writer: Option<OwnedMutexGuard<()>>,
}

/// A bare connection to a [`Database`]: every verb commits by itself.
#[derive(Debug)]
pub struct Guard(Connection);

#[derive(Clone, Debug, Default)]
struct Rows {
    jobs: BTreeMap<JobId, Row>,
    last_id: i64,
    workers: HashMap<WorkerId, WorkerRow>,
    /// Which job stands for a unique key, and until when; `None`: until it is finished.
    unique: HashMap<String, (JobId, Option<DateTime<Utc>>)>,
    paused: HashSet<Queue>,
    crons: BTreeMap<Name, CronRecord>,
    leaders: BTreeMap<Name, leader::Leader>,
    limits: BTreeMap<LimitKey, Limit>,
    /// What began under each limit's rate.
    began: HashMap<String, Began>,
}

#[derive(Clone, Debug)]
struct WorkerRow {
    queue: Queue,
    process: String,
    started_at: DateTime<Utc>,
    lease_until: DateTime<Utc>,
}

#[derive(Clone, Debug)]
struct Row {
    job: JobRecord,
    /// Who holds it, while it is running.
    held: Option<(Token, WorkerId)>,
    is_cancelled: bool,
}

impl Store for Memory {
    type Connection = Connection;

    const LANES: usize = 1;

    async fn enqueue(&self, conn: &mut Connection, jobs: &[NewJob<'_>]) -> Result<Vec<Enqueued>> {
        conn.write(|rows, now| Ok(jobs.iter().map(|job| rows.enqueue(job, now)).collect())).await
    }

    async fn turn(
        &self,
        conn: &mut Connection,
        reports: &[Report],
        request: Option<&ClaimRequest<'_>>,
    ) -> Result<Turned> {
        conn.write(|rows, now| {
            let reported = reports.iter().map(|report| match rows.held(&report.claim) {
                Some(row) => {
                    let state = row.end(&report.outcome, now);
                    rows.leave(report.claim.id);
                    Reported::Now(state)
                }
                None => Reported::Fenced,
            });
            let reported = reported.collect();
            let (claimed, opens_in) = request.map_or_else(Default::default, |request| rows.claim(request, now));
            Ok(Turned { reported, claimed, opens_in })
        })
        .await
    }

    async fn next_due(&self, conn: &mut Connection, queue: &Queue, kinds: &[Kind]) -> Result<Option<Duration>> {
        let now = conn.database.now();
        conn.read(|rows| {
            let waiting = rows.jobs.values().filter(|row| row.waits() && row.job.queue == *queue);
            let later = waiting.filter(|row| row.job.run_at > now && kinds.contains(&row.job.kind));
            Ok(later.map(|row| row.job.run_at).min().and_then(|at| (at - now).to_std().ok()))
        })
    }

    async fn beat(&self, conn: &mut Connection, beat: Heartbeat<'_>) -> Result<()> {
        conn.write(|rows, now| {
            let first = || WorkerRow {
                queue: beat.queue.clone(),
                process: beat.process.to_owned(),
                started_at: now,
                lease_until: now,
            };
            rows.workers.entry(beat.worker).or_insert_with(first).lease_until = now + delta(beat.lease);
        })
        .await;
        Ok(())
    }

    async fn retire(&self, conn: &mut Connection, worker: WorkerId) -> Result<()> {
        conn.write(|rows, _| rows.workers.remove(&worker)).await;
        Ok(())
    }

    async fn watch(&self, conn: &mut Connection, claims: &[Claim]) -> Result<Vec<Signal>> {
        conn.read(|rows| {
            let held = claims.iter().filter_map(|claim| rows.jobs.get(&claim.id));
            let held = held.filter_map(|row| Some((row.job.id.as_i64(), row.held?.0.as_i64(), row.is_cancelled)));
            Ok(signals(claims, held))
        })
    }

    async fn abandon(&self, conn: &mut Connection, worker: WorkerId, tokens: &[Token]) -> Result<()> {
        conn.write(|rows, _| {
            let is_lost = |row: &Row| row.held.is_some_and(|(token, by)| by == worker && tokens.contains(&token));
            for row in rows.jobs.values_mut().filter(|row| is_lost(row)) {
                row.held = None;
                row.job.state = State::Pending;
                row.job.attempt -= 1;
            }
            Ok(())
        })
        .await
    }

    async fn rescue(&self, conn: &mut Connection, limit: u32, orphans: Orphans) -> Result<Rescued> {
        conn.write(|rows, now| {
            let is_lost = |worker: &WorkerId| match rows.workers.get(worker) {
                Some(worker) => worker.lease_until <= now,
                None => orphans == Orphans::Include,
            };
            let running = rows.jobs.values().filter(|row| row.held.is_some_and(|(_, worker)| is_lost(&worker)));
            let lost: Vec<JobId> = running.map(|row| row.job.id).take(limit as usize).collect();
            let mut rescued = Rescued::default();
            let retry = Some(Duration::ZERO);
            let crash = Outcome::Failed { error: CRASH.to_owned(), retry, reason: DeadReason::Crashed };
            for id in lost {
                let Some(row) = rows.jobs.get_mut(&id) else { continue };
                row.job.crashes += 1;
                rescued.count(row.end(&crash, now));
                rows.leave(id);
            }
            Ok(rescued)
        })
        .await
    }

    async fn expire(&self, conn: &mut Connection, limit: u32) -> Result<u32> {
        conn.write(|rows, now| {
            let expired = rows.jobs.values().filter(|row| row.waits() && row.is_expired(now));
            let expired: Vec<JobId> = expired.map(|row| row.job.id).take(limit as usize).collect();
            for id in &expired {
                rows.finish(*id, State::Dead, Some(DeadReason::Expired), now);
            }
            Ok(expired.len().try_into().unwrap_or(limit))
        })
        .await
    }

    async fn progress(&self, conn: &mut Connection, claim: Claim, progress: &str) -> Result<bool> {
        conn.write(|rows, _| {
            let row = rows.held(&claim);
            Ok(row.map(|row| row.job.progress = Some(storable(progress))).is_some())
        })
        .await
    }

    async fn cancel(&self, conn: &mut Connection, id: JobId) -> Result<Cancelled> {
        conn.write(|rows, now| match rows.jobs.get_mut(&id) {
            Some(row) if row.job.state == State::Running => {
                row.is_cancelled = true;
                Ok(Cancelled::Requested)
            }
            Some(row) if row.waits() => {
                rows.finish(id, State::Cancelled, None, now);
                Ok(Cancelled::Now)
            }
            _ => Ok(Cancelled::NotFound),
        })
        .await
    }

    async fn retry(&self, conn: &mut Connection, filter: &Filter, limit: u32) -> Result<u64> {
        conn.write(|rows, now| {
            let wanted = || rows.jobs.values().filter(|row| filter.is_met_by(&row.job)).map(|row| &row.job);
            let given_up = wanted().filter(|job| matches!(job.state, State::Dead | State::Cancelled));
            let mut ids: Vec<JobId> = given_up.map(|job| job.id).take(limit as usize).collect();
            let failed = wanted().filter(|job| job.state == State::Failed && job.run_at > now);
            ids.extend(failed.map(|job| job.id).take(limit as usize));
            for row in ids.iter().filter_map(|id| rows.jobs.remove(id)).collect::<Vec<_>>() {
                rows.jobs.insert(row.job.id, row.again(now));
            }
            Ok(ids.len() as u64)
        })
        .await
    }

    async fn delete(&self, conn: &mut Connection, id: JobId) -> Result<bool> {
        conn.write(|rows, _| Ok(rows.delete(id))).await
    }

    async fn pause(&self, conn: &mut Connection, queue: &Queue) -> Result<()> {
        conn.write(|rows, _| rows.paused.insert(queue.clone())).await;
        Ok(())
    }

    async fn resume(&self, conn: &mut Connection, queue: &Queue) -> Result<()> {
        conn.write(|rows, _| rows.paused.remove(queue)).await;
        Ok(())
    }

    async fn set_limit(&self, conn: &mut Connection, key: &LimitKey, limit: &Limit) -> Result<()> {
        conn.write(|rows, _| rows.limits.insert(key.clone(), *limit)).await;
        Ok(())
    }

    async fn remove_limit(&self, conn: &mut Connection, key: &LimitKey) -> Result<bool> {
        Ok(conn.write(|rows, _| rows.limits.remove(key)).await.is_some())
    }

    async fn limits(&self, conn: &mut Connection) -> Result<Vec<(LimitKey, Limit)>> {
        conn.read(|rows| Ok(rows.limits.iter().map(|(key, limit)| (key.clone(), *limit)).collect()))
    }

    async fn find(&self, conn: &mut Connection, id: JobId) -> Result<Option<JobRecord>> {
        conn.read(|rows| Ok(rows.jobs.get(&id).map(|row| row.job.clone())))
    }

    async fn list(
        &self,
        conn: &mut Connection,
        filter: &Filter,
        before: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<JobRecord>> {
        conn.read(|rows| {
            let jobs = rows.jobs.values().rev().map(|row| &row.job);
            Ok(jobs
                .filter(|job| before.is_none_or(|before| job.id < before))
                .filter(|job| filter.is_met_by(job))
                .take(limit as usize)
                .cloned()
                .collect())
        })
    }

    async fn post(&self, conn: &mut Connection, entries: &[CronEntry<'_>]) -> Result<()> {
        cron::post(conn, entries).await
    }

    async fn timetable(&self, conn: &mut Connection) -> Result<Timetable> {
        cron::timetable(conn)
    }

    async fn settle(&self, conn: &mut Connection, settlements: &[Settlement<'_>]) -> Result<Vec<bool>> {
        cron::settle(conn, settlements).await
    }

    async fn withdraw(&self, conn: &mut Connection, name: &Name) -> Result<bool> {
        cron::withdraw(conn, name).await
    }

    async fn take(&self, conn: &mut Connection, name: &Name, token: Token, lease: Duration) -> Result<Option<Lead>> {
        leader::take(conn, name, token, lease).await
    }

    async fn renew(&self, conn: &mut Connection, name: &Name, token: Token, lease: Duration) -> Result<Option<Lead>> {
        leader::renew(conn, name, token, lease).await
    }

    async fn leads(&self, conn: &mut Connection, name: &Name, token: Token) -> Result<bool> {
        leader::leads(conn, name, token)
    }

    async fn ran(&self, conn: &mut Connection, name: &Name, token: Token, began_at: DateTime<Utc>) -> Result<bool> {
        leader::ran(conn, name, token, began_at).await
    }

    async fn resign(&self, conn: &mut Connection, name: &Name, token: Token) -> Result<()> {
        leader::resign(conn, name, token).await
    }

    async fn discard(&self, conn: &mut Connection, id: JobId, why: &str) -> Result<bool> {
        operate::discard(conn, id, why).await
    }

    async fn cancel_many(&self, conn: &mut Connection, filter: &Filter, limit: u32) -> Result<u64> {
        operate::cancel_many(conn, filter, limit).await
    }

    async fn delete_many(&self, conn: &mut Connection, filter: &Filter, limit: u32) -> Result<u64> {
        operate::delete_many(conn, filter, limit).await
    }

    async fn prune(&self, conn: &mut Connection, state: State, older_than: Duration, limit: u32) -> Result<u64> {
        operate::prune(conn, state, older_than, limit).await
    }

    async fn stats(&self, conn: &mut Connection, bound: u32) -> Result<Stats> {
        Ok(operate::stats(conn, bound))
    }

    async fn workers(&self, conn: &mut Connection) -> Result<Vec<WorkerRecord>> {
        Ok(operate::workers(conn))
    }

    async fn doctor(&self, _: &mut Connection) -> Result<Vec<Finding>> {
        Ok(operate::doctor())
    }
}

impl Rows {
    fn enqueue(&mut self, new: &NewJob<'_>, now: DateTime<Utc>) -> Enqueued {
        let is_taken = |(_, until): &&(JobId, Option<DateTime<Utc>>)| until.is_none_or(|until| until > now);
        let holder = new.unique.and_then(|unique| self.unique.get(unique.key).filter(is_taken));
        if let Some((id, _)) = holder {
            return Enqueued { id: *id, is_new: false };
        }
        self.last_id += 1;
        let id = JobId::from(self.last_id);
        if let Some(Unique { key, period }) = new.unique {
            self.unique.insert(key.to_owned(), (id, period.map(|period| now + delta(period))));
        }
        let moment = |due| match due {
            Due::After(delay) => now + delta(delay),
            Due::At(at) => at,
        };
        let job = JobRecord {
            id,
            queue: new.queue.clone(),
            kind: new.kind.clone(),
            payload: new.payload.to_string(),
            state: State::Pending,
            reason: None,
            priority: new.priority,
            attempt: 0,
            max_attempts: new.max_attempts,
            crashes: 0,
            timeout: new.timeout,
            unique_key: new.unique.map(|unique| unique.key.to_owned()),
            order_key: new.order_key.map(str::to_owned),
            limit_key: new.limit_key.map(str::to_owned),
            trace: new.trace.map(str::to_owned),
            progress: None,
            last_error: None,
            errors: Vec::new(),
            run_at: moment(new.due),
            expires_at: new.expires.map(moment),
            created_at: now,
            attempted_at: None,
            finished_at: None,
        };
        self.jobs.insert(id, Row { job, held: None, is_cancelled: false });
        Enqueued { id, is_new: true }
    }

    fn claim(&mut self, request: &ClaimRequest<'_>, now: DateTime<Utc>) -> (Vec<Claimed>, Option<Duration>) {
        let mut doors = self.doors(request.queue, now);
        if self.paused.contains(request.queue) {
            return (Vec::new(), doors.opens_in());
        }
        // Of the jobs that share a key the one that runs, which is not due, or else the first one.
        let mut first: HashMap<String, JobId> = HashMap::new();
        for row in self.jobs.values().filter(|row| row.job.finished_at.is_none()) {
            if let Some(key) = &row.job.order_key {
                let first = first.entry(key.clone()).or_insert(row.job.id);
                if row.held.is_some() {
                    *first = row.job.id;
                }
            }
        }
        let is_first = |job: &JobRecord| job.order_key.as_ref().is_none_or(|key| first.get(key) == Some(&job.id));
        let due = self.jobs.values_mut().filter(|row| row.is_due(request, now) && is_first(&row.job));
        let mut due: Vec<&mut Row> = due.collect();
        let is_limited = doors.is_queue_limited();
        due.sort_by_key(|row| (row.job.priority, row.job.run_at, row.job.id));
        due.retain(|row| doors.admit(row.job.limit_key.as_deref(), request.limit));
        let claimed = due.into_iter().map(|row| row.begin(request, is_limited, now)).collect();
        let opens_in = doors.opens_in();
        self.began.extend(doors.began());
        (claimed, opens_in)
    }

    fn held(&mut self, claim: &Claim) -> Option<&mut Row> {
        self.jobs.get_mut(&claim.id).filter(|row| row.held.is_some_and(|(token, _)| token == claim.token))
    }

    fn finish(&mut self, id: JobId, state: State, reason: Option<DeadReason>, now: DateTime<Utc>) {
        if let Some(row) = self.jobs.get_mut(&id) {
            row.job.state = state;
            row.job.reason = reason;
            row.job.finished_at = Some(now);
        }
        self.leave(id);
    }

    /// A finished job no longer stands for its key.
    fn leave(&mut self, id: JobId) {
        let Some(Row { job, .. }) = self.jobs.get(&id).filter(|row| row.job.finished_at.is_some()) else { return };
        if let Some(key) = &job.unique_key
            && self.unique.get(key) == Some(&(id, None))
        {
            self.unique.remove(key);
        }
    }
}

impl Row {
    fn waits(&self) -> bool {
        matches!(self.job.state, State::Pending | State::Failed)
    }

    fn is_due(&self, request: &ClaimRequest<'_>, now: DateTime<Utc>) -> bool {
        self.waits()
            && self.job.run_at <= now
            && !self.is_expired(now)
            && self.job.queue == *request.queue
            && request.kinds.contains(&self.job.kind)
    }

    fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.job.expires_at.is_some_and(|at| at <= now)
    }

    fn begin(&mut self, request: &ClaimRequest<'_>, is_limited: bool, now: DateTime<Utc>) -> Claimed {
        self.held = Some((request.token, request.worker));
        let job = &mut self.job;
        job.state = State::Running;
        job.attempt += 1;
        job.attempted_at = Some(now);
        Claimed {
            claim: Claim { id: job.id, token: request.token },
            kind: job.kind.clone(),
            payload: job.payload.clone(),
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            timeout: job.timeout,
            run_at: job.run_at,
            priority: job.priority,
            is_awaited: job.order_key.is_some() || job.limit_key.is_some() || is_limited,
            trace: job.trace.clone(),
            claimed_at: now,
        }
    }

    fn end(&mut self, outcome: &Outcome, now: DateTime<Utc>) -> State {
        let job = &mut self.job;
        self.held = None;
        match outcome {
            Outcome::Succeeded => job.state = State::Succeeded,
            Outcome::Failed { error, retry, reason } => {
                let error = storable(error);
                if job.errors.len() >= MAX_ERRORS {
                    job.errors.remove(0);
                }
                job.errors.push(AttemptError { attempt: job.attempt, at: now, error: error.clone() });
                job.last_error = Some(error);
                match retry {
                    _ if self.is_cancelled => job.state = State::Cancelled,
                    Some(delay) if job.attempt < job.max_attempts => {
                        job.state = State::Failed;
                        job.run_at = now + delta(*delay);
                    }
                    _ => {
                        job.state = State::Dead;
                        job.reason = Some(*reason);
                    }
                }
            }
            Outcome::Released { .. } if self.is_cancelled => job.state = State::Cancelled,
            Outcome::Released { delay } => {
                job.state = State::Pending;
                job.attempt -= 1;
                job.run_at = now + delta(*delay);
            }
        }
        if matches!(job.state, State::Succeeded | State::Dead | State::Cancelled) {
            job.finished_at = Some(now);
        }
        job.state
    }

    /// The job as it runs again by somebody's wish.
    fn again(mut self, now: DateTime<Utc>) -> Self {
        self.job.run_at = now;
        if self.job.state != State::Failed {
            self.is_cancelled = false;
            self.job.state = State::Pending;
            self.job.reason = None;
            self.job.attempt = 0;
            self.job.crashes = 0;
            self.job.unique_key = None;
            self.job.progress = None;
            self.job.expires_at = None;
            self.job.attempted_at = None;
            self.job.finished_at = None;
        }
        self
    }
}

fn delta(duration: Duration) -> TimeDelta {
    // A hundred years are within the bounds of a TimeDelta.
    TimeDelta::from_std(duration.min(MAX_DURATION)).unwrap_or(TimeDelta::MAX)
}

impl Connection {
    fn read<R>(&self, read: impl FnOnce(&Rows) -> R) -> R {
        match &self.working {
            Some(rows) => read(rows),
            None => read(&lock(&self.database.committed)),
        }
    }

    async fn write<R>(&mut self, write: impl FnOnce(&mut Rows, DateTime<Utc>) -> R) -> R {
        if let Some(rows) = &mut self.working {
            return write(rows, self.database.now());
        }
        let _writer = self.database.writer.lock().await;
        let now = self.database.now();
        write(&mut lock(&self.database.committed), now)
    }
}

impl Database {
    /// Returns what the clock shows: the moment the database was made, and what it was advanced by.
    pub fn now(&self) -> DateTime<Utc> {
        *lock(&self.clock)
    }

    /// Moves the clock: jobs become due and leases end without anybody waiting.
    pub fn advance(&self, by: Duration) {
        *lock(&self.clock) += delta(by);
    }

    fn transaction(&self, writer: Option<OwnedMutexGuard<()>>) -> Transaction {
        let rows = lock(&self.committed).clone();
        Transaction { conn: Connection { database: self.clone(), working: Some(rows) }, _writer: writer }
    }
}

impl Default for Database {
    fn default() -> Self {
        Self { committed: Arc::default(), writer: Arc::default(), clock: Arc::new(Mutex::new(Utc::now())) }
    }
}

impl Source for Database {
    type Connection = Connection;
    type Guard = Guard;
    type Transaction = Transaction;

    async fn acquire(&self) -> Result<Guard> {
        Ok(Guard(Connection { database: self.clone(), working: None }))
    }

    async fn begin(&self) -> Result<Transaction> {
        let writer = self.writer.clone().lock_owned().await;
        Ok(self.transaction(Some(writer)))
    }

    async fn begin_snapshot(&self) -> Result<Transaction> {
        Ok(self.transaction(None))
    }

    async fn commit(&self, tx: Transaction) -> Result<()> {
        // A snapshot has nothing to commit, and may be older than what is committed.
        if let Transaction { conn: Connection { working: Some(rows), .. }, _writer: Some(_writer) } = tx {
            *lock(&self.committed) = rows;
        }
        Ok(())
    }
}

impl Deref for Transaction {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.conn
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.conn
    }
}

impl Deref for Guard {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for Guard {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
