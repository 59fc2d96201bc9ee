//! What runs a job.

use std::error::Error as StdError;
use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::{Claim, Job, JobId, Jobs, Outcome, Report, Reported, Store, WorkerId};

/// No recorded error is longer, in bytes.
const MAX_TEXT: usize = 4096;
/// No more causes of an error are recorded: a chain may be endless.
const MAX_CAUSES: usize = 64;

/// Runs jobs of its own type, with what the host gives to every handler: pools, clients, settings.
///
/// A job runs at least once: after a crash or a lost connection it runs again, so a handler is idempotent. It runs outside any
/// transaction of this crate's, and no connection is held for it.
pub trait Handler<T>: Job {
    /// Does the work. An error, a panic or an undecodable payload costs an attempt; `?` on any error means "try again later".
    fn run(self, cx: &Context<T>) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// What a handler knows about its attempt.
#[derive(Debug)]
pub struct Context<T> {
    pub(crate) claim: Claim,
    pub(crate) worker: WorkerId,
    pub(crate) attempt: u16,
    pub(crate) max_attempts: u16,
    pub(crate) trace: Option<String>,
    pub(crate) state: Arc<T>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancelled: watch::Receiver<Option<Cancellation>>,
    pub(crate) progress: watch::Sender<Option<String>>,
    /// Whether the job was completed in a transaction of the handler's.
    pub(crate) is_completed: Arc<AtomicBool>,
}

/// Why an attempt should end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cancellation {
    /// The runner is stopping: what is not finished within its grace period is given back.
    Stopping,
    /// Somebody cancelled the job: an attempt that does not succeed within the runner's grace period is its last.
    Requested,
    /// The claim is no longer valid: whatever the attempt comes to counts for nothing.
    Lost,
}

impl<T> Context<T> {
    /// Returns the id of the job.
    pub fn id(&self) -> JobId {
        self.claim.id
    }

    /// Returns who runs it, as `jobs_queue_worker` knows it.
    pub fn worker(&self) -> WorkerId {
        self.worker
    }

    /// Returns which attempt this is, from 1.
    pub fn attempt(&self) -> u16 {
        self.attempt
    }

    /// Says whether a failure of this attempt is final.
    pub fn is_last_attempt(&self) -> bool {
        self.attempt >= self.max_attempts
    }

    /// Returns what whoever enqueued the job was doing, as [`Jobs::trace`](crate::Jobs::trace) noted it.
    pub fn trace(&self) -> Option<&str> {
        self.trace.as_deref()
    }

    /// Returns what the host gave to the runner.
    pub fn state(&self) -> &T {
        &self.state
    }

    /// Returns when the attempt is cut off, if it has a timeout.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Notes how far the work is, for [`JobRecord::progress`](crate::JobRecord::progress): at most 4096 bytes, written soon. A
    /// later note replaces one that is not written yet.
    pub fn progress(&self, progress: impl Into<String>) {
        self.progress.send_replace(Some(progress.into()));
    }

    /// Completes the job in the handler's own transaction: what that writes takes effect exactly once.
    ///
    /// Return `Ok(())` after the commit. If the transaction does not commit, return an error: the attempt has failed.
    ///
    /// # Errors
    /// A failure if the claim was lost: leave the transaction uncommitted, for somebody else runs the job.
    pub async fn complete_in<S: Store>(&self, jobs: &Jobs<S>, tx: &mut S::Connection) -> Result<(), Failure> {
        let report = Report { claim: self.claim, outcome: Outcome::Succeeded };
        match jobs.store.turn(tx, &[report], None).await?.reported[..] {
            [Reported::Now(_)] => {
                self.is_completed.store(true, Ordering::Release);
                Ok(())
            }
            _ => Err(Failure::retry("the claim was lost")),
        }
    }

    /// Waits until going on is pointless: the runner is stopping, somebody cancelled the job, or the claim was lost.
    ///
    /// Work that does not listen has the grace period to finish; work that does gives itself back with [`Failure::release`].
    pub async fn cancelled(&self) {
        // The sender lives as long as the attempt: an error means that the attempt is over.
        let _ = self.cancelled.clone().wait_for(Option::is_some).await;
    }

    /// Says whether [`cancelled`](Self::cancelled) would return at once.
    pub fn is_cancelled(&self) -> bool {
        self.cancellation().is_some()
    }

    /// Says why the attempt should end, if it should.
    pub fn cancellation(&self) -> Option<Cancellation> {
        *self.cancelled.borrow()
    }
}

