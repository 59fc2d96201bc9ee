//! The contract between this crate and a database.

use crate::{Entity, Entry, Record, RecordId, Result};

/// What a backend promises. Users call [`Audit`](crate::Audit) instead.
///
/// # Contract
/// * A method does all its work on `conn`; it never commits or rolls back the caller's transaction, `SET`s or takes a session lock.
/// * An append is one statement: all its records stay or none does, also on a bare connection. It waits for no other append,
///   unless the database has but one writer.
/// * Records are only ever added. The database itself refuses to change, replace or remove one.
/// * Bodies come back byte for byte. Everything else compares as bytes.
/// * Listings go from the largest id to the smallest.
/// * Correct at READ COMMITTED and above.
pub trait Store: Send + Sync + 'static {
    /// What every call works on: the host's own connection, inside or outside a transaction.
    type Connection: Send;

    /// Adds one record under an id just minted.
    fn append(
        &self,
        conn: &mut Self::Connection,
        id: RecordId,
        record: &Record,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Adds records under ids just minted, in ascending order.
    fn append_many(
        &self,
        conn: &mut Self::Connection,
        records: &[(RecordId, &Record)],
    ) -> impl Future<Output = Result<()>> + Send;

    /// Reads one record.
    fn find(&self, conn: &mut Self::Connection, id: RecordId) -> impl Future<Output = Result<Option<Entry>>> + Send;

    /// Reads up to `limit` records of one entity whose ids are smaller than `before`.
    fn list_by_entity(
        &self,
        conn: &mut Self::Connection,
        entity: &Entity,
        before: RecordId,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Entry>>> + Send;

    /// Reads up to `limit` records whose ids are smaller than `before`.
    fn list_recent(
        &self,
        conn: &mut Self::Connection,
        before: RecordId,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Entry>>> + Send;
}
