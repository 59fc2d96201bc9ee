//! The facade.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::audience::Audience;
use crate::bm25::Weights;
use crate::cache::Cache;
use crate::compact::{self, Compaction};
use crate::cursor::Cursor;
use crate::document::{Document, UpsertReport};
use crate::error::{Error, Result};
use crate::highlight::Highlighted;
use crate::id::{EntityId, Surface, Tag};
use crate::load::Load;
use crate::query::{MatchMode, Query, Words};
use crate::rank::{self, Lookup};
use crate::results::{Hit, Results};
use crate::source::Source;
use crate::store::{Indexed, MAX_EXCERPT, Store};
use crate::tally::Tally;
use crate::terms::{Terms, TermsRef};
#[cfg(feature = "conformance")]
use crate::{bm25::Statistics, store::Totals, tally::Fresh};

/// From so many documents on, a batch becomes segments at once.
const BULK: usize = 1_000;

/// Indexes documents and finds them again, on the caller's own connection.
///
/// Every method works the same on a pooled connection and inside a transaction. What a transaction indexes is found in it at
/// once, by others when it commits, and never if it does not.
#[derive(Clone, Debug, Default)]
pub struct Search<S> {
    store: S,
    cache: Option<Arc<Cache>>,
}

impl<S: Store> Search<S> {
    /// Searches in `store`.
    pub const fn new(store: S) -> Self {
        Self { store, cache: None }
    }

    /// Keeps parts of the index in memory, shared by all clones: at most so many bytes, about, of what searches use most.
    ///
    /// They find the same with it and without, at the same moment: it holds only what never changes, and which of it counts is
    /// asked of the database with every search.
    #[must_use]
    pub fn with_cache(self, bytes: usize) -> Self {
        Self { cache: Some(Arc::new(Cache::new(bytes))), ..self }
    }

    /// Indexes a document, or replaces all of it.
    ///
    /// No text makes it fail: what is too long is cut or left out, and reported.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] if the database fails.
    #[tracing::instrument(level = "debug", name = "search.upsert", skip_all, fields(surface = %document.surface))]
    pub async fn upsert(&self, conn: &mut S::Connection, document: &Document) -> Result<UpsertReport> {
        let (indexed, report) = Indexed::of(document);
        if self.store.upsert(conn, &[indexed]).await? {
            self.compact_a_little(conn).await;
        }
        Ok(report)
    }

    /// Indexes many documents at once, all or none, and returns a report for each.
    ///
    /// Of two with the same identity the later one counts. They are indexed in the order of surface and entity id, so that two
    /// callers who index the same documents wait for each other instead of dead-locking. A thousand and more become a segment of their own at
    /// once: hand over as many in one call as there is memory for.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] if the database fails.
    #[tracing::instrument(level = "debug", name = "search.upsert_many", skip_all, fields(documents = documents.len()))]
    pub async fn upsert_many(&self, conn: &mut S::Connection, documents: &[Document]) -> Result<Vec<UpsertReport>> {
        let mut reports = vec![UpsertReport::default(); documents.len()];
        let keyed = documents.iter().enumerate().map(|(at, one)| ((&one.surface, &one.entity_id), at));
        let latest: BTreeMap<_, usize> = keyed.clone().collect();
        // One that another outdates is analyzed for its report only.
        for (_, at) in keyed.filter(|(key, at)| latest[key] != *at) {
            reports[at] = Indexed::of(&documents[at]).1;
        }
        let order: Vec<usize> = latest.into_values().collect();
        if order.len() < BULK {
            let mut index = |&at: &usize| {
                let (indexed, report) = Indexed::of(&documents[at]);
                reports[at] = report;
                indexed
            };
            let indexed: Vec<Indexed> = order.iter().map(&mut index).collect();
            if self.store.upsert(conn, &indexed).await? {
                self.compact_a_little(conn).await;
            }
        } else {
            self.store.load(conn, &mut Load::new(documents, &order, &mut reports)).await?;
            self.compact_a_little(conn).await;
        }
        Ok(reports)
    }

    /// Replaces the audience of a document, and nothing else; answers whether there is one.
    ///
    /// Cheap whatever the length of the document: its text is neither sent nor analyzed.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] if the database fails.
    #[tracing::instrument(level = "debug", name = "search.set_audience", skip_all, fields(%surface))]
    pub async fn set_audience(
        &self,
        conn: &mut S::Connection,
        surface: &Surface,
        entity_id: &EntityId,
        tags: impl IntoIterator<Item = Tag>,
    ) -> Result<bool> {
        self.store.set_audience(conn, surface, entity_id, &tags.into_iter().collect()).await
    }

