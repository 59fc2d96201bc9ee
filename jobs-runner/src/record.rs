//! What a job is once it is stored.

use std::fmt;
use std::str::FromStr;

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
    }
);

text_enum!(
    /// Why a job was given up.
    DeadReason, "reason", {
        /// Its last attempt failed.
        Exhausted = "exhausted",
        /// Its handler said that no further attempt can succeed.
        Fatal = "fatal",
        /// Its last attempt took the worker with it.
        Crashed = "crashed",
        /// Its payload was not what its handler expects, up to the last attempt.
        Undecodable = "undecodable",
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
    /// What the last failed attempt said.
    pub last_error: Option<String>,
    /// Not before this moment.
    pub run_at: DateTime<Utc>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When the last attempt began.
    pub attempted_at: Option<DateTime<Utc>>,
    /// When it succeeded or died.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Which jobs to list. The default is all of them.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub(crate) queue: Option<Queue>,
    pub(crate) state: Option<State>,
}

impl Filter {
    /// Only those of one queue.
    #[must_use]
    pub fn queue(self, queue: Queue) -> Self {
        Self { queue: Some(queue), ..self }
    }

    /// Only those in one state.
    #[must_use]
    pub fn state(self, state: State) -> Self {
        Self { state: Some(state), ..self }
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
                "state must be one of: pending running failed succeeded dead",
                "reason must be one of: exhausted fatal crashed undecodable",
            ]
        );
    }
}
