//! The facade.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;

use crate::audience::Audience;
use crate::bm25::Weights;
use crate::cache::Cache;
use crate::compact::reindex::{self, Reindexing};
use crate::compact::{self, Compaction};
use crate::cursor::{Cursor, CursorKey};
use crate::document::{Document, UpsertReport};
use crate::error::{Error, Result};
use crate::highlight::Highlighted;
use crate::id::{EntityId, Surface, Tag};
use crate::load::{Load, Progress};
use crate::query::suggest;
use crate::query::typo::{self, Vocabulary};
use crate::query::words::{self, Correction, Words};
use crate::query::{MAX_QUERY, MatchMode, Query};
use crate::rank::recency;
use crate::rank::tally::Tally;
use crate::rank::{self, Lookup};
use crate::results::{Explanation, Hit, Part, Results, Stats, Timings};
use crate::source::Source;
use crate::store::{Indexed, MAX_EXCERPT, Snapshot, Store};
use crate::terms::{Terms, TermsRef};
#[cfg(feature = "conformance")]
use crate::{bm25::Statistics, rank::tally::Fresh, store::Totals};

/// So many of the best are looked through for a page of a query with quotations.
const CANDIDATES: usize = 500;
/// So many of them are fetched at a time.
const FETCHED: usize = 50;
/// So many bytes of text are read for it, about.
const READ: usize = 4 << 20;

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
    key: Option<CursorKey>,
}

impl<S: Store> Search<S> {
    /// Searches in `store`.
    pub const fn new(store: S) -> Self {
        Self { store, cache: None, key: None }
    }

    /// Keeps parts of the index in memory, shared by all clones: at most so many bytes, about, of what searches use most.
    ///
    /// They find the same with it and without, at the same moment: it holds only what never changes, and which of it counts is
    /// asked of the database with every search.
    #[must_use]
    pub fn with_cache(self, bytes: usize) -> Self {
        Self { cache: Some(Arc::new(Cache::new(bytes))), ..self }
    }

