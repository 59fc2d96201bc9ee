//! The contract between this crate and a database.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use chrono::{DateTime, Utc};

#[cfg(any(feature = "postgres", feature = "sqlite"))]
use crate::Error;
use crate::{
    CronEntry, DeadReason, Filter, Finding, JobId, JobRecord, Kind, Lead, Limit, LimitKey, Name, Queue, Result,
    Settlement, State, Stats, Timetable, WorkerRecord,
};

/// No lease, delay or backoff is longer: a hundred years.
pub(crate) const MAX_DURATION: Duration = Duration::from_hours(100 * 365 * 24);

/// What a backend promises. Users call [`Jobs`](crate::Jobs) and [`Runner`](crate::Runner) instead.
///
/// # Contract
/// * A method does all its work on `conn`; it never commits or rolls back the caller's transaction, `SET`s or takes a session lock.
/// * A mutating method is atomic by itself, also on a bare connection. Half a method never stays.
/// * An expected outcome is never a database error: the caller's transaction stays usable.
/// * Correct at READ COMMITTED and above; above READ COMMITTED, conflicts are retryable errors.
/// * Time is the database's clock at the statement; durations come from the caller, and none is longer than a hundred years.
/// * Every claim carries a token; whoever shows another one changes nothing.
pub trait Store: Send + Sync + 'static {
    /// What every call works on: the host's own connection, inside or outside a transaction.
    type Connection: Send;

    /// How many turns of one queue may be under way at once: more than one only where writers do not wait for each other.
    const LANES: usize;

    /// Stores pending jobs and answers in the same order.
    ///
    /// A job whose unique key is taken is not stored: the answer names the job that has the key. Of several with one key in one
    /// call the first is stored.
    fn enqueue(
        &self,
        conn: &mut Self::Connection,
        jobs: &[NewJob<'_>],
    ) -> impl Future<Output = Result<Vec<Enqueued>>> + Send;

    /// Ends claims, then makes due jobs of the wanted kinds running, each under the request's token, and begins an attempt of each.
    ///
    /// *Reports* are answered in their order; a claim may be reported once in a call. A failed job waits for its retry, or is
    /// dead if there is none or this was its last attempt. A released job is pending again and its attempt never was. Either is
    /// cancelled if that was asked for. An error is recorded without its NULs, which become U+FFFD, and up to 4096 bytes; of
    /// one job's errors the last twenty are kept.
    ///
    /// *Claims* come in the order of priority, `run_at` and id, never more than the limit, never one that somebody else holds or
    /// is claiming, none that has expired, none of a paused queue, and of the jobs that share an ordering key only the first,
    /// and that only while none of them runs. What this call's reports make due may be left to the next call.
    ///
    /// Of a queue or a key with a [`Limit`] no more run at once or begin within its time than it allows, whoever claims: jobs of
    /// one that is full are passed over. A claim that meets another one at the same limit may leave its jobs to a later call.
    fn turn(
        &self,
        conn: &mut Self::Connection,
        reports: &[Report],
        request: Option<&ClaimRequest<'_>>,
    ) -> impl Future<Output = Result<Turned>> + Send;

    /// Says how long it is until the next job of these kinds is due that is not due yet.
    fn next_due(
        &self,
        conn: &mut Self::Connection,
        queue: &Queue,
        kinds: &[Kind],
    ) -> impl Future<Output = Result<Option<Duration>>> + Send;

    /// Lets the worker's lease end `lease` from now, whether or not it was known.
    fn beat(&self, conn: &mut Self::Connection, beat: Heartbeat<'_>) -> impl Future<Output = Result<()>> + Send;

    /// Forgets a worker that holds nothing any more.
    fn retire(&self, conn: &mut Self::Connection, worker: WorkerId) -> impl Future<Output = Result<()>> + Send;

    /// Returns the claims that are no longer valid, and those whose job somebody wants cancelled.
    fn watch(&self, conn: &mut Self::Connection, claims: &[Claim]) -> impl Future<Output = Result<Vec<Signal>>> + Send;

    /// Gives back the running jobs that this worker claimed under these tokens and does not know of: the answers were lost.
    fn abandon(
        &self,
        conn: &mut Self::Connection,
        worker: WorkerId,
        tokens: &[Token],
    ) -> impl Future<Output = Result<()>> + Send;

    /// Takes up to `limit` running jobs from workers whose lease has ended, counting a crash for each: failed and due at once,
    /// or dead after their last attempt, or cancelled if that was asked for.
    ///
    /// Jobs of workers that nobody knows are taken too if `orphans` says so, which may read the whole queue.
    fn rescue(
        &self,
        conn: &mut Self::Connection,
        limit: u32,
        orphans: Orphans,
    ) -> impl Future<Output = Result<Rescued>> + Send;

    /// Gives up to `limit` waiting jobs up that have expired, and says how many.
    fn expire(&self, conn: &mut Self::Connection, limit: u32) -> impl Future<Output = Result<u32>> + Send;

    /// Notes how far a claimed job is, and says whether the claim was still valid.
    fn progress(
        &self,
        conn: &mut Self::Connection,
        claim: Claim,
        progress: &str,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Cancels a waiting job, or asks the worker of a running one to.
    fn cancel(&self, conn: &mut Self::Connection, id: JobId) -> impl Future<Output = Result<Cancelled>> + Send;

    /// Brings back up to `limit` dead and cancelled jobs, with all their attempts before them, and lets up to `limit` failed ones
    /// run at once; says how many.
    fn retry(
        &self,
        conn: &mut Self::Connection,
        filter: &Filter,
        limit: u32,
    ) -> impl Future<Output = Result<u64>> + Send;

    /// Removes a job that is not running, finished or not, and says whether there was one.
    fn delete(&self, conn: &mut Self::Connection, id: JobId) -> impl Future<Output = Result<bool>> + Send;

    /// Lets nobody claim from the queue, until it is resumed.
    fn pause(&self, conn: &mut Self::Connection, queue: &Queue) -> impl Future<Output = Result<()>> + Send;

    /// Ends a pause.
    fn resume(&self, conn: &mut Self::Connection, queue: &Queue) -> impl Future<Output = Result<()>> + Send;

    /// Sets what a queue or a key allows, instead of what it allowed before. What runs or began under it goes on counting.
    fn set_limit(
        &self,
        conn: &mut Self::Connection,
        key: &LimitKey,
        limit: &Limit,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Removes a limit, and says whether there was one.
    fn remove_limit(&self, conn: &mut Self::Connection, key: &LimitKey) -> impl Future<Output = Result<bool>> + Send;

    /// Lists all limits by their keys' bytes.
    fn limits(&self, conn: &mut Self::Connection) -> impl Future<Output = Result<Vec<(LimitKey, Limit)>>> + Send;

    /// Reads one job, finished or not.
    fn find(&self, conn: &mut Self::Connection, id: JobId) -> impl Future<Output = Result<Option<JobRecord>>> + Send;

    /// Reads up to `limit` jobs before `before`, the latest first.
    fn list(
        &self,
        conn: &mut Self::Connection,
        filter: &Filter,
        before: Option<JobId>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<JobRecord>>> + Send;

    /// Enters cron entries of different names, settled up to now, or lets those that are known say something else.
    fn post(&self, conn: &mut Self::Connection, entries: &[CronEntry<'_>]) -> impl Future<Output = Result<()>> + Send;

    /// Reads all cron entries.
    fn timetable(&self, conn: &mut Self::Connection) -> impl Future<Output = Result<Timetable>> + Send;

    /// Moves cron entries of different names on, or back, and says which: those that say what the caller believes, and are
    /// settled as far as it believes. Of two callers that move one on from the same moment one succeeds.
    fn settle(
        &self,
        conn: &mut Self::Connection,
        settlements: &[Settlement<'_>],
    ) -> impl Future<Output = Result<Vec<bool>>> + Send;

    /// Removes a cron entry, and says whether there was one.
    fn withdraw(&self, conn: &mut Self::Connection, name: &Name) -> impl Future<Output = Result<bool>> + Send;

    /// Takes the lead of a loop for `lease` under a fresh token, if nobody has it or its lease has ended, and no transaction
    /// relies on [`leads`](Self::leads).
    fn take(
        &self,
        conn: &mut Self::Connection,
        name: &Name,
        token: Token,
        lease: Duration,
    ) -> impl Future<Output = Result<Option<Lead>>> + Send;

    /// Keeps the lead for `lease` from now, if nobody else has taken it.
    fn renew(
        &self,
        conn: &mut Self::Connection,
        name: &Name,
        token: Token,
        lease: Duration,
    ) -> impl Future<Output = Result<Option<Lead>>> + Send;

    /// Says whether nobody else has taken the lead. In a transaction that may write it stays so until that ends.
    fn leads(
        &self,
        conn: &mut Self::Connection,
        name: &Name,
        token: Token,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Notes that a batch which began at this moment is finished, if nobody else has taken the lead, and says so.
    fn ran(
        &self,
        conn: &mut Self::Connection,
        name: &Name,
        token: Token,
        began_at: DateTime<Utc>,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Gives the lead up, so that anybody may take it at once.
    fn resign(&self, conn: &mut Self::Connection, name: &Name, token: Token)
    -> impl Future<Output = Result<()>> + Send;

    /// Gives a waiting job up: dead, reason `fatal`, with this as its error. Says whether there was one.
    fn discard(&self, conn: &mut Self::Connection, id: JobId, why: &str) -> impl Future<Output = Result<bool>> + Send;

    /// Cancels up to `limit` waiting jobs or asks the workers of running ones to, lower ids first, and says how many.
    fn cancel_many(
        &self,
        conn: &mut Self::Connection,
        filter: &Filter,
        limit: u32,
    ) -> impl Future<Output = Result<u64>> + Send;

    /// Removes up to `limit` waiting and up to `limit` finished jobs, lower ids first, and says how many.
    fn delete_many(
        &self,
        conn: &mut Self::Connection,
        filter: &Filter,
        limit: u32,
    ) -> impl Future<Output = Result<u64>> + Send;

    /// Removes up to `limit` jobs in this final state that were finished at least `older_than` ago, the oldest first.
    fn prune(
        &self,
        conn: &mut Self::Connection,
        state: State,
        older_than: Duration,
        limit: u32,
    ) -> impl Future<Output = Result<u64>> + Send;

    /// Says how the queues are doing, and walks over no more than about `bound` jobs of each kind for it.
    fn stats(&self, conn: &mut Self::Connection, bound: u32) -> impl Future<Output = Result<Stats>> + Send;

    /// Lists up to a thousand workers, those that came last first.
    fn workers(&self, conn: &mut Self::Connection) -> impl Future<Output = Result<Vec<WorkerRecord>>> + Send;

    /// Measures what may be wrong with the database itself.
    fn doctor(&self, conn: &mut Self::Connection) -> impl Future<Output = Result<Vec<Finding>>> + Send;
}

/// One job to store.
#[derive(Clone, Debug)]
pub struct NewJob<'a> {
    /// Where it waits.
    pub queue: &'a Queue,
    /// What it is.
    pub kind: &'a Kind,
    /// Its arguments: JSON.
    pub payload: Cow<'a, str>,
    /// 0 is the most urgent, 9 the least.
    pub priority: u8,
    /// How often it may be tried, at least 1.
    pub max_attempts: u16,
    /// When it may run.
    pub due: Due,
    /// From when on it is pointless.
    pub expires: Option<Due>,
    /// How long an attempt may take.
    pub timeout: Option<Duration>,
    /// What no other job may have at the same time.
    pub unique: Option<Unique<'a>>,
    /// What it shares with jobs that may not run beside it.
    pub order_key: Option<&'a str>,
    /// What it shares with jobs that are limited together: as [`LimitKey::new`] takes it.
    pub limit_key: Option<&'a str>,
    /// What whoever enqueued it was doing, for its handler's span: at most 1024 bytes without control characters.
    pub trace: Option<&'a str>,
}

/// A key that one job has at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unique<'a> {
    /// The key.
    pub key: &'a str,
    /// How long the key stays taken, finished or not; `None`: until the job is finished.
    pub period: Option<Duration>,
}

/// What became of a job that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enqueued {
    /// The job, or the one that has its unique key.
    pub id: JobId,
    /// Whether it was stored.
    pub is_new: bool,
}

/// When a job may run, by the database's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// So long after it was enqueued.
    After(Duration),
    /// From a moment on.
    At(DateTime<Utc>),
}

impl Due {
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn at(self) -> Option<DateTime<Utc>> {
        match self {
            Self::At(at) => Some(at),
            Self::After(_) => None,
        }
    }

    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn after(self) -> Option<Duration> {
        match self {
            Self::After(delay) => Some(delay),
            Self::At(_) => None,
        }
    }
}

impl Default for Due {
    fn default() -> Self {
        Self::After(Duration::ZERO)
    }
}

/// Which jobs to claim.
#[derive(Clone, Debug)]
pub struct ClaimRequest<'a> {
    /// From this queue.
    pub queue: &'a Queue,
    /// Of these kinds: all others are left alone.
    pub kinds: &'a [Kind],
    /// At most so many.
    pub limit: u32,
    /// A fresh token.
    pub token: Token,
    /// Who claims, and beats.
    pub worker: WorkerId,
    /// Passes over jobs that were due before this moment, which spares walking over what is left of finished ones. Who uses it
    /// looks without it now and then.
    pub since: Option<Since>,
    /// What the commit of this claim, and of all that its transaction did before, must survive.
    pub durability: Durability,
}

/// What a commit must survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A crash of the database.
    Durable,
    /// Not even that: a claim that is lost is made again, and nobody misses it but who made it. A backend may wait for the disk
    /// nevertheless.
    Volatile,
}

/// For each priority the moment before which nothing is looked for.
pub type Since = [DateTime<Utc>; 10];

/// That a worker is there.
#[derive(Clone, Copy, Debug)]
pub struct Heartbeat<'a> {
    /// Which one.
    pub worker: WorkerId,
    /// The queue it serves.
    pub queue: &'a Queue,
    /// The process that it is part of, for people.
    pub process: &'a str,
    /// How long from now its jobs are its own. Zero: they are not.
    pub lease: Duration,
}

/// What a worker goes by: drawn when it starts, so that nobody comes back under the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WorkerId(i64);

impl WorkerId {
    /// Draws an id.
    pub fn random() -> Self {
        Self(random().cast_signed())
    }

    /// Returns the number.
    pub fn as_i64(self) -> i64 {
        self.0
    }
}

impl From<i64> for WorkerId {
    fn from(worker: i64) -> Self {
        Self(worker)
    }
}

/// What a [`Store::turn`] came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turned {
    /// What became of the reports, in their order.
    pub reported: Vec<Reported>,
    /// The jobs that were claimed, in their order.
    pub claimed: Vec<Claimed>,
    /// How long until a claim may get what this one left because of a rate, or because another one was at the same limit.
    pub opens_in: Option<Duration>,
}

/// What a worker should know about a claim it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// It is no longer valid.
    Lost(Claim),
    /// Somebody wants its job cancelled.
    Cancel(Claim),
}

