//! What can go wrong.

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a verb did nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The user is banned from the scope; only `add` and `unban` change that.
    #[error("the user is banned from this scope")]
    Banned,
    /// The membership is not at the version that [`By::if_version`](crate::By::if_version) asked for; nothing was written.
    #[error("the membership was changed by somebody else")]
    Conflict,
    /// The row changed under the verb again and again; nothing was written, try again.
    #[error("the membership kept changing while it was being written")]
    Contended,
    /// A stored row breaks the schema's own rules.
    #[error("a stored membership holds an unknown {what}")]
    Corrupt {
        /// The column at fault.
        what: &'static str,
    },
    /// The cursor was damaged, or is not one of this database's feed; start over.
    #[error("the cursor is damaged or foreign")]
    Cursor,
    /// A text from outside is not what its type demands.
    #[error("{what} {problem}")]
    Invalid {
        /// What was being parsed.
        what: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The scope would be left without an owner.
    #[error("the scope would be left without an owner")]
    LastOwner,
    /// The user is not banned from the scope.
    #[error("the user is not banned from this scope")]
    NotBanned,
    /// The user is not a member of the scope.
    #[error("the user is not a member of this scope")]
    NotMember,
    /// The page token was damaged, or is not one of this listing.
    #[error("the page token is damaged or foreign")]
    PageToken,
    /// The scope's type was not declared to [`Membership`](crate::Membership).
    #[error("the scope type was not declared")]
    UnknownScopeType,
    /// The database failed.
    #[error("the membership store failed")]
    Backend(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Says whether the same call may succeed in a new transaction.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Contended => true,
            #[cfg(any(feature = "postgres", feature = "sqlite"))]
            Self::Backend(source) => source.downcast_ref::<sqlx::Error>().is_some_and(is_retryable),
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

/// PostgreSQL: serialisation failure and deadlock. SQLite: primary code BUSY or LOCKED, whatever the extended one.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
fn is_retryable(error: &sqlx::Error) -> bool {
    let Some(code) = error.as_database_error().and_then(sqlx::error::DatabaseError::code) else { return false };
    matches!(&*code, "40001" | "40P01")
        || code.len() < 5 && code.parse().is_ok_and(|code: u32| matches!(code & 0xff, 5 | 6))
}
