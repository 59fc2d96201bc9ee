//! The facade: what a host calls.

use tracing::instrument;

use crate::{Entry, Filter, NewRecord, Page, PageRequest, Record, RecordId, Result, Source, Store, UserId};

/// Records who did what, on the caller's own connection.
///
/// No verb begins, commits or rolls back a transaction: a record exists if, and only if, the caller's transaction commits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Audit<S> {
    store: S,
}

impl<S: Store> Audit<S> {
    /// Puts the facade before a backend.
    pub fn new(store: S) -> Self {
        Self { store }
    }

    /// Adds one record.
    ///
    /// One statement, no lock: on PostgreSQL it waits for no other transaction, but for one that records under the same
    /// [key](Record::once) and has not ended yet. If that key was used before, nothing is written, and
    /// [`Receipt::is_repeated`] says so.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if the record holds data marked as erased, or
    /// [`Error::Backend`](crate::Error::Backend) if the database fails.
    #[instrument(level = "debug", name = "audit.record", skip_all, fields(audit.action = %record.action))]
    pub async fn record(&self, conn: &mut S::Connection, record: &Record) -> Result<Receipt> {
        let new = NewRecord::new(RecordId::now(), record)?;
        let id = self.store.append(conn, &new).await?;
        Ok(Receipt { id, is_repeated: id != new.id })
    }

    /// Adds records in one statement; all are added or none is. No records, no statement.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    #[instrument(level = "debug", name = "audit.record_many", skip_all, fields(audit.records = records.len()))]
    pub async fn record_many(&self, conn: &mut S::Connection, records: &[Record]) -> Result<Vec<Receipt>> {
        let new: Vec<NewRecord<'_>> =
            records.iter().map(|record| NewRecord::new(RecordId::now(), record)).collect::<Result<_>>()?;
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let ids = self.store.append_many(conn, &new).await?;
        Ok(ids.into_iter().zip(new).map(|(id, new)| Receipt { id, is_repeated: id != new.id }).collect())
    }

    /// Adds one record in a transaction of its own and commits it, for a refusal that has to be on record although the caller's
    /// transaction is rolled back, or is aborted already and takes no more statements.
    ///
    /// It takes a [`Source`] and not a connection, so it cannot meet the caller's transaction; and it returns no receipt,
    /// since that transaction holds nothing. End yours first where the database has but one writer (SQLite, memory): it would wait
    /// for a lock that you hold.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    #[instrument(level = "debug", name = "audit.record_detached", skip_all, fields(audit.action = %record.action))]
    pub async fn record_detached<P>(&self, source: &P, record: &Record) -> Result<RecordId>
    where
        P: Source<Connection = S::Connection>,
    {
        let new = NewRecord::new(RecordId::now(), record)?;
        let mut tx = source.begin().await?;
        let id = self.store.append(&mut tx, &new).await?;
        source.commit(tx).await?;
        Ok(id)
    }

    /// Erases all personal data of one person, and records that.
    ///
    /// The record is the caller's: who erased it, as which action. From then on records say [`Personal::Erased`](crate::Personal::Erased) in place of the data; all else stays readable, and every proof valid.
    /// The ids in records stay. So does what another transaction has recorded of that person and not yet committed: first see to
    /// it that nothing more comes, then erase.
    ///
    /// How much went is in the answer and not in the record, whose hash is made before the statement that erases and records: say it in a
    /// second record where it has to be on record.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    #[instrument(level = "debug", name = "audit.erase", skip_all)]
    pub async fn erase(&self, conn: &mut S::Connection, subject: &UserId, record: &Record) -> Result<Erasure> {
        let new = NewRecord::new(RecordId::now(), record)?;
        let (pieces, id) = self.store.erase(conn, subject, &new).await?;
        Ok(Erasure { pieces, receipt: Receipt { id, is_repeated: id != new.id } })
    }

    /// Reads one record.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) if what is stored breaks the schema's rules, or
    /// [`Error::Backend`](crate::Error::Backend).
    #[instrument(level = "debug", name = "audit.find", skip_all)]
    pub async fn find(&self, conn: &mut S::Connection, id: RecordId) -> Result<Option<Entry>> {
        self.store.find(conn, id).await
    }

    /// Lists the records that a filter chooses, newest first.
    ///
    /// A walk over all pages meets each record once that was committed when it began.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    #[instrument(level = "debug", name = "audit.list", skip_all)]
    pub async fn list(&self, conn: &mut S::Connection, filter: &Filter, page: &PageRequest) -> Result<Page<Entry>> {
        let before = page.after.unwrap_or(RecordId::END);
        Ok(split(self.store.list(conn, filter, before, page.limit + 1).await?, page.limit))
    }
}

/// Proves that a record was added on a connection. Whether it stays is for the transaction to say.
#[derive(Debug, PartialEq, Eq)]
pub struct Receipt {
    id: RecordId,
    is_repeated: bool,
}

impl Receipt {
    /// Returns the id of the record.
    pub fn id(&self) -> RecordId {
        self.id
    }

    /// Whether the record's key was used before: then this is the id of the record that was written under it, and nothing was
    /// written now.
    pub fn is_repeated(&self) -> bool {
        self.is_repeated
    }
}

/// What an erasure did.
#[derive(Debug, PartialEq, Eq)]
pub struct Erasure {
    /// How many pieces of personal data went: addresses, and sets of fields.
    pub pieces: u64,
    /// Proves that it was recorded.
    pub receipt: Receipt,
}

/// Makes a page of up to `limit + 1` entries: the last one only shows that there is a next page.
fn split(mut items: Vec<Entry>, limit: u32) -> Page<Entry> {
    let limit = limit as usize;
    let has_next = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| has_next).map(|entry| entry.id);
    Page { items, next }
}
