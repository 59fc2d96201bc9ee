//! The backend in memory: the executable specification, and the one for unit tests.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Mutex as WriterLock, OwnedMutexGuard};

use crate::handler::storable;
use crate::store::{CRASH, MAX_DURATION};
use crate::{
    Claim, ClaimRequest, Claimed, DeadReason, Due, Filter, JobId, JobRecord, NewJob, Outcome, Report, Reported,
    Rescued, Result, Source, State, Store, Token,
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

type Rows = BTreeMap<JobId, Row>;

#[derive(Clone, Debug)]
struct Row {
    job: JobRecord,
    /// Who holds it until when, while it is running.
    held: Option<(Token, DateTime<Utc>)>,
}

impl Store for Memory {
    type Connection = Connection;

    async fn enqueue(&self, conn: &mut Connection, job: &NewJob<'_>) -> Result<JobId> {
        conn.write(|rows, now| {
            let id = JobId::from(rows.last_key_value().map_or(1, |(id, _)| id.as_i64() + 1));
            let run_at = match job.due {
                Due::After(delay) => now + delta(delay),
                Due::At(at) => at,
            };
            let job = JobRecord {
                id,
                queue: job.queue.clone(),
                kind: job.kind.clone(),
                payload: job.payload.to_owned(),
                state: State::Pending,
                reason: None,
                priority: job.priority,
                attempt: 0,
                max_attempts: job.max_attempts,
                crashes: 0,
                last_error: None,
                run_at,
                created_at: now,
                attempted_at: None,
                finished_at: None,
            };
            rows.insert(id, Row { job, held: None });
            Ok(id)
        })
        .await
    }

    async fn claim(&self, conn: &mut Connection, request: &ClaimRequest<'_>) -> Result<Vec<Claimed>> {
        conn.write(|rows, now| {
            let mut due: Vec<&mut Row> = rows.values_mut().filter(|row| row.is_due(request, now)).collect();
            due.sort_by_key(|row| (row.job.priority, row.job.run_at, row.job.id));
            due.truncate(request.limit as usize);
            Ok(due
                .into_iter()
                .map(|Row { job, held }| {
                    *held = Some((request.token, now + delta(request.lease)));
                    job.state = State::Running;
                    job.attempt += 1;
                    job.attempted_at = Some(now);
                    Claimed {
                        claim: Claim { id: job.id, token: request.token },
                        kind: job.kind.clone(),
                        payload: job.payload.clone(),
                        attempt: job.attempt,
                        max_attempts: job.max_attempts,
                    }
                })
                .collect())
        })
        .await
    }

    async fn renew(&self, conn: &mut Connection, claims: &[Claim], lease: Duration) -> Result<Vec<Claim>> {
        conn.write(|rows, now| {
            let mut lost = Vec::new();
            for claim in claims {
                match held(rows, claim) {
                    Some(row) => row.held = Some((claim.token, now + delta(lease))),
                    None => lost.push(*claim),
                }
            }
            Ok(lost)
        })
        .await
    }

    async fn report(&self, conn: &mut Connection, reports: &[Report]) -> Result<Vec<Reported>> {
        conn.write(|rows, now| {
            Ok(reports
                .iter()
                .map(|report| match held(rows, &report.claim) {
                    Some(row) => Reported::Now(row.end(&report.outcome, now)),
                    None => Reported::Fenced,
                })
                .collect())
        })
        .await
    }

    async fn rescue(&self, conn: &mut Connection, limit: u32) -> Result<Rescued> {
        conn.write(|rows, now| {
            let mut expired: Vec<&mut Row> = rows.values_mut().filter(|row| row.is_expired(now)).collect();
            expired.sort_by_key(|row| row.held.map(|(_, until)| until));
            expired.truncate(limit as usize);
            let mut rescued = Rescued::default();
            for row in expired {
                row.job.crashes += 1;
                let retry = Some(Duration::ZERO);
                let crash = Outcome::Failed { error: CRASH.to_owned(), retry, reason: DeadReason::Crashed };
                match row.end(&crash, now) {
                    State::Dead => rescued.dead += 1,
                    _ => rescued.failed += 1,
                }
            }
            Ok(rescued)
        })
        .await
    }

    async fn find(&self, conn: &mut Connection, id: JobId) -> Result<Option<JobRecord>> {
        conn.read(|rows| Ok(rows.get(&id).map(|row| row.job.clone())))
    }

    async fn list(
        &self,
        conn: &mut Connection,
        filter: &Filter,
        before: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<JobRecord>> {
        conn.read(|rows| {
            let jobs = rows.values().rev().map(|row| &row.job);
            Ok(jobs
                .filter(|job| before.is_none_or(|before| job.id < before))
                .filter(|job| filter.queue.as_ref().is_none_or(|queue| job.queue == *queue))
                .filter(|job| filter.state.is_none_or(|state| job.state == state))
                .take(limit as usize)
                .cloned()
                .collect())
        })
    }
}

impl Row {
    fn is_due(&self, request: &ClaimRequest<'_>, now: DateTime<Utc>) -> bool {
        matches!(self.job.state, State::Pending | State::Failed)
            && self.job.run_at <= now
            && self.job.queue == *request.queue
            && request.kinds.contains(&self.job.kind)
    }

    fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.held.is_some_and(|(_, until)| until <= now)
    }

    fn end(&mut self, outcome: &Outcome, now: DateTime<Utc>) -> State {
        let job = &mut self.job;
        self.held = None;
        match outcome {
            Outcome::Succeeded => job.state = State::Succeeded,
            Outcome::Failed { error, retry, reason } => {
                job.last_error = Some(storable(error));
                match retry {
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
            Outcome::Released { delay } => {
                job.state = State::Pending;
                job.attempt -= 1;
                job.run_at = now + delta(*delay);
            }
        }
        if matches!(job.state, State::Succeeded | State::Dead) {
            job.finished_at = Some(now);
        }
        job.state
    }
}

fn held<'a>(rows: &'a mut Rows, claim: &Claim) -> Option<&'a mut Row> {
    rows.get_mut(&claim.id).filter(|row| row.held.is_some_and(|(token, _)| token == claim.token))
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
