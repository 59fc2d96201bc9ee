//! The backend in memory: the executable specification, and the one for unit tests.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as WriterLock, OwnedMutexGuard};

use crate::audience::Audience;
use crate::error::{Error, Result};
use crate::id::{EntityId, Surface};
use crate::source::Source;
use crate::store::{DocId, Indexed, Scanned, Store};

/// Keeps documents in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory;

#[derive(Clone, Debug, Default)]
struct State {
    ids: BTreeMap<(Surface, EntityId), DocId>,
    documents: BTreeMap<DocId, Arc<Indexed>>,
    last: i64,
}

impl Store for Memory {
    type Connection = Connection;

    async fn upsert(&self, conn: &mut Connection, documents: &[Indexed]) -> Result<()> {
        conn.write(|state| {
            for indexed in documents {
                let key = (indexed.document.surface.clone(), indexed.document.entity_id.clone());
                let id = *state.ids.entry(key).or_insert_with(|| {
                    state.last += 1;
                    DocId(state.last)
                });
                state.documents.insert(id, Arc::new(indexed.clone()));
            }
        })
        .await
    }

    async fn remove(&self, conn: &mut Connection, surface: &Surface, entity_id: &EntityId) -> Result<bool> {
        conn.write(|state| {
            let removed = state.ids.remove(&(surface.clone(), entity_id.clone()));
            removed.and_then(|id| state.documents.remove(&id)).is_some()
        })
        .await
    }

    async fn scan(
        &self,
        conn: &mut Connection,
        audience: &Audience,
        each: &mut (dyn FnMut(Scanned<'_>) + Send),
    ) -> Result<()> {
        for (&doc_id, indexed) in &conn.read().documents {
            each(Scanned {
                doc_id,
                surface: indexed.document.surface.as_str(),
                is_visible: is_visible(indexed, audience),
                terms: indexed.terms.as_bytes(),
            });
        }
        Ok(())
    }

    async fn documents(
        &self,
        conn: &mut Connection,
        audience: &Audience,
        ids: &[DocId],
    ) -> Result<Vec<(DocId, Indexed)>> {
        let state = conn.read();
        let found = ids.iter().filter_map(|id| Some((*id, state.documents.get(id)?)));
        Ok(found
            .filter(|(_, indexed)| is_visible(indexed, audience))
            .map(|(id, indexed)| (id, (**indexed).clone()))
            .collect())
    }
}

fn is_visible(indexed: &Indexed, audience: &Audience) -> bool {
    audience.sees(&indexed.document.audience)
}

/// A database in memory: one writer at a time, readers see what was committed, drop is rollback. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Database {
    /// Shared with the snapshots taken of it until it is written to.
    committed: Arc<Mutex<Arc<State>>>,
    writer: Arc<WriterLock<()>>,
}

impl Database {
    fn committed(&self) -> MutexGuard<'_, Arc<State>> {
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
        let writer = self.writer.clone().lock_owned().await;
        let state = self.committed().clone();
        Ok(Transaction { conn: self.connect(View::Writing { state, savepoints: Vec::new() }), _writer: Some(writer) })
    }

    async fn begin_snapshot(&self) -> Result<Transaction> {
        let state = self.committed().clone();
        Ok(Transaction { conn: self.connect(View::Snapshot(state)), _writer: None })
    }

    async fn commit(&self, tx: Transaction) -> Result<()> {
        // A snapshot has nothing to commit, and may be older than what is committed.
        if let View::Writing { state, .. } = tx.conn.view {
            *self.committed() = state;
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
    /// Outside a transaction: every verb sees what is committed and commits by itself.
    Committed,
    /// In a transaction that reads.
    Snapshot(Arc<State>),
    /// In a transaction that writes.
    Writing { state: Arc<State>, savepoints: Vec<Arc<State>> },
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
            && let Some(saved) = savepoints.pop()
        {
            *state = saved;
        }
    }

    fn read(&self) -> Arc<State> {
        match &self.view {
            View::Committed => self.database.committed().clone(),
            View::Snapshot(state) | View::Writing { state, .. } => state.clone(),
        }
    }

    async fn write<T>(&mut self, change: impl FnOnce(&mut State) -> T + Send) -> Result<T> {
        match &mut self.view {
            View::Committed => {
                let _writer = self.database.writer.lock().await;
                Ok(change(Arc::make_mut(&mut self.database.committed())))
            }
            View::Snapshot(_) => Err(Error::Backend("the transaction only reads".into())),
            View::Writing { state, .. } => Ok(change(Arc::make_mut(state))),
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
