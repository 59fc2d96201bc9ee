//! The facade.

use std::collections::BTreeMap;

use crate::audience::Audience;
use crate::cursor::Cursor;
use crate::document::{Document, UpsertReport};
use crate::error::{Error, Result};
use crate::highlight::Highlighted;
use crate::id::{EntityId, Surface};
use crate::query::{MatchMode, Query, Words};
use crate::results::{Hit, Results};
use crate::store::{Indexed, Scanned, Store};
use crate::tally::Tally;
use crate::terms::TermsRef;

/// Indexes documents and finds them again, on the caller's own connection.
///
/// Every method works the same on a pooled connection and inside a transaction. What a transaction indexes is found in it at
/// once, by others when it commits, and never if it does not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Search<S> {
    store: S,
}

impl<S: Store> Search<S> {
    /// Searches in `store`.
    pub const fn new(store: S) -> Self {
        Self { store }
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
        self.store.upsert(conn, &[indexed]).await?;
        Ok(report)
    }

    /// Indexes many documents at once, all or none, and returns a report for each.
    ///
    /// Of two with the same identity the later one counts. They are indexed in the order of surface and entity id, so that two
    /// callers who index the same documents wait for each other instead of dead-locking. All of them are held in memory: a few hundred a call, in one
    /// transaction around all calls, is as fast as it gets.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] if the database fails.
    #[tracing::instrument(level = "debug", name = "search.upsert_many", skip_all, fields(documents = documents.len()))]
    pub async fn upsert_many(&self, conn: &mut S::Connection, documents: &[Document]) -> Result<Vec<UpsertReport>> {
        let mut distinct = BTreeMap::new();
        let mut reports = Vec::with_capacity(documents.len());
        for document in documents {
            let (indexed, report) = Indexed::of(document);
            reports.push(report);
            distinct.insert((&document.surface, &document.entity_id), indexed);
        }
        let distinct: Vec<Indexed> = distinct.into_values().collect();
        self.store.upsert(conn, &distinct).await?;
        Ok(reports)
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
    /// * [`Error::Corrupt`] if a stored document is damaged, or of a format that only a newer release knows.
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

        let mut tally = Tally::new(query, &mut words);
        let mut failure = None;
        let mut count = |scanned: Scanned<'_>| {
            if failure.is_none() {
                failure = tally.add(scanned).err();
            }
        };
        self.store.scan(conn, audience, &mut count).await?;
        if let Some(error) = failure {
            return Err(error);
        }

        let (mode, weights, after) = match &query.after {
            Some(cursor) => (cursor.mode, cursor.weights.clone(), Some(cursor.last)),
            None => (tally.mode(), tally.weights(), None),
        };
        let (page, has_more) = tally.page(mode, &weights, after);
        let (total, counts) = (tally.total(mode), tally.counts(mode));
        let ids: Vec<_> = page.iter().map(|position| position.doc_id).collect();
        let mut documents: BTreeMap<_, _> = if ids.is_empty() {
            BTreeMap::new()
        } else {
            self.store.documents(conn, audience, &ids).await?.into_iter().collect()
        };
        let mut hits = Vec::with_capacity(page.len());
        for position in &page {
            if let Some(indexed) = documents.remove(&position.doc_id)
                && is_match(&indexed, query, mode, &mut words)?
            {
                hits.push(hit(indexed, position.score, &mut words, page.len()));
            }
        }
        let last = page.last().filter(|_| has_more);
        let next = last.map(|&last| Cursor { fingerprint, mode, weights, last });
        Ok(Results { hits, total, counts, next, mode, ignored_words: words.ignored })
    }
}

/// Answers a query without a single word.
fn nothing(query: &Query, ignored_words: usize) -> Results {
    let mode = if query.mode == MatchMode::All { MatchMode::All } else { MatchMode::Any };
    Results { hits: Vec::new(), total: 0, counts: BTreeMap::new(), next: None, mode, ignored_words }
}

/// Answers whether a document that was ranked is still a match.
fn is_match(indexed: &Indexed, query: &Query, mode: MatchMode, words: &mut Words) -> Result<bool> {
    let mut found = Vec::new();
    words.find(TermsRef::parse(indexed.terms.as_bytes())?, &mut found)?;
    Ok(query.allows(&indexed.document.surface) && words.judge(&found).matches(mode))
}

fn hit(indexed: Indexed, score: f32, words: &mut Words, hits: usize) -> Hit {
    let document = indexed.document;
    Hit {
        title: Highlighted::of(&document.title, document.language, words),
        snippet: Highlighted::snippet(&document.body, document.language, words, hits),
        surface: document.surface,
        entity_id: document.entity_id,
        score,
        recency: document.recency,
        url: document.url,
        extra: document.extra,
    }
}
