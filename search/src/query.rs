//! What is asked for.

use std::collections::{BTreeMap, BTreeSet};

use crate::analyzer::{self, Kind};
use crate::bm25::Frequency;
use crate::cursor::Cursor;
use crate::error::{Error, Result};
use crate::id::Surface;
use crate::language::Language;
use crate::segment::Key;
use crate::terms::TermsRef;

/// The longest text of a query, in bytes.
pub const MAX_QUERY: usize = 4096;
/// The most words of a query that count; further ones are ignored, and [`Results`](crate::Results) says how many.
pub const MAX_WORDS: usize = 32;
/// The largest page.
pub const MAX_PAGE: usize = 200;

/// A question: words as people type them.
///
/// Any text is a query; a word after a minus sign must not occur. Quotes have no meaning yet.
///
/// ```
/// use stoa_search::{MatchMode, Query, Surface};
///
/// let query = Query::text("rowing sunday -cancelled").surfaces([Surface::FEED, Surface::EVENTS]).mode(MatchMode::All).limit(10);
/// ```
#[derive(Clone, Debug)]
pub struct Query {
    pub(crate) text: String,
    pub(crate) surfaces: BTreeSet<Surface>,
    pub(crate) mode: MatchMode,
    pub(crate) title_weight: f32,
    pub(crate) limit: usize,
    pub(crate) after: Option<Cursor>,
}

/// How many words of the query a document must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MatchMode {
    /// Every word.
    All,
    /// At least one word.
    Any,
    /// Every word if that fills the first page, else at least one; later pages keep to what the first decided.
    #[default]
    Auto,
}

impl Query {
    /// Asks for documents with these words, on every surface, 20 a page.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            surfaces: BTreeSet::new(),
            mode: MatchMode::default(),
            title_weight: 2.5,
            limit: 20,
            after: None,
        }
    }

    /// Restricts the hits to these surfaces; none named means all.
    #[must_use]
    pub fn surfaces(mut self, surfaces: impl IntoIterator<Item = Surface>) -> Self {
        self.surfaces = surfaces.into_iter().collect();
        self
    }

    /// Sets how many of the words must occur.
    #[must_use]
    pub fn mode(mut self, mode: MatchMode) -> Self {
        self.mode = mode;
        self
    }

    /// Sets how much an occurrence in the title counts, where one in the body counts 1; 2.5 by default, from 0 to 100.
    #[must_use]
    pub fn title_weight(mut self, weight: f32) -> Self {
        self.title_weight = if weight.is_nan() { 1.0 } else { weight.clamp(0.0, 100.0) };
        self
    }

    /// Sets the size of a page, from 1 to [`MAX_PAGE`].
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit.clamp(1, MAX_PAGE);
        self
    }

    /// Continues after the page that `cursor` ended; the rest of the query must be the same, except the limit.
    #[must_use]
    pub fn after(mut self, cursor: Cursor) -> Self {
        self.after = Some(cursor);
        self
    }

    pub(crate) fn allows(&self, surface: &Surface) -> bool {
        self.surfaces.is_empty() || self.surfaces.contains(surface)
    }

    /// Identifies everything that must not change from page to page.
    pub(crate) fn fingerprint(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&[self.mode as u8]);
        hasher.update(&self.title_weight.to_bits().to_le_bytes());
        for part in self.surfaces.iter().map(Surface::as_str).chain([self.text.as_str()]) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize()
    }
}

/// The words of a query, ready to be looked up in the terms of documents.
#[derive(Debug)]
pub(crate) struct Words {
    /// The words asked for, distinct and sorted, then those of the exclusions.
    all: Vec<String>,
    /// How often each of the words asked for was typed.
    repeats: Vec<u16>,
    /// Each exclusion is a range of `all`; it rejects a document that holds all of them.
    excluded: Vec<std::ops::Range<usize>>,
    pub(crate) ignored: usize,
    /// For each language met so far, the terms to look for, sorted, with the word each stands for.
    terms: BTreeMap<Language, Vec<(String, usize)>>,
}

impl Words {
    pub(crate) fn of(query: &Query) -> Result<Self> {
        if query.text.len() > MAX_QUERY {
            return Err(Error::QueryTooLong { bytes: query.text.len(), limit: MAX_QUERY });
        }
        let (minus, plain): (Vec<_>, Vec<_>) = query.text.split_whitespace().partition(|part| is_exclusion(part));
        let mut room = Room { left: MAX_WORDS, ignored: 0 };
        // Exclusions first: an ignored one would let in what was not wanted.
        let minus: Vec<_> = minus.into_iter().map(|part| room.words_of(&part[1..])).collect();
        let mut asked = room.words_of(&plain.join(" "));
        asked.sort_unstable();
        let (mut all, repeats): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        let mut excluded = Vec::new();
        for words in minus.into_iter().filter(|words| !words.is_empty()) {
            let start = all.len();
            all.extend(words.into_iter().map(|(word, _)| word));
            excluded.push(start..all.len());
        }
        Ok(Self { all, repeats, excluded, ignored: room.ignored, terms: BTreeMap::new() })
    }

    /// How many words are asked for.
    pub(crate) fn len(&self) -> usize {
        self.repeats.len()
    }

