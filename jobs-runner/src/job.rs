//! What a job is before it is stored.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, Datelike, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::{Due, MAX_DURATION};
use crate::{Backoff, Error, Kind, NewJob, Queue, Result, Unique};

/// A payload is at most this many bytes of JSON: what is larger belongs in a table, with its key in the job.
const MAX_PAYLOAD: usize = 1 << 20;
/// No key is longer, in bytes.
const MAX_KEY: usize = 256;

/// Work to do later: a type whose fields are the arguments.
///
/// A name outside the grammar does not compile:
///
/// ```compile_fail
/// use stoa_jobs_runner::{Job, Jobs, Memory, Source, memory};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Welcome;
/// impl Job for Welcome {
///     const KIND: &'static str = "Mail Welcome";
/// }
/// # async fn enqueue(database: memory::Database) {
/// let mut conn = database.acquire().await.unwrap();
/// Jobs::new(Memory).enqueue(&mut conn, &Welcome).await.unwrap();
/// # }
/// # async fn call() { enqueue(memory::Database::default()).await }
/// # fn main() { let _ = call(); }
/// ```
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The stable name of this kind of work, `[a-z][a-z0-9_.-]{0,63}`. Stored jobs carry it: renaming the type is free,
    /// changing this is not.
    const KIND: &'static str;
    /// The queue it waits in, `[a-z][a-z0-9_.-]{0,63}`.
    const QUEUE: &'static str = "default";
    /// How often it is tried before it is dead; at least 1.
    const MAX_ATTEMPTS: u16 = 20;
    /// How long an attempt may take before it is cut off, which costs it. Default: as long as it likes.
    const TIMEOUT: Option<Duration> = None;
    /// How long a failed attempt waits. Default: what the [`Runner`](crate::Runner) was told.
    const BACKOFF: Option<Backoff> = None;
}

/// How one job departs from its kind's defaults.
#[derive(Clone, Debug, Default)]
pub struct EnqueueOptions {
    due: Due,
    priority: Option<u8>,
    max_attempts: Option<u16>,
    expires: Option<Due>,
    timeout: Option<Duration>,
    unique: Option<(String, Option<Duration>)>,
    order_key: Option<String>,
}

impl EnqueueOptions {
    /// Runs not before `at`, by the database's clock. Default: at once.
    #[must_use]
    pub fn run_at(self, at: DateTime<Utc>) -> Self {
        Self { due: Due::At(at), ..self }
    }

    /// Runs not before `delay` after the enqueue, by the database's clock. Default: at once.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        Self { due: Due::After(delay), ..self }
    }

    /// Runs before due jobs of a greater number: 0 is the most urgent, 9 the least. Default: 5.
    #[must_use]
    pub fn priority(self, priority: u8) -> Self {
        Self { priority: Some(priority), ..self }
    }

    /// Is tried at most this often, at least 1. Default: [`Job::MAX_ATTEMPTS`].
    #[must_use]
    pub fn max_attempts(self, max_attempts: u16) -> Self {
        Self { max_attempts: Some(max_attempts), ..self }
    }

    /// Is cut off when an attempt takes longer, which costs it. Default: [`Job::TIMEOUT`].
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    /// Is given up, reason `expired`, if it has not begun by then. Default: never.
    #[must_use]
    pub fn expires_at(self, at: DateTime<Utc>) -> Self {
        Self { expires: Some(Due::At(at)), ..self }
    }

    /// Is given up, reason `expired`, if it has not begun so long after the enqueue. Default: never.
    #[must_use]
    pub fn expires_after(self, delay: Duration) -> Self {
        Self { expires: Some(Due::After(delay)), ..self }
    }

    /// Is not stored while a job of its kind with this key waits or runs. The key is 1 to 256 bytes: the fields that matter.
    #[must_use]
    pub fn unique(self, key: impl Into<String>) -> Self {
        Self { unique: Some((key.into(), None)), ..self }
    }

    /// Is not stored if a job of its kind with this key was stored less than `period` ago, whatever became of it.
    #[must_use]
    pub fn unique_for(self, period: Duration, key: impl Into<String>) -> Self {
        Self { unique: Some((key.into(), Some(period))), ..self }
    }

    /// Runs after every job of its queue that was enqueued before it with this key, and never beside one: also not while an
    /// earlier one waits for its retry. The key is 1 to 256 bytes.
    #[must_use]
    pub fn ordered(self, key: impl Into<String>) -> Self {
        Self { order_key: Some(key.into()), ..self }
    }

    /// The job as the store takes it.
    pub(crate) fn new_job<'a, J: Job>(&self, job: &J, keys: &'a Keys) -> Result<NewJob<'a>> {
        Ok(NewJob { payload: Cow::Owned(payload(job)?), ..self.template::<J>(keys)? })
    }

    /// All of a job but what it says.
    pub(crate) fn template<'a, J: Job>(&self, keys: &'a Keys) -> Result<NewJob<'a>> {
        let period = self.unique.as_ref().and_then(|(_, period)| *period);
        Ok(NewJob {
            queue: &keys.queue,
            kind: &keys.kind,
            payload: Cow::Borrowed(""),
            priority: self.checked_priority()?,
            max_attempts: self.checked_max_attempts::<J>()?,
            due: checked_due(self.due, "delay", "run_at")?,
            expires: self.expires.map(|due| checked_due(due, "expires_after", "expires_at")).transpose()?,
            timeout: self.timeout.or(J::TIMEOUT).map(checked_timeout).transpose()?,
            unique: keys.unique.as_deref().map(|key| Unique { key, period }),
            order_key: keys.order.as_deref(),
        })
    }

    fn checked_priority(&self) -> Result<u8> {
        match self.priority.unwrap_or(5) {
            priority @ 0..=9 => Ok(priority),
            _ => Err(Error::Invalid { what: "priority", problem: "must be 0 to 9" }),
        }
    }

    fn checked_max_attempts<J: Job>(&self) -> Result<u16> {
        const { assert!(J::MAX_ATTEMPTS > 0, "MAX_ATTEMPTS must be at least 1") };
        match self.max_attempts.unwrap_or(J::MAX_ATTEMPTS) {
            0 => Err(Error::Invalid { what: "max_attempts", problem: "must be at least 1" }),
            max_attempts => Ok(max_attempts),
        }
    }
}

