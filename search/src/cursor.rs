//! Where a page ended.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::analyzer::MAX_WORD;
use crate::bm25::Weights;
use crate::error::{Error, Result};
use crate::language::Language;
use crate::query::MatchMode;
use crate::query::typo::MAX_CORRECTIONS;
use crate::query::words::{Correction, MAX_SLOTS};
use crate::rank::recency::Day;
use crate::store::DocId;

/// Ends with a checksum.
const CHECKED: u8 = 1;
/// Ends with the code that a key makes.
const SEALED: u8 = 2;
/// As long as this is the code: nobody guesses sixteen bytes.
const SEAL: usize = 16;

/// Where a page ended: an opaque text for the link to the next one.
///
/// It freezes what the query ranks by (the weight of every word, the average length, the match mode, the day, the corrections), so that documents others
/// write between two pages move no other document: each match that stays unchanged appears exactly once. It says nothing about
/// who is asking; the audience comes with every call. A checksum finds damage; a [`CursorKey`] finds forgery as well, which without
/// one only changes the order of what its caller may see anyway. It is not encrypted: whoever holds it can read how rare its words are among
/// all documents, those they may not see included.
#[derive(Clone, Debug, PartialEq)]
pub struct Cursor {
    pub(crate) fingerprint: u32,
    pub(crate) mode: MatchMode,
    /// What stands for words that nobody wrote as they were typed.
    pub(crate) corrections: Vec<Correction>,
    pub(crate) weights: Weights,
    /// By which day recent documents were boosted.
    pub(crate) today: Day,
    pub(crate) last: Position,
    pub(crate) seal: Option<Seal>,
}

/// What a key made of a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seal([u8; SEAL]);

/// A secret of the host that its cursors are sealed with, so that it takes back only those it gave away.
///
/// For all processes that answer the same links, and for as long as these should work.
#[derive(Clone)]
pub struct CursorKey(Hmac<Sha256>);

impl CursorKey {
    /// Makes a key of a secret: any random bytes, 32 of them best.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] below 16 bytes.
    pub fn new(secret: impl AsRef<[u8]>) -> Result<Self> {
        let too_short = Error::Invalid { what: "cursor key", problem: "must have at least 16 bytes" };
        let long_enough = Some(secret.as_ref()).filter(|secret| secret.len() >= SEAL);
        let mac = long_enough.and_then(|secret| Hmac::new_from_slice(secret).ok());
        mac.map(Self).ok_or(too_short)
    }

    /// Seals a cursor.
    pub(crate) fn seal(&self, cursor: &mut Cursor) {
        let mac = self.0.clone().chain_update(cursor.body(SEALED)).finalize().into_bytes();
        cursor.seal = mac.first_chunk().map(|code| Seal(*code));
    }

    /// Answers whether it sealed this cursor, in the same time whatever is wrong with it.
    pub(crate) fn sealed(&self, cursor: &Cursor) -> bool {
        let mac = self.0.clone().chain_update(cursor.body(SEALED));
        cursor.seal.is_some_and(|seal| mac.verify_truncated_left(&seal.0).is_ok())
    }
}

impl fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CursorKey").finish_non_exhaustive()
    }
}

/// The place of a document in the order of results: by score, and among equals the one indexed later comes first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position {
    pub(crate) score: f32,
    pub(crate) doc_id: DocId,
}

