//! The terms of a document as one compact value, made to be read from beginning to end.
//!
//! `format, generation, language, length` (a byte each) and the day of the document (two), then for every distinct term in byte order: its size, its
//! [`Frequency`] (a byte each) and its bytes. The terms themselves are stored, not hashes of them: they take no more room (a
//! stemmed word has six bytes on average), a scan that compares sorted terms with a sorted query stays in the nanoseconds, and
//! neither an unlucky nor a chosen collision can make a document match.

use std::ops::Range;

use chrono::{DateTime, Utc};

use crate::analyzer::{self, GENERATION, Kind};
use crate::bm25::{Frequency, Length};
use crate::error::{Error, Result};
use crate::language::Language;
use crate::rank::recency::{self, Day};

const FORMAT: u8 = 1;
const HEADER: usize = 6;

/// The terms of a document, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms(Vec<u8>);

impl Terms {
    /// Analyzes a text; returns its terms and how many of its words were cut.
    pub(crate) fn of(title: &str, body: &str, language: Language) -> (Self, usize) {
        let mut occurrences = Occurrences::default();
        occurrences.add(title, Field::Title, language);
        occurrences.add(body, Field::Body, language);
        let cut_words = occurrences.cut_words;
        (Self(occurrences.encode(language)), cut_words)
    }

    /// Notes the day of the document.
    pub(crate) fn dated(mut self, at: Option<DateTime<Utc>>) -> Self {
        let day = at.map_or(0, recency::day);
        self.0[HEADER - 2..HEADER].copy_from_slice(&day.to_le_bytes());
        self
    }

    /// Returns the bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns how many words the text has, as the ranking counts them.
    pub fn words(&self) -> i64 {
        TermsRef::parse(&self.0).map_or(0, |terms| i64::from(terms.length.words()))
    }

    /// Answers whether this release would make them of the same text; if not, indexing the document again finds it better.
    pub fn is_current(&self) -> bool {
        TermsRef::parse(&self.0).is_ok_and(|terms| terms.generation == GENERATION)
    }

    /// Reads the bytes of [`Terms::as_bytes`] back.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if they are damaged or of a format this release does not know.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        TermsRef::parse(&bytes)?.try_for_each(|_, _| ())?;
        Ok(Self(bytes))
    }
}

/// Encoded terms, borrowed from a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TermsRef<'a> {
    pub(crate) generation: u8,
    pub(crate) language: Language,
    pub(crate) length: Length,
    /// 0 if the document is of no day.
    pub(crate) day: Day,
    entries: &'a [u8],
}

impl<'a> TermsRef<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self> {
        match *bytes {
            [FORMAT, generation, language, length, early, late, ref entries @ ..] => Ok(Self {
                generation,
                // A newer release may know more languages than this one: its documents must not fail everybody's search.
                language: Language::from_byte(language).unwrap_or(Language::Other),
                length: Length::from_byte(length),
                day: Day::from_le_bytes([early, late]),
                entries,
            }),
            _ => Err(Error::Corrupt { what: "terms" }),
        }
    }

    /// Calls `each` with every term and its frequency, in byte order.
    fn try_for_each(self, mut each: impl FnMut(&'a [u8], Frequency)) -> Result<()> {
        let mut cursor = self.cursor();
        while let Some((term, frequency)) = cursor.next()? {
            each(term, frequency);
        }
        Ok(())
    }

    /// Walks over the terms in byte order.
    pub(crate) fn cursor(self) -> TermsCursor<'a> {
        TermsCursor { rest: self.entries }
    }
}

/// See [`TermsRef::cursor`].
pub(crate) struct TermsCursor<'a> {
    rest: &'a [u8],
}