/// The names and keys of one job as they are stored; the keys within its kind, or its queue.
pub(crate) struct Keys {
    queue: Queue,
    kind: Kind,
    unique: Option<String>,
    order: Option<String>,
}

impl Keys {
    pub(crate) fn new(queue: Queue, kind: Kind, options: &EnqueueOptions) -> Result<Self> {
        Ok(Self {
            unique: options.unique.as_ref().map(|(key, _)| scoped(kind.as_str(), "unique_key", key)).transpose()?,
            order: options.order_key.as_ref().map(|key| scoped(queue.as_str(), "order_key", key)).transpose()?,
            queue,
            kind,
        })
    }
}

fn scoped(scope: &str, what: &'static str, key: &str) -> Result<String> {
    if key.is_empty() || key.len() > MAX_KEY || key.chars().any(char::is_control) {
        return Err(Error::Invalid { what, problem: "must be 1 to 256 bytes without control characters" });
    }
    Ok(format!("{scope}:{key}"))
}

fn checked_due(due: Due, delay: &'static str, at: &'static str) -> Result<Due> {
    match due {
        Due::After(duration) if duration > MAX_DURATION => {
            Err(Error::Invalid { what: delay, problem: "must be at most 100 years" })
        }
        // The bounds of what both databases can hold, and of what makes sense.
        Due::At(moment) if !(1970..=9999).contains(&moment.year()) => {
            Err(Error::Invalid { what: at, problem: "must lie in the years 1970 to 9999" })
        }
        due => Ok(due),
    }
}

fn checked_timeout(timeout: Duration) -> Result<Duration> {
    if timeout.as_millis() == 0 || timeout > MAX_DURATION {
        return Err(Error::Invalid { what: "timeout", problem: "must be 1 millisecond to 100 years" });
    }
    Ok(timeout)
}

/// Serialises a job and refuses what a backend might.
fn payload<J: Job>(job: &J) -> Result<String> {
    let payload = serde_json::to_string(job).map_err(|error| Error::Unserialisable(error.into()))?;
    if payload.len() > MAX_PAYLOAD {
        return Err(Error::Invalid { what: "payload", problem: "must be at most 1 MiB of JSON" });
    }
    if has_nul(&payload) {
        return Err(Error::Invalid { what: "payload", problem: "must not hold the character NUL" });
    }
    Ok(payload)
}

/// Looks for `\u0000` whose backslash is not itself escaped. PostgreSQL's own JSON functions fail on it.
fn has_nul(json: &str) -> bool {
    json.match_indices(r"\u0000").any(|(at, _)| {
        let slashes = json[..at].bytes().rev().take_while(|byte| *byte == b'\\').count();
        slashes % 2 == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escaped_backslash_before_u0000_is_no_nul() {
        for (text, expected) in [("a\0b", true), (r"\u0000", false), ("\\\0", true), (r"\\u0000", false), ("", false)] {
            let json = serde_json::to_string(text).unwrap();
            assert_eq!(has_nul(&json), expected, "{json}");
        }
    }
}
