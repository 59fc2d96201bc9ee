//! A summary of the terms of a document, by which the server tells which rows of the log a search need not read.
//!
//! One bit for each term, chosen by its checksum: a document whose signature lacks the bit of a term does not hold the term. The
//! other way round nothing follows, so that terms are still compared one by one.

use crate::error::Result;
use crate::language::Language;
use crate::segment::{Key, is_term};
use crate::terms::{Terms, TermsRef};

/// How many bits a signature has: stored ones have as many, so this never changes.
const BITS: usize = 1024;

/// Returns the signature of a document's terms, as the server reads a string of bits.
pub(crate) fn of(terms: &Terms) -> Result<String> {
    let mut bits = [0; BITS / 8];
    let mut terms = TermsRef::parse(terms.as_bytes())?.cursor();
    while let Some((term, _)) = terms.next()? {
        add(&mut bits, term);
    }
    Ok(literal(&bits))
}

/// Returns for each language, in the order of their bytes, the bits of the terms among `keys`.
pub(crate) fn asked(keys: &[Key]) -> Vec<String> {
    let mut bits = vec![[0; BITS / 8]; Language::ALL.len()];
    for key in keys.iter().filter(|key| is_term(&key.bytes)) {
        if let Some((language, term)) = key.bytes.split_first()
            && let Some(bits) = bits.get_mut(usize::from(*language))
        {
            add(bits, term);
        }
    }
    bits.iter().map(|bits| literal(bits)).collect()
}

fn add(bits: &mut [u8; BITS / 8], term: &[u8]) {
    let at = crc32fast::hash(term) as usize % BITS;
    bits[at / 8] |= 0x80 >> (at % 8);
}

fn literal(bits: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits =
        bits.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)]));
    std::iter::once('x').chain(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_has_the_bits_of_its_terms() {
        let signature = of(&Terms::of("Boat", "races", Language::English).0).unwrap();
        assert_eq!(signature.len(), 1 + BITS / 4);
        for (term, holds) in [("boat", true), ("race", true), ("oar", false)] {
            let asked = asked(&[Key::of_term(Language::English, term.as_bytes())]);
            let digit = |digit: char| digit.to_digit(16).unwrap();
            let meets = |(a, b): (char, char)| digit(a) & digit(b) > 0;
            let english = &asked[usize::from(Language::English.byte())];
            assert_eq!(signature[1..].chars().zip(english[1..].chars()).any(meets), holds, "{term}");
            assert!(asked[0][1..].chars().all(|digit| digit == '0'));
        }
    }
}
