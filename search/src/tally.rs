//! What a query finds: the best hits of a page, and how many there are besides.

use std::collections::{BTreeMap, BinaryHeap};

use crate::bm25::{Frequency, Length, Scorer};
use crate::cursor::Position;
use crate::error::{Result, corrupt};
use crate::id::Surface;
use crate::query::{MatchMode, Query, Verdict, Words};
use crate::store::DocId;
use crate::terms::TermsRef;

/// Counts visible matches and keeps the best of them.
pub(crate) struct Tally<'a> {
    query: &'a Query,
    /// The mode of the first page, if this is a later one.
    mode: Option<MatchMode>,
    after: Option<Position>,
    surfaces: Vec<Surface>,
    is_allowed: Vec<bool>,
    /// For each surface, how many hold all words and how many only some.
    counts: Vec<[u64; 2]>,
    /// The best that hold all words, and the best of all. One more than fits the page: whether there is one decides
    /// whether there is a next page.
    complete: BinaryHeap<Position>,
    partial: BinaryHeap<Position>,
}

impl<'a> Tally<'a> {
    pub(crate) fn new(query: &'a Query, mode: Option<MatchMode>, after: Option<Position>) -> Self {
        Self {
            query,
            mode,
            after,
            surfaces: Vec::new(),
            is_allowed: Vec::new(),
            counts: Vec::new(),
            complete: BinaryHeap::new(),
            partial: BinaryHeap::new(),
        }
    }

    /// Returns the index of a surface.
    pub(crate) fn surface(&mut self, surface: &Surface) -> usize {
        if let Some(at) = self.surfaces.iter().position(|other| other == surface) {
            return at;
        }
        self.surfaces.push(surface.clone());
        self.is_allowed.push(self.query.allows(surface));
        self.counts.push([0; 2]);
        self.surfaces.len() - 1
    }

    /// Counts a visible document and keeps it if it is among the best; its id is asked for only then.
    #[inline]
    pub(crate) fn offer(&mut self, surface: usize, verdict: Verdict, score: f32, doc_id: impl FnOnce() -> DocId) {
        match verdict {
            Verdict::NoMatch => return,
            Verdict::AllWords => self.counts[surface][0] += 1,
            Verdict::SomeWords => self.counts[surface][1] += 1,
        }
        if !self.is_allowed[surface] {
            return;
        }
        let wants_complete = verdict == Verdict::AllWords
            && self.may_be(MatchMode::All)
            && is_candidate(&self.complete, self.query.limit, score);
        let wants_partial = self.may_be(MatchMode::Any) && is_candidate(&self.partial, self.query.limit, score);
        if wants_complete || wants_partial {
            let position = Position { score, doc_id: doc_id() };
            if self.after.is_none_or(|after| position > after) {
                if wants_complete {
                    keep(&mut self.complete, self.query.limit, position);
                }
                if wants_partial {
                    keep(&mut self.partial, self.query.limit, position);
                }
            }
        }
    }

    fn may_be(&self, mode: MatchMode) -> bool {
        let decided = self.mode.unwrap_or(self.query.mode);
        decided == mode || decided == MatchMode::Auto
    }

    /// Returns the mode, decided here if this is the query's first page.
    pub(crate) fn mode(&self) -> MatchMode {
        match self.mode.unwrap_or(self.query.mode) {
            MatchMode::Auto if self.total(MatchMode::All) >= self.query.limit as u64 => MatchMode::All,
            MatchMode::Auto => MatchMode::Any,
            mode => mode,
        }
    }

    /// How many match on the surfaces asked for.
    pub(crate) fn total(&self, mode: MatchMode) -> u64 {
        let counts = self.counts.iter().zip(&self.is_allowed);
        counts.filter(|(_, is_allowed)| **is_allowed).map(|(counts, _)| count(*counts, mode)).sum()
    }

    /// How many match on every surface that has any.
    pub(crate) fn counts(&self, mode: MatchMode) -> BTreeMap<Surface, u64> {
        let counts = self.surfaces.iter().zip(&self.counts).map(|(surface, counts)| (surface, count(*counts, mode)));
        counts.filter(|(_, count)| *count > 0).map(|(surface, count)| (surface.clone(), count)).collect()
    }

    /// Returns the best positions in order, and whether there are more than fit the page.
    pub(crate) fn page(self, mode: MatchMode) -> (Vec<Position>, bool) {
        let best = if mode == MatchMode::All { self.complete } else { self.partial };
        let mut page = best.into_sorted_vec();
        let has_more = page.len() > self.query.limit;
        page.truncate(self.query.limit);
        (page, has_more)
    }
}

fn count([complete, partial]: [u64; 2], mode: MatchMode) -> u64 {
    if mode == MatchMode::All { complete } else { complete + partial }
}

/// Answers whether a document with this score may be among the best.
fn is_candidate(best: &BinaryHeap<Position>, limit: usize, score: f32) -> bool {
    best.len() <= limit || best.peek().is_some_and(|worst| score >= worst.score)
}

fn keep(best: &mut BinaryHeap<Position>, limit: usize, position: Position) {
    best.push(position);
    if best.len() > limit + 1 {
        best.pop();
    }
}

/// Visible matches whose terms were read one by one, before the weights of the words are known.
#[derive(Default)]
pub(crate) struct Fresh {
    matches: Vec<Match>,
    /// For each match, the frequency of each word asked for.
    frequencies: Vec<Frequency>,
    found: Vec<Frequency>,
}

struct Match {
    doc_id: DocId,
    surface: Surface,
    length: Length,
    verdict: Verdict,
}

impl Fresh {
    /// Counts the words of a document, and keeps it if it matches and is visible.
    pub(crate) fn add(
        &mut self,
        (doc_id, surface, is_visible): (DocId, &str, bool),
        terms: TermsRef<'_>,
        words: &mut Words,
        holding: &mut [u64],
    ) -> Result<()> {
        words.find(terms, &mut self.found)?;
        let asked = &self.found[..words.len()];
        for (holding, frequency) in holding.iter_mut().zip(asked) {
            *holding += u64::from(!frequency.is_absent());
        }
        let verdict = words.judge(&self.found);
        if is_visible && verdict != Verdict::NoMatch {
            let surface = corrupt("surface", Surface::new(surface))?;
            self.frequencies.extend(asked);
            self.matches.push(Match { doc_id, surface, length: terms.length, verdict });
        }
        Ok(())
    }

    /// Scores the matches.
    pub(crate) fn offer(&self, words: &Words, scorer: &Scorer<'_>, tally: &mut Tally<'_>) {
        for (at, found) in self.matches.iter().enumerate() {
            let frequencies = &self.frequencies[at * words.len()..(at + 1) * words.len()];
            let surface = tally.surface(&found.surface);
            tally.offer(surface, found.verdict, scorer.score(frequencies, found.length), || found.doc_id);
        }
    }
}
