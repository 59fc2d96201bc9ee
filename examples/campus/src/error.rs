//! What can go wrong, and what a visitor is told of it.

use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::http::answer::Refusal;

/// A result of campus.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request or command did nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing there, or nothing the caller may know of: both look alike from outside.
    #[error("there is nothing here, or nothing you may see")]
    NotFound,
    /// The caller may know of it but not do this.
    #[error("you may not do this")]
    Forbidden,
    /// The request names a host that is not this machine.
    #[error("the demo answers only to localhost")]
    ForeignHost,
    /// A form was sent from somewhere else.
    #[error("this form was not sent from a page of campus")]
    ForeignOrigin,
    /// There is a picker only where the demo is.
    #[error("there is no person picker here: people sign in through their organisation")]
    NoPicker,
    /// Nobody is signed in, or somebody campus does not know.
    #[error("you are nobody yet: sign in first")]
    NotSignedIn,
    /// A token that proves nothing: expired, forged, from or for somebody else.
    #[error("this sign-in does not hold, or no longer: sign in again")]
    BadToken,
    /// A delivery that is not signed by whom it says it is from.
    #[error("the signature does not hold")]
    BadSignature,
    /// More requests than one person makes.
    #[error("these are too many requests: try again in {seconds} seconds")]
    TooMany {
        /// After so many seconds there is room for another.
        seconds: u64,
    },
    /// The answer takes too long.
    #[error("this took too long and was given up: look whether it was done before you try again")]
    TimedOut,
    /// A form or an address is not what the page expects.
    #[error("{0}")]
    Malformed(String),
    /// A body is larger than any that campus takes.
    #[error("this is more than campus takes in one request")]
    TooLarge,
    /// An input is not what it has to be.
    #[error("{0}")]
    Invalid(String),
    /// What there is by now does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// A membership verb refused.
    #[error("{}", refusal(.0))]
    Membership(stoa_membership::Error),
    /// The database or a crate failed.
    #[error("something went wrong on our side")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Internal(Box::new(error))
    }

    /// Tells the log what the visitor is not told.
    pub(crate) fn log(&self) {
        if let Self::Internal(source) = self {
            tracing::error!(cause = %causes(&**source), "request failed");
        }
    }

    /// Says whether the same request may succeed in a new transaction: the database ended this one in favour of another.
    pub(crate) fn is_retryable(&self) -> bool {
        let Self::Internal(source) = self else { return false };
        let is_retryable = |error: &(dyn std::error::Error + 'static)| {
            error.downcast_ref().is_some_and(stoa_membership::Error::is_retryable)
                || error.downcast_ref().is_some_and(stoa_audit::Error::is_retryable)
                || error.downcast_ref().is_some_and(is_sql_retryable)
                || error.downcast_ref().is_some_and(stoa_jobs_runner::Error::is_retryable)
                || error.downcast_ref().is_some_and(stoa_search::Error::is_retryable)
        };
        chain(&**source).any(is_retryable)
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NotFound | Self::NoPicker => StatusCode::NOT_FOUND,
            Self::Forbidden | Self::ForeignOrigin => StatusCode::FORBIDDEN,
            Self::ForeignHost => StatusCode::MISDIRECTED_REQUEST,
            Self::NotSignedIn | Self::BadToken | Self::BadSignature => StatusCode::UNAUTHORIZED,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Conflict(_) | Self::Membership(_) => StatusCode::CONFLICT,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::internal(error)
    }
}

impl From<sqlx::migrate::MigrateError> for Error {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        Self::internal(error)
    }
}

impl From<stoa_membership::Error> for Error {
    fn from(error: stoa_membership::Error) -> Self {
        use stoa_membership::Error as E;
        match error {
            E::PageToken => Self::Malformed("the link does not fit this list: go back to its first page".into()),
            E::Invalid { .. } => Self::Invalid(error.to_string()),
            E::Banned | E::Conflict | E::LastOwner | E::NotBanned | E::NotMember => Self::Membership(error),
            _ => Self::internal(error),
        }
    }
}

impl From<stoa_capabilities::Error> for Error {
    fn from(error: stoa_capabilities::Error) -> Self {
        match error {
            // Whoever may not do it must not learn whether the place exists.
            stoa_capabilities::Error::Denied => Self::NotFound,
            _ => Self::internal(error),
        }
    }
}

impl From<stoa_audit::Error> for Error {
    fn from(error: stoa_audit::Error) -> Self {
        Self::internal(error)
    }
}

impl From<stoa_jobs_runner::Error> for Error {
    fn from(error: stoa_jobs_runner::Error) -> Self {
        Self::internal(error)
    }
}

impl From<stoa_search::Error> for Error {
    fn from(error: stoa_search::Error) -> Self {
        use stoa_search::Error as E;
        match error {
            E::CursorDamaged | E::CursorForeign | E::Invalid { .. } | E::QueryTooLong { .. } => {
                Self::Invalid(error.to_string())
            }
            _ => Self::internal(error),
        }
    }
}

impl From<lettre::transport::smtp::Error> for Error {
    fn from(error: lettre::transport::smtp::Error) -> Self {
        Self::internal(error)
    }
}

impl From<FormRejection> for Error {
    fn from(rejection: FormRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            _ => Self::Malformed(rejection.body_text()),
        }
    }
}

impl From<QueryRejection> for Error {
    fn from(rejection: QueryRejection) -> Self {
        Self::Malformed(rejection.body_text())
    }
}

impl IntoResponse for Error {
    /// Says what is wrong; the outermost layer writes it as a page or as a problem.
    fn into_response(self) -> Response {
        self.log();
        let mut response = self.status().into_response();
        if let Self::TooMany { seconds } = self {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(Refusal::from(&self));
        response
    }
}

/// A refusal in the words of a campus, for the person themselves and for whoever decides about them: it names nobody.
fn refusal(error: &stoa_membership::Error) -> String {
    use stoa_membership::Error as E;
    match error {
        E::Banned => "there is a ban from this group: only its owners and admins can lift it".into(),
        E::Conflict => "somebody else changed this in the meantime: nothing was done".into(),
        E::LastOwner => "a group keeps at least one owner: make somebody else an owner first".into(),
        E::NotBanned => "there is no ban to lift".into(),
        E::NotMember => "there is no membership that could be changed".into(),
        other => other.to_string(),
    }
}

/// Tells an error and everything that caused it: no error of ours repeats its source.
pub fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    chain(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// A serialization failure, a deadlock, or a busy database: a statement of the host's own gave way to another.
fn is_sql_retryable(error: &sqlx::Error) -> bool {
    let Some(code) = error.as_database_error().and_then(sqlx::error::DatabaseError::code) else { return false };
    matches!(&*code, "40001" | "40P01")
        || code.len() < 5 && code.parse().is_ok_and(|code: u32| matches!(code & 0xff, 5 | 6))
}

fn chain<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_names_every_cause_once() {
        let error = stoa_membership::Error::from(sqlx::Error::PoolClosed);
        assert_eq!(causes(&error), format!("{error}: {}", sqlx::Error::PoolClosed));
    }
}
