//! The facade: what a host calls.

use tracing::instrument;

use crate::{Entity, Entry, Page, PageRequest, Record, RecordId, Result, Store};

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
    /// One statement, no lock: on PostgreSQL it waits for no other transaction.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the database fails.
    #[instrument(level = "debug", name = "audit.record", skip_all, fields(audit.action = %record.action))]
    pub async fn record(&self, conn: &mut S::Connection, record: &Record) -> Result<Receipt> {
        let id = RecordId::now();
        self.store.append(conn, id, record).await?;
        Ok(Receipt { id })
    }

    /// Adds records in one statement; all are added or none is. No records, no statement.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the database fails.
    #[instrument(level = "debug", name = "audit.record_many", skip_all, fields(audit.records = records.len()))]
    pub async fn record_many(&self, conn: &mut S::Connection, records: &[Record]) -> Result<Vec<Receipt>> {
        let records: Vec<(RecordId, &Record)> = records.iter().map(|record| (RecordId::now(), record)).collect();
        if !records.is_empty() {
            self.store.append_many(conn, &records).await?;
        }
        Ok(records.into_iter().map(|(id, _)| Receipt { id }).collect())
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

    /// Lists what was done to one entity, newest first.
    ///
    /// A walk over all pages meets each record once that was committed when it began.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    #[instrument(level = "debug", name = "audit.by_entity", skip_all)]
    pub async fn by_entity(
        &self,
        conn: &mut S::Connection,
        entity: &Entity,
        page: &PageRequest,
    ) -> Result<Page<Entry>> {
        let before = page.after.unwrap_or(RecordId::END);
        Ok(split(self.store.list_by_entity(conn, entity, before, page.limit + 1).await?, page.limit))
    }

    /// Lists everything that was done, newest first.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    #[instrument(level = "debug", name = "audit.recent", skip_all)]
    pub async fn recent(&self, conn: &mut S::Connection, page: &PageRequest) -> Result<Page<Entry>> {
        let before = page.after.unwrap_or(RecordId::END);
        Ok(split(self.store.list_recent(conn, before, page.limit + 1).await?, page.limit))
    }
}

/// Proves that a record was added on a connection. Whether it stays is for the transaction to say.
#[derive(Debug, PartialEq, Eq)]
pub struct Receipt {
    id: RecordId,
}

impl Receipt {
    /// Returns the id of the record.
    pub fn id(&self) -> RecordId {
        self.id
    }
}

/// Makes a page of up to `limit + 1` entries: the last one only shows that there is a next page.
fn split(mut items: Vec<Entry>, limit: u32) -> Page<Entry> {
    let limit = limit as usize;
    let has_next = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| has_next).map(|entry| entry.id);
    Page { items, next }
}
