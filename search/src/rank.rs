//! The ranking of a snapshot: documents in segments by their postings, documents of the log by their terms, both with the same
//! numbers in the same order, so that nobody can tell which was where.

pub(crate) mod recency;
pub(crate) mod tally;

use std::collections::HashMap;

use crate::audience::Audience;
use crate::bm25::{Frequency, Length, Scorer, Statistics, Weights};
use crate::error::{Error, Result};
use crate::query::Query;
use crate::query::words::{Criteria, MAX_SLOTS, Words};
use crate::rank::recency::{Boost, Day};
use crate::rank::tally::{Fresh, Tally};
use crate::segment::Key;
use crate::segment::head::Head;
use crate::segment::page;
use crate::segment::set::{self, Set};
use crate::store::{DocId, LogRow, SegmentRow, Snapshot, Totals};
use crate::terms::TermsRef;

/// So many documents are scored at a time, in words of a bitmap: few enough that what is known of them stays in the nearest cache.
const WINDOW: usize = 64;

/// What a query looks up in segments.
pub(crate) struct Lookup {
    pub(crate) keys: Vec<Key>,
    /// For each key what it is looked up for.
    roles: Vec<Role>,
    /// Whether the audience sees everything, and whether it looks everywhere.
    is_everything: bool,
    is_everywhere: bool,
}

#[derive(Clone, Copy, Debug)]
enum Role {
    /// The slots of the query that the term stands for.
    Words(u64),
    Days,
    Audience,
    Within,
}

impl Lookup {
    pub(crate) fn of(query: &Query, words: &mut Words, audience: &Audience) -> Self {
        let words = words.keys().into_iter().map(|(key, slots)| (key, Role::Words(slots)));
        let days = query.half_life.map(|_| (Key::of_days(), Role::Days));
        let tags = audience.as_tags().into_iter().flatten().map(|tag| (Key::of_tag(tag), Role::Audience));
        let within = audience.as_within().into_iter().flatten().map(|tag| (Key::of_tag(tag), Role::Within));
        let (keys, roles) = words.chain(days).chain(tags).chain(within).unzip();
        let (is_everything, is_everywhere) = (audience.as_tags().is_none(), audience.as_within().is_none());
        Self { keys, roles, is_everything, is_everywhere }
    }
}

/// Ranks a snapshot; returns what it ranked by.
pub(crate) fn rank(
    query: &Query,
    words: &mut Words,
    lookup: &Lookup,
    snapshot: &Snapshot,
    tally: &mut Tally<'_>,
) -> Result<Weights> {
    let changes = latest(&snapshot.log);
    let added = snapshot.segments.iter().map(|segment| segment.added).chain(snapshot.log.iter().map(|row| row.added));
    let mut statistics = statistics(added, words.len());
    let mut fresh = Fresh::default();
    for (&doc_id, change) in &changes {
        if let (Some(surface), Some(terms)) = (change.surface, change.terms) {
            let terms = TermsRef::parse(terms)?;
            fresh.add((doc_id, surface, change.is_visible), terms, words, &mut statistics.holding)?;
        }
    }
    let segments = snapshot.segments.iter().map(|segment| Reader::of(segment, lookup, &changes));
    let segments: Vec<Reader<'_>> = segments.collect::<Result<_>>()?;
    for segment in &segments {
        segment.count(&mut statistics.holding);
    }
    words.even_out(&mut statistics.holding);
    let weights = match &query.after {
        Some(cursor) => cursor.weights.clone(),
        None => Weights::of(&statistics, words.factors()),
    };
    let scorer = weights.scorer(query.title_weight);
    let boost = query.boost();
    fresh.offer(words, &scorer, boost.as_ref(), tally);
    for segment in &segments {
        segment.offer(words.len(), words.criteria(), &scorer, boost.as_ref(), tally);
    }
    Ok(weights)
}

/// Sums up what was added; the numbers of documents that hold a word are still to be counted.
pub(crate) fn statistics(added: impl Iterator<Item = Totals>, words: usize) -> Statistics {
    let sum = added.fold(Totals::default(), |sum, added| Totals {
        documents: sum.documents + added.documents,
        words: sum.words + added.words,
    });
    let [documents, words_of_all] = [sum.documents, sum.words].map(|sum| u64::try_from(sum).unwrap_or_default());
    Statistics { documents, words: words_of_all, holding: vec![0; words] }
}

/// A document whose state is not, or not only, in the segments.
struct Changed<'a> {
    number: i64,
    terms_number: i64,
    /// Its terms, if they are not those of a segment.
    terms: Option<&'a [u8]>,
    /// Its surface, if it still exists.
    surface: Option<&'a str>,
    is_visible: bool,
}

