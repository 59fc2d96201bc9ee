//! What was found.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::cursor::Cursor;
use crate::highlight::Highlighted;
use crate::id::{EntityId, Surface};
use crate::query::MatchMode;
use crate::query::words::Correction;

/// A page of hits and what there is besides. All of it covers only what the audience may see.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Results {
    /// The hits of this page, best first.
    pub hits: Vec<Hit>,
    /// How many documents match on the surfaces asked for, on all pages together. With words in quotation marks: how many hold
    /// them in any order, unless all hits are on this page.
    pub total: u64,
    /// How many documents match on each surface, those not asked for included, so that a page can offer them.
    pub counts: BTreeMap<Surface, u64>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<Cursor>,
    /// The match mode used: `All` or `Any`.
    pub mode: MatchMode,
    /// Words of the query beyond [`MAX_WORDS`](crate::MAX_WORDS), which were ignored.
    pub ignored_words: usize,
    /// The query with words in it that others wrote, if some of its own occur nowhere the caller may see; the hits are those of
    /// both.
    pub did_you_mean: Option<String>,
    /// Whether the search stopped early: at its time limit, with hits that may not be the best and no next page; or with words in
    /// quotation marks after some hundred documents, with a page that may be short although there is a next one.
    pub is_partial: bool,
    /// How long it took.
    pub timings: Timings,
    pub(crate) corrections: Vec<Correction>,
}

/// How long a search took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// Reading the index and ranking.
    pub rank: Duration,
    /// Reading the documents of the page and marking what was found.
    pub fetch: Duration,
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

/// How a document meets a query.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// Whether the query finds it.
    pub is_match: bool,
    /// Its score: what the parts add up to, times the boost.
    pub score: f32,
    /// How much it counts more for being recent; 1 if the query does not ask for that.
    pub boost: f32,
    /// One for each word of the query, and one for each synonym or correction of it.
    pub parts: Vec<Part>,
}

/// What one word, or what stands for it, adds to a score.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Part {
    /// The word of the query.
    pub word: String,
    /// What was looked up: the word itself, a synonym, or the stem of a word that looks like it.
    pub term: String,
    /// What it weighs in this query.
    pub weight: f32,
    /// Whether it is in the title.
    pub in_title: bool,
    /// Whether it is in the body.
    pub in_body: bool,
    /// What it adds.
    pub score: f32,
}

/// How large the index is, and how current.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// How many documents there are.
    pub documents: u64,
    /// How many words they have, about: the length of a long document is known to an eighth.
    pub words: u64,
    /// Rows of the log: changes since they were last made into a segment.
    pub changes: u64,
    /// Segments.
    pub segments: u64,
    /// The generation of the analyzer of this release.
    pub generation: u8,
    /// How many documents in segments and rows of the log are of an older one, and wait for
    /// [`Search::reindex`](crate::Search::reindex).
    pub outdated: u64,
    /// Bytes of the segments.
    pub segment_bytes: u64,
    /// Bytes of the terms in the log.
    pub log_bytes: u64,
    /// Bytes that documents, log and segments take on disk with all their indexes, if the database knows without reading them: only
    /// PostgreSQL does.
    pub stored_bytes: Option<u64>,
}
