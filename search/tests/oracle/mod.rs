//! BM25F by the book: every document, every word, `f64`, and no code shared with the engine.

use std::collections::{BTreeMap, BTreeSet};

use stoa_search::MatchMode;

use crate::{IDS, Question, SURFACES, TAGS, Text};

#[derive(Default)]
pub(crate) struct Oracle {
    /// By order of first indexing.
    documents: BTreeMap<u64, Text>,
    last: u64,
}

/// What a search must answer.
pub(crate) struct Answer {
    /// The score and the place among equals of every hit on all pages, by surface and id.
    pub(crate) hits: BTreeMap<(String, String), (f64, u64)>,
    pub(crate) counts: Vec<(String, u64)>,
}

impl Oracle {
    pub(crate) fn upsert(&mut self, text: &Text) {
        let known = self.documents.iter().find(|(_, other)| (other.surface, other.id) == (text.surface, text.id));
        let place = known.map_or(self.last + 1, |(place, _)| *place);
        self.last = self.last.max(place);
        self.documents.insert(place, text.clone());
    }

    /// New documents get their places in the order of surface and id, as bytes; of two that are the same the later counts.
    pub(crate) fn upsert_many(&mut self, texts: &[Text]) {
        let key = |text: &Text| (SURFACES[text.surface].to_string(), IDS[text.id]);
        let distinct: BTreeMap<_, _> = texts.iter().map(|text| (key(text), text)).collect();
        for text in distinct.into_values() {
            self.upsert(text);
        }
    }

    pub(crate) fn set_audience(&mut self, surface: usize, id: usize, tags: &[usize]) {
        for text in self.documents.values_mut().filter(|text| (text.surface, text.id) == (surface, id)) {
            text.tags = tags.to_vec();
        }
    }

    pub(crate) fn remove(&mut self, surface: usize, id: usize) {
        self.documents.retain(|_, text| (text.surface, text.id) != (surface, id));
    }

    pub(crate) fn answer(&self, question: &Question) -> Answer {
        let asked: BTreeSet<usize> = question.words.iter().copied().collect();
        let held = |text: &Text| asked.iter().filter(|&&word| count(text, word) != (0, 0)).count();
        let excluded = |text: &Text| question.without.is_some_and(|word| count(text, word) != (0, 0));
        let meets = |text: &Text, tags: &Option<Vec<usize>>| match tags {
            None => true,
            Some(tags) => tags.iter().any(|&tag| text.tags.iter().any(|&other| TAGS[tag] == TAGS[other])),
        };
        let visible = |text: &Text| meets(text, &question.audience) && meets(text, &question.within);
        let selected = |text: &Text| question.surfaces.is_empty() || question.surfaces.contains(&text.surface);
        let candidates: Vec<_> =
            self.documents.iter().filter(|(_, text)| visible(text) && !excluded(text) && held(text) > 0).collect();
        let complete = candidates.iter().filter(|(_, text)| selected(text) && held(text) == asked.len()).count();
        let wants_all = match question.mode {
            MatchMode::All => true,
            MatchMode::Any => false,
            MatchMode::Auto => complete >= question.limit,
        };
        let matching = candidates.into_iter().filter(|(_, text)| !wants_all || held(text) == asked.len());
        let matching: Vec<_> = matching.collect();
        let mut counts = BTreeMap::new();
        for (_, text) in &matching {
            *counts.entry(SURFACES[text.surface].to_string()).or_insert(0) += 1;
        }
        let hit = |(&place, text): (&u64, &Text)| {
            ((SURFACES[text.surface].to_string(), IDS[text.id].to_owned()), (self.score(text, question, &asked), place))
        };
        let hits = matching.into_iter().filter(|(_, text)| selected(text)).map(hit).collect();
        Answer { hits, counts: counts.into_iter().collect() }
    }

    fn score(&self, text: &Text, question: &Question, asked: &BTreeSet<usize>) -> f64 {
        let (k1, b) = (1.2, 0.75);
        let documents = number(self.documents.len());
        let average = self.documents.values().map(length).sum::<f64>() / documents;
        let norm = k1 * (1.0 - b + b * length(text) / average.max(1.0));
        let mut score = 0.0;
        for &word in asked {
            let holding = number(self.documents.values().filter(|text| count(text, word) != (0, 0)).count());
            let rarity = (1.0 + (documents - holding + 0.5) / (holding + 0.5)).ln();
            let repeats = number(question.words.iter().filter(|&&other| other == word).count());
            let (title, body) = count(text, word);
            let in_body = number(round_down(body, 4).min(60));
            let frequency = f64::from(question.title_weight) * number(title.min(7)) + in_body;
            score += repeats * rarity * (k1 + 1.0) * frequency / (frequency + norm);
        }
        match question.half_life.zip(text.age) {
            Some((half_life, age)) => score * (1.0 + 0.5_f64.powf(f64::from(age) / f64::from(half_life))),
            None => score,
        }
    }
}

fn count(text: &Text, word: usize) -> (usize, usize) {
    let of = |words: &[usize]| words.iter().filter(|&&other| other == word).count();
    (of(&text.title), of(&text.body))
}

/// Lengths count to five significant bits, frequencies in the body to four.
fn length(text: &Text) -> f64 {
    number(round_down(text.title.len() + text.body.len(), 5))
}

fn round_down(count: usize, significant_bits: u32) -> usize {
    let mut step = 1;
    while count / step >= 1 << significant_bits {
        step *= 2;
    }
    count / step * step
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}
