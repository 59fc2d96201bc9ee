//! The words of a query: what is looked up, and what makes a document a match.

use std::collections::BTreeMap;

use crate::analyzer::{self, Kind};
use crate::bm25::Frequency;
use crate::error::{Error, Result};
use crate::language::Language;
use crate::query::{MAX_QUERY, MAX_WORDS, MatchMode, Query};
use crate::segment::Key;
use crate::terms::TermsRef;

/// How many things a query looks up at most: its words, and what may stand for them. Each is a bit of a `u64`.
pub(crate) const MAX_SLOTS: usize = 64;

/// How much a synonym counts of the word it stands for.
const SYNONYM: f32 = 0.8;

/// The words of a query, ready to be looked up in the terms of documents.
#[derive(Debug)]
pub(crate) struct Words {
    /// The words asked for, distinct and sorted, then what may stand for them, then the words of the exclusions.
    slots: Vec<Slot>,
    /// How many of the slots are words asked for, and how many of them are scored.
    asked: usize,
    scored: usize,
    criteria: Criteria,
    phrases: Vec<Phrase>,
    pub(crate) ignored: usize,
    /// For each language met so far, the terms to look for, sorted, with the slot of each.
    terms: BTreeMap<Language, Vec<(String, usize)>>,
}

#[derive(Debug)]
struct Slot {
    text: String,
    /// Set if the text is a term of this language already.
    language: Option<Language>,
    /// Which of the words asked for it stands for.
    word: usize,
    /// How often it was typed, or how much it counts of that.
    factor: f32,
}

/// Words that stand next to each other.
#[derive(Debug)]
struct Phrase {
    words: Vec<String>,
    is_wanted: bool,
}

/// A term that stands for a word which nobody wrote like that.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Correction {
    /// The word, by its place among those asked for.
    pub(crate) word: u8,
    /// How many edits lie between.
    pub(crate) edits: u8,
    pub(crate) language: Language,
    pub(crate) term: String,
}

impl Words {
    pub(crate) fn of(query: &Query) -> Result<Self> {
        let corrections = query.after.as_ref().map_or(&[][..], |cursor| &cursor.corrections);
        Self::with(query, corrections)
    }

    /// The words of a query with terms that stand for some of them.
    pub(crate) fn with(query: &Query, corrections: &[Correction]) -> Result<Self> {
        if query.text.len() > MAX_QUERY {
            return Err(Error::QueryTooLong { bytes: query.text.len(), limit: MAX_QUERY });
        }
        let (minus, wanted): (Vec<_>, Vec<_>) = parts(&query.text).into_iter().partition(|part| part.is_excluded);
        let (quoted, plain): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|part| part.is_quoted);
        let mut room = Room { left: MAX_WORDS, ignored: 0 };
        let mut phrases = Vec::new();
        let mut excluded = Vec::new();
        // Exclusions first: an ignored one would let in what was not wanted.
        for part in minus {
            let words = room.sequence(part.text);
            if part.is_quoted && words.len() > 1 {
                phrases.push(Phrase { words, is_wanted: false });
            } else if !words.is_empty() {
                excluded.push(words);
            }
        }
        let mut asked: BTreeMap<String, (u16, bool)> = BTreeMap::new();
        for part in quoted {
            let words = room.sequence(part.text);
            for word in &words {
                let (repeats, is_required) = asked.entry(word.clone()).or_default();
                (*repeats, *is_required) = (repeats.saturating_add(1), true);
            }
            if words.len() > 1 {
                phrases.push(Phrase { words, is_wanted: true });
            }
        }
        let plain: Vec<&str> = plain.iter().map(|part| part.text).collect();
        room.count(&plain.join(" "), &mut asked);