/// Whether jobs are looked for that belong to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orphans {
    /// Only jobs of workers that are known to be lost.
    Skip,
    /// Also jobs of workers that are not known.
    Include,
}

/// What came of a cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// The job was waiting, and will not run.
    Now,
    /// The job is running: its worker will hear of it.
    Requested,
    /// There is no such job, or it is finished.
    NotFound,
}

/// What a runner shows to act on a job it claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Which job.
    pub id: JobId,
    /// The token it was claimed under.
    pub token: Token,
}

/// A number that no two claims of a job share.
///
/// Random, not counted: a counter that a database crash sets back would repeat itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(i64);

impl Token {
    /// Draws a token.
    pub fn random() -> Self {
        Self(random().cast_signed())
    }

    /// Returns the number.
    pub fn as_i64(self) -> i64 {
        self.0
    }
}

impl From<i64> for Token {
    fn from(token: i64) -> Self {
        Self(token)
    }
}

/// A job that a runner holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// What to show when reporting on it.
    pub claim: Claim,
    /// What it is.
    pub kind: Kind,
    /// Its arguments: JSON.
    pub payload: String,
    /// Which attempt this is, from 1.
    pub attempt: u16,
    /// Which attempt is the last.
    pub max_attempts: u16,
    /// How long this attempt may take.
    pub timeout: Option<Duration>,
    /// Since when it was due.
    pub run_at: DateTime<Utc>,
    /// 0 is the most urgent, 9 the least.
    pub priority: u8,
    /// Whether other jobs may wait for its end: it has an ordering key, or one for limits, or its queue is limited.
    pub is_awaited: bool,
    /// What whoever enqueued it was doing.
    pub trace: Option<String>,
    /// When this claim was made.
    pub claimed_at: DateTime<Utc>,
}

