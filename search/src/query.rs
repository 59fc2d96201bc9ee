//! What is asked for.

pub(crate) mod suggest;
pub(crate) mod synonyms;
pub(crate) mod typo;
pub(crate) mod words;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;

use crate::cursor::Cursor;
use crate::id::Surface;
use crate::query::synonyms::Synonyms;
use crate::rank::recency::{self, Boost, Day};

/// The longest text of a query, in bytes.
pub const MAX_QUERY: usize = 4096;
/// The most words of a query that count; further ones are ignored, and [`Results`](crate::Results) says how many.
pub const MAX_WORDS: usize = 32;
/// The largest page.
pub const MAX_PAGE: usize = 200;

/// A question: words as people type them.
///
/// Any text is a query. A word or a quotation after a minus sign must not occur. Words in quotation marks must occur, in any mode,
/// and in this order next to each other, within the title or within the first 64 KiB of the body; they are compared by their
/// stems there too.
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
    /// In days.
    pub(crate) half_life: Option<Day>,
    pub(crate) typos: bool,
    pub(crate) synonyms: Option<Arc<Synonyms>>,
    pub(crate) time_limit: Option<Duration>,
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
            half_life: None,
            typos: true,
            synonyms: None,
            time_limit: None,
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

    /// Lets recent documents count more: one of today (or later) twice, one that is a half-life old one and a half times, and so on
    /// down to once, by whole days in UTC; a document of no [moment](crate::Document::recency) counts once.
    #[must_use]
    pub fn boost_recency(mut self, half_life: Duration) -> Self {
        self.half_life = Some(recency::half_life(half_life));
        self
    }

    /// The boost of this query; a later page keeps the day of the first.
    pub(crate) fn boost(&self) -> Option<Boost> {
        let now = self.after.as_ref().map_or_else(|| recency::day(Utc::now()), |cursor| cursor.today);
        self.half_life.map(|half_life| Boost::new(now, half_life))
    }

    /// Sets whether a word that occurs nowhere the caller may see stands for the words that look like it: one edit for four to
    /// seven letters, two from eight on, where an edit is a letter more, less, another, or changed places with its neighbour, and
    /// the first letter is right or changed places with the second. On by default; a word in quotation marks is meant as it is.
    #[must_use]
    pub fn typos(mut self, are_forgiven: bool) -> Self {
        self.typos = are_forgiven;
        self
    }

    /// Lets words find their synonyms too; not those in quotation marks, and not those that must not occur.
    #[must_use]
    pub fn synonyms(mut self, synonyms: Arc<Synonyms>) -> Self {
        self.synonyms = Some(synonyms);
        self
    }

    /// Sets how long the ranking may take, what the database takes not counted. When the time is over it goes on with what it has
    /// seen, and [`Results::is_partial`](crate::Results::is_partial) says so.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
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
        hasher.update(&[self.mode as u8, u8::from(self.typos)]);
        hasher.update(&self.half_life.unwrap_or_default().to_le_bytes());
        hasher.update(&self.title_weight.to_bits().to_le_bytes());
        for part in self.surfaces.iter().map(Surface::as_str).chain([self.text.as_str()]) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        if let Some(synonyms) = &self.synonyms {
            synonyms.hash(&mut hasher);
        }
        hasher.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            query.clone().boost_recency(Duration::from_hours(48)),
            query.clone().typos(false),
        ] {
            assert_ne!(query.fingerprint(), other.fingerprint());
        }
    }
}
