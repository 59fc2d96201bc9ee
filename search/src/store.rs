//! The contract between this crate and a database.

use std::collections::BTreeSet;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Datelike, NaiveDate, SubsecRound, Utc};

use crate::audience::Audience;
use crate::document::{Document, UpsertReport};
use crate::error::Result;
use crate::id::{EntityId, Surface, Tag};
use crate::load::Load;
use crate::segment::Key;
use crate::segment::page::Page;
use crate::terms::Terms;

/// The most text of a document that is kept, title and body together, in bytes.
pub const MAX_TEXT: usize = 512 * 1024;

/// The longest title that is kept, in bytes: every hit shows all of it.
pub const MAX_TITLE: usize = 4 * 1024;

/// The longest URL that is kept, in bytes. Half of one would lead elsewhere: a longer one is left out.
pub const MAX_URL: usize = 2 * 1024;

/// The longest extra text that is kept, in bytes. Half of one would make no sense: a longer one is left out.
pub const MAX_EXTRA: usize = 64 * 1024;

/// How much of a body a search reads for its snippet, in bytes.
pub const MAX_EXCERPT: usize = 64 * 1024;

/// What a backend promises. Users call [`Search`](crate::Search) instead.
///
/// A backend keeps documents, a log of what changed, and the rows of segments; it neither analyzes nor ranks nor knows what a
/// segment means, so that all backends answer alike.
///
/// # Contract
/// * A method does all its work on `conn`; it never commits or rolls back the caller's transaction, changes a setting or takes
///   a session lock. What it writes is visible on `conn` at once and to others when the caller commits.
/// * A mutating method is atomic by itself, also on a bare connection. It appends to the log what it changes: a row of the
///   log is written once and goes only by [`Store::publish`].
/// * Rows of the log are numbered; those of one document ascend in the order in which they take effect.
/// * An expected outcome is never a database error: the caller's transaction stays usable.
/// * Correct at READ COMMITTED and above.
pub trait Store: Send + Sync + 'static {
    /// `PgConnection`, `SqliteConnection`, `memory::Connection`.
    type Connection: Send;

    /// Adds documents or replaces those of the same surface and entity id, which keep their [`DocId`]. Answers, now and then but at
    /// least once in a thousand documents, whether it is time to look at the length of the log.
    ///
    /// `documents` come in ascending order of surface and entity id, no two the same: rows are locked, and new ones get their
    /// ids, in that order.
    fn upsert(&self, conn: &mut Self::Connection, documents: &[Indexed]) -> impl Future<Output = Result<bool>> + Send;

    /// Does what [`Store::upsert`] does with each batch of a [`Load`], in one atomic whole, but logs only what replaces a
    /// document: the new ones become the segments that the load makes of them.
    fn load(&self, conn: &mut Self::Connection, load: &mut Load<'_>) -> impl Future<Output = Result<()>> + Send;

    /// Replaces the tags of a document; answers whether there is one.
    fn set_audience(
        &self,
        conn: &mut Self::Connection,
        surface: &Surface,
        entity_id: &EntityId,
        audience: &BTreeSet<Tag>,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Removes a document; answers whether there was one.
    fn remove(
        &self,
        conn: &mut Self::Connection,
        surface: &Surface,
        entity_id: &EntityId,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Reads, in one statement and so of one moment, every segment with those of its pages that may hold one of `keys` and are not
    /// [known](Key::known), and the whole log. Rows of documents that hold no term among `keys` may come without their terms, surface
    /// and audience, as if the document held no term at all, and what they added may be said of another row; not so if there are no
    /// keys.
    fn snapshot(
        &self,
        conn: &mut Self::Connection,
        audience: &Audience,
        keys: &[Key],
    ) -> impl Future<Output = Result<Snapshot>> + Send;

    /// Returns those of `ids` that exist and that `audience` may see at the time of this call, in any order. Bodies may be
    /// cut beyond [`MAX_EXCERPT`].
    fn documents(
        &self,
        conn: &mut Self::Connection,
        audience: &Audience,
        ids: &[DocId],
    ) -> impl Future<Output = Result<Vec<(DocId, Document)>>> + Send;

    /// Returns a document with all of its text, if it exists and `audience` may see it.
    fn find(
        &self,
        conn: &mut Self::Connection,
        audience: &Audience,
        surface: &Surface,
        entity_id: &EntityId,
    ) -> impl Future<Output = Result<Option<Document>>> + Send;

    /// Returns pages of all segments that may hold keys from `from` on and below `to`, at most `limit`: the single ones first, the
    /// largest of them before the others and without their blocks.
    fn vocabulary(
        &self,
        conn: &mut Self::Connection,
        from: &[u8],
        to: &[u8],
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Page>>> + Send;

    /// Shows every document of the snapshot to `each`, in any order, in one statement.
    fn scan(
        &self,
        conn: &mut Self::Connection,
        each: &mut (dyn FnMut(DocId, Document) + Send),
    ) -> impl Future<Output = Result<()>> + Send;

    /// Answers whether the log has at least so many rows and this connection may publish a segment now: not if another one is
    /// at it, nor if its snapshot may be older than what that one did. What it takes for the answer is gone when the transaction ends.
    fn claim(&self, conn: &mut Self::Connection, rows: u32) -> impl Future<Output = Result<bool>> + Send;

    /// Returns every segment, without pages.
    fn segments(&self, conn: &mut Self::Connection) -> impl Future<Output = Result<Vec<SegmentRow>>> + Send;

    /// Returns the oldest rows of the log: at most `rows`, and about `bytes` of terms, but at least one if there is one.
    fn backlog(
        &self,
        conn: &mut Self::Connection,
        rows: u32,
        bytes: u64,
    ) -> impl Future<Output = Result<Vec<Change>>> + Send;

    /// Returns pages of a segment in the order of their keys: so many of those after `after`.
    fn pages(
        &self,
        conn: &mut Self::Connection,
        segment: i64,
        after: &[u8],
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Page>>> + Send;

    /// Returns, in any order, those of `ids` that no row of the log is about, with all of their text and the number of their words.
    fn originals(
        &self,
        conn: &mut Self::Connection,
        ids: &[DocId],
    ) -> impl Future<Output = Result<Vec<(DocId, Document, i64)>>> + Send;

    /// Returns how many bytes documents, log and segments take with their indexes, if the database knows without reading them.
    fn stored_bytes(&self, conn: &mut Self::Connection) -> impl Future<Output = Result<Option<u64>>> + Send;

    /// Replaces rows of the log and segments by others, all or nothing; answers `false`, and changes nothing, if one of them is not
    /// as it was when it was read, or if another connection is publishing. A document that is counted anew must have had as many words as
    /// was read, and no rows of the log but those replaced; it answers `false`, too, instead of waiting for one that a writer holds.
    fn publish(
        &self,
        conn: &mut Self::Connection,
        publication: &Publication,
    ) -> impl Future<Output = Result<bool>> + Send;
}

/// Whoever writes a row of the log whose number is a multiple of this looks whether the log is long.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) const LOOK_EVERY: i64 = 256;

/// The database's own name of a document: ascending in the order of first indexing, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocId(pub i64);

/// What a query reads.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Every segment, in any order.
    pub segments: Vec<SegmentRow>,
    /// The log, in any order.
    pub log: Vec<LogRow>,
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
impl Snapshot {
    /// Hands each segment its pages.
    pub(crate) fn attach(&mut self, pages: Vec<(i64, (usize, Vec<u8>))>) {
        let segments = self.segments.iter_mut().map(|segment| (segment.segment, segment));
        let mut segments: HashMap<i64, &mut SegmentRow> = segments.collect();
        for (segment, (place, block)) in pages {
            if let Some(segment) = segments.get_mut(&segment) {
                segment.pages.push((place, Arc::new(block)));
            }
        }
    }
}

/// A segment as it is stored.
#[derive(Clone, Debug, Default)]
pub struct SegmentRow {
    /// Its name, never used twice.
    pub segment: i64,
    /// Counts the changes of `dead`.
    pub revision: i32,
    /// How many documents it added to all documents, and how many words: less than it holds if some replaced older ones.
    pub added: Totals,
    /// One bit for each first byte of its keys.
    pub namespaces: i64,
    /// Which documents it holds.
    pub head: Vec<u8>,
    /// Those of them that a later segment or a removal has outdated.
    pub dead: Vec<u8>,
    /// The pages asked for, each with the index of the key that it may hold.
    pub pages: Vec<(usize, Arc<Vec<u8>>)>,
}

/// How many documents and words there are more than before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Documents.
    pub documents: i64,
    /// Words, by their quantised numbers.
    pub words: i64,
}

/// A row of the log.
#[derive(Clone, Debug)]
pub struct LogRow {
    /// Its number.
    pub number: i64,
    /// The document that was changed.
    pub doc_id: DocId,
    /// What the change added.
    pub added: Totals,
    /// [`Terms::as_bytes`]; `None` if the text did not change or is gone.
    pub terms: Option<Vec<u8>>,
    /// The surface of the document; `None` if the change removed it.
    pub surface: Option<String>,
    /// Whether the audience may see the document after the change.
    pub is_visible: bool,
}

/// A row of the log for a compaction.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its number.
    pub number: i64,
    /// The document that was changed.
    pub doc_id: DocId,
    /// What the change added.
    pub added: Totals,
    /// [`Terms::as_bytes`]; `None` if the text did not change or is gone.
    pub terms: Option<Vec<u8>>,
    /// The document as it is now, if it is still there. Its text is left out if this row has terms.
    pub document: Option<Document>,
    /// How many words it has; 0 if it is gone.
    pub words: i64,
}

/// A document that has another number of words than before, for another analyzer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recount {
    /// The document.
    pub doc_id: DocId,
    /// The number that was read.
    pub before: i64,
    /// The number to keep.
    pub after: i64,
}

/// What a compaction changes.
#[derive(Clone, Debug, Default)]
pub struct Publication {
    /// The rows of the log that the new segment stands for.
    pub consumed: Vec<i64>,
    /// Segments that have more dead documents now, with the revision that was read and the new set.
    pub outdated: Vec<(i64, i32, Vec<u8>)>,
    /// Segments that the new one stands for, with the revision that was read.
    pub merged: Vec<(i64, i32)>,
    /// Documents that are counted anew.
    pub recounted: Vec<Recount>,
    /// The new segment, and its pages.
    pub segment: Option<(SegmentRow, Vec<Page>)>,
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
impl Publication {
    /// Answers whether everything was found as it was read: so many rows of the log, merged and outdated segments.
    pub(crate) fn is_done(&self, consumed: u64, merged: u64, outdated: u64) -> bool {
        [consumed, merged, outdated].map(usize::try_from)
            == [Ok(self.consumed.len()), Ok(self.merged.len()), Ok(self.outdated.len())]
    }
}

/// A document with its terms, made fit for every database.
#[derive(Clone, Debug, PartialEq)]
pub struct Indexed {
    /// The document.
    pub document: Document,
    /// The terms of its title and body.
    pub terms: Terms,
}

impl Indexed {
    /// Cuts or leaves out what is too long, replaces what PostgreSQL cannot hold (NUL becomes U+FFFD, years leave 1 to 9999 no more), and
    /// analyzes the rest.
    pub(crate) fn of(document: &Document) -> (Self, UpsertReport) {
        let (title, cut_of_title) = fit(&document.title, MAX_TITLE);
        let (body, cut_of_body) = fit(&document.body, MAX_TEXT - title.len());
        let (terms, cut_words) = Terms::of(&title, &body, document.language);
        let (url, dropped_url) = whole(document.url.as_deref(), MAX_URL);
        let (extra, dropped_extra) = whole(document.extra.as_deref(), MAX_EXTRA);
        let recency = document.recency.map(within_years);
        let document = Document {
            surface: document.surface.clone(),
            entity_id: document.entity_id.clone(),
            title,
            body,
            language: document.language,
            audience: document.audience.clone(),
            recency,
            url,
            extra,
        };
        let cut_bytes = cut_of_title + cut_of_body;
        (
            Self { document, terms: terms.dated(recency) },
            UpsertReport { cut_bytes, cut_words, dropped_url, dropped_extra },
        )
    }
}

/// Returns the beginning of a text that fits, and how many bytes were cut.
fn fit(text: &str, room: usize) -> (String, usize) {
    let kept = &text[..text.floor_char_boundary(room)];
    let clean = without_nul(kept);
    let end = clean.floor_char_boundary(room);
    (clean[..end].to_owned(), text.len() - kept.len() + clean.len() - end)
}

/// Returns the text if it fits, and whether it was dropped.
fn whole(text: Option<&str>, room: usize) -> (Option<String>, bool) {
    let kept = text.filter(|text| text.len() <= room).map(without_nul).filter(|text| text.len() <= room);
    let is_dropped = text.is_some() && kept.is_none();
    (kept, is_dropped)
}

fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn within_years(at: DateTime<Utc>) -> DateTime<Utc> {
    let limit = match at.year() {
        ..1 => NaiveDate::from_ymd_opt(1, 1, 1),
        1..=9999 => None,
        _ => NaiveDate::from_ymd_opt(9999, 12, 31),
    };
    limit.and_then(|day| day.and_hms_opt(0, 0, 0)).map_or(at.trunc_subsecs(6), |limit| limit.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indexed(title: String, body: String) -> (Indexed, UpsertReport) {
        let document = Document::new(Surface::FEED, EntityId::new("1").unwrap()).title(title).body(body);
        Indexed::of(&document)
    }

    #[test]
    fn what_is_cut_is_reported() {
        let (kept, report) = indexed("title".to_owned(), "é".repeat(5 << 20));
        assert_eq!(kept.document.title.len() + kept.document.body.len(), MAX_TEXT - 1);
        assert_eq!(report.cut_bytes, (10 << 20) - (MAX_TEXT - 5 - 1));
        let (kept, report) = indexed("t".repeat(MAX_TITLE + 7), "body".to_owned());
        assert_eq!((kept.document.title.len(), kept.document.body.as_str(), report.cut_bytes), (MAX_TITLE, "body", 7));
        assert!(indexed("title".to_owned(), "body".to_owned()).1.is_complete());
    }

    #[test]
    fn what_makes_no_sense_in_parts_is_left_out_and_reported() {
        let of = |url: String, extra: String| {
            Indexed::of(&Document::new(Surface::FEED, EntityId::new("1").unwrap()).url(url).extra(extra))
        };
        let (kept, report) = of("u".repeat(MAX_URL), "é".repeat(MAX_EXTRA / 2));
        assert!(report.is_complete() && kept.document.url.is_some() && kept.document.extra.is_some());
        let (kept, report) = of("u".repeat(MAX_URL + 1), "\0".repeat(MAX_EXTRA / 2));
        assert_eq!((kept.document.url, kept.document.extra), (None, None));
        assert!(report.dropped_url && report.dropped_extra && !report.is_complete());
    }

    #[test]
    fn nul_and_wild_dates_become_harmless() {
        assert_eq!(indexed("a\0b".to_owned(), String::new()).0.document.title, "a\u{fffd}b");
        assert_eq!(within_years(DateTime::<Utc>::MIN_UTC).to_rfc3339(), "0001-01-01T00:00:00+00:00");
        assert_eq!(within_years(DateTime::<Utc>::MAX_UTC).to_rfc3339(), "9999-12-31T00:00:00+00:00");
        let nanos = DateTime::from_timestamp(1, 123_456_789).unwrap();
        assert_eq!(within_years(nanos), DateTime::from_timestamp(1, 123_456_000).unwrap());
    }
}
