//! The backend in memory: the executable specification, and the one for unit tests.

mod recommendation;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as WriterLock, OwnedMutexGuard};

use crate::audience::Audience;
use crate::document::Document;
use crate::error::{Error, Result};
use crate::id::{EntityId, Surface, Tag};
use crate::load::Load;
use crate::segment::Key;
use crate::segment::page::Page;
use crate::source::Source;
use crate::store::{Change, DocId, Indexed, LogRow, Publication, Recount, SegmentRow, Snapshot, Store, Totals};

/// Keeps documents in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory;

#[derive(Clone, Debug, Default)]
struct State {
    ids: BTreeMap<(Surface, EntityId), DocId>,
    documents: BTreeMap<DocId, Stored>,
    last: i64,
    log: BTreeMap<i64, Logged>,
    last_number: i64,
    segments: BTreeMap<i64, (SegmentRow, Pages)>,
    signals: recommendation::Signals,
    candidates: recommendation::Candidates,
}

/// The pages of a segment by their first keys.
type Pages = Arc<BTreeMap<Vec<u8>, Page>>;

/// A document and how many words it has.
#[derive(Clone, Debug)]
struct Stored {
    document: Arc<Document>,
    words: i64,
}

#[derive(Clone, Debug)]
struct Logged {
    doc_id: DocId,
    added: Totals,
    terms: Option<Arc<[u8]>>,
}

impl State {
    /// Adds or replaces a document; returns its id, and what that adds.
    fn put(&mut self, document: &Document, words: i64) -> (DocId, Totals) {
        let id = *self.ids.entry((document.surface.clone(), document.entity_id.clone())).or_insert_with(|| {
            self.last += 1;
            DocId(self.last)
        });
        let replaced = self.documents.insert(id, Stored { document: Arc::new(document.clone()), words });
        let words = words - replaced.as_ref().map_or(0, |replaced| replaced.words);
        (id, Totals { documents: i64::from(replaced.is_none()), words })
    }

    fn add(&mut self, segment: &SegmentRow, pages: &[Page]) {
        let pages = pages.iter().map(|page| (page.key.clone(), page.clone())).collect();
        self.segments.insert(segment.segment, (segment.clone(), Arc::new(pages)));
    }

    fn log(&mut self, doc_id: DocId, added: Totals, terms: Option<&[u8]>) {
        self.last_number += 1;
        self.log.insert(self.last_number, Logged { doc_id, added, terms: terms.map(Arc::from) });
    }
}

impl Store for Memory {
    type Connection = Connection;

    async fn upsert(&self, conn: &mut Connection, documents: &[Indexed]) -> Result<bool> {
        conn.write(|state| {
            for Indexed { document, terms } in documents {
                let (id, added) = state.put(document, terms.words());
                state.log(id, added, Some(terms.as_bytes()));
            }
            true
        })
        .await
    }

    async fn load(&self, conn: &mut Connection, load: &mut Load<'_>) -> Result<()> {
        conn.write(|state| {
            while let Some(batch) = load.next_batch()? {
                let mut ids = Vec::with_capacity(batch.len());
                for indexed in &batch {
                    let (id, added) = state.put(&indexed.document, indexed.terms.words());
                    let is_new = added.documents > 0;
                    if !is_new {
                        state.log(id, added, Some(indexed.terms.as_bytes()));
                    }
                    ids.push(is_new.then_some(id));
                }
                if let Some((segment, pages)) = load.written(ids)? {
                    state.add(&segment, &pages);
                }
            }
            Ok(())
        })
        .await?
    }

    async fn set_audience(
        &self,
        conn: &mut Connection,
        surface: &Surface,
        entity_id: &EntityId,
        audience: &BTreeSet<Tag>,
    ) -> Result<bool> {
        conn.write(|state| {
            let Some(&id) = state.ids.get(&(surface.clone(), entity_id.clone())) else { return false };
            let stored = state.documents.get_mut(&id);
            if let Some(stored) = stored {
                Arc::make_mut(&mut stored.document).audience.clone_from(audience);
            }
            state.log(id, Totals::default(), None);
            true
        })
        .await
    }

