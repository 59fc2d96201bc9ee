//! What a job is before it is stored.

use std::time::Duration;

use chrono::{DateTime, Datelike, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::{Due, MAX_DURATION};
use crate::{Error, Result};

/// A payload is at most this many bytes of JSON: what is larger belongs in a table, with its key in the job.
const MAX_PAYLOAD: usize = 1 << 20;

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
}

/// How one job departs from its kind's defaults.
#[derive(Clone, Debug, Default)]
pub struct EnqueueOptions {
    due: Due,
    priority: Option<u8>,
    max_attempts: Option<u16>,
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

    pub(crate) fn checked_due(&self) -> Result<Due> {
        match self.due {
            Due::After(delay) if delay > MAX_DURATION => {
                Err(Error::Invalid { what: "delay", problem: "must be at most 100 years" })
            }
            // The bounds of what both databases can hold, and of what makes sense.
            Due::At(at) if !(1970..=9999).contains(&at.year()) => {
                Err(Error::Invalid { what: "run_at", problem: "must lie in the years 1970 to 9999" })
            }
            due => Ok(due),
        }
    }

    pub(crate) fn checked_priority(&self) -> Result<u8> {
        match self.priority.unwrap_or(5) {
            priority @ 0..=9 => Ok(priority),
            _ => Err(Error::Invalid { what: "priority", problem: "must be 0 to 9" }),
        }
    }

    pub(crate) fn checked_max_attempts<J: Job>(&self) -> Result<u16> {
        const { assert!(J::MAX_ATTEMPTS > 0, "MAX_ATTEMPTS must be at least 1") };
        match self.max_attempts.unwrap_or(J::MAX_ATTEMPTS) {
            0 => Err(Error::Invalid { what: "max_attempts", problem: "must be at least 1" }),
            max_attempts => Ok(max_attempts),
        }
    }
}

/// Serialises a job and refuses what a backend might.
pub(crate) fn payload<J: Job>(job: &J) -> Result<String> {
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