/// What the log says of each document: its latest state, and its latest terms, which may be older.
fn latest(log: &[LogRow]) -> HashMap<DocId, Changed<'_>> {
    let mut changes = HashMap::with_capacity(log.len());
    for row in log {
        let change = changes.entry(row.doc_id).or_insert(Changed {
            number: 0,
            terms_number: 0,
            terms: None,
            surface: None,
            is_visible: false,
        });
        if row.number > change.number {
            change.number = row.number;
            change.surface = row.surface.as_deref();
            change.is_visible = row.is_visible;
        }
        if row.terms.is_some() && row.number > change.terms_number {
            change.terms_number = row.number;
            change.terms = row.terms.as_deref();
        }
    }
    changes
}

/// A segment, opened for one query.
struct Reader<'a> {
    head: Head,
    /// The documents that a later state has outdated.
    outdated: Vec<u64>,
    /// The others that the audience may see.
    visible: Vec<u64>,
    /// The days of its documents, if they are asked for.
    days: Vec<Day>,
    lists: Vec<List<'a>>,
}

/// The documents that hold a term.
struct List<'a> {
    /// The slots of the query that the term stands for.
    words: u64,
    documents: Documents,
    /// For each document the frequency and the length.
    payload: &'a [[u8; 2]],
}

enum Documents {
    Sparse(Vec<u32>),
    /// A bitmap, and how many there are before each window.
    Dense(Vec<u64>, Vec<usize>),
}

impl<'a> Reader<'a> {
    fn of(segment: &'a SegmentRow, lookup: &Lookup, changes: &HashMap<DocId, Changed<'_>>) -> Result<Self> {
        let head = Head::parse(&segment.head)?;
        let documents = head.documents;
        let mut outdated = vec![0; set::words(documents)];
        Set::parse(&segment.dead, documents)?.add_to(&mut outdated)?;
        let mut visible = vec![0; set::words(documents)];
        let mut within = Vec::new();
        let mut days = Vec::new();
        let mut lists = Vec::new();
        for (place, block) in &segment.pages {
            let Some(key) = lookup.keys.get(*place) else { continue };
            let Some(value) = page::find(block, &key.bytes)? else { continue };
            match lookup.roles[*place] {
                Role::Words(words) => lists.push(List::of(words, value, documents)?),
                Role::Days => days = days_of(value, documents)?,
                Role::Audience => Set::parse(value, documents)?.add_to(&mut visible)?,
                Role::Within => {
                    within.resize(set::words(documents), 0);
                    Set::parse(value, documents)?.add_to(&mut within)?;
                }
            }
        }
        if lookup.is_everything {
            set::add_range(&mut visible, 0, documents);
        }
        if !lookup.is_everywhere {
            let within = within.into_iter().chain(std::iter::repeat(0));
            visible.iter_mut().zip(within).for_each(|(visible, within)| *visible &= within);
        }
        for (&doc_id, change) in changes {
            if let Some(document) = head.document(doc_id) {
                if change.surface.is_none() || change.terms.is_some() {
                    set::add(&mut outdated, document);
                } else if change.is_visible {
                    set::add(&mut visible, document);
                } else {
                    set::remove(&mut visible, document);
                }
            }
        }
        for (visible, outdated) in visible.iter_mut().zip(&outdated) {
            *visible &= !outdated;
        }
        Ok(Self { head, outdated, visible, days, lists })
    }

    /// Counts the documents that hold each word of the query, visible or not.
    fn count(&self, holding: &mut [u64]) {
        for list in &self.lists {
            let outdated = match &list.documents {
                Documents::Sparse(members) => members.iter().filter(|&&at| set::has(&self.outdated, at)).count(),
                Documents::Dense(bits, _) => bits
                    .iter()
                    .zip(&self.outdated)
                    .map(|(bits, outdated)| (bits & outdated).count_ones() as usize)
                    .sum(),
            };
            let current = (list.payload.len() - outdated) as u64;
            for (word, holding) in holding.iter_mut().enumerate() {
                if list.words >> word & 1 == 1 {
                    *holding += current;
                }
            }
        }
    }