    /// Seals cursors with a key, and takes none that it has not sealed: neither those from before it had one, nor those of another.
    #[must_use]
    pub fn with_cursor_key(self, key: CursorKey) -> Self {
        Self { key: Some(key), ..self }
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
    pub async fn upsert_many(&self, conn: &mut S::Connection, documents: &[Document]) -> Result<Vec<UpsertReport>> {
        self.upsert_many_with(conn, documents, |_| {}).await
    }

    /// Does what [`Search::upsert_many`] does and says now and then how far it has come, for a progress bar: the last time when all documents
    /// are written.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] if the database fails.
    #[tracing::instrument(level = "debug", name = "search.upsert_many", skip_all, fields(documents = documents.len()))]
    pub async fn upsert_many_with(
        &self,
        conn: &mut S::Connection,
        documents: &[Document],
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<Vec<UpsertReport>> {
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
            let is_time = self.store.upsert(conn, &indexed).await?;
            progress(Progress { done: order.len() as u64, total: order.len() as u64 });
            if is_time {
                self.compact_a_little(conn).await;
            }
        } else {
            self.store.load(conn, &mut Load::new(documents, &order, &mut reports, &mut progress)).await?;
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

    /// Analyzes documents anew that were indexed by an older analyzer, until all are of the present one or the time is over.
    ///
    /// For after an upgrade to a release that finds words differently, once no process runs the older one: call it from a job again and again
    /// until it is complete. Searches go on meanwhile and find every document, by the words of the analyzer it was last indexed with.
    /// Some thousand documents at a time are read, analyzed without holding anything, and published at one stroke; what others change
    /// meanwhile is theirs. Where it ends, or is killed, the next call goes on. `progress` hears before every step how many documents are
    /// done and how many there are to do.
    ///
    /// # Errors
    ///
    /// Those of [`Search::compact`].
    #[tracing::instrument(level = "debug", name = "search.reindex", skip_all)]
    pub async fn reindex<C: Source<Connection = S::Connection>>(
        &self,
        source: &C,
        budget: Duration,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<Reindexing> {
        reindex::all(&self.store, source, budget, &mut progress).await
    }

    /// Measures the index: as cheap as a search, however many documents there are.
    ///
    /// # Errors
    ///
    /// * [`Error::Corrupt`] if a segment is damaged.
    /// * [`Error::Backend`] if the database fails.
    #[tracing::instrument(level = "debug", name = "search.stats", skip_all)]
    pub async fn stats(&self, conn: &mut S::Connection) -> Result<Stats> {
        let snapshot = self.store.snapshot(conn, &Audience::tags([]), &[]).await?;
        let stored_bytes = self.store.stored_bytes(conn).await?;
        Ok(Stats { stored_bytes, ..compact::reindex::stats(snapshot)? })
    }

    /// Makes one step of a compaction within the caller's transaction, of at most so many changes; answers whether there was one to
    /// make. Merges two segments where others would wait for more.
    #[cfg(feature = "conformance")]
    #[doc(hidden)]
    pub async fn compact_step(&self, conn: &mut S::Connection, rows: u32) -> Result<bool> {
        let step = compact::Step { rows, bytes: u64::MAX >> 1, documents: u32::MAX, fan: 2, recounts: true };
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
    /// * [`Error::CursorDamaged`] if it is sealed and there is no key, or there is one and it did not seal it.
    /// * [`Error::Corrupt`] if what is stored is damaged, or of a format that only a newer release knows.
    /// * [`Error::Backend`] if the database fails.
    #[tracing::instrument(level = "debug", name = "search.search", skip_all)]
    pub async fn search(&self, conn: &mut S::Connection, query: &Query, audience: &Audience) -> Result<Results> {
        let started = Instant::now();
        let mut words = Words::of(query)?;
        if let Some(cursor) = &query.after
            && !self.key.as_ref().map_or(cursor.seal.is_none(), |key| key.sealed(cursor))
        {
            return Err(Error::CursorDamaged);
        }
        let fingerprint = query.fingerprint();
        let is_foreign =
            |cursor: &Cursor| cursor.fingerprint != fingerprint || cursor.weights.words.len() != words.len();
        if query.after.as_ref().is_some_and(is_foreign) {
            return Err(Error::CursorForeign);
        }
        if words.len() == 0 {
            return Ok(nothing(query, words.ignored));
        }
        let (lookup, snapshot) = self.read(conn, query, audience, &mut words).await?;
        let mut tally = tally(query, &words);
        let mut weights = rank::rank(query, &mut words, &lookup, &snapshot, &mut tally)?;
        let mut corrections = query.after.as_ref().map_or_else(Vec::new, |cursor| cursor.corrections.clone());
        if query.typos && query.after.is_none() && words.missing(tally.seen).next().is_some() {
            corrections = self.corrections(conn, query, audience, &words, tally.seen).await?;
            if !corrections.is_empty() {
                words = Words::with(query, &corrections)?;
                let (lookup, snapshot) = self.read(conn, query, audience, &mut words).await?;
                tally = self::tally(query, &words);
                weights = rank::rank(query, &mut words, &lookup, &snapshot, &mut tally)?;
            }
        }
        drop(snapshot);
        let ranked = Ranked { words, tally, weights, corrections, rank: started.elapsed() };
        self.results(conn, query, audience, ranked).await
    }

    /// Reads what a query needs of the index.
    async fn read(
        &self,
        conn: &mut S::Connection,
        query: &Query,
        audience: &Audience,
        words: &mut Words,
    ) -> Result<(Lookup, Snapshot)> {
        let mut lookup = Lookup::of(query, words, audience);
        let known = self.cache.as_ref().map(|cache| (cache, cache.look_up(&mut lookup.keys)));
        let mut snapshot = self.store.snapshot(conn, audience, &lookup.keys).await?;
        if let Some((cache, known)) = known {
            cache.complete(&lookup.keys, &known, &mut snapshot);
        }
        Ok((lookup, snapshot))
    }

    /// Finds what may stand for words that no document holds which the audience may see.
    async fn corrections(
        &self,
        conn: &mut S::Connection,
        query: &Query,
        audience: &Audience,
        words: &Words,
        seen: u64,
    ) -> Result<Vec<Correction>> {
        let snapshot = self.store.snapshot(conn, audience, &[]).await?; // with all terms of the log
        let namespaces = snapshot.segments.iter().map(|segment| segment.namespaces);
        let vocabulary = Vocabulary::of(namespaces, &snapshot.log);
        let candidates = typo::candidates(&self.store, conn, words, seen, &vocabulary).await?;
        if candidates.is_empty() {
            return Ok(candidates);
        }
        let any = query.clone().mode(MatchMode::Any);
        let mut words = Words::with(&any, &candidates)?;
        let (lookup, snapshot) = self.read(conn, &any, audience, &mut words).await?;
        let mut tally = Tally::counting_slots(&any);
        rank::rank(&any, &mut words, &lookup, &snapshot, &mut tally)?;
        let slots = tally.into_slots();
        let matches: Vec<u64> = words.corrected().map(|slot| slots[slot].matches).collect();
        Ok(typo::choose(candidates.into_iter().zip(matches).collect()))
    }

    /// Completes the last word of a text that is being typed: up to `limit` texts, those that find most first.
    ///
    /// Only words are suggested that stand in documents `audience` may see, together with the words before. Nothing is suggested
    /// after a space, nor in scripts that are written without them.
    ///
    /// # Errors
    ///
    /// Those of [`Search::search`].
    #[tracing::instrument(level = "debug", name = "search.suggest", skip_all)]
    pub async fn suggest(
        &self,
        conn: &mut S::Connection,
        text: &str,
        audience: &Audience,
        limit: usize,
    ) -> Result<Vec<String>> {
        if text.len() > MAX_QUERY {
            return Err(Error::QueryTooLong { bytes: text.len(), limit: MAX_QUERY });
        }
        let Some(prefix) = suggest::Prefix::of(text) else { return Ok(Vec::new()) };
        let query = Query::text(text).mode(MatchMode::All).typos(false);
        let words = Words::of(&query)?;
        let Some(place) = words.place(&prefix.word) else { return Ok(Vec::new()) };
        let snapshot = self.store.snapshot(conn, audience, &[]).await?; // with all terms of the log
        let namespaces = snapshot.segments.iter().map(|segment| segment.namespaces);
        let vocabulary = Vocabulary::of(namespaces, &snapshot.log);
        let room = words::MAX_SLOTS - words.slots();
        let candidates = prefix.candidates(&self.store, conn, place, &vocabulary, room).await?;
        drop(snapshot);
        let mut words = Words::with(&query, &candidates)?;
        let (lookup, snapshot) = self.read(conn, &query, audience, &mut words).await?;
        let mut tally = Tally::counting_slots(&query);
        rank::rank(&query, &mut words, &lookup, &snapshot, &mut tally)?;
        drop(snapshot);
        let slots = tally.into_slots();
        let found = words
            .corrected()
            .zip(candidates)
            .filter_map(|(slot, one)| Some((slots[slot].matches, one, slots[slot].best?)));
        let mut found: Vec<_> = found.collect();
        found.sort_by(|(a, x, _), (b, y, _)| b.cmp(a).then_with(|| x.cmp(y)));
        // Some may turn out to be another form of the word than what is being typed.
        found.truncate(2 * limit);
        let ids: Vec<_> = found.iter().map(|(_, _, best)| best.doc_id).collect();
        let mut documents: BTreeMap<_, _> = self.store.documents(conn, audience, &ids).await?.into_iter().collect();
        documents.retain(|_, document| audience.sees(&document.audience));
        let mut suggestions = Vec::new();
        for (_, candidate, best) in found {
            let document = documents.get(&best.doc_id).filter(|document| document.language == candidate.language);
            let word = document.and_then(|document| document.word_of(&candidate.term, |word| prefix.begins(word)));
            let suggestion = word.map(|word| prefix.complete(text, &word));
            suggestions.extend(suggestion.filter(|one| !suggestions.contains(one)));
        }
        suggestions.truncate(limit);
        Ok(suggestions)
    }

    /// Says how a document meets a query, and what each word adds to its score; `None` if there is no such document or `audience` may
    /// not see it.
    ///
    /// It shows what the query ranks by, never how often a word occurs.
    ///
    /// # Errors
    ///
    /// Those of [`Search::search`].
    #[tracing::instrument(level = "debug", name = "search.explain", skip_all, fields(%surface))]
    pub async fn explain(
        &self,
        conn: &mut S::Connection,
        query: &Query,
        audience: &Audience,
        surface: &Surface,
        entity_id: &EntityId,
    ) -> Result<Option<Explanation>> {
        let found = self.store.find(conn, audience, surface, entity_id).await?;
        let Some(document) = found.filter(|document| audience.sees(&document.audience)) else { return Ok(None) };
        let results = self.search(conn, &query.clone().limit(1), audience).await?;
        let corrections = results.corrections;
        let mut words = Words::with(query, &corrections)?;
        let (lookup, snapshot) = self.read(conn, query, audience, &mut words).await?;
        let mut tally = tally(query, &words);
        let weights = rank::rank(query, &mut words, &lookup, &snapshot, &mut tally)?;
        let (terms, _) = Terms::of(&document.title, &document.body, document.language);
        let terms = TermsRef::parse(terms.as_bytes())?;
        let mut found = Vec::new();
        words.find(terms, &mut found)?;
        let scorer = weights.scorer(query.title_weight);
        let verdict = words.criteria().judge(words::held(&found));
        let parts = (0..words.len()).map(|slot| Part {
            word: words.word_of(slot).to_owned(),
            term: words.slot(slot).to_owned(),
            weight: weights.words[slot],
            in_title: found[slot].is_in_title(),
            in_body: found[slot].is_in_body(),
            score: if found[slot].is_absent() { 0.0 } else { scorer.part(slot, found[slot], terms.length) },
        });
        let day = document.recency.map_or(0, recency::day);
        let boost = query.boost().map_or(1.0, |boost| boost.of(day));
        Ok(Some(Explanation {
            boost,
            is_match: verdict.matches(results.mode)
                && query.allows(surface)
                && words.phrases_hold([&document.title, &document.body], document.language),
            score: boost * scorer.score(&found[..words.len()], terms.length),
            parts: parts.collect(),
        }))
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
            let terms = terms.dated(document.recency);
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
        let mut statistics = Statistics { holding, ..rank::statistics(totals.into_iter(), 0) };
        words.even_out(&mut statistics.holding);
        let weights = Weights::of(&statistics, words.factors());
        let weights = query.after.as_ref().map_or(weights, |cursor| cursor.weights.clone());
        let mut tally = tally(query, &words);
        fresh.offer(&words, &weights.scorer(query.title_weight), query.boost().as_ref(), &mut tally);
        let corrections = query.after.as_ref().map_or_else(Vec::new, |cursor| cursor.corrections.clone());
        let ranked = Ranked { words, tally, weights, corrections, rank: Duration::ZERO };
        self.results(conn, query, audience, ranked).await
    }

    /// Fetches the documents of a page.
    async fn results(
        &self,
        conn: &mut S::Connection,
        query: &Query,
        audience: &Audience,
        ranked: Ranked<'_>,
    ) -> Result<Results> {
        let started = Instant::now();
        let Ranked { mut words, tally, weights, corrections, rank } = ranked;
        let mode = tally.mode();
        let (mut total, mut counts) = (tally.total(mode), tally.counts(mode));
        let is_late = tally.is_partial;
        let (page, mut has_more) = tally.page(mode);
        let has_phrases = words.has_phrases();
        let mut hits: Vec<Hit> = Vec::with_capacity(page.len().min(query.limit));
        let (mut examined, mut read) = (0, 0);
        let mut corrected: Vec<Option<String>> = vec![None; corrections.len()];
        'page: for positions in page.chunks(if has_phrases { FETCHED } else { query.limit }) {
            let ids: Vec<_> = positions.iter().map(|position| position.doc_id).collect();
            let mut documents: BTreeMap<_, _> = self.store.documents(conn, audience, &ids).await?.into_iter().collect();
            for position in positions {
                if hits.len() == query.limit || has_phrases && read > READ {
                    break 'page;
                }
                examined += 1;
                if let Some(document) = documents.remove(&position.doc_id) {
                    read += document.title.len() + document.body.len();
                    for (correction, word) in corrections.iter().zip(&mut corrected) {
                        let is_new = word.is_none() && correction.language == document.language;
                        *word = word.take().or_else(|| document.word_of(&correction.term, |_| true).filter(|_| is_new));
                    }
                    hits.extend(hit(document, position.score, query, mode, &mut words, page.len().min(query.limit))?);
                }
            }
        }
        has_more |= examined < page.len();
        if has_phrases && !has_more && query.after.is_none() {
            total = hits.len() as u64;
            counts.retain(|surface, _| !query.allows(surface));
            for hit in &hits {
                *counts.entry(hit.surface.clone()).or_default() += 1;
            }
        }
        let did_you_mean = typo::corrected(&query.text, &words, corrections.iter().zip(&corrected));
        // After a ranking that was cut short nobody knows what comes next.
        let last = examined.checked_sub(1).map(|at| page[at]).filter(|_| has_more && !is_late);
        let fingerprint = query.fingerprint();
        let today = query.after.as_ref().map_or_else(|| recency::day(Utc::now()), |cursor| cursor.today);
        let mut next = last.map(|last| {
            let corrections = corrections.clone();
            Cursor { fingerprint, mode, corrections, weights, today, last, seal: None }
        });
        if let (Some(key), Some(cursor)) = (&self.key, &mut next) {
            key.seal(cursor);
        }
        let is_short = hits.len() < query.limit;
        let timings = Timings { rank, fetch: started.elapsed() };
        Ok(Results {
            hits,
            total,
            counts,
            next,
            mode,
            ignored_words: words.ignored,
            did_you_mean,
            is_partial: is_late || has_phrases && has_more && is_short,
            timings,
            corrections,
        })
    }
}

/// What a query came to before documents are fetched.
struct Ranked<'a> {
    words: Words,
    tally: Tally<'a>,
    weights: Weights,
    corrections: Vec<Correction>,
    rank: Duration,
}

/// Answers a query without a single word.
fn nothing(query: &Query, ignored_words: usize) -> Results {
    let mode = if query.mode == MatchMode::All { MatchMode::All } else { MatchMode::Any };
    Results { mode, ignored_words, ..Results::default() }
}

fn tally<'a>(query: &'a Query, words: &Words) -> Tally<'a> {
    Tally::new(query, if words.has_phrases() { CANDIDATES.max(query.limit) } else { query.limit })
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
    if !words.phrases_hold([&document.title, &document.body], document.language) {
        return Ok(None);
    }
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
    Ok(words.criteria().judge(words::held(&found)).matches(mode))
}
