//! Where laws and background loops get their connections.

use std::future::Future;
use std::ops::DerefMut;

use crate::error::Result;

/// A database that hands out connections and transactions of its own.
///
/// Implemented for `PgPool`, `SqlitePool` and [`memory::Database`](crate::memory::Database).
pub trait Source: Clone + Send + Sync + 'static {
    /// What a [`Store`](crate::store::Store) works on.
    type Connection: Send;
    /// A borrowed connection.
    type Guard: DerefMut<Target = Self::Connection> + Send;
    /// A transaction; dropping it rolls it back.
    type Transaction: DerefMut<Target = Self::Connection> + Send;

    /// Borrows a connection.
    fn acquire(&self) -> impl Future<Output = Result<Self::Guard>> + Send;
    /// Begins a transaction that will write.
    fn begin(&self) -> impl Future<Output = Result<Self::Transaction>> + Send;
    /// Begins a transaction that only reads and sees one snapshot from its first statement on.
    fn begin_snapshot(&self) -> impl Future<Output = Result<Self::Transaction>> + Send;
    /// Commits a transaction of [`Source::begin`].
    fn commit(&self, tx: Self::Transaction) -> impl Future<Output = Result<()>> + Send;
}
