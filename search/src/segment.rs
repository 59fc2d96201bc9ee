//! Immutable parts of the index: what a compaction makes of documents, and what a query reads of it.
//!
//! A segment holds some documents, numbered from 0 in the order of their ids. It is a sorted map from keys to values, cut into
//! [pages](page) that are rows of a table, and a [head](head) in a row of its own. A key is a term with its language, or an audience
//! tag; its value is the [set](set) of the documents that hold it and, for a term, two bytes for each: its
//! [`Frequency`](crate::bm25::Frequency) there and the [`Length`](crate::bm25::Length) of the document. Nothing in it depends on
//! other documents, so no statistics ever go stale. One more key has the days of the documents.
//!
//! Whatever the bytes are, reading them neither panics nor allocates more than a multiple of their own size or of
//! [`MAX_DOCUMENTS`].

pub(crate) mod head;
pub(crate) mod page;
pub(crate) mod set;
#[cfg(feature = "postgres")]
pub(crate) mod signature;

use crate::error::{Error, Result};
use crate::id::Tag;
use crate::language::Language;

/// The most documents of a segment.
pub(crate) const MAX_DOCUMENTS: u32 = 1 << 22;

/// The key of the days: a set of documents like that of a term, with the day of each for its frequency and length.
pub(crate) const DAY: u8 = u8::MAX - 1;

/// The first byte of the key of a tag, where that of a term has its language.
const TAG: u8 = u8::MAX;

/// The bit that stands for tags and days among the languages of a segment.
const TAG_BIT: u8 = 62;

/// What is looked up in the segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key itself.
    pub bytes: Vec<u8>,
    /// A segment whose [`SegmentRow::namespaces`](crate::store::SegmentRow::namespaces) lack this bit does not hold it.
    pub namespace: i64,
    /// Segments whose page for this key is at hand: a backend may leave it out.
    pub known: Vec<i64>,
}

impl Key {
    pub(crate) fn of_term(language: Language, term: &[u8]) -> Self {
        Self { bytes: term_key(language.byte(), term), namespace: namespace(language.byte()), known: Vec::new() }
    }

    pub(crate) fn of_days() -> Self {
        Self { bytes: vec![DAY], namespace: namespace(DAY), known: Vec::new() }
    }

    pub(crate) fn of_tag(tag: &Tag) -> Self {
        Self { bytes: tag_key(tag.as_str()), namespace: namespace(TAG), known: Vec::new() }
    }
}

pub(crate) fn term_key(language: u8, term: &[u8]) -> Vec<u8> {
    [&[language], term].concat()
}

pub(crate) fn tag_key(tag: &str) -> Vec<u8> {
    [&[TAG], tag.as_bytes()].concat()
}

/// The bit for the first byte of a key.
pub(crate) fn namespace(first: u8) -> i64 {
    1 << first.min(TAG_BIT)
}

/// Answers whether the values under a key have frequencies and lengths.
pub(crate) fn is_term(key: &[u8]) -> bool {
    key.first() != Some(&TAG)
}

fn damaged() -> Error {
    Error::Corrupt { what: "segment" }
}

/// Appends a number, seven bits a byte.
fn put(number: u64, bytes: &mut Vec<u8>) {
    let mut rest = number;
    while rest >= 128 {
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are what is meant")]
        bytes.push(rest as u8 | 128);
        rest >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "below 128")]
    bytes.push(rest as u8);
}

/// How many bytes [`put`] appends.
fn size_of(number: u64) -> usize {
    (64 - (number | 1).leading_zeros()).div_ceil(7) as usize
}

/// Reads what [`put`] wrote and moves on.
#[inline]
fn take(bytes: &mut &[u8]) -> Result<u64> {
    if let [byte, rest @ ..] = *bytes
        && *byte < 128
    {
        *bytes = rest;
        return Ok(u64::from(*byte));
    }
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or_else(damaged)?;
        *bytes = rest;
        number |= u64::from(byte & 127) << shift;
        if *byte < 128 {
            return Ok(number);
        }
    }
    Err(damaged())
}

/// Reads a length and so many bytes.
fn take_slice<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8]> {
    let length = usize::try_from(take(bytes)?).map_err(|_| damaged())?;
    let (slice, rest) = bytes.split_at_checked(length).ok_or_else(damaged)?;
    *bytes = rest;
    Ok(slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for number in [0, 1, 127, 128, 300, 1 << 21, u64::from(u32::MAX), (1 << 62) + 5] {
            let mut bytes = Vec::new();
            put(number, &mut bytes);
            assert_eq!(bytes.len(), size_of(number));
            assert_eq!(take(&mut &bytes[..]).unwrap(), number);
            assert!(take(&mut &bytes[..bytes.len() - 1]).is_err());
        }
        assert!(take(&mut &[255; 12][..]).is_err());
    }

    #[test]
    fn every_language_has_a_bit_of_its_own() {
        assert!(Language::ALL.len() < usize::from(TAG_BIT));
    }
}
