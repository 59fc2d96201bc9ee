//! What can go wrong.

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why nothing was recorded, or nothing could be read.
///
/// No message holds a value that was to be recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A body nests deeper than [`Body::MAX_DEPTH`](crate::Body::MAX_DEPTH).
    #[error("the value nests too deeply to be recorded")]
    BodyTooDeep,
    /// The listed fields of a body take more than [`Body::MAX_BYTES`](crate::Body::MAX_BYTES).
    #[error("the listed fields are too large to be recorded")]
    BodyTooLarge,
    /// A value is neither a struct nor a map with text keys, or its `Serialize` failed.
    #[error("the value does not serialize as an object")]
    BodyUnserializable,
    /// A stored record breaks the schema's own rules.
    #[error("a stored record holds an unknown {what}")]
    Corrupt {
        /// The column at fault.
        what: &'static str,
    },
    /// A text from outside is not what its type demands.
    #[error("{what} {problem}")]
    Invalid {
        /// What was being parsed.
        what: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An export could not be written.
    #[error("the export could not be written")]
    Sink {
        /// The last record that was surely written whole; `None` if there was none.
        after: Option<crate::RecordId>,
        /// What the sink said.
        #[source]
        source: std::io::Error,
    },
    /// A proof cannot be one: it has the wrong length, or is about a leaf or a tree that is not there.
    #[error("the proof {problem}")]
    ProofMalformed {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A proof does not lead to the root it was checked against: a leaf, a root or the proof is forged.
    #[error("the proof does not lead to the root")]
    ProofMismatch,
    /// A checkpoint is of another log than the key.
    #[error("the checkpoint is of another log")]
    OriginMismatch,
    /// A signature is of another text than the note's, or made by another key under this one's name and id.
    #[error("the note's signature does not match")]
    SignatureMismatch,
    /// A note holds no signature of the key.
    #[error("the note is not signed by the key")]
    Unsigned,
    /// The log in the database is not the one that was signed and published, or is signed with a key that is not known.
    #[error("the log is not the one that was signed")]
    Diverged,
    /// Retention would remove records that the log does not have yet. Let the sealer come so far, and call again.
    #[error("{records} records to be removed are not sealed yet")]
    Unsealed {
        /// How many.
        records: u64,
    },
    /// The database failed.
    #[error("the audit store failed")]
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
