//! The contract between this crate and a database.

use crate::{Entry, Filter, NewRecord, RecordId, Result, UserId};

/// What a backend promises. Users call [`Audit`](crate::Audit) instead.
///
/// # Contract
/// * A method does all its work on `conn`; it never commits or rolls back the caller's transaction, `SET`s or takes a session lock.
/// * A mutating method is atomic by itself, also on a bare connection: all its rows stay or none does. An append waits for no
///   other append, unless the database has but one writer, or both have the same key.
/// * Records are only ever added. The database itself refuses to change, replace or remove one. Personal data can be removed,
///   never changed.
/// * Bodies come back byte for byte. Everything else compares as bytes.
/// * Listings go from the largest id to the smallest.
/// * Correct at READ COMMITTED and above.
pub trait Store: Send + Sync + 'static {
    /// What every call works on: the host's own connection, inside or outside a transaction.
    type Connection: Send;

    /// Adds one record under an id just minted and returns that id. If its actor has recorded its action under its key
    /// before, nothing is written, and the id is that of the earlier record.
    fn append(
        &self,
        conn: &mut Self::Connection,
        record: &NewRecord<'_>,
    ) -> impl Future<Output = Result<RecordId>> + Send;

    /// Adds records under ids just minted, in ascending order, and returns the ids under which they stand, as
    /// [`append`](Self::append) does for each.
    fn append_many(
        &self,
        conn: &mut Self::Connection,
        records: &[NewRecord<'_>],
    ) -> impl Future<Output = Result<Vec<RecordId>>> + Send;

    /// Removes all personal data of one person that is there, adds the record that says so, and returns how many pieces went
    /// and the record's id. What the record itself holds of that person stays.
    fn erase(
        &self,
        conn: &mut Self::Connection,
        subject: &UserId,
        record: &NewRecord<'_>,
    ) -> impl Future<Output = Result<(u64, RecordId)>> + Send;

    /// Reads one record.
    fn find(&self, conn: &mut Self::Connection, id: RecordId) -> impl Future<Output = Result<Option<Entry>>> + Send;

    /// Reads up to `limit` records that the filter chooses and whose ids are smaller than `before`.
    fn list(
        &self,
        conn: &mut Self::Connection,
        filter: &Filter,
        before: RecordId,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Entry>>> + Send;
}
