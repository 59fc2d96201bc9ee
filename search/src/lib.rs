#![doc = include_str!("../README.md")]

pub mod analyzer;
mod audience;
mod bm25;
mod cache;
mod compact;
mod cursor;
mod document;
mod error;
mod highlight;
mod id;
mod language;
mod load;
mod query;
mod rank;
pub mod recommendation;
mod results;
mod search;
mod segment;
mod source;
mod store;
mod terms;

pub mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use analyzer::MAX_WORD;
pub use audience::Audience;
pub use compact::{Compaction, reindex::Reindexing};
pub use cursor::{Cursor, CursorKey};
pub use document::{Document, UpsertReport};
pub use error::{Error, Result};
pub use highlight::Highlighted;
pub use id::{EntityId, Surface, Tag};
pub use language::Language;
pub use load::{Load, Progress};
pub use memory::Memory;
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
pub use query::{MAX_PAGE, MAX_QUERY, MAX_WORDS, MatchMode, Query, synonyms::Synonyms};
pub use results::{Explanation, Hit, Part, Results, Stats, Timings};
pub use search::Search;
pub use segment::{Key, page::Page};
pub use source::Source;
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;
pub use store::{
    Change, DocId, Indexed, LogRow, MAX_EXCERPT, MAX_EXTRA, MAX_TEXT, MAX_TITLE, MAX_URL, Publication, Recount,
    SegmentRow, Snapshot, Store, Totals,
};
pub use terms::Terms;
