//! The contract between this crate and a database.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use chrono::{DateTime, Utc};

#[cfg(any(feature = "postgres", feature = "sqlite"))]
use crate::Error;
use crate::{DeadReason, Filter, JobId, JobRecord, Kind, Queue, Result, State};

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

    /// Stores a pending job.
    fn enqueue(&self, conn: &mut Self::Connection, job: &NewJob<'_>) -> impl Future<Output = Result<JobId>> + Send;

    /// Makes due jobs of the wanted kinds running, each under the request's token, and begins an attempt of each.
    ///
    /// In the order of priority, `run_at` and id, never more than the limit, never one that somebody else holds or is claiming.
    fn claim(
        &self,
        conn: &mut Self::Connection,
        request: &ClaimRequest<'_>,
    ) -> impl Future<Output = Result<Vec<Claimed>>> + Send;

    /// Lets the leases end `lease` from now and returns the claims that were lost.
    fn renew(
        &self,
        conn: &mut Self::Connection,
        claims: &[Claim],
        lease: Duration,
    ) -> impl Future<Output = Result<Vec<Claim>>> + Send;

    /// Ends claims and says what became of each, in the same order. A claim may be reported once in a call.
    ///
    /// A failed job waits for its retry, or is dead if there is none or this was its last attempt. A released job is pending
    /// again and its attempt never was. An error is recorded without its NULs, which become U+FFFD, and up to 4096 bytes.
    fn report(
        &self,
        conn: &mut Self::Connection,
        reports: &[Report],
    ) -> impl Future<Output = Result<Vec<Reported>>> + Send;

    /// Takes up to `limit` jobs from claims whose lease has ended, counting a crash for each: failed and due at once, or dead
    /// after their last attempt.
    fn rescue(&self, conn: &mut Self::Connection, limit: u32) -> impl Future<Output = Result<Rescued>> + Send;

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
}

/// One job to store.
#[derive(Clone, Debug)]
pub struct NewJob<'a> {
    /// Where it waits.
    pub queue: &'a Queue,
    /// What it is.
    pub kind: &'a Kind,
    /// Its arguments: JSON.
    pub payload: &'a str,
    /// 0 is the most urgent, 9 the least.
    pub priority: u8,
    /// How often it may be tried, at least 1.
    pub max_attempts: u16,
    /// When it may run.
    pub due: Due,
}

/// When a job may run, by the database's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// So long after it was enqueued.
    After(Duration),
    /// From a moment on.
    At(DateTime<Utc>),
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
    /// How long nobody else may take them, unless renewed. Zero: ended already.
    pub lease: Duration,
    /// A fresh token.
    pub token: Token,
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
}

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
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) fn micros(duration: Duration) -> i64 {
    // A hundred years are far from the end of an i64.
    i64::try_from(duration.min(MAX_DURATION).as_micros()).unwrap_or(i64::MAX)
}