    /// Removes a document; answers whether there was one.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] if the database fails.
    #[tracing::instrument(level = "debug", name = "search.remove", skip_all, fields(%surface))]
    pub async fn remove(&self, conn: &mut S::Connection, surface: &Surface, entity_id: &EntityId) -> Result<bool> {
        self.store.remove(conn, surface, entity_id).await
    }

    /// Turns the log of changes into segments and small segments into larger ones, until nothing is left to do or the time is
    /// over.
    ///
    /// Searches find the same before, meanwhile and after, only faster; writers wait at most for the moment in which a segment
    /// is written. What is done is committed step by step, the last of which is begun before the time is over and finished after.
    /// `upsert` does a little of it on its own now and then: call this from a job where much is written, and after a bulk load.
    ///
    /// # Errors
    ///
    /// * [`Error::Corrupt`] if a segment is damaged.
    /// * [`Error::Backend`] if the database fails.
    #[tracing::instrument(level = "debug", name = "search.compact", skip_all)]
    pub async fn compact<C: Source<Connection = S::Connection>>(
        &self,
        source: &C,
        budget: Duration,
    ) -> Result<Compaction> {
        compact::all(&self.store, source, budget).await
    }

    /// Makes one step of a compaction within the caller's transaction, of at most so many changes; answers whether there was one to
    /// make. Merges two segments where others would wait for more.
    #[cfg(feature = "conformance")]
    #[doc(hidden)]
    pub async fn compact_step(&self, conn: &mut S::Connection, rows: u32) -> Result<bool> {
        let step = compact::Step { rows, bytes: u64::MAX >> 1, documents: u32::MAX, fan: 2 };
        compact::step(&self.store, conn, step).await
    }

    /// What was written is written: that it could not be compacted as well is nothing its writer need know.
    async fn compact_a_little(&self, conn: &mut S::Connection) {
        if let Err(error) = compact::a_little(&self.store, conn).await {
            tracing::warn!(%error, "the search index was not compacted");
        }
    }

    /// Finds the documents that match `query` and that `audience` may see, best first.
    ///
    /// Two statements: one ranks, one fetches the documents of the page and checks the audience once more. In a transaction
    /// that keeps one snapshot (SQLite; REPEATABLE READ on PostgreSQL) they agree. Otherwise a commit may fall between them: a
    /// document that is gone by then, no longer visible or no longer a match is left out, so that a page may be shorter than its limit
    /// before the last one; any other is shown as it is by then, in the place it was ranked at.
    ///
    /// # Errors
    ///
    /// * [`Error::QueryTooLong`] above [`MAX_QUERY`](crate::MAX_QUERY) bytes; no other text is an error.
    /// * [`Error::CursorForeign`] if the cursor belongs to another query.
    /// * [`Error::Corrupt`] if what is stored is damaged, or of a format that only a newer release knows.
    /// * [`Error::Backend`] if the database fails.
    #[tracing::instrument(level = "debug", name = "search.search", skip_all)]
    pub async fn search(&self, conn: &mut S::Connection, query: &Query, audience: &Audience) -> Result<Results> {
        let mut words = Words::of(query)?;
        let fingerprint = query.fingerprint();
        let is_foreign =
            |cursor: &Cursor| cursor.fingerprint != fingerprint || cursor.weights.words.len() != words.len();
        if query.after.as_ref().is_some_and(is_foreign) {
            return Err(Error::CursorForeign);
        }
        if words.len() == 0 {
            return Ok(nothing(query, words.ignored));
        }
        let mut lookup = Lookup::of(&mut words, audience);
        let known = self.cache.as_ref().map(|cache| (cache, cache.look_up(&mut lookup.keys)));
        let mut snapshot = self.store.snapshot(conn, audience, &lookup.keys).await?;
        if let Some((cache, known)) = known {
            cache.complete(&lookup.keys, &known, &mut snapshot);
        }
        let mut tally = tally(query);
        let weights = rank::rank(query, &mut words, &lookup, &snapshot, &mut tally)?;
        drop(snapshot);
        self.results(conn, query, audience, words, tally, weights).await
    }

