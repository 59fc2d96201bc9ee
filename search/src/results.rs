//! What was found.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::cursor::Cursor;
use crate::highlight::Highlighted;
use crate::id::{EntityId, Surface};
use crate::query::MatchMode;

/// A page of hits and what there is besides. All of it covers only what the audience may see.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Results {
    /// The hits of this page, best first.
    pub hits: Vec<Hit>,
    /// How many documents match on the surfaces asked for, on all pages together.
    pub total: u64,
    /// How many documents match on each surface, those not asked for included, so that a page can offer them.
    pub counts: BTreeMap<Surface, u64>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<Cursor>,
    /// The match mode used: `All` or `Any`.
    pub mode: MatchMode,
    /// Words of the query beyond [`MAX_WORDS`](crate::MAX_WORDS), which were ignored.
    pub ignored_words: usize,
}

/// A document that matches.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Hit {
    /// Where the document belongs.
    pub surface: Surface,
    /// The host's name of it.
    pub entity_id: EntityId,
    /// How well it matches; comparable within one query only.
    pub score: f32,
    /// The title with its matches.
    pub title: Highlighted,
    /// The most telling part of the body with its matches.
    pub snippet: Highlighted,
    /// The moment it is about.
    pub recency: Option<DateTime<Utc>>,
    /// Where it can be read.
    pub url: Option<String>,
    /// What the host attached.
    pub extra: Option<String>,
}
