//! What a query finds: the best hits of a page, and how many there are besides.

use std::collections::{BTreeMap, BinaryHeap};
use std::time::Instant;

use crate::bm25::{Frequency, Length, Scorer};
use crate::cursor::Position;
use crate::error::{Result, corrupt};
use crate::id::Surface;
use crate::query::words::{self, MAX_SLOTS, Verdict, Words};
use crate::query::{MatchMode, Query};
use crate::rank::recency::{Boost, Day};
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
    /// How many are kept.
    room: usize,
    /// The slots that a visible document holds.
    pub(crate) seen: u64,
    slots: Option<Vec<Slot>>,
    deadline: Option<Instant>,
    pub(crate) is_partial: bool,
}

/// The matches that hold a slot.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slot {
    pub(crate) matches: u64,
    pub(crate) best: Option<Position>,
}

impl<'a> Tally<'a> {
    pub(crate) fn new(query: &'a Query, room: usize) -> Self {
        let (mode, after) = query.after.as_ref().map(|cursor| (cursor.mode, cursor.last)).unzip();
        Self {
            query,
            room,
            seen: 0,
            slots: None,
            deadline: query.time_limit.and_then(|limit| Instant::now().checked_add(limit)),
            is_partial: false,
            mode,
            after,
            surfaces: Vec::new(),
            is_allowed: Vec::new(),
            counts: Vec::new(),
            complete: BinaryHeap::new(),
            partial: BinaryHeap::new(),
        }
    }

    /// Counts the matches that hold each slot, too.
    pub(crate) fn counting_slots(query: &'a Query) -> Self {
        Self { slots: Some(vec![Slot::default(); MAX_SLOTS]), ..Self::new(query, 1) }
    }

    pub(crate) fn into_slots(self) -> Vec<Slot> {
        self.slots.unwrap_or_default()
    }

    /// Answers whether the time is over, and remembers it.
    pub(crate) fn is_late(&mut self) -> bool {
        self.is_partial |= self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        self.is_partial
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
    pub(crate) fn offer(
        &mut self,
        surface: usize,
        held: u64,
        verdict: Verdict,
        score: f32,
        doc_id: impl FnOnce() -> DocId,
    ) {
        match verdict {
            Verdict::NoMatch => return,
            Verdict::AllWords => self.counts[surface][0] += 1,
            Verdict::SomeWords => self.counts[surface][1] += 1,
        }
        if !self.is_allowed[surface] {
            return;
        }
        if let Some(slots) = &mut self.slots {
            if verdict.matches(self.query.mode) {
                let position = Position { score, doc_id: doc_id() };
                for slot in slots.iter_mut().enumerate().filter(|(at, _)| held >> at & 1 == 1).map(|(_, slot)| slot) {
                    slot.matches += 1;
                    slot.best = Some(slot.best.map_or(position, |best| best.min(position)));
                }
            }
            return;
        }
        let wants_complete = verdict == Verdict::AllWords
            && self.may_be(MatchMode::All)
            && is_candidate(&self.complete, self.room, score);
        let wants_partial = self.may_be(MatchMode::Any) && is_candidate(&self.partial, self.room, score);
        if wants_complete || wants_partial {
            let position = Position { score, doc_id: doc_id() };
            if self.after.is_none_or(|after| position > after) {
                if wants_complete {
                    keep(&mut self.complete, self.room, position);
                }
                if wants_partial {
                    keep(&mut self.partial, self.room, position);
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
        let has_more = page.len() > self.room;
        page.truncate(self.room);
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
    seen: u64,
}

struct Match {
    doc_id: DocId,
    surface: Surface,
    length: Length,
    day: Day,
    held: u64,
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
        let held = words::held(&self.found);
        let verdict = words.criteria().judge(held);
        self.seen |= if is_visible { held } else { 0 };
        if is_visible && verdict != Verdict::NoMatch {
            let surface = corrupt("surface", Surface::new(surface))?;
            self.frequencies.extend(asked);
            self.matches.push(Match { doc_id, surface, length: terms.length, day: terms.day, held, verdict });
        }
        Ok(())
    }

    /// Scores the matches.
    pub(crate) fn offer(&self, words: &Words, scorer: &Scorer<'_>, boost: Option<&Boost>, tally: &mut Tally<'_>) {
        tally.seen |= self.seen;
        for (at, found) in self.matches.iter().enumerate() {
            let frequencies = &self.frequencies[at * words.len()..(at + 1) * words.len()];
            let surface = tally.surface(&found.surface);
            let score = scorer.score(frequencies, found.length);
            let score = boost.map_or(score, |boost| score * boost.of(found.day));
            tally.offer(surface, found.held, found.verdict, score, || found.doc_id);
        }
    }
}
