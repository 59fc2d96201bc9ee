//! The executable specification, for unit tests of a host.
//!
//! One writer at a time, readers see what was committed, a dropped transaction is a rollback.

use std::collections::HashSet;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as WriterLock, OwnedMutexGuard};

use crate::{Entity, Entry, Error, Record, RecordId, Result, Source, Store};

/// Keeps records in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory;

impl Store for Memory {
    type Connection = Connection;

    async fn append(&self, conn: &mut Connection, id: RecordId, record: &Record) -> Result<()> {
        conn.append(&[(id, record)]).await
    }

    async fn append_many(&self, conn: &mut Connection, records: &[(RecordId, &Record)]) -> Result<()> {
        conn.append(records).await
    }

    async fn find(&self, conn: &mut Connection, id: RecordId) -> Result<Option<Entry>> {
        Ok(conn.entries().iter().find(|entry| entry.id == id).map(|entry| Entry::clone(entry)))
    }

    async fn list_by_entity(
        &self,
        conn: &mut Connection,
        entity: &Entity,
        before: RecordId,
        limit: u32,
    ) -> Result<Vec<Entry>> {
        Ok(newest_first(conn.entries(), limit, |entry| entry.id < before && entry.record.entity == *entity))
    }

    async fn list_recent(&self, conn: &mut Connection, before: RecordId, limit: u32) -> Result<Vec<Entry>> {
        Ok(newest_first(conn.entries(), limit, |entry| entry.id < before))
    }
}

fn newest_first(mut entries: Entries, limit: u32, matches: impl Fn(&Entry) -> bool) -> Vec<Entry> {
    entries.retain(|entry| matches(entry));
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.id));
    entries.iter().take(limit as usize).map(|entry| Entry::clone(entry)).collect()
}

/// In the order in which they were added.
type Entries = Vec<Arc<Entry>>;

/// A database in memory; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Database {
    committed: Arc<Mutex<Entries>>,
    writer: Arc<WriterLock<()>>,
}

impl Database {
    fn committed(&self) -> MutexGuard<'_, Entries> {
        // Nothing panics while it holds the lock, and if it did, a list that only grows would still be whole.
        self.committed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self, view: View) -> Connection {
        Connection { database: self.clone(), view }
    }
}

impl Source for Database {
    type Connection = Connection;
    type Guard = Guard;
    type Transaction = Transaction;

    async fn acquire(&self) -> Result<Guard> {
        Ok(Guard(self.connect(View::Committed)))
    }

    async fn begin(&self) -> Result<Transaction> {
        let writer = Arc::clone(&self.writer).lock_owned().await;
        let entries = self.committed().clone();
        Ok(Transaction { conn: self.connect(View::Writing { entries, savepoints: Vec::new() }), _writer: Some(writer) })
    }

    async fn begin_snapshot(&self) -> Result<Transaction> {
        let entries = self.committed().clone();
        Ok(Transaction { conn: self.connect(View::Snapshot(entries)), _writer: None })
    }

    async fn commit(&self, tx: Transaction) -> Result<()> {
        if let View::Writing { entries, .. } = tx.conn.view {
            *self.committed() = entries;
        }
        Ok(())
    }
}

/// What [`Memory`] works on.
#[derive(Debug)]
pub struct Connection {
    database: Database,
    view: View,
}

#[derive(Debug)]
enum View {
    /// Outside a transaction: every call sees what is committed and commits by itself.
    Committed,
    /// In a transaction that reads.
    Snapshot(Entries),
    /// In a transaction that writes. Since records are only added, a savepoint is a length.
    Writing { entries: Entries, savepoints: Vec<usize> },
}

impl Connection {
    /// Sets a savepoint within a transaction that writes.
    pub fn savepoint(&mut self) {
        if let View::Writing { entries, savepoints } = &mut self.view {
            savepoints.push(entries.len());
        }
    }

    /// Takes back what was added since the latest savepoint, and the savepoint.
    pub fn rollback_to_savepoint(&mut self) {
        if let View::Writing { entries, savepoints } = &mut self.view {
            entries.truncate(savepoints.pop().unwrap_or(entries.len()));
        }
    }

    fn entries(&self) -> Entries {
        match &self.view {
            View::Committed => self.database.committed().clone(),
            View::Snapshot(entries) | View::Writing { entries, .. } => entries.clone(),
        }
    }

    async fn append(&mut self, records: &[(RecordId, &Record)]) -> Result<()> {
        match &mut self.view {
            View::Committed => {
                let _writer = self.database.writer.lock().await;
                append(&mut self.database.committed(), records)
            }
            View::Snapshot(_) => Err(Error::Backend("the transaction only reads".into())),
            View::Writing { entries, .. } => append(entries, records),
        }
    }
}

fn append(entries: &mut Entries, records: &[(RecordId, &Record)]) -> Result<()> {
    let mut ids: HashSet<RecordId> = entries.iter().map(|entry| entry.id).collect();
    if !records.iter().all(|&(id, _)| ids.insert(id)) {
        return Err(Error::Backend("the record id is taken".into()));
    }
    entries.extend(records.iter().map(|&(id, record)| Arc::new(Entry { id, record: record.clone() })));
    Ok(())
}

/// A connection on loan from a [`Database`].
#[derive(Debug)]
pub struct Guard(Connection);

impl Deref for Guard {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for Guard {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

/// An open transaction of a [`Database`]; dropping it rolls it back.
#[derive(Debug)]
pub struct Transaction {
    conn: Connection,
    _writer: Option<OwnedMutexGuard<()>>,
}

impl Deref for Transaction {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.conn
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.conn
    }
}
