//! The last word of a text that is being typed.

use std::collections::BTreeMap;

use crate::analyzer::{self, Kind};
use crate::error::Result;
use crate::language::Language;
use crate::query::typo::{self, Vocabulary};
use crate::query::words::Correction;
use crate::store::Store;

/// How many pages of the segments are read for it in a language.
const MAX_PAGES: u32 = 64;
/// A stem may be so many letters shorter than what was typed.
const ENDING: usize = 4;

/// See the module.
pub(crate) struct Prefix {
    /// In its normal form.
    pub(crate) word: String,
    /// As terms begin.
    term: String,
    /// Where it begins in the text.
    start: usize,
}

impl Prefix {
    /// The word that the text ends with.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let mut last = None;
        analyzer::words(text, |word| {
            let is_last = word.kind == Kind::Whole && word.range.end == text.len() && !word.is_cut;
            last = is_last.then(|| (word.text.to_owned(), word.range.start));
        });
        let (word, start) = last?;
        let term = analyzer::term(&word, Language::Other).into_owned();
        Some(Self { word, term, start })
    }

    /// The terms that words may have which begin like this, the most frequent first.
    pub(crate) async fn candidates<S: Store>(
        &self,
        store: &S,
        conn: &mut S::Connection,
        place: u8,
        vocabulary: &Vocabulary<'_>,
        room: usize,
    ) -> Result<Vec<Correction>> {
        let mut sizes: BTreeMap<(Language, String), usize> = BTreeMap::new();
        for &language in vocabulary.languages() {
            let mut note = |term: &[u8], size: usize| {
                if let Ok(term) = str::from_utf8(term) {
                    let sum = sizes.entry((language, term.to_owned())).or_default();
                    *sum = sum.saturating_add(size);
                }
            };
            let range = typo::range(language, &self.term);
            typo::read(store, conn, range, MAX_PAGES, &mut note).await?;
            vocabulary.of_log(language, |term| {
                if term.starts_with(self.term.as_bytes()) {
                    note(term, 3);
                }
            })?;
            // "Connectio" has a longer beginning than the stem of "connection".
            let ends = self.term.char_indices().map(|(at, _)| at).rev().take(ENDING).filter(|at| *at > 2);
            for stem in ends.map(|end| &self.term[..end]) {
                note(stem.as_bytes(), usize::MAX);
            }
            note(analyzer::term(&self.word, language).as_bytes(), usize::MAX);
        }
        let mut found: Vec<_> = sizes.into_iter().map(|((language, term), size)| (size, language, term)).collect();
        found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| (a.1, &a.2).cmp(&(b.1, &b.2))));
        found.truncate(room);
        let candidate = |(_, language, term)| Correction { word: place, edits: 0, language, term };
        Ok(found.into_iter().map(candidate).collect())
    }

    /// Answers whether a word in its normal form begins like this.
    pub(crate) fn begins(&self, word: &str) -> bool {
        word.starts_with(&self.word) || analyzer::term(word, Language::Other).starts_with(&self.term)
    }

    /// The text with the word that was meant.
    pub(crate) fn complete(&self, text: &str, word: &str) -> String {
        [&text[..self.start], word].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_word_at_the_end_is_being_typed() {
        let word = |text| Prefix::of(text).map(|prefix| (prefix.word, prefix.start));
        assert_eq!(word("row bo"), Some(("bo".to_owned(), 4)));
        assert_eq!(word("multi-AG"), Some(("ag".to_owned(), 6)));
        assert_eq!((word("row "), word(""), word("row!"), word("東京")), (None, None, None, None));
        let prefix = Prefix::of("mein Ärg").unwrap();
        assert!(prefix.begins("ärger") && prefix.begins("argument") && !prefix.begins("är"));
        assert_eq!(prefix.complete("mein Ärg", "ärger"), "mein ärger");
    }
}
