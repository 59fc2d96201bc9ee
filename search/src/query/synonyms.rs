//! Words that may stand for each other.

use std::collections::{BTreeMap, BTreeSet};

use crate::analyzer;

/// Words that a query finds besides those it names. A host makes it once and hands it to its queries; a clone is cheap when it is
/// shared in an [`Arc`](std::sync::Arc).
///
/// A synonym counts 0.8 of the word that was typed. It is compared by its stem, as the word is, and stands for one word: of a
/// text with several only the first counts.
///
/// ```
/// use stoa_search::Synonyms;
///
/// let synonyms = Synonyms::default().alike(["car", "automobile"]).also("nyc", ["manhattan", "brooklyn"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Synonyms {
    others: BTreeMap<String, BTreeSet<String>>,
}

impl Synonyms {
    /// Lets each of the words find all of them.
    #[must_use]
    pub fn alike<W: AsRef<str>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        let words: BTreeSet<String> = words.into_iter().filter_map(|word| normal(word.as_ref())).collect();
        for word in &words {
            self.add(word.clone(), words.iter().cloned());
        }
        self
    }

    /// Lets `word` find `others` as well, but not the other way round.
    #[must_use]
    pub fn also<W: AsRef<str>>(mut self, word: &str, others: impl IntoIterator<Item = W>) -> Self {
        if let Some(word) = normal(word) {
            self.add(word, others.into_iter().filter_map(|other| normal(other.as_ref())));
        }
        self
    }

    /// The words that a word finds besides itself.
    pub(crate) fn of(&self, word: &str) -> impl Iterator<Item = &str> {
        self.others.get(word).into_iter().flatten().map(String::as_str)
    }

    fn add(&mut self, word: String, others: impl Iterator<Item = String>) {
        let others = others.filter(|other| *other != word).collect::<Vec<_>>();
        self.others.entry(word).or_default().extend(others);
    }

    pub(crate) fn hash(&self, hasher: &mut crc32fast::Hasher) {
        for (word, others) in &self.others {
            for part in std::iter::once(word).chain(others) {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part.as_bytes());
            }
            hasher.update(&[0xff]);
        }
    }
}

/// The first word of a text in its normal form.
fn normal(text: &str) -> Option<String> {
    let mut first = None;
    analyzer::words(text, |word| {
        first.get_or_insert_with(|| word.text.to_owned());
    });
    first
}