    async fn remove(&self, conn: &mut Connection, surface: &Surface, entity_id: &EntityId) -> Result<bool> {
        conn.write(|state| {
            let Some(id) = state.ids.remove(&(surface.clone(), entity_id.clone())) else { return false };
            let words = state.documents.remove(&id).map_or(0, |stored| stored.words);
            state.log(id, Totals { documents: -1, words: -words }, None);
            true
        })
        .await
    }

    async fn snapshot(&self, conn: &mut Connection, audience: &Audience, keys: &[Key]) -> Result<Snapshot> {
        let state = conn.read();
        let segment = |(row, pages): &(SegmentRow, Pages)| {
            let page = |(place, key): (usize, &Key)| {
                let (_, page) = pages.range::<Vec<u8>, _>(..=&key.bytes).next_back()?;
                let may_hold = row.namespaces & key.namespace != 0 && (!page.is_single || page.key == key.bytes);
                may_hold.then(|| (place, Arc::new(page.block.clone())))
            };
            SegmentRow { pages: keys.iter().enumerate().filter_map(page).collect(), ..row.clone() }
        };
        let logged = |(&number, row): (&i64, &Logged)| {
            let document = state.documents.get(&row.doc_id).map(|stored| &stored.document);
            LogRow {
                number,
                doc_id: row.doc_id,
                added: row.added,
                terms: row.terms.as_deref().map(<[u8]>::to_vec),
                surface: document.map(|document| document.surface.to_string()),
                is_visible: document.is_some_and(|document| audience.sees(&document.audience)),
            }
        };
        Ok(Snapshot {
            segments: state.segments.values().map(segment).collect(),
            log: state.log.iter().map(logged).collect(),
        })
    }

    async fn documents(
        &self,
        conn: &mut Connection,
        audience: &Audience,
        ids: &[DocId],
    ) -> Result<Vec<(DocId, Document)>> {
        let state = conn.read();
        let found = ids.iter().filter_map(|id| Some((*id, &state.documents.get(id)?.document)));
        Ok(found
            .filter(|(_, document)| audience.sees(&document.audience))
            .map(|(id, document)| (id, (**document).clone()))
            .collect())
    }

    async fn find(
        &self,
        conn: &mut Connection,
        audience: &Audience,
        surface: &Surface,
        entity_id: &EntityId,
    ) -> Result<Option<Document>> {
        let state = conn.read();
        let id = state.ids.get(&(surface.clone(), entity_id.clone()));
        let document = id.and_then(|id| state.documents.get(id)).map(|stored| &stored.document);
        Ok(document.filter(|document| audience.sees(&document.audience)).map(|document| (**document).clone()))
    }

    async fn vocabulary(&self, conn: &mut Connection, from: &[u8], to: &[u8], limit: u32) -> Result<Vec<Page>> {
        let state = conn.read();
        let mut found = Vec::new();
        for (_, pages) in state.segments.values() {
            let first = pages.range::<[u8], _>((Bound::Unbounded, Bound::Included(from))).next_back();
            let start = first.map_or(from, |(key, _)| key);
            let inside = pages.range::<[u8], _>((Bound::Included(start), Bound::Excluded(to)));
            found.extend(inside.map(|(_, page)| page.clone()));
        }
        found.sort_by_key(|page| std::cmp::Reverse((page.is_single, page.block.len())));
        found.truncate(limit as usize);
        Ok(found)
    }

    async fn scan(&self, conn: &mut Connection, each: &mut (dyn FnMut(DocId, Document) + Send)) -> Result<()> {
        for (&doc_id, stored) in &conn.read().documents {
            each(doc_id, (*stored.document).clone());
        }
        Ok(())
    }