/// Why a handler did not finish, and what shall become of its job.
///
/// Every error converts into a failure that is retried after the runner's backoff.
#[derive(Debug)]
pub struct Failure {
    pub(crate) error: Box<dyn StdError + Send + Sync>,
    pub(crate) verdict: Verdict,
}

/// What shall become of a job that was not finished.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict {
    /// Try again after the backoff.
    Retry,
    /// Try again after a given time.
    RetryAfter(Duration),
    /// Never try again.
    Fatal,
    /// Try again, and forget this attempt; after a given time, or after the runner's poll interval.
    Release(Option<Duration>),
    /// Try again after the backoff; perhaps a later release of the host can read it.
    Undecodable,
}

impl Failure {
    /// Tries again after the runner's backoff, unless this was the last attempt.
    pub fn retry(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { error: error.into(), verdict: Verdict::Retry }
    }

    /// Tries again after `delay`, unless this was the last attempt.
    pub fn retry_after(delay: Duration, error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { error: error.into(), verdict: Verdict::RetryAfter(delay) }
    }

    /// Never tries again: the job is dead, reason `fatal`.
    pub fn fatal(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { error: error.into(), verdict: Verdict::Fatal }
    }

    /// Gives the job back at no cost: this attempt does not count. The job is due again after the runner's poll interval, or at
    /// once, for other runners, if this one is stopping.
    pub fn release() -> Self {
        Self { error: "released".into(), verdict: Verdict::Release(None) }
    }

    /// Gives the job back at no cost, due again after `delay`: what it waits for is not there yet.
    pub fn snooze(delay: Duration) -> Self {
        Self { error: "snoozed".into(), verdict: Verdict::Release(Some(delay)) }
    }

    pub(crate) fn undecodable(error: serde_json::Error) -> Self {
        Self { error: error.into(), verdict: Verdict::Undecodable }
    }

    /// Keeps of the error what can be recorded.
    pub(crate) fn into_failed(self) -> Failed {
        Failed { verdict: self.verdict, error: self.text() }
    }

    /// Returns the error and its causes in one text that every backend can store.
    fn text(&self) -> String {
        let mut text = Bounded(String::new());
        let mut separator = "";
        let mut next: Option<&dyn StdError> = Some(&*self.error);
        for _ in 0..MAX_CAUSES {
            let Some(cause) = next else { break };
            // The text is full, or a Display gave up: what there is will do.
            if write!(text, "{separator}{cause}").is_err() {
                break;
            }
            separator = ": ";
            next = cause.source();
        }
        storable(&text.0)
    }
}

/// What is left of a failure when its handler has ended: plain data, for the worker.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) verdict: Verdict,
    pub(crate) error: String,
}

/// Takes text until it is full, and refuses the rest: an error may have more to say than there is memory.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let fitting = text.floor_char_boundary(MAX_TEXT - self.0.len());
        self.0.push_str(&text[..fitting]);
        if fitting < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::retry(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(formatter)
    }
}

/// Bounds an error's text, and takes out the one character that PostgreSQL cannot store.
pub(crate) fn storable(text: &str) -> String {
    let mut text = text[..text.floor_char_boundary(MAX_TEXT)].replace('\0', "\u{fffd}");
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_recorded_with_its_causes_and_within_bounds() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot send")]
        struct Outer(#[source] std::num::ParseIntError);
        let failure = Failure::from(Outer("x".parse::<i32>().unwrap_err()));
        assert_eq!(failure.text(), "cannot send: invalid digit found in string");
        assert_eq!(Failure::fatal("a\0b").text(), "a\u{fffd}b");
        assert_eq!(Failure::fatal("é".repeat(4000)).text().len(), 4096);
        assert_eq!(Failure::fatal(format!("a{}", "é".repeat(4000))).text().len(), 4095);
        assert_eq!(Failure::fatal("\0".repeat(4000)).text().len(), 4095);
        assert_eq!(storable(&"é".repeat(4000)).len(), 4096);
    }

    #[test]
    fn an_endless_error_is_cut_off() {
        #[derive(Debug)]
        struct Endless;
        impl fmt::Display for Endless {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    formatter.write_str("on and on ")?;
                }
            }
        }
        impl StdError for Endless {}
        #[derive(Debug)]
        struct Round;
        impl fmt::Display for Round {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("o")
            }
        }
        impl StdError for Round {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                Some(&Round)
            }
        }
        assert_eq!(Failure::from(Endless).text().len(), 4096);
        assert_eq!(Failure::from(Round).text().matches('o').count(), MAX_CAUSES);
    }
}