impl<'a> TermsCursor<'a> {
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<(&'a [u8], Frequency)>> {
        let [size, frequency, rest @ ..] = self.rest else {
            return if self.rest.is_empty() { Ok(None) } else { Err(Error::Corrupt { what: "terms" }) };
        };
        let (term, rest) = rest.split_at_checked(usize::from(*size)).ok_or(Error::Corrupt { what: "terms" })?;
        self.rest = rest;
        Ok(Some((term, Frequency::from_byte(*frequency))))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Field {
    Title,
    Body,
}

/// Every occurrence of every term; sorting them is cheaper than a map of strings, and the order is needed anyway.
#[derive(Default)]
struct Occurrences {
    text: String,
    terms: Vec<(Range<usize>, Field)>,
    words: usize,
    cut_words: usize,
}

impl Occurrences {
    fn add(&mut self, text: &str, field: Field, language: Language) {
        analyzer::words(text, |word| {
            let start = self.text.len();
            self.text.push_str(&analyzer::term(word.text, language));
            self.terms.push((start..self.text.len(), field));
            self.words += usize::from(word.kind != Kind::Pair);
            self.cut_words += usize::from(word.is_cut);
        });
    }

    fn encode(mut self, language: Language) -> Vec<u8> {
        let text = self.text.as_bytes();
        self.terms.sort_unstable_by_key(|(range, _)| &text[range.clone()]);
        let mut bytes = Vec::with_capacity(HEADER + text.len());
        bytes.extend([FORMAT, GENERATION, language.byte(), Length::of(self.words).byte(), 0, 0]);
        for same in self.terms.chunk_by(|a, b| text[a.0.clone()] == text[b.0.clone()]) {
            let in_title = same.iter().filter(|(_, field)| *field == Field::Title).count();
            let term = &text[same[0].0.clone()];
            // A stem is hardly longer than its word, which has at most MAX_WORD bytes.
            let Ok(size) = u8::try_from(term.len()) else { continue };
            bytes.extend([size, Frequency::of(in_title, same.len() - in_title).byte()]);
            bytes.extend(term);
        }
        bytes.shrink_to_fit();
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(terms: &Terms) -> Vec<(String, Frequency)> {
        let mut list = Vec::new();
        let read = TermsRef::parse(terms.as_bytes()).unwrap();
        read.try_for_each(|term, frequency| list.push((String::from_utf8(term.to_vec()).unwrap(), frequency))).unwrap();
        list
    }

    #[test]
    fn terms_are_distinct_sorted_and_counted_by_field() {
        let (terms, cut_words) = Terms::of("Boat races", "The boats raced; a boat.", Language::English);
        assert_eq!(
            listed(&terms),
            [
                ("a".to_owned(), Frequency::of(0, 1)),
                ("boat".to_owned(), Frequency::of(1, 2)),
                ("race".to_owned(), Frequency::of(1, 1)),
                ("the".to_owned(), Frequency::of(0, 1)),
            ]
        );
        assert_eq!(TermsRef::parse(terms.as_bytes()).unwrap().length, Length::of(7));
        assert_eq!((TermsRef::parse(terms.as_bytes()).unwrap().language, cut_words), (Language::English, 0));
    }

    #[test]
    fn pairs_do_not_lengthen_a_document() {
        let (terms, _) = Terms::of("", "東京都", Language::Other);
        assert_eq!(TermsRef::parse(terms.as_bytes()).unwrap().length, Length::of(3));
        assert_eq!(listed(&terms).len(), 5);
    }

    #[test]
    fn damaged_terms_are_an_error_not_a_panic() {
        let bytes = Terms::of("Boat races", "", Language::English).0.as_bytes().to_vec();
        assert!(Terms::from_bytes(bytes.clone()).is_ok());
        for cut in [0, 3, 5, bytes.len() - 1] {
            assert!(matches!(Terms::from_bytes(bytes[..cut].to_vec()), Err(Error::Corrupt { what: "terms" })), "{cut}");
        }
        assert!(Terms::from_bytes(vec![9, 1, 1, 0]).is_err());
    }

    #[test]
    fn another_release_may_know_other_languages_and_words() {
        assert!(Terms::of("boat", "", Language::English).0.is_current());
        let mut bytes = Terms::of("boat", "", Language::English).0.as_bytes().to_vec();
        bytes[1..3].copy_from_slice(&[GENERATION + 1, 99]);
        let read = TermsRef::parse(&bytes).unwrap();
        assert_eq!((read.generation, read.language), (GENERATION + 1, Language::Other));
        assert!(!Terms::from_bytes(bytes).unwrap().is_current());
    }
}