    async fn claim(&self, conn: &mut Connection, rows: u32) -> Result<bool> {
        Ok(conn.read().log.len() >= rows as usize)
    }

    async fn segments(&self, conn: &mut Connection) -> Result<Vec<SegmentRow>> {
        Ok(conn.read().segments.values().map(|(row, _)| row.clone()).collect())
    }

    async fn backlog(&self, conn: &mut Connection, rows: u32, bytes: u64) -> Result<Vec<Change>> {
        let state = conn.read();
        let mut before = 0;
        let fits = |(_, row): &(&i64, &Logged)| {
            let fits = before <= bytes;
            before += row.terms.as_ref().map_or(0, |terms| terms.len() as u64);
            fits
        };
        let change = |(&number, row): (&i64, &Logged)| {
            let document = state.documents.get(&row.doc_id);
            Change {
                number,
                doc_id: row.doc_id,
                added: row.added,
                terms: row.terms.as_deref().map(<[u8]>::to_vec),
                document: document.map(|stored| (*stored.document).clone()),
                words: document.map_or(0, |stored| stored.words),
            }
        };
        Ok(state.log.iter().take(rows as usize).take_while(fits).map(change).collect())
    }

    async fn pages(&self, conn: &mut Connection, segment: i64, after: &[u8], limit: u32) -> Result<Vec<Page>> {
        let state = conn.read();
        let Some((_, pages)) = state.segments.get(&segment) else { return Ok(Vec::new()) };
        let later = pages.range::<[u8], _>((Bound::Excluded(after), Bound::Unbounded));
        Ok(later.take(limit as usize).map(|(_, page)| page.clone()).collect())
    }

    async fn originals(&self, conn: &mut Connection, ids: &[DocId]) -> Result<Vec<(DocId, Document, i64)>> {
        let state = conn.read();
        let logged: BTreeSet<DocId> = state.log.values().map(|row| row.doc_id).collect();
        let original = |id: &DocId| {
            let stored = state.documents.get(id).filter(|_| !logged.contains(id))?;
            Some((*id, (*stored.document).clone(), stored.words))
        };
        Ok(ids.iter().filter_map(original).collect())
    }

    async fn stored_bytes(&self, _: &mut Connection) -> Result<Option<u64>> {
        Ok(None)
    }

    async fn publish(&self, conn: &mut Connection, publication: &Publication) -> Result<bool> {
        conn.write(|state| {
            let is_current = |segment: i64, revision: i32| {
                state.segments.get(&segment).is_some_and(|(row, _)| row.revision == revision)
            };
            let is_recountable = |recount: &Recount| {
                let is_changed = |(number, row): (&i64, &Logged)| {
                    row.doc_id == recount.doc_id && !publication.consumed.contains(number)
                };
                state.documents.get(&recount.doc_id).is_some_and(|stored| stored.words == recount.before)
                    && !state.log.iter().any(is_changed)
            };
            let is_as_read = publication.consumed.iter().all(|number| state.log.contains_key(number))
                && publication.merged.iter().all(|&(segment, revision)| is_current(segment, revision))
                && publication.outdated.iter().all(|&(segment, revision, _)| is_current(segment, revision))
                && publication.recounted.iter().all(is_recountable);
            if !is_as_read {
                return false;
            }
            for number in &publication.consumed {
                state.log.remove(number);
            }
            for (segment, _) in &publication.merged {
                state.segments.remove(segment);
            }
            for (segment, _, dead) in &publication.outdated {
                if let Some((row, _)) = state.segments.get_mut(segment) {
                    row.revision += 1;
                    row.dead.clone_from(dead);
                }
            }
            for recount in &publication.recounted {
                if let Some(stored) = state.documents.get_mut(&recount.doc_id) {
                    stored.words = recount.after;
                }
            }
            if let Some((row, pages)) = &publication.segment {
                state.add(row, pages);
            }
            true
        })
        .await
    }
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