    /// How often each word was typed; the words are in byte order.
    pub(crate) fn repeats(&self) -> &[u16] {
        &self.repeats
    }

    /// Looks the words up in a document and writes their frequencies to `found`, those of excluded words included.
    pub(crate) fn find(&mut self, terms: TermsRef<'_>, found: &mut Vec<Frequency>) -> Result<()> {
        found.clear();
        found.resize(self.all.len(), Frequency::ABSENT);
        let wanted = self.terms_in(terms.language);
        let mut stored = terms.cursor();
        let mut entry = stored.next()?;
        for (term, word) in wanted {
            let term = term.as_bytes();
            while let Some((other, _)) = entry
                && other < term
            {
                entry = stored.next()?;
            }
            match entry {
                Some((other, frequency)) if other == term => found[*word] = frequency,
                Some(_) => {}
                None => break,
            }
        }
        Ok(())
    }

    /// Answers how the frequencies of a document meet the query.
    pub(crate) fn judge(&self, found: &[Frequency]) -> Verdict {
        let held = (0..).zip(found).filter(|(_, frequency)| !frequency.is_absent());
        self.criteria().judge(held.fold(0, |held, (word, _)| held | 1 << word))
    }

    /// Returns what decides whether a document matches.
    pub(crate) fn criteria(&self) -> Criteria {
        // There are at most MAX_WORDS words, which is as many as an u32 has bits.
        let mask = |range: &std::ops::Range<usize>| range.clone().fold(0, |mask, word| mask | 1 << word);
        Criteria { asked: mask(&(0..self.len())), excluded: self.excluded.iter().map(mask).collect() }
    }

    /// What to look up for these words in segments: for each key, the words it stands for, one bit each.
    pub(crate) fn keys(&mut self) -> Vec<(Key, u32)> {
        let mut keys = Vec::new();
        for &language in Language::ALL {
            let terms = self.terms_in(language);
            for same in terms.chunk_by(|a, b| a.0 == b.0) {
                let words = same.iter().fold(0, |words, (_, word)| words | 1 << word);
                keys.push((Key::of_term(language, same[0].0.as_bytes()), words));
            }
        }
        keys
    }

    /// Answers whether a document in which these words were seen, and others perhaps not, is a match.
    pub(crate) fn is_proven(&self, seen: u32, mode: MatchMode) -> bool {
        self.excluded.is_empty() && self.criteria().judge(seen).matches(mode)
    }

    /// Answers whether a word of a text in this language is one of those asked for.
    pub(crate) fn asks_for(&mut self, word: &str, language: Language) -> Option<usize> {
        let asked = self.len();
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
            .map(|&(_, word)| word)
            .find(|&word| word < asked)
    }

    fn terms_in(&mut self, language: Language) -> &[(String, usize)] {
        self.terms.entry(language).or_insert_with(|| {
            let term = |(at, word): (usize, &String)| (analyzer::term(word, language).into_owned(), at);
            let mut terms: Vec<_> = self.all.iter().enumerate().map(term).collect();
            terms.sort_unstable();
            terms
        })
    }
}

/// Which words a document must hold, and which it must not hold together; one bit each.
#[derive(Clone, Debug)]
pub(crate) struct Criteria {
    asked: u32,
    excluded: Vec<u32>,
}

impl Criteria {
    /// Answers how a document with these words meets the query.
    #[inline]
    pub(crate) fn judge(&self, held: u32) -> Verdict {
        if held & self.asked == 0 || self.excluded.iter().any(|excluded| excluded & !held == 0) {
            Verdict::NoMatch
        } else if held & self.asked < self.asked {
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

/// How many more words a query may have.
struct Room {
    left: usize,
    ignored: usize,
}

impl Room {
    /// The distinct words of a text, as far as there is room, and how often each occurs.
    fn words_of(&mut self, text: &str) -> Vec<(String, u16)> {
        let mut words: Vec<(String, u16)> = Vec::new();
        analyzer::words(text, |word| {
            if word.kind == Kind::Character {
                // A pair says more.
            } else if let Some((_, repeats)) = words.iter_mut().find(|(other, _)| other == word.text) {
                *repeats += 1;
            } else if self.left == 0 {
                self.ignored += 1;
            } else {
                self.left -= 1;
                words.push((word.text.to_owned(), 1));
            }
        });
        words
    }
}

fn is_exclusion(part: &str) -> bool {
    part.strip_prefix('-').is_some_and(|rest| rest.starts_with(char::is_alphanumeric))
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
        words.judge(&found)
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
        assert_eq!((words.all.join(" "), words.repeats()), ("and men mice of".to_owned(), &[1, 1, 1, 2][..]));
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
    fn what_a_cursor_must_not_outlive_is_in_the_fingerprint() {
        let query = Query::text("a b").surfaces([Surface::FEED, Surface::JOBS]);
        let same = Query::text("a b").surfaces([Surface::JOBS, Surface::FEED]).limit(3);
        assert_eq!(query.fingerprint(), same.fingerprint());
        for other in [
            Query::text("a c").surfaces([Surface::FEED, Surface::JOBS]),
            Query::text("a b"),
            query.clone().mode(MatchMode::All),
            query.clone().title_weight(1.0),
        ] {
            assert_ne!(query.fingerprint(), other.fingerprint());
        }
    }
}
