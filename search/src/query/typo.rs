//! Words that nobody wrote as they were typed.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::language::Language;
use crate::query::words::{Correction, MAX_SLOTS, Words};
use crate::segment::page::Entries;
use crate::store::{LogRow, Store};
use crate::terms::TermsRef;
use crate::{analyzer, segment};

/// How many corrections a query may have.
pub(crate) const MAX_CORRECTIONS: usize = 8;
/// How many may stand for one word.
const PER_WORD: usize = 4;
/// How many pages of the segments are read for a word in a language.
const MAX_PAGES: u32 = 1024;

/// The terms that look like words nobody wrote, the nearest first; whether the caller may see a document that holds one is still to be
/// found out.
pub(crate) async fn candidates<S: Store>(
    store: &S,
    conn: &mut S::Connection,
    words: &Words,
    seen: u64,
    vocabulary: &Vocabulary<'_>,
) -> Result<Vec<Correction>> {
    let mut found = Vec::new();
    for (word, text) in words.missing(seen) {
        for &language in &vocabulary.languages {
            let term = analyzer::term(text, language);
            let Some(typed) = Typed::of(&term) else { continue };
            let mut look = |other: &[u8]| {
                let other = str::from_utf8(other).ok()?;
                let edits = typed.edits(other)?;
                found.push(Correction { word, edits, language, term: other.to_owned() });
                Some(())
            };
            for start in typed.starts() {
                let range = range(language, start.encode_utf8(&mut [0; 4]));
                read(store, conn, range, MAX_PAGES, |term, _| {
                    look(term);
                })
                .await?;
            }
            vocabulary.of_log(language, |term| {
                look(term);
            })?;
        }
    }
    found.sort_unstable_by(|a, b| (a.edits, a).cmp(&(b.edits, b)));
    found.dedup();
    found.truncate(MAX_SLOTS - words.slots());
    Ok(found)
}

/// Of those that visible documents hold, for each word the nearest, and of these the most frequent.
pub(crate) fn choose(candidates: Vec<(Correction, u64)>) -> Vec<Correction> {
    let mut by_word: BTreeMap<u8, Vec<(Correction, u64)>> = BTreeMap::new();
    for (correction, matches) in candidates.into_iter().filter(|(_, matches)| *matches > 0) {
        by_word.entry(correction.word).or_default().push((correction, matches));
    }
    let mut chosen = Vec::new();
    for mut same in by_word.into_values() {
        let nearest = same.iter().map(|(correction, _)| correction.edits).min();
        same.retain(|(correction, _)| Some(correction.edits) == nearest);
        same.sort_by(|(a, x), (b, y)| y.cmp(x).then_with(|| a.cmp(b)));
        chosen.extend(same.into_iter().take(PER_WORD).map(|(correction, _)| correction));
    }
    chosen.truncate(MAX_CORRECTIONS);
    chosen
}

/// The text of a query with its words corrected: each by the first of its corrections that is known as a word, if there is one.
pub(crate) fn corrected<'a>(
    text: &str,
    words: &Words,
    corrections: impl Iterator<Item = (&'a Correction, &'a Option<String>)>,
) -> Option<String> {
    let mut known: BTreeMap<&str, &str> = BTreeMap::new();
    for (correction, word) in corrections {
        if let Some(word) = word {
            known.entry(words.slot(usize::from(correction.word))).or_insert(word);
        }
    }
    let (mut corrected, mut end) = (String::new(), 0);
    analyzer::words(text, |word| {
        if let Some(better) = known.get(word.text).filter(|_| word.range.start >= end) {
            corrected.push_str(&text[end..word.range.start]);
            corrected.push_str(better);
            end = word.range.end;
        }
    });
    (end > 0).then(|| corrected + &text[end..])
}

/// Where the terms of a snapshot are found.
pub(crate) struct Vocabulary<'a> {
    languages: Vec<Language>,
    log: &'a [LogRow],
}

impl<'a> Vocabulary<'a> {
    pub(crate) fn of(namespaces: impl Iterator<Item = i64>, log: &'a [LogRow]) -> Self {
        let mut all = namespaces.fold(0, |all, namespaces| all | namespaces);
        for terms in log.iter().filter_map(|row| row.terms.as_deref()) {
            all |= TermsRef::parse(terms).map_or(0, |terms| segment::namespace(terms.language.byte()));
        }
        let is_there = |language: &Language| all & segment::namespace(language.byte()) != 0;
        Self { languages: Language::ALL.iter().copied().filter(is_there).collect(), log }
    }

    pub(crate) fn languages(&self) -> &[Language] {
        &self.languages
    }

    /// Calls `each` with the terms of the log in a language.
    pub(crate) fn of_log(&self, language: Language, mut each: impl FnMut(&[u8])) -> Result<()> {
        for terms in self.log.iter().filter_map(|row| row.terms.as_deref()) {
            let terms = TermsRef::parse(terms)?;
            if terms.language == language {
                let mut cursor = terms.cursor();
                while let Some((term, _)) = cursor.next()? {
                    each(term);
                }
            }
        }
        Ok(())
    }
}

/// The keys of the terms that begin like this: from the first on, up to the second.
pub(crate) fn range(language: Language, start: &str) -> (Vec<u8>, Vec<u8>) {
    let from = segment::term_key(language.byte(), start.as_bytes());
    // No term holds the byte 0xff.
    let to = [&from[..], &[0xff]].concat();
    (from, to)
}