        let mut criteria = Criteria::default();
        let mut slots = Vec::new();
        for (word, (text, &(repeats, is_required))) in asked.iter().enumerate() {
            slots.push(Slot { text: text.clone(), language: None, word, factor: f32::from(repeats) });
            criteria.groups.push(1 << word);
            criteria.required |= u64::from(is_required) << word;
        }
        let asked = slots.len();
        let left = MAX_SLOTS.saturating_sub(asked + excluded.iter().map(Vec::len).sum::<usize>());
        let mut others = Vec::new();
        let is_free = |slot: &&Slot| criteria.required >> slot.word & 1 == 0;
        for slot in slots.iter().filter(is_free) {
            for other in query.synonyms.iter().flat_map(|synonyms| synonyms.of(&slot.text)) {
                let factor = SYNONYM * slot.factor;
                others.push(Slot { text: other.to_owned(), language: None, word: slot.word, factor });
            }
        }
        for correction in corrections {
            let slot = slots.get(usize::from(correction.word)).ok_or(Error::CursorForeign)?;
            others.push(Slot {
                text: correction.term.clone(),
                language: Some(correction.language),
                word: slot.word,
                factor: slot.factor / f32::from(1 + u16::from(correction.edits)),
            });
        }
        others.truncate(left);
        for other in others {
            criteria.groups[other.word] |= 1 << slots.len();
            slots.push(other);
        }
        let scored = slots.len();
        criteria.asked = criteria.groups.iter().fold(0, |all, group| all | group);
        for words in excluded {
            let mask = (slots.len()..slots.len() + words.len()).fold(0, |mask, slot| mask | 1 << slot);
            criteria.excluded.push(mask);
            let slot = |text| Slot { text, language: None, word: usize::MAX, factor: 0.0 };
            slots.extend(words.into_iter().map(slot));
        }
        Ok(Self { slots, asked, scored, criteria, phrases, ignored: room.ignored, terms: BTreeMap::new() })
    }

    /// How many slots are scored: words asked for, and what may stand for them.
    pub(crate) fn len(&self) -> usize {
        self.scored
    }

    /// How much each scored slot counts.
    pub(crate) fn factors(&self) -> impl Iterator<Item = f32> {
        self.slots[..self.scored].iter().map(|slot| slot.factor)
    }

    /// Whether something must be read in the text itself.
    pub(crate) fn has_phrases(&self) -> bool {
        !self.phrases.is_empty()
    }

    /// The words asked for that may be corrected and of whose slots none is in `seen`: each with its place.
    pub(crate) fn missing(&self, seen: u64) -> impl Iterator<Item = (u8, &str)> {
        let slots = (0..).zip(&self.slots[..self.asked]);
        slots
            .filter(move |(word, _)| {
                self.criteria.groups[usize::from(*word)] & seen == 0 && self.criteria.required >> word & 1 == 0
            })
            .map(|(word, slot)| (word, slot.text.as_str()))
    }

    /// The slots of corrections, in the order in which these were given.
    pub(crate) fn corrected(&self) -> impl Iterator<Item = usize> {
        (0..self.scored).filter(|&slot| self.slots[slot].language.is_some())
    }

    /// How many slots there are, those of exclusions included.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The place of a word among those asked for.
    pub(crate) fn place(&self, word: &str) -> Option<u8> {
        let place = self.slots[..self.asked].iter().position(|slot| slot.text == word)?;
        u8::try_from(place).ok()
    }

    /// Corrections of one word weigh alike, as the most frequent of them does: a rare misspelling of others is no better find.
    pub(crate) fn even_out(&self, holding: &mut [u64]) {
        let corrections = |word| {
            let slots = self.slots[..self.scored].iter().enumerate();
            slots.filter(move |(_, slot)| slot.word == word && slot.language.is_some()).map(|(at, _)| at)
        };
        for word in 0..self.asked {
            if let Some(most) = corrections(word).map(|slot| holding[slot]).max() {
                corrections(word).for_each(|slot| holding[slot] = most);
            }
        }
    }

    /// The word asked for that a slot stands for.
    pub(crate) fn word_of(&self, slot: usize) -> &str {
        &self.slots[self.slots[slot].word].text
    }

    /// The text of a slot.
    pub(crate) fn slot(&self, slot: usize) -> &str {
        &self.slots[slot].text
    }

    /// Looks the words up in a document and writes their frequencies to `found`, those of excluded words included.
    pub(crate) fn find(&mut self, terms: TermsRef<'_>, found: &mut Vec<Frequency>) -> Result<()> {
        found.clear();
        found.resize(self.slots.len(), Frequency::ABSENT);
        let wanted = self.terms_in(terms.language);
        let mut stored = terms.cursor();
        let mut entry = stored.next()?;
        for (term, slot) in wanted {
            let term = term.as_bytes();
            while let Some((other, _)) = entry
                && other < term
            {
                entry = stored.next()?;
            }
            match entry {
                Some((other, frequency)) if other == term => found[*slot] = frequency,
                Some(_) => {}
                None => break,
            }
        }
        Ok(())
    }

    /// Returns what decides whether a document matches.
    pub(crate) fn criteria(&self) -> &Criteria {
        &self.criteria
    }

    /// What to look up for these words in segments: for each key, the slots it stands for, one bit each.
    pub(crate) fn keys(&mut self) -> Vec<(Key, u64)> {
        let mut keys = Vec::new();
        for &language in Language::ALL {
            let terms = self.terms_in(language);
            for same in terms.chunk_by(|a, b| a.0 == b.0) {
                let slots = same.iter().fold(0, |slots, (_, slot)| slots | 1 << slot);
                keys.push((Key::of_term(language, same[0].0.as_bytes()), slots));
            }
        }
        keys
    }

    /// Answers whether a document in which these slots were seen, and others perhaps not, is a match.
    pub(crate) fn is_proven(&self, seen: u64, mode: MatchMode) -> bool {
        self.criteria.excluded.is_empty() && self.phrases.is_empty() && self.criteria.judge(seen).matches(mode)
    }

    /// Answers whether every phrase is there, or is not there, as it should be.
    pub(crate) fn phrases_hold(&self, texts: [&str; 2], language: Language) -> bool {
        if self.phrases.is_empty() {
            return true;
        }
        let texts = texts.map(|text| {
            let mut terms = Vec::new();
            analyzer::words(text, |word| {
                if word.kind != Kind::Character {
                    terms.push(analyzer::term(word.text, language).into_owned());
                }
            });
            terms
        });
        self.phrases.iter().all(|phrase| {
            let terms: Vec<_> = phrase.words.iter().map(|word| analyzer::term(word, language)).collect();
            let is_there = |text: &Vec<String>| {
                text.windows(terms.len()).any(|window| window.iter().zip(&terms).all(|(a, b)| a == b))
            };
            texts.iter().any(is_there) == phrase.is_wanted
        })
    }

    /// Answers which scored slot a word of a text in this language belongs to.
    pub(crate) fn asks_for(&mut self, word: &str, language: Language) -> Option<usize> {
        let scored = self.scored;
        let wanted = self.terms_in(language);
        // Most words of a text are told at a glance; stemming them would be most of what a hit costs.
        let first = word.as_bytes().first();
        if language.keeps_beginnings()
            && word.is_ascii()
            && !wanted.iter().any(|(term, _)| term.as_bytes().first() == first)
        {
            return None;
        }
        let term = analyzer::term(word, language);
        let first = wanted.partition_point(|(other, _)| other.as_str() < &*term);
        wanted[first..]
            .iter()
            .take_while(|(other, _)| other.as_str() == &*term)
            .map(|&(_, slot)| slot)
            .find(|&slot| slot < scored)
    }

    fn terms_in(&mut self, language: Language) -> &[(String, usize)] {
        self.terms.entry(language).or_insert_with(|| {
            let term = |(at, slot): (usize, &Slot)| match slot.language {
                None => Some((analyzer::term(&slot.text, language).into_owned(), at)),
                Some(own) => (own == language).then(|| (slot.text.clone(), at)),
            };
            let mut terms: Vec<_> = self.slots.iter().enumerate().filter_map(term).collect();
            terms.sort_unstable();
            terms
        })
    }
}

