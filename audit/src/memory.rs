//! The executable specification, for unit tests of a host.
//!
//! One writer at a time, readers see what was committed, a dropped transaction is a rollback.

#[cfg(feature = "seal")]
mod log;

use std::collections::{BTreeMap, HashMap};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as WriterLock, OwnedMutexGuard};

use crate::{
    Action, Actor, Entry, Error, Filter, IdempotencyKey, NewRecord, RecordId, Result, Source, Store, StoredPrivate,
    UserId,
};

/// Keeps records in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory;

impl Store for Memory {
    type Connection = Connection;

    async fn append(&self, conn: &mut Connection, record: &NewRecord<'_>) -> Result<RecordId> {
        conn.write(|state| state.append(record)).await
    }

    async fn append_many(&self, conn: &mut Connection, records: &[NewRecord<'_>]) -> Result<Vec<RecordId>> {
        conn.write(|state| records.iter().map(|record| state.append(record)).collect()).await
    }

    async fn erase(&self, conn: &mut Connection, subject: &UserId, record: &NewRecord<'_>) -> Result<(u64, RecordId)> {
        conn.write(|state| {
            let pieces = state.private.len();
            state.private.retain(|_, private| private.subject.as_deref() != Some(subject.as_str()));
            let erased = pieces - state.private.len();
            Ok((erased as u64, state.append(record)?))
        })
        .await
    }

    async fn find(&self, conn: &mut Connection, id: RecordId) -> Result<Option<Entry>> {
        let state = conn.read();
        state.entries.iter().find(|entry| entry.id == id).map(|entry| state.opened(entry)).transpose()
    }

    async fn list(&self, conn: &mut Connection, filter: &Filter, before: RecordId, limit: u32) -> Result<Vec<Entry>> {
        let state = conn.read();
        let mut chosen: Vec<&Arc<Entry>> = state.entries.iter().filter(|entry| entry.id < before).collect();
        chosen.retain(|entry| filter.matches(entry.id, &entry.record));
        chosen.sort_by_key(|entry| std::cmp::Reverse(entry.id));
        chosen.into_iter().take(limit as usize).map(|entry| state.opened(entry)).collect()
    }
}

/// What the tables of the other backends hold.
#[derive(Clone, Debug, Default)]
struct State {
    /// In the order in which they were added, without personal data.
    entries: Vec<Arc<Entry>>,
    private: BTreeMap<(RecordId, Part), StoredPrivate>,
    keys: HashMap<(Action, Actor, IdempotencyKey), RecordId>,
    #[cfg(feature = "seal")]
    log: log::LogState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Client,
    Personal,
}

impl State {
    fn append(&mut self, new: &NewRecord<'_>) -> Result<RecordId> {
        if let Some(key) = &new.record.key {
            let key = (new.record.action.clone(), new.record.actor.clone(), key.clone());
            let first = *self.keys.entry(key).or_insert(new.id);
            if first != new.id {
                return Ok(first);
            }
        }
        if self.entries.iter().any(|entry| entry.id == new.id) {
            return Err(Error::Backend("the record id is taken".into()));
        }
        for (part, private) in [(Part::Client, &new.client), (Part::Personal, &new.personal)] {
            let Some(private) = private else { continue };
            let stored = StoredPrivate {
                subject: private.subject.map(|subject| subject.as_str().to_owned()),
                salt: private.salt.to_vec(),
                body: private.body.as_bytes().to_vec(),
            };
            self.private.insert((new.id, part), stored);
        }
        let entry = Entry { id: new.id, record: new.record.without_personal(), digests: new.digests() };
        self.entries.push(Arc::new(entry));
        Ok(new.id)
    }

    fn opened(&self, entry: &Entry) -> Result<Entry> {
        let mut entry = entry.clone();
        let private = |part| self.private.get(&(entry.id, part)).cloned();
        if let (Some(client), Some(commitment)) = (&mut entry.record.request.client, entry.digests.client) {
            client.ip = StoredPrivate::address(private(Part::Client), commitment)?;
        }
        if let Some(commitment) = entry.digests.personal {
            entry.record.personal = Some(StoredPrivate::fields(private(Part::Personal), commitment)?);
        }
        Ok(entry)
    }
}

/// A database in memory; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Database {
    committed: Arc<Mutex<State>>,
    writer: Arc<WriterLock<()>>,
}

impl Database {
    fn committed(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock: a state is put in place whole.
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
        let state = self.committed().clone();
        Ok(Transaction { conn: self.connect(View::Writing { state, savepoints: Vec::new() }), _writer: Some(writer) })
    }

    async fn begin_snapshot(&self) -> Result<Transaction> {
        let state = self.committed().clone();
        Ok(Transaction { conn: self.connect(View::Snapshot(state)), _writer: None })
    }

    async fn commit(&self, tx: Transaction) -> Result<()> {
        tx.keep();
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
    Snapshot(State),
    /// In a transaction that writes.
    Writing { state: State, savepoints: Vec<State> },
}

impl Connection {
    /// Sets a savepoint within a transaction that writes.
    pub fn savepoint(&mut self) {
        if let View::Writing { state, savepoints } = &mut self.view {
            savepoints.push(state.clone());
        }
    }

    /// Takes back what was done since the latest savepoint, and the savepoint.
    pub fn rollback_to_savepoint(&mut self) {
        if let View::Writing { state, savepoints } = &mut self.view
            && let Some(before) = savepoints.pop()
        {
            *state = before;
        }
    }

    fn read(&self) -> State {
        match &self.view {
            View::Committed => self.database.committed().clone(),
            View::Snapshot(state) | View::Writing { state, .. } => state.clone(),
        }
    }

    /// Does all of it, or nothing.
    async fn write<T>(&mut self, change: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        match &mut self.view {
            View::Committed => {
                let _writer = self.database.writer.lock().await;
                let mut state = self.database.committed().clone();
                let answer = change(&mut state)?;
                *self.database.committed() = state;
                Ok(answer)
            }
            View::Snapshot(_) => Err(Error::Backend("the transaction only reads".into())),
            View::Writing { state, .. } => {
                let mut changed = state.clone();
                let answer = change(&mut changed)?;
                *state = changed;
                Ok(answer)
            }
        }
    }
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

impl Transaction {
    /// Commits.
    pub(crate) fn keep(self) {
        if let View::Writing { state, .. } = self.conn.view {
            *self.conn.database.committed() = state;
        }
    }
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