    /// Answers as [`Search::search`] does, but analyzes every document: slow, and what the laws measure the index by.
    #[cfg(feature = "conformance")]
    #[doc(hidden)]
    pub async fn search_exactly(
        &self,
        conn: &mut S::Connection,
        query: &Query,
        audience: &Audience,
    ) -> Result<Results> {
        let mut words = Words::of(query)?;
        let (mut totals, mut holding, mut fresh) = (Vec::new(), vec![0; words.len()], Fresh::default());
        let mut failure = None;
        let mut count = |doc_id, document: Document| {
            let (terms, _) = Terms::of(&document.title, &document.body, document.language);
            totals.push(Totals { documents: 1, words: terms.words() });
            let found = (doc_id, document.surface.as_str(), audience.sees(&document.audience));
            let terms = TermsRef::parse(terms.as_bytes());
            let added = terms.and_then(|terms| fresh.add(found, terms, &mut words, &mut holding));
            failure = failure.take().or(added.err());
        };
        self.store.scan(conn, &mut count).await?;
        if let Some(error) = failure {
            return Err(error);
        }
        if words.len() == 0 {
            return Ok(nothing(query, words.ignored));
        }
        let statistics = Statistics { holding, ..rank::statistics(totals.into_iter(), 0) };
        let weights = Weights::of(&statistics, words.repeats());
        let weights = query.after.as_ref().map_or(weights, |cursor| cursor.weights.clone());
        let mut tally = tally(query);
        fresh.offer(&words, &weights.scorer(query.title_weight), &mut tally);
        self.results(conn, query, audience, words, tally, weights).await
    }

    /// Fetches the documents of a page.
    async fn results(
        &self,
        conn: &mut S::Connection,
        query: &Query,
        audience: &Audience,
        mut words: Words,
        tally: Tally<'_>,
        weights: Weights,
    ) -> Result<Results> {
        let mode = tally.mode();
        let (total, counts) = (tally.total(mode), tally.counts(mode));
        let (page, has_more) = tally.page(mode);
        let ids: Vec<_> = page.iter().map(|position| position.doc_id).collect();
        let mut documents: BTreeMap<_, _> = if ids.is_empty() {
            BTreeMap::new()
        } else {
            self.store.documents(conn, audience, &ids).await?.into_iter().collect()
        };
        let mut hits = Vec::with_capacity(page.len());
        for position in &page {
            if let Some(document) = documents.remove(&position.doc_id) {
                hits.extend(hit(document, position.score, query, mode, &mut words, page.len())?);
            }
        }
        let last = page.last().filter(|_| has_more);
        let next = last.map(|&last| Cursor { fingerprint: query.fingerprint(), mode, weights, last });
        Ok(Results { hits, total, counts, next, mode, ignored_words: words.ignored })
    }
}

/// Answers a query without a single word.
fn nothing(query: &Query, ignored_words: usize) -> Results {
    let mode = if query.mode == MatchMode::All { MatchMode::All } else { MatchMode::Any };
    Results { hits: Vec::new(), total: 0, counts: BTreeMap::new(), next: None, mode, ignored_words }
}

fn tally(query: &Query) -> Tally<'_> {
    let after = query.after.as_ref();
    Tally::new(query, after.map(|cursor| cursor.mode), after.map(|cursor| cursor.last))
}

/// Shows a document that was ranked, if it is still a match.
fn hit(
    document: Document,
    score: f32,
    query: &Query,
    mode: MatchMode,
    words: &mut Words,
    hits: usize,
) -> Result<Option<Hit>> {
    let (title, in_title) = Highlighted::of(&document.title, document.language, words);
    let (snippet, in_body) = Highlighted::snippet(&document.body, document.language, words, hits);
    // Marks prove a match, mostly. Without them the text is analyzed as it was for the index, unless some of it was not read.
    let is_match = words.is_proven(in_title | in_body, mode)
        || document.body.len() >= MAX_EXCERPT
        || is_match(&document, mode, words)?;
    let hit = Hit {
        title,
        snippet,
        surface: document.surface,
        entity_id: document.entity_id,
        score,
        recency: document.recency,
        url: document.url,
        extra: document.extra,
    };
    Ok(Some(hit).filter(|hit| is_match && query.allows(&hit.surface)))
}

fn is_match(document: &Document, mode: MatchMode, words: &mut Words) -> Result<bool> {
    let (terms, _) = Terms::of(&document.title, &document.body, document.language);
    let mut found = Vec::new();
    words.find(TermsRef::parse(terms.as_bytes())?, &mut found)?;
    Ok(words.judge(&found).matches(mode))
}