/// Which slots a document must hold, and which it must not hold together; one bit each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Criteria {
    /// For each word asked for its own slot and those that stand for it.
    groups: Vec<u64>,
    /// All of them.
    asked: u64,
    /// Words, by their own slots, that every match holds.
    required: u64,
    excluded: Vec<u64>,
}

impl Criteria {
    /// Answers how a document with these slots meets the query.
    #[inline]
    pub(crate) fn judge(&self, held: u64) -> Verdict {
        if held & self.asked == 0
            || held & self.required != self.required
            || self.excluded.iter().any(|excluded| excluded & !held == 0)
        {
            Verdict::NoMatch
        } else if self.groups.iter().any(|group| held & group == 0) {
            Verdict::SomeWords
        } else {
            Verdict::AllWords
        }
    }
}

/// How a document meets a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    NoMatch,
    SomeWords,
    AllWords,
}

impl Verdict {
    /// Answers whether it is a match under a mode that is decided.
    pub(crate) fn matches(self, mode: MatchMode) -> bool {
        self == Self::AllWords || mode != MatchMode::All && self == Self::SomeWords
    }
}

/// The slots that frequencies were found for, one bit each.
pub(crate) fn held(found: &[Frequency]) -> u64 {
    let held = (0..).zip(found).filter(|(_, frequency)| !frequency.is_absent());
    held.fold(0, |held, (slot, _)| held | 1 << slot)
}

