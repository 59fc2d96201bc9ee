//! Where loops and laws get connections of their own.

use std::ops::DerefMut;

use crate::Result;

/// Gives out connections and transactions: `PgPool`, `SqlitePool` or [`memory::Database`](crate::memory::Database).
pub trait Source: Clone + Send + Sync + 'static {
    /// What a [`Store`](crate::Store) works on.
    type Connection: Send;
    /// A connection on loan.
    type Guard: DerefMut<Target = Self::Connection> + Send;
    /// An open transaction; dropping it rolls it back, and so does dropping a `begin` that is under way.
    type Transaction: DerefMut<Target = Self::Connection> + Send;

    /// Lends a connection.
    fn acquire(&self) -> impl Future<Output = Result<Self::Guard>> + Send;
    /// Begins a transaction that may write. On PostgreSQL it is READ COMMITTED; on SQLite it takes the write lock at once.
    fn begin(&self) -> impl Future<Output = Result<Self::Transaction>> + Send;
    /// Begins a transaction that only reads and sees one moment throughout: that of its first read.
    fn begin_snapshot(&self) -> impl Future<Output = Result<Self::Transaction>> + Send;
    /// Commits.
    fn commit(&self, tx: Self::Transaction) -> impl Future<Output = Result<()>> + Send;
}
