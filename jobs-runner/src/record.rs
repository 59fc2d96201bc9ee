//! What a job is once it is stored.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{Error, Kind, Queue, Result};

/// The id of a job: greater ones were enqueued later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(i64);

impl JobId {
    /// Returns the number.
    pub fn as_i64(self) -> i64 {
        self.0
    }
}

impl From<i64> for JobId {
    fn from(id: i64) -> Self {
        Self(id)
    }
}

impl TryFrom<&str> for JobId {
    type Error = Error;
    fn try_from(text: &str) -> Result<Self> {
        text.parse().map(Self).map_err(|_| Error::Invalid { what: "job id", problem: "must be a whole number" })
    }
}

impl FromStr for JobId {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::try_from(text)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Declares an enum that is stored as text.
macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident, $what:literal, { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// Returns the text it is stored as.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Error;
            fn try_from(text: &str) -> Result<Self> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    _ => Err(Error::Invalid { what: $what, problem: concat!("must be one of:" $(, " ", $text)*) }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(self.as_str())
            }
        }
    };
}

text_enum!(
    /// Where a job stands.
    State, "state", {
        /// Waits for its first attempt, or was given back.
        Pending = "pending",
        /// A runner holds it.
        Running = "running",
        /// Failed, and waits for its next attempt.
        Failed = "failed",
        /// Done.
        Succeeded = "succeeded",
        /// Given up; [`JobRecord::reason`] says why.
        Dead = "dead",
        /// Somebody took it out of the queue.
        Cancelled = "cancelled",
    }
);

text_enum!(
    /// Why a job was given up.
    DeadReason, "reason", {
        /// Its last attempt failed.
        Exhausted = "exhausted",
        /// Its handler said that no further attempt can succeed, or somebody discarded it.
        Fatal = "fatal",
        /// Its last attempt took the worker with it.
        Crashed = "crashed",
        /// Its payload was not what its handler expects, up to the last attempt.
        Undecodable = "undecodable",
        /// It did not run in time.
        Expired = "expired",
    }
);

/// A job as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobRecord {
    /// Which job.
    pub id: JobId,
    /// Where it waits or waited.
    pub queue: Queue,
    /// What it is.
    pub kind: Kind,
    /// Its arguments: JSON.
    pub payload: String,
    /// Where it stands.
    pub state: State,
    /// Why it is dead.
    pub reason: Option<DeadReason>,
    /// 0 is the most urgent, 9 the least.
    pub priority: u8,
    /// How many attempts were begun, without those that were given back.
    pub attempt: u16,
    /// How many there may be.
    pub max_attempts: u16,
    /// How many of them ended with the loss of their worker.
    pub crashes: u16,
    /// How long an attempt may take.
    pub timeout: Option<Duration>,
    /// What no other job has while this one is active, or for its period.
    pub unique_key: Option<String>,
    /// What it shares with jobs that do not run beside it.
    pub order_key: Option<String>,
    /// What its handler last said about how far it is.
    pub progress: Option<String>,
    /// What the last failed attempt said.
    pub last_error: Option<String>,
    /// What the last twenty failed attempts said, the latest last.
    pub errors: Vec<AttemptError>,
    /// Not before this moment.
    pub run_at: DateTime<Utc>,
    /// From this moment on it is given up instead of run.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When the last attempt began.
    pub attempted_at: Option<DateTime<Utc>>,
    /// When it succeeded, died or was cancelled.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Why one attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttemptError {
    /// Which attempt.
    pub attempt: u16,
    /// When it was recorded.
    pub at: DateTime<Utc>,
    /// What it said.
    pub error: String,
}

/// An [`AttemptError`] as the databases keep it.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
#[derive(serde::Deserialize)]
struct StoredError {
    attempt: u16,
    at: i64,
    error: String,
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) fn attempt_errors(stored: Option<&str>) -> Result<Vec<AttemptError>> {
    let corrupt = Error::Corrupt { what: "errors" };
    let Ok(stored) = serde_json::from_str::<Vec<StoredError>>(stored.unwrap_or("[]")) else { return Err(corrupt) };
    let parsed = stored.into_iter().map(|StoredError { attempt, at, error }| {
        Some(AttemptError { attempt, at: DateTime::from_timestamp_micros(at)?, error })
    });
    parsed.collect::<Option<_>>().ok_or(corrupt)
}

/// Which jobs are meant. The default is all of them.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub(crate) id: Option<JobId>,
    pub(crate) queue: Option<Queue>,
    pub(crate) kind: Option<Kind>,
    pub(crate) state: Option<State>,
    pub(crate) after: Option<DateTime<Utc>>,
    pub(crate) before: Option<DateTime<Utc>>,
}

impl Filter {
    /// Only this one.
    #[must_use]
    pub fn id(self, id: JobId) -> Self {
        Self { id: Some(id), ..self }
    }

    /// Only those of one queue.
    #[must_use]
    pub fn queue(self, queue: Queue) -> Self {
        Self { queue: Some(queue), ..self }
    }

    /// Only those of one kind.
    #[must_use]
    pub fn kind(self, kind: Kind) -> Self {
        Self { kind: Some(kind), ..self }
    }

    /// Only those in one state.
    #[must_use]
    pub fn state(self, state: State) -> Self {
        Self { state: Some(state), ..self }
    }

    /// Only those enqueued at this moment or later.
    #[must_use]
    pub fn created_after(self, at: DateTime<Utc>) -> Self {
        Self { after: Some(at), ..self }
    }

    /// Only those enqueued before this moment.
    #[must_use]
    pub fn created_before(self, at: DateTime<Utc>) -> Self {
        Self { before: Some(at), ..self }
    }

    /// Whether the job is meant.
    pub(crate) fn is_met_by(&self, job: &JobRecord) -> bool {
        self.id.is_none_or(|id| job.id == id)
            && self.queue.as_ref().is_none_or(|queue| job.queue == *queue)
            && self.kind.as_ref().is_none_or(|kind| job.kind == *kind)
            && self.state.is_none_or(|state| job.state == state)
            && self.after.is_none_or(|after| job.created_at >= after)
            && self.before.is_none_or(|before| job.created_at < before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_from_outside_are_parsed_or_invalid() {
        assert_eq!("42".parse::<JobId>().unwrap(), JobId::from(42));
        assert_eq!(State::try_from("dead").unwrap(), State::Dead);
        let refused = [JobId::try_from("x").err(), State::try_from("gone").err(), DeadReason::try_from("").err()];
        assert_eq!(
            refused.map(|error| error.unwrap().to_string()),
            [
                "job id must be a whole number",
                "state must be one of: pending running failed succeeded dead cancelled",
                "reason must be one of: exhausted fatal crashed undecodable expired",
            ]
        );
    }
}