/// A part of a query's text.
struct Part<'a> {
    text: &'a str,
    is_quoted: bool,
    is_excluded: bool,
}

/// Cuts a text at spaces and quotations. A quotation mark that nothing closes, or inside a word, means nothing.
fn parts(text: &str) -> Vec<Part<'_>> {
    let is_quote = |c: char| matches!(c, '"' | '“' | '”' | '„' | '«' | '»');
    let mut parts = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let after_minus =
            rest.strip_prefix('-').filter(|rest| rest.starts_with(|c: char| c.is_alphanumeric() || is_quote(c)));
        let body = after_minus.unwrap_or(rest);
        let quoted = body.strip_prefix(is_quote).and_then(|inside| inside.split_once(is_quote));
        let is_excluded = after_minus.is_some();
        if let Some((inside, after)) = quoted {
            parts.push(Part { text: inside, is_quoted: true, is_excluded });
            rest = after;
        } else {
            // What follows a quotation mark that means nothing may be a quotation.
            let start = body.len() - body.trim_start_matches(is_quote).len();
            let end = body[start..].find(char::is_whitespace).map_or(body.len(), |end| start + end);
            parts.push(Part { text: &body[..end], is_quoted: false, is_excluded });
            rest = &body[end..];
        }
        rest = rest.trim_start();
    }
    parts
}

/// How many more words a query may have.
struct Room {
    left: usize,
    ignored: usize,
}

impl Room {
    /// The words of a text in their order, as far as there is room.
    fn sequence(&mut self, text: &str) -> Vec<String> {
        let mut words = Vec::new();
        analyzer::words(text, |word| {
            if word.kind == Kind::Character {
                // A pair says more.
            } else if self.left == 0 {
                self.ignored += 1;
            } else {
                self.left -= 1;
                words.push(word.text.to_owned());
            }
        });
        words
    }