impl Ord for Position {
    fn cmp(&self, other: &Self) -> Ordering {
        other.score.total_cmp(&self.score).then(other.doc_id.cmp(&self.doc_id))
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Position {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Position {}

impl Cursor {
    /// All of it but its end.
    fn body(&self, version: u8) -> Vec<u8> {
        let mut bytes = vec![version, u8::from(self.mode == MatchMode::All)];
        bytes.extend(self.fingerprint.to_le_bytes());
        bytes.extend(self.last.score.to_le_bytes());
        bytes.extend(self.last.doc_id.0.to_le_bytes());
        bytes.extend(self.today.to_le_bytes());
        bytes.extend(self.weights.average_length.to_le_bytes());
        #[expect(clippy::cast_possible_truncation, reason = "there are at most MAX_CORRECTIONS")]
        bytes.push(self.corrections.len() as u8);
        for Correction { word, edits, language, term } in &self.corrections {
            #[expect(clippy::cast_possible_truncation, reason = "a term has at most MAX_WORD bytes")]
            bytes.extend([*word, *edits, language.byte(), term.len() as u8]);
            bytes.extend(term.as_bytes());
        }
        bytes.extend(self.weights.words.iter().flat_map(|weight| weight.to_le_bytes()));
        bytes
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = if let Some(seal) = self.seal {
            [self.body(SEALED).as_slice(), &seal.0].concat()
        } else {
            let body = self.body(CHECKED);
            [body.as_slice(), &crc32fast::hash(&body).to_le_bytes()].concat()
        };
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse(text).ok_or(Error::CursorDamaged)
    }
}

fn parse(text: &str) -> Option<Cursor> {
    let bytes = unhex(text)?;
    let (bytes, seal) = match *bytes.first()? {
        CHECKED => {
            let (bytes, checksum) = bytes.split_last_chunk()?;
            let is_whole = crc32fast::hash(bytes) == u32::from_le_bytes(*checksum);
            is_whole.then_some((bytes, None))?
        }
        SEALED => {
            let (bytes, code) = bytes.split_last_chunk()?;
            (bytes, Some(Seal(*code)))
        }
        _ => return None,
    };
    let [_, mode @ (0 | 1), rest @ ..] = bytes else { return None };
    let (fingerprint, rest) = rest.split_first_chunk()?;
    let (score, rest) = rest.split_first_chunk()?;
    let (doc_id, rest) = rest.split_first_chunk()?;
    let (today, rest) = rest.split_first_chunk()?;
    let (average_length, rest) = number(rest)?;
    let (corrections, rest) = corrections(rest)?;
    let (words, []) = rest.as_chunks::<4>() else { return None };
    let words: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
    let cursor = Cursor {
        fingerprint: u32::from_le_bytes(*fingerprint),
        mode: if *mode == 1 { MatchMode::All } else { MatchMode::Any },
        corrections,
        weights: Weights { words, average_length },
        today: Day::from_le_bytes(*today),
        last: Position { score: f32::from_le_bytes(*score), doc_id: DocId(i64::from_le_bytes(*doc_id)) },
        seal,
    };
    // What passes a checksum may still be made up: scores must stay numbers.
    let is_sane = cursor.last.score.is_finite()
        && cursor.weights.average_length >= 1.0
        && cursor.weights.words.len() <= MAX_SLOTS
        && cursor.weights.words.iter().all(|weight| (0.0..=1e6).contains(weight));
    is_sane.then_some(cursor)
}

fn corrections(bytes: &[u8]) -> Option<(Vec<Correction>, &[u8])> {
    let (count, mut rest) = bytes.split_first()?;
    let mut corrections = Vec::new();
    for _ in 0..*count {
        let ([word, edits, language, length], after) = rest.split_first_chunk()?;
        let (term, after) = after.split_at_checked(usize::from(*length))?;
        let term = str::from_utf8(term).ok()?.to_owned();
        corrections.push(Correction { word: *word, edits: *edits, language: Language::from_byte(*language)?, term });
        rest = after;
    }
    (corrections.len() <= MAX_CORRECTIONS).then_some((corrections, rest))
}

fn number(bytes: &[u8]) -> Option<(f32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((f32::from_le_bytes(*number), rest))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    // Nothing longer than the longest cursor there is is worth decoding.
    if text.len() > 2 * (41 + MAX_CORRECTIONS * (4 + MAX_WORD) + 4 * MAX_SLOTS) {
        return None;
    }
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(words: usize) -> Cursor {
        Cursor {
            fingerprint: 7,
            mode: MatchMode::All,
            corrections: vec![
                Correction { word: 0, edits: 1, language: Language::French, term: "été".to_owned() };
                words / 8
            ],
            weights: Weights { words: vec![1.5; words], average_length: 80.25 },
            today: 20_000,
            last: Position { score: 3.25, doc_id: DocId(i64::MAX) },
            seal: None,
        }
    }

    #[test]
    fn text_leads_back_to_the_cursor() {
        for words in [0, 1, 2, MAX_SLOTS] {
            assert_eq!(cursor(words).to_string().parse::<Cursor>().unwrap(), cursor(words));
        }
    }

    #[test]
    fn a_key_knows_its_own_cursors() {
        let (key, other) = (CursorKey::new([7; 32]).unwrap(), CursorKey::new([8; 32]).unwrap());
        assert!(matches!(CursorKey::new([7; 15]), Err(Error::Invalid { what: "cursor key", .. })));
        assert!(!format!("{key:?}").contains('7'));
        for words in [0, 2, MAX_SLOTS] {
            let mut sealed = cursor(words);
            assert!(!key.sealed(&sealed));
            key.seal(&mut sealed);
            let text = sealed.to_string();
            let read: Cursor = text.parse().unwrap();
            assert!(read == sealed && key.sealed(&read) && !other.sealed(&read));
            for at in 0..text.len().min(100) {
                let mut damaged = text.clone().into_bytes();
                damaged[at] = if damaged[at] == b'0' { b'1' } else { b'0' };
                let damaged = String::from_utf8(damaged).unwrap().parse::<Cursor>();
                assert!(damaged.is_err() || damaged.is_ok_and(|damaged| !key.sealed(&damaged)), "{at}");
            }
        }
    }

    #[test]
    fn any_change_of_a_character_is_noticed() {
        let text = cursor(2).to_string();
        for at in 0..text.len() {
            let mut damaged = text.clone().into_bytes();
            damaged[at] = if damaged[at] == b'0' { b'1' } else { b'0' };
            let damaged = String::from_utf8(damaged).unwrap();
            assert!(matches!(damaged.parse::<Cursor>(), Err(Error::CursorDamaged)), "{damaged}");
            assert!(text[..at].parse::<Cursor>().is_err());
        }
        for text in ["", "zz", "é", &"0".repeat(10_000)] {
            assert!(text.parse::<Cursor>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn made_up_numbers_are_refused() {
        for (weight, average_length, score) in
            [(f32::NAN, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, f32::NAN, 1.0), (1.0, 1.0, f32::INFINITY)]
        {
            let mut cursor = cursor(1);
            cursor.weights = Weights { words: vec![weight], average_length };
            cursor.last.score = score;
            assert!(cursor.to_string().parse::<Cursor>().is_err());
        }
    }

    #[test]
    fn better_scores_and_later_documents_come_first() {
        let at = |score, doc_id| Position { score, doc_id: DocId(doc_id) };
        let mut positions = [at(1.0, 1), at(2.0, 1), at(2.0, 5)];
        positions.sort_unstable();
        assert_eq!(positions, [at(2.0, 5), at(2.0, 1), at(1.0, 1)]);
    }
}