/// How a claim ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which claim.
    pub claim: Claim,
    /// How it ended.
    pub outcome: Outcome,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The work is done.
    Succeeded,
    /// It is not.
    Failed {
        /// What to record.
        error: String,
        /// When to try again; `None`: never.
        retry: Option<Duration>,
        /// Why the job is dead if it is never tried again.
        reason: DeadReason,
    },
    /// It was not tried, or not to its end through no fault of its own: the attempt does not count.
    Released {
        /// When to try again.
        delay: Duration,
    },
}

/// What became of a [`Report`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reported {
    /// The job is in this state now.
    Now(State),
    /// The claim was no longer valid: somebody else took the job, or it is finished. Nothing changed.
    Fenced,
}

/// What [`Store::rescue`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rescued {
    /// Jobs that are tried again.
    pub failed: u32,
    /// Jobs that are dead.
    pub dead: u32,
    /// Jobs that were to be cancelled.
    pub cancelled: u32,
}

impl Rescued {
    pub(crate) fn count(&mut self, state: State) {
        match state {
            State::Dead => self.dead += 1,
            State::Cancelled => self.cancelled += 1,
            _ => self.failed += 1,
        }
    }
}

/// How many of a job's errors are kept.
pub(crate) const MAX_ERRORS: usize = 20;

