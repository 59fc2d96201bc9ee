//! What runs a job.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::{Claim, Job, JobId};

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
    pub(crate) attempt: u16,
    pub(crate) max_attempts: u16,
    pub(crate) state: Arc<T>,
    pub(crate) cancelled: watch::Receiver<bool>,
}

impl<T> Context<T> {
    /// Returns the id of the job.
    pub fn id(&self) -> JobId {
        self.claim.id
    }

    /// Returns what to show to the store to act on the job.
    ///
    /// A handler that [reports](crate::Store::report) its own success in the transaction of its effects has them exactly once:
    /// if the claim was lost meanwhile, the report says so and the transaction can be dropped.
    pub fn claim(&self) -> Claim {
        self.claim
    }

    /// Returns which attempt this is, from 1.
    pub fn attempt(&self) -> u16 {
        self.attempt
    }

    /// Says whether a failure of this attempt is final.
    pub fn is_last_attempt(&self) -> bool {
        self.attempt >= self.max_attempts
    }

    /// Returns what the host gave to the runner.
    pub fn state(&self) -> &T {
        &self.state
    }

    /// Waits until going on is pointless: the runner is stopping, or the claim was lost to another one.
    ///
    /// Work that does not listen has the grace period to finish; work that does gives itself back with [`Failure::release`].
    pub async fn cancelled(&self) {
        // The sender lives as long as the attempt: an error means that the attempt is over.
        let _ = self.cancelled.clone().wait_for(|cancelled| *cancelled).await;
    }

    /// Says whether [`cancelled`](Self::cancelled) would return at once.
    pub fn is_cancelled(&self) -> bool {
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
    /// Try again, and forget this attempt.
    Release,
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

    /// Gives the job back at no cost: it is due at once and this attempt does not count.
    pub fn release() -> Self {
        Self { error: "released".into(), verdict: Verdict::Release }
    }

    pub(crate) fn undecodable(error: serde_json::Error) -> Self {
        Self { error: error.into(), verdict: Verdict::Undecodable }
    }

    /// Returns the error and its causes in one line that every backend can store.
    pub(crate) fn text(&self) -> String {
        let mut text = self.error.to_string();
        let mut cause = self.error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        storable(text)
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
pub(crate) fn storable(text: impl Into<Cow<'static, str>>) -> String {
    const MAX_BYTES: usize = 4096;
    let mut text = text.into().replace('\0', "\u{fffd}");
    text.truncate(text.floor_char_boundary(MAX_BYTES));
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
    }
}
