//! One pass over the documents of a snapshot: what the ranking must know of all of them, and the visible ones that match.

use std::collections::BTreeMap;

use crate::bm25::{Frequency, Length, Statistics, Weights};
use crate::cursor::Position;
use crate::error::{Result, corrupt};
use crate::id::Surface;
use crate::query::{MatchMode, Query, Verdict, Words};
use crate::store::{DocId, Scanned};
use crate::terms::TermsRef;

/// See the module.
pub(crate) struct Tally<'a> {
    query: &'a Query,
    words: &'a mut Words,
    statistics: Statistics,
    matches: Vec<Match>,
    /// For each match, the frequency of each word asked for.
    frequencies: Vec<Frequency>,
    surfaces: Vec<Surface>,
    found: Vec<Frequency>,
}

/// A visible document that holds at least one word.
struct Match {
    doc_id: DocId,
    /// An index of `surfaces`.
    surface: usize,
    length: Length,
    verdict: Verdict,
}

impl<'a> Tally<'a> {
    pub(crate) fn new(query: &'a Query, words: &'a mut Words) -> Self {
        let statistics = Statistics { holding: vec![0; words.len()], ..Statistics::default() };
        Self {
            query,
            words,
            statistics,
            matches: Vec::new(),
            frequencies: Vec::new(),
            surfaces: Vec::new(),
            found: Vec::new(),
        }
    }

    /// Counts a document, and keeps it if it matches and is visible.
    pub(crate) fn add(&mut self, scanned: Scanned<'_>) -> Result<()> {
        let terms = TermsRef::parse(scanned.terms)?;
        self.statistics.documents += 1;
        self.statistics.words += u64::from(terms.length.words());
        self.words.find(terms, &mut self.found)?;
        let asked = &self.found[..self.words.len()];
        for (holding, frequency) in self.statistics.holding.iter_mut().zip(asked) {
            *holding += u64::from(!frequency.is_absent());
        }
        let verdict = self.words.judge(&self.found);
        if scanned.is_visible && verdict != Verdict::NoMatch {
            self.frequencies.extend(asked);
            let surface = self.surface(scanned.surface)?;
            self.matches.push(Match { doc_id: scanned.doc_id, surface, length: terms.length, verdict });
        }
        Ok(())
    }

    fn surface(&mut self, name: &str) -> Result<usize> {
        if let Some(at) = self.surfaces.iter().position(|surface| surface.as_str() == name) {
            return Ok(at);
        }
        self.surfaces.push(corrupt("surface", Surface::new(name))?);
        Ok(self.surfaces.len() - 1)
    }

    /// Returns what the query ranks by if this is its first page.
    pub(crate) fn weights(&self) -> Weights {
        Weights::of(&self.statistics, self.words.repeats())
    }

    /// Decides the mode if this is the query's first page.
    pub(crate) fn mode(&self) -> MatchMode {
        match self.query.mode {
            MatchMode::Auto if self.selected(MatchMode::All).count() >= self.query.limit => MatchMode::All,
            MatchMode::Auto => MatchMode::Any,
            mode => mode,
        }
    }

    pub(crate) fn total(&self, mode: MatchMode) -> u64 {
        self.selected(mode).count() as u64
    }

    pub(crate) fn counts(&self, mode: MatchMode) -> BTreeMap<Surface, u64> {
        let mut counts = vec![0; self.surfaces.len()];
        for found in self.matches.iter().filter(|found| found.verdict.matches(mode)) {
            counts[found.surface] += 1;
        }
        self.surfaces.iter().cloned().zip(counts).filter(|(_, count)| *count > 0).collect()
    }

    /// Returns the best positions after `after`, in order, and whether there are more than fit the page.
    pub(crate) fn page(&self, mode: MatchMode, weights: &Weights, after: Option<Position>) -> (Vec<Position>, bool) {
        let scorer = weights.scorer(self.query.title_weight);
        let width = self.words.len();
        let position = |(at, found): (usize, &Match)| {
            let frequencies = &self.frequencies[at * width..(at + 1) * width];
            Position { score: scorer.score(frequencies, found.length), doc_id: found.doc_id }
        };
        let is_ahead = |position: &Position| after.is_none_or(|after| *position > after);
        let mut page: Vec<Position> = self.selected(mode).map(position).filter(is_ahead).collect();
        let has_more = page.len() > self.query.limit;
        if has_more {
            page.select_nth_unstable(self.query.limit);
            page.truncate(self.query.limit);
        }
        page.sort_unstable();
        (page, has_more)
    }

    /// The matches on the surfaces asked for, with their index.
    fn selected(&self, mode: MatchMode) -> impl Iterator<Item = (usize, &Match)> {
        let allowed: Vec<bool> = self.surfaces.iter().map(|surface| self.query.allows(surface)).collect();
        self.matches.iter().enumerate().filter(move |(_, found)| found.verdict.matches(mode) && allowed[found.surface])
    }
}