/// What is recorded of a crash, which cannot speak for itself.
pub(crate) const CRASH: &str = "the worker was lost before it reported";

/// Draws a number that differs between threads, processes and machines.
///
/// The standard library keys every `RandomState` from the system's entropy, which spares a dependency.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(())
}

/// Marks what a database holds and this crate does not know: no caller's mistake, whatever the parser thought.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) fn corrupt<T>(what: &'static str, parsed: Result<T>) -> Result<T> {
    parsed.map_err(|_| Error::Corrupt { what })
}

/// Turns a duration into microseconds that both databases can add to a time.
pub(crate) fn micros(duration: Duration) -> i64 {
    // A hundred years are far from the end of an i64.
    i64::try_from(duration.min(MAX_DURATION).as_micros()).unwrap_or(i64::MAX)
}

/// Turns stored microseconds into a duration; a time that has passed is none.
pub(crate) fn duration(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}

/// Compares claims with what is in the database: id, token, whether the job's cancellation was asked for.
pub(crate) fn signals(claims: &[Claim], rows: impl IntoIterator<Item = (i64, i64, bool)>) -> Vec<Signal> {
    let rows: HashMap<i64, (i64, bool)> = rows.into_iter().map(|(id, token, asked)| (id, (token, asked))).collect();
    let signal = |claim: &Claim| match rows.get(&claim.id.as_i64()) {
        Some((token, asked)) if *token == claim.token.as_i64() => asked.then_some(Signal::Cancel(*claim)),
        _ => Some(Signal::Lost(*claim)),
    };
    claims.iter().filter_map(signal).collect()
}
