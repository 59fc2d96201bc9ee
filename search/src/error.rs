//! What can go wrong.

/// A `Result` whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is no cursor, or it was altered on its way.
    #[error("the cursor is damaged")]
    CursorDamaged,
    /// The cursor belongs to another query.
    #[error("the cursor belongs to another query")]
    CursorForeign,
    /// An identifier cannot be used.
    #[error("the {what} is not valid: {reason}")]
    InvalidId {
        /// Which kind of identifier.
        what: &'static str,
        /// Why it was refused.
        reason: &'static str,
    },
    /// The text of a query is too long.
    #[error("the query has {bytes} bytes, more than the {limit} allowed")]
    QueryTooLong {
        /// The length of the query.
        bytes: usize,
        /// The longest query allowed.
        limit: usize,
    },
    /// A document's stored terms cannot be read: they are damaged, or a newer release wrote them.
    #[error("the stored terms of a document cannot be read")]
    UnreadableTerms,
    /// The database failed.
    #[error("the database failed")]
    Backend(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Answers whether the same call may succeed if the whole transaction is tried again.
    pub fn is_retryable(&self) -> bool {
        match self {
            #[cfg(any(feature = "postgres", feature = "sqlite"))]
            Self::Backend(source) => source.downcast_ref().is_some_and(is_transient),
            _ => false,
        }
    }
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Backend(Box::new(error))
    }
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
fn is_transient(error: &sqlx::Error) -> bool {
    let Some(code) = error.as_database_error().and_then(sqlx::error::DatabaseError::code) else {
        return false;
    };
    // PostgreSQL: serialisation failure and deadlock. SQLite: SQLITE_BUSY (5) and its extended codes (n * 256 + 5).
    matches!(&*code, "40001" | "40P01")
        || code.len() < 5 && code.parse::<u32>().is_ok_and(|code| code & 0xff == 5)
}