    /// Scores what matches and is visible, a window at a time and in each the words in their order.
    fn offer(
        &self,
        asked: usize,
        criteria: &Criteria,
        scorer: &Scorer<'_>,
        boost: Option<&Boost>,
        tally: &mut Tally<'_>,
    ) {
        let surfaces: Vec<usize> = self.head.surfaces.iter().map(|surface| tally.surface(surface)).collect();
        let mut by_word: Vec<(usize, &List<'_>)> = Vec::new();
        for list in &self.lists {
            by_word.extend((0..MAX_SLOTS).filter(|word| list.words >> word & 1 == 1).map(|word| (word, list)));
        }
        by_word.sort_by_key(|(word, _)| *word);
        let mut scores = vec![0_f32; 64 * WINDOW];
        let mut held = vec![0_u64; 64 * WINDOW];
        let mut seen = 0;
        // The latest first: among equals it is the better one, and those after it are turned down at a glance.
        for (window, visible) in self.visible.chunks(WINDOW).enumerate().rev() {
            if visible.iter().all(|word| *word == 0) {
                continue;
            }
            if tally.is_late() {
                break;
            }
            let mut touched = [0; WINDOW];
            for (word, list) in &by_word {
                list.each_in(window, visible, |at, [frequency, length]| {
                    touched[at / 64] |= 1_u64 << (at % 64);
                    held[at] |= 1 << word;
                    if *word < asked {
                        scores[at] += scorer.part(*word, Frequency::from_byte(frequency), Length::from_byte(length));
                    }
                });
            }
            for (at, &touched) in touched.iter().enumerate().rev() {
                let mut rest = touched;
                while rest != 0 {
                    let bit = 63 - rest.leading_zeros() as usize;
                    rest &= !(1 << bit);
                    let at = at * 64 + bit;
                    let (score, held) = (std::mem::take(&mut scores[at]), std::mem::take(&mut held[at]));
                    #[expect(clippy::cast_possible_truncation, reason = "a document of the segment")]
                    let document = (window * 64 * WINDOW + at) as u32;
                    let surface = surfaces[self.head.surface(document)];
                    seen |= held;
                    let day = || self.days.get(document as usize).copied().unwrap_or_default();
                    let score = boost.map_or(score, |boost| score * boost.of(day()));
                    tally.offer(surface, held, criteria.judge(held), score, || self.head.id(document));
                }
            }
        }
        tally.seen |= seen;
    }
}

/// Reads the days of a segment's documents.
fn days_of(value: &[u8], documents: u32) -> Result<Vec<Day>> {
    let (set, payload) = Set::with_payload::<2>(value, documents)?;
    let mut members = Vec::new();
    set.members(&mut members)?;
    let mut days = vec![0; documents as usize];
    for (member, day) in members.into_iter().zip(payload) {
        days[member as usize] = Day::from_le_bytes(*day);
    }
    Ok(days)
}

impl<'a> List<'a> {
    fn of(words: u64, value: &'a [u8], documents: u32) -> Result<Self> {
        let (set, payload) = Set::with_payload::<2>(value, documents)?;
        let documents = if set.is_dense() {
            let mut bits = vec![0; set::words(documents)];
            set.add_to(&mut bits)?;
            let mut before = 0;
            let counts = bits.chunks(WINDOW).map(|window| {
                let start = before;
                before += window.iter().map(|word| word.count_ones() as usize).sum::<usize>();
                start
            });
            let counts = counts.collect();
            Documents::Dense(bits, counts)
        } else {
            let mut members = Vec::new();
            set.members(&mut members)?;
            Documents::Sparse(members)
        };
        if payload.len() == set.len() as usize {
            Ok(Self { words, documents, payload })
        } else {
            Err(Error::Corrupt { what: "segment" })
        }
    }

    /// Calls `found` with the place in the window of each visible member, and what is attached to it.
    #[inline]
    fn each_in(&self, window: usize, visible: &[u64], mut found: impl FnMut(usize, [u8; 2])) {
        match &self.documents {
            Documents::Sparse(members) => {
                let start = window * 64 * WINDOW;
                let first = members.partition_point(|&member| (member as usize) < start);
                for (&member, &payload) in members[first..].iter().zip(&self.payload[first..]) {
                    let at = member as usize - start;
                    let Some(visible) = visible.get(at / 64) else { break };
                    if visible >> (at % 64) & 1 == 1 {
                        found(at, payload);
                    }
                }
            }
            Documents::Dense(bits, before) => {
                let mut rank = before[window];
                for (at, (&bits, &visible)) in bits[window * WINDOW..].iter().zip(visible).enumerate() {
                    let mut rest = bits & visible;
                    while rest != 0 {
                        let bit = rest.trailing_zeros();
                        let place = rank + (bits & ((1 << bit) - 1)).count_ones() as usize;
                        found(at * 64 + bit as usize, self.payload[place]);
                        rest &= rest - 1;
                    }
                    rank += bits.count_ones() as usize;
                }
            }
        }
    }
}