    /// Counts the words of a text, the distinct ones as far as there is room.
    fn count(&mut self, text: &str, asked: &mut BTreeMap<String, (u16, bool)>) {
        analyzer::words(text, |word| {
            if word.kind == Kind::Character {
                // A pair says more.
            } else if let Some((repeats, _)) = asked.get_mut(word.text) {
                *repeats = repeats.saturating_add(1);
            } else if self.left == 0 {
                self.ignored += 1;
            } else {
                self.left -= 1;
                asked.insert(word.text.to_owned(), (1, false));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terms::Terms;

    fn judge(query: &str, text: &str) -> Verdict {
        let mut words = Words::of(&Query::text(query)).unwrap();
        let (terms, _) = Terms::of("", text, Language::English);
        let mut found = Vec::new();
        words.find(TermsRef::parse(terms.as_bytes()).unwrap(), &mut found).unwrap();
        words.criteria().judge(held(&found))
    }

    #[test]
    fn words_are_compared_by_their_stems() {
        assert_eq!(judge("rowing boats", "I row a boat"), Verdict::AllWords);
        assert_eq!(judge("rowing boats ship", "I row a boat"), Verdict::SomeWords);
        assert_eq!(judge("connect connection", "connected"), Verdict::AllWords);
        assert_eq!(judge("ship", "I row a boat"), Verdict::NoMatch);
        assert_eq!(judge("", "I row a boat"), Verdict::NoMatch);
    }

    #[test]
    fn a_word_that_begins_otherwise_is_not_the_same() {
        let text = "skis skies dying lying tying idly gently ugly early only singly yes youth yields news Ärger ärger";
        let stems_begin_alike = |word: &str, language| {
            let term = analyzer::term(word, language);
            term.as_bytes()[0] == word.as_bytes()[0]
        };
        for language in Language::ALL.iter().copied().filter(|language| language.keeps_beginnings()) {
            let mut words = Words::of(&Query::text(text)).unwrap();
            analyzer::words(text, |word| {
                assert!(!word.text.is_ascii() || stems_begin_alike(word.text, language), "{}", word.text);
                assert!(words.asks_for(word.text, language).is_some(), "{}", word.text);
            });
        }
        assert_eq!(judge("arger", "Ärger"), Verdict::AllWords);
    }

    #[test]
    fn a_minus_excludes_and_a_hyphen_does_not() {
        assert_eq!(judge("boat -oar", "a boat with oars"), Verdict::NoMatch);
        assert_eq!(judge("boat -multi-agent", "a boat with an agent"), Verdict::AllWords);
        assert_eq!(judge("boat -multi-agent", "a boat with a multi agent"), Verdict::NoMatch);
        assert_eq!(judge("multi-agent - -- -! boat", "multi agent boat"), Verdict::AllWords);
        assert_eq!(judge("-boat", "something else"), Verdict::NoMatch);
    }

    #[test]
    fn words_are_distinct_sorted_and_counted() {
        let words = Words::of(&Query::text("of mice and of men")).unwrap();
        let asked: Vec<_> = (0..words.len()).map(|slot| words.slot(slot)).collect();
        assert_eq!(
            (asked.join(" "), words.factors().collect::<Vec<_>>()),
            ("and men mice of".to_owned(), vec![1.0, 1.0, 1.0, 2.0])
        );
    }

    #[test]
    fn only_so_many_words_count() {
        let mut text: Vec<String> = (0..40).map(|n| format!("w{n}")).collect();
        let words = Words::of(&Query::text(text.join(" "))).unwrap();
        assert_eq!((words.len(), words.ignored), (MAX_WORDS, 8));
        text.push("-boat".to_owned());
        assert_eq!(judge(&text.join(" "), "w1 boat"), Verdict::NoMatch);
        let long = "x".repeat(MAX_QUERY + 1);
        assert!(matches!(Words::of(&Query::text(long)), Err(Error::QueryTooLong { bytes: 4097, limit: MAX_QUERY })));
    }

    #[test]
    fn quotations_must_occur_as_they_stand() {
        assert_eq!(judge("lake \"row boat\"", "a boat"), Verdict::NoMatch);
        assert_eq!(judge("lake \"row boat\"", "row a boat"), Verdict::SomeWords);
        let holds = |query: &str, title: &str, body: &str| {
            Words::of(&Query::text(query)).unwrap().phrases_hold([title, body], Language::English)
        };
        assert!(holds("“rowing boats”", "", "I like to row boats"));
        assert!(!holds("\"rowing boats\"", "I row", "boats") && !holds("\"rowing boats\"", "", "boats to row"));
        assert!(holds("-\"rowing boats\"", "", "boats to row") && !holds("-\"rowing boats\"", "", "row-boats"));
        assert!(holds("\"to be or not to be\"", "To be, or not to be?", ""));
        assert!(holds("\"東京都\"", "", "私は東京都に") && !holds("\"東京都\"", "", "東京と京都"));
    }

    #[test]
    fn a_quotation_mark_that_nothing_closes_means_nothing() {
        let parts = |text| {
            parts(text).iter().map(|part| (part.text.to_owned(), part.is_quoted, part.is_excluded)).collect::<Vec<_>>()
        };
        let part = |text: &str, is_quoted, is_excluded| (text.to_owned(), is_quoted, is_excluded);
        assert_eq!(
            parts(" a \"b c\"d -\"e f\" -g"),
            [
                part("a", false, false),
                part("b c", true, false),
                part("d", false, false),
                part("e f", true, true),
                part("g", false, true)
            ]
        );
        assert_eq!(
            parts("5\" pipe \"open"),
            [part("5\"", false, false), part("pipe", false, false), part("\"open", false, false)]
        );
        assert_eq!(parts("\"\" \" -\""), [part("", true, false), part(" -", true, false)]);
    }

    #[test]
    fn synonyms_stand_for_free_words_only() {
        let synonyms =
            std::sync::Arc::new(crate::Synonyms::default().alike(["car", "Automobiles"]).also("nyc", ["manhattan"]));
        let judge = |query: &str, text: &str| {
            let mut words = Words::of(&Query::text(query).synonyms(synonyms.clone())).unwrap();
            let (terms, _) = Terms::of("", text, Language::English);
            let mut found = Vec::new();
            words.find(TermsRef::parse(terms.as_bytes()).unwrap(), &mut found).unwrap();
            words.criteria().judge(held(&found))
        };
        assert_eq!(judge("car nyc", "an automobile in Manhattan"), Verdict::AllWords);
        assert_eq!(judge("manhattan", "nyc"), Verdict::NoMatch);
        assert_eq!(judge("\"car\"", "an automobile"), Verdict::NoMatch);
        assert_eq!(judge("nyc -car", "nyc automobile"), Verdict::AllWords);
    }
}
