//! What can go wrong.

/// A `Result` whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A stored document cannot be read: it is damaged, or a newer release wrote it.
    #[error("a stored document holds unreadable {what}")]
    Corrupt {
        /// The part at fault.
        what: &'static str,
    },
    /// The text is no cursor, it was altered on its way, or it lacks the seal of the host's [`CursorKey`](crate::CursorKey).
    #[error("the cursor is damaged")]
    CursorDamaged,
    /// The cursor belongs to another query.
    #[error("the cursor belongs to another query")]
    CursorForeign,
    /// A text is not what it should be.
    #[error("{what} {problem}")]
    Invalid {
        /// What the text was meant to be.
        what: &'static str,
        /// Why it was refused.
        problem: &'static str,
    },
    /// The text of a query is too long.
    #[error("the query has {bytes} bytes, more than the {limit} allowed")]
    QueryTooLong {
        /// The length of the query.
        bytes: usize,
        /// The longest query allowed.
        limit: usize,
    },
    /// More was handed over than one call takes.
    #[error("{count} {what} are more than the {limit} allowed")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// The most allowed.
        limit: usize,
    },
    /// The database failed.
    #[error("the search store failed")]
    Backend(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Says whether the same call may succeed in a new transaction.
    pub fn is_retryable(&self) -> bool {
        match self {
            #[cfg(any(feature = "postgres", feature = "sqlite"))]
            Self::Backend(source) => source.downcast_ref::<sqlx::Error>().is_some_and(is_retryable),
            _ => false,
        }
    }
}

/// What a row holds is never the caller's fault: no host may answer it as a bad request.
pub(crate) fn corrupt<T, E>(what: &'static str, parsed: Result<T, E>) -> Result<T> {
    parsed.map_err(|_| Error::Corrupt { what })
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Backend(Box::new(error))
    }
}

/// PostgreSQL: serialisation failure and deadlock. SQLite: primary code BUSY or LOCKED, whatever the extended one.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
fn is_retryable(error: &sqlx::Error) -> bool {
    let Some(code) = error.as_database_error().and_then(sqlx::error::DatabaseError::code) else { return false };
    matches!(&*code, "40001" | "40P01")
        || code.len() < 5 && code.parse().is_ok_and(|code: u32| matches!(code & 0xff, 5 | 6))
}
