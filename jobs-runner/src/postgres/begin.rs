//! A transaction begins whole or not at all.

use std::future::Future;
use std::pin::Pin;

use sqlx::{PgPool, Postgres, Result, SqlSafeStr, Transaction};
use tokio::runtime::Handle;

type Begun = Result<Transaction<'static, Postgres>>;

/// Begins a transaction with this statement.
pub(super) async fn begin(pool: &PgPool, statement: &'static str) -> Begun {
    let conn = pool.acquire().await?;
    let mut asked = Asked(None);
    let begun = asked.0.insert(Transaction::begin(conn, Some(statement.into_sql_str()))).await;
    asked.0 = None;
    begun
}

/// A `BEGIN` that is answered, though whoever waits for it may be gone: sqlx 0.9 counts a transaction only then, and one that was
/// dropped before would go back to the pool as a connection within it.
struct Asked(Option<Pin<Box<dyn Future<Output = Begun> + Send>>>);

impl Drop for Asked {
    fn drop(&mut self) {
        if let (Some(begin), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(begin);
        }
    }
}
