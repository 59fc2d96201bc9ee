//! What runs a job.

use std::error::Error as StdError;
use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::{Claim, Job, JobId};

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

    /// Gives the job back at no cost: this attempt does not count. The job is due again after the runner's poll interval, or at
    /// once, for other runners, if this one is stopping.
    pub fn release() -> Self {
        Self { error: "released".into(), verdict: Verdict::Release }
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