/// Calls `each` with the terms of the segments whose keys lie in a range, and with a number that is higher the more documents hold
/// the term; the pages read are bounded.
pub(crate) async fn read<S: Store>(
    store: &S,
    conn: &mut S::Connection,
    (from, to): (Vec<u8>, Vec<u8>),
    limit: u32,
    mut each: impl FnMut(&[u8], usize),
) -> Result<()> {
    for (order, page) in store.vocabulary(conn, &from, &to, limit).await?.into_iter().enumerate() {
        if page.is_single {
            if page.key >= from {
                each(&page.key[1..], usize::MAX / 2 - order);
            }
            continue;
        }
        let mut entries = Entries::of(&page.block);
        while let Some(value) = entries.next()? {
            if (from.as_slice()..to.as_slice()).contains(&entries.key()) {
                each(&entries.key()[1..], value.len());
            }
        }
    }
    Ok(())
}

/// A term as it was typed.
struct Typed {
    letters: Vec<char>,
    most: u8,
}

impl Typed {
    /// Short terms are meant as they are, and so are those that are not words.
    fn of(term: &str) -> Option<Self> {
        let letters: Vec<char> = term.chars().collect();
        let most = match letters.len() {
            ..4 => return None,
            4..8 => 1,
            _ => 2,
        };
        letters.iter().all(|c| c.is_alphabetic()).then_some(Self { letters, most })
    }

    /// What a term that looks like it may begin with.
    fn starts(&self) -> impl Iterator<Item = char> {
        let second = (self.letters[1] != self.letters[0]).then_some(self.letters[1]);
        std::iter::once(self.letters[0]).chain(second)
    }

    /// How many edits lead to another term, if not too many: letters more, less, others, and neighbours that changed places once
    /// (optimal string alignment). One that begins with the second letter has the first two in other places.
    fn edits(&self, other: &str) -> Option<u8> {
        let most = usize::from(self.most);
        let mut letters = ['\0'; 64];
        let mut length = 0;
        for c in other.chars() {
            *letters.get_mut(length)? = c;
            length += 1;
        }
        let other = &letters[..length];
        let typed = &self.letters[..];
        if typed.len().abs_diff(length) > most || length == 0 {
            return None;
        }
        if other[0] != typed[0] && !(other[0] == typed[1] && other.get(1) == Some(&typed[0])) {
            return None;
        }
        let mut before = [0_usize; 65];
        let mut last = [0_usize; 65];
        let mut row = [0_usize; 65];
        for (at, cost) in last.iter_mut().take(length + 1).enumerate() {
            *cost = at;
        }
        for (i, &a) in typed.iter().enumerate() {
            row[0] = i + 1;
            let mut best = row[0];
            for (j, &b) in other.iter().enumerate() {
                let mut cost = (last[j] + usize::from(a != b)).min(last[j + 1] + 1).min(row[j] + 1);
                if i > 0 && j > 0 && a == other[j - 1] && typed[i - 1] == b {
                    cost = cost.min(before[j - 1] + 1);
                }
                row[j + 1] = cost;
                best = best.min(cost);
            }
            if best > most {
                return None;
            }
            (before, last, row) = (last, row, before);
        }
        let edits = last[length];
        (1..=most).contains(&edits).then_some(u8::try_from(edits).unwrap_or(u8::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn edits(typed: &str, other: &str) -> Option<u8> {
        Typed::of(typed)?.edits(other)
    }

    #[test]
    fn edits_are_counted_up_to_the_limit_of_the_length() {
        assert_eq!((edits("nueral", "neural"), edits("boaat", "boat"), edits("bot", "boat")), (Some(1), Some(1), None));
        assert_eq!((edits("netwrks", "network"), edits("transfrmr", "transformer")), (None, Some(2)));
        assert_eq!((edits("boat", "boat"), edits("boat", "coat"), edits("obat", "boat")), (None, None, Some(1)));
        assert_eq!((edits("c++x", "c++"), edits("2024", "2023"), edits("étudier", "étudie")), (None, None, Some(1)));
        assert_eq!(edits("boat", &"b".repeat(200)), None);
    }

    /// The distance by its definition.
    fn distance(a: &[char], b: &[char]) -> usize {
        match (a, b) {
            ([], rest) | (rest, []) => rest.len(),
            ([x, a_rest @ ..], [y, b_rest @ ..]) => {
                let mut least = distance(a_rest, b_rest) + usize::from(x != y);
                least = least.min(distance(a_rest, b) + 1).min(distance(a, b_rest) + 1);
                if let ([_, x2, a_rest @ ..], [_, y2, b_rest @ ..]) = (a, b)
                    && (x, x2) == (y2, y)
                {
                    least = least.min(distance(a_rest, b_rest) + 1);
                }
                least
            }
        }
    }

    proptest! {
        #[test]
        fn edits_are_those_of_the_definition(typed in "[ab]{4,8}", other in "[ab]{1,9}") {
            let (a, b): (Vec<char>, Vec<char>) = (typed.chars().collect(), other.chars().collect());
            let most = if a.len() < 8 { 1 } else { 2 };
            let begins = a[0] == b[0] || b.len() > 1 && (a[0], a[1]) == (b[1], b[0]);
            let expected = Some(distance(&a, &b)).filter(|edits| begins && (1..=most).contains(edits));
            prop_assert_eq!(edits(&typed, &other).map(usize::from), expected);
        }
    }
}
