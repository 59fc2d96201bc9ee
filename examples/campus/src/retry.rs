//! Trying again where the database ended a transaction in favour of another.

use crate::error::Result;

/// How often something is tried.
const ATTEMPTS: usize = 5;

/// Runs the attempt in a new transaction as long as the database ends it in favour of another, a few times at most.
///
/// # Errors
/// Those of the last attempt.
pub(crate) async fn retried<T, F, A>(attempt: A) -> Result<T>
where
    A: Fn() -> F + Send,
    F: Future<Output = Result<T>> + Send,
{
    let mut attempts = 1;
    loop {
        match attempt().await {
            Err(error) if error.is_retryable() && attempts < ATTEMPTS => attempts += 1,
            result => return result,
        }
    }
}
