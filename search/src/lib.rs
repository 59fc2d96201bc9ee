#![doc = include_str!("../README.md")]

mod search;

mod document;
mod id;
mod language;

mod audience;
mod cursor;
mod query;
mod results;

pub mod analyzer;
mod bm25;
mod cache;
mod compact;
mod highlight;
mod load;
mod rank;
mod segment;
mod tally;
mod terms;

mod error;
mod source;
mod store;

pub mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use analyzer::MAX_WORD;
pub use audience::Audience;
pub use compact::Compaction;
pub use cursor::Cursor;
pub use document::{Document, UpsertReport};
pub use error::{Error, Result};
pub use highlight::Highlighted;
pub use id::{EntityId, Surface, Tag};
pub use language::Language;
pub use load::Load;
pub use memory::Memory;
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
pub use query::{MAX_PAGE, MAX_QUERY, MAX_WORDS, MatchMode, Query};
pub use results::{Hit, Results};
pub use search::Search;
pub use segment::Key;
pub use segment::page::Page;
pub use source::Source;
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;
pub use store::{
    Change, DocId, Indexed, LogRow, MAX_EXCERPT, MAX_EXTRA, MAX_TEXT, MAX_TITLE, MAX_URL, Publication, SegmentRow,
    Snapshot, Store, Totals,
};
pub use terms::Terms;
