//! The backend in memory: the executable specification, and the one for unit tests.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as WriterLock, OwnedMutexGuard};

use crate::audience::Audience;
use crate::error::Result;
use crate::id::{EntityId, Surface};
use crate::source::Source;
use crate::store::{DocId, Indexed, Scanned, Store};

/// Keeps documents in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory;

/// The documents as one connection sees them.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// Shared with the snapshots of others until it is written to.
    state: Arc<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    ids: BTreeMap<(Surface, EntityId), DocId>,
    documents: BTreeMap<DocId, Arc<Indexed>>,
    last: i64,
}

impl Store for Memory {
    type Connection = Connection;

    async fn upsert(&self, conn: &mut Connection, documents: &[Indexed]) -> Result<()> {
        let state = Arc::make_mut(&mut conn.state);
        for indexed in documents {
            let key = (indexed.document.surface.clone(), indexed.document.entity_id.clone());
            let id = *state.ids.entry(key).or_insert_with(|| {
                state.last += 1;
                DocId(state.last)
            });
            state.documents.insert(id, Arc::new(indexed.clone()));
        }
        Ok(())
    }

    async fn remove(&self, conn: &mut Connection, surface: &Surface, entity_id: &EntityId) -> Result<bool> {
        let state = Arc::make_mut(&mut conn.state);
        let removed = state.ids.remove(&(surface.clone(), entity_id.clone()));
        Ok(removed.and_then(|id| state.documents.remove(&id)).is_some())
    }

    async fn scan(
        &self,
        conn: &mut Connection,
        audience: &Audience,
        each: &mut (dyn FnMut(Scanned<'_>) + Send),
    ) -> Result<()> {
        for (&doc_id, indexed) in &conn.state.documents {
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
        let found = ids.iter().filter_map(|id| Some((*id, conn.state.documents.get(id)?)));
        Ok(found
            .filter(|(_, indexed)| is_visible(indexed, audience))
            .map(|(id, indexed)| (id, (**indexed).clone()))
            .collect())
    }
}

fn is_visible(indexed: &Indexed, audience: &Audience) -> bool {
    audience.sees(indexed.document.audience.iter().map(AsRef::as_ref))
}

/// A database in memory: one writer at a time, readers see what was committed, drop is rollback. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Database {
    committed: Arc<Mutex<Connection>>,
    writer: Arc<WriterLock<()>>,
}

/// A transaction on a [`Database`]; dropping it rolls it back.
#[derive(Debug)]
pub struct Transaction {
    working: Connection,
    _writer: Option<OwnedMutexGuard<()>>,
}

impl Database {
    fn read(&self) -> Connection {
        self.committed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Source for Database {
    type Connection = Connection;
    /// On a bare connection every verb would commit by itself; in memory that is a transaction of one's own.
    type Guard = Transaction;
    type Transaction = Transaction;

    async fn acquire(&self) -> Result<Transaction> {
        self.begin_snapshot().await
    }

    async fn begin(&self) -> Result<Transaction> {
        let writer = self.writer.clone().lock_owned().await;
        Ok(Transaction { working: self.read(), _writer: Some(writer) })
    }

    async fn begin_snapshot(&self) -> Result<Transaction> {
        Ok(Transaction { working: self.read(), _writer: None })
    }

    async fn commit(&self, tx: Transaction) -> Result<()> {
        *self.committed.lock().unwrap_or_else(PoisonError::into_inner) = tx.working;
        Ok(())
    }
}

impl Deref for Transaction {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.working
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.working
    }
}
