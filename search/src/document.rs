//! What is indexed.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use chrono::{DateTime, Utc};

use crate::analyzer;
use crate::id::{EntityId, Surface, Tag};
use crate::language::Language;

/// Something that can be found.
///
/// `(surface, entity_id)` is its identity: indexing it again replaces all of it. Title and body are searched; the rest is
/// kept and handed back with a hit. Nobody sees a document before it has an [audience](Document::audience).
///
/// ```
/// use stoa_search::{Document, EntityId, Surface, Tag};
///
/// # fn main() -> stoa_search::Result<()> {
/// let post = Document::new(Surface::FEED, EntityId::new("post-7")?)
///     .title("Rowing on Sunday")
///     .body("We meet at the boat house at nine.")
///     .audience([Tag::new("group:rowing")?]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub(crate) surface: Surface,
    pub(crate) entity_id: EntityId,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) language: Language,
    pub(crate) audience: BTreeSet<Tag>,
    pub(crate) recency: Option<DateTime<Utc>>,
    pub(crate) url: Option<String>,
    pub(crate) extra: Option<String>,
}

impl Document {
    /// Starts a document without text, in English, visible to nobody.
    pub fn new(surface: Surface, entity_id: EntityId) -> Self {
        Self {
            surface,
            entity_id,
            title: String::new(),
            body: String::new(),
            language: Language::default(),
            audience: BTreeSet::new(),
            recency: None,
            url: None,
            extra: None,
        }
    }

    /// Sets the title, cut at [`MAX_TITLE`](crate::MAX_TITLE) bytes; a word found here counts more than one found in the body.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the language its words are stemmed in.
    #[must_use]
    pub fn language(mut self, language: Language) -> Self {
        self.language = language;
        self
    }

    /// Sets the tags of those who may see it.
    #[must_use]
    pub fn audience(mut self, tags: impl IntoIterator<Item = Tag>) -> Self {
        self.audience = tags.into_iter().collect();
        self
    }

    /// Sets the moment it is about, kept to the microsecond between the years 1 and 9999.
    #[must_use]
    pub fn recency(mut self, at: DateTime<Utc>) -> Self {
        self.recency = Some(at);
        self
    }

    /// Sets where it can be read; left out beyond [`MAX_URL`](crate::MAX_URL) bytes.
    #[must_use]
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// Sets a text that is handed back with each hit and never searched, for instance JSON; left out beyond
    /// [`MAX_EXTRA`](crate::MAX_EXTRA) bytes.
    #[must_use]
    pub fn extra(mut self, extra: impl Into<String>) -> Self {
        self.extra = Some(extra.into());
        self
    }
}

impl Document {
    /// The first word with this stem, in its normal form, that is accepted.
    pub(crate) fn word_of(&self, term: &str, is_accepted: impl Fn(&str) -> bool) -> Option<String> {
        let mut found = None;
        for text in [&self.title, &self.body] {
            analyzer::words_until(text, |word| {
                if analyzer::term(word.text, self.language) == term && is_accepted(word.text) {
                    found = Some(word.text.to_owned());
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            });
            if found.is_some() {
                break;
            }
        }
        found
    }
}

/// What of a document could not be kept as it was handed in; it is indexed all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpsertReport {
    /// Bytes of the title beyond [`MAX_TITLE`](crate::MAX_TITLE), and of title and body beyond
    /// [`MAX_TEXT`](crate::MAX_TEXT): neither stored nor searchable.
    pub cut_bytes: usize,
    /// Words longer than [`MAX_WORD`](crate::MAX_WORD), found by their beginning.
    pub cut_words: usize,
    /// Whether the URL was longer than [`MAX_URL`](crate::MAX_URL) and left out.
    pub dropped_url: bool,
    /// Whether the extra text was longer than [`MAX_EXTRA`](crate::MAX_EXTRA) and left out.
    pub dropped_extra: bool,
}

impl UpsertReport {
    /// Answers whether all of it was kept and all of its text is searchable.
    pub fn is_complete(&self) -> bool {
        *self == Self::default()
    }
}
