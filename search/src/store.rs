//! The contract between this crate and a database.

use chrono::{DateTime, Datelike, NaiveDate, SubsecRound, Utc};

use crate::audience::Audience;
use crate::document::{Document, UpsertReport};
use crate::error::Result;
use crate::id::{EntityId, Surface};
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
/// A backend keeps documents and hands them out; it neither analyzes nor ranks, so that all backends answer alike.
///
/// # Contract
/// * A method does all its work on `conn`; it never commits or rolls back the caller's transaction, changes a setting or takes
///   a session lock. What it writes is visible on `conn` at once and to others when the caller commits.
/// * A mutating method is atomic by itself, also on a bare connection.
/// * An expected outcome is never a database error: the caller's transaction stays usable.
/// * Correct at READ COMMITTED and above.
pub trait Store: Send + Sync + 'static {
    /// `PgConnection`, `SqliteConnection`, `memory::Connection`.
    type Connection: Send;

    /// Adds documents or replaces those of the same surface and entity id, which keep their [`DocId`].
    ///
    /// `documents` come in ascending order of surface and entity id, no two the same: rows are locked, and new ones get their
    /// ids, in that order.
    fn upsert(&self, conn: &mut Self::Connection, documents: &[Indexed]) -> impl Future<Output = Result<()>> + Send;

    /// Removes a document; answers whether there was one.
    fn remove(
        &self,
        conn: &mut Self::Connection,
        surface: &Surface,
        entity_id: &EntityId,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Shows every document of the snapshot to `each`, in any order, in one statement. `audience` decides
    /// [`Scanned::is_visible`], not what is shown: the ranking counts all documents.
    fn scan(
        &self,
        conn: &mut Self::Connection,
        audience: &Audience,
        each: &mut (dyn FnMut(Scanned<'_>) + Send),
    ) -> impl Future<Output = Result<()>> + Send;

    /// Returns those of `ids` that exist and that `audience` may see at the time of this call, in any order. Bodies may be
    /// cut beyond [`MAX_EXCERPT`].
    fn documents(
        &self,
        conn: &mut Self::Connection,
        audience: &Audience,
        ids: &[DocId],
    ) -> impl Future<Output = Result<Vec<(DocId, Indexed)>>> + Send;
}

/// The database's own name of a document: ascending in the order of first indexing, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocId(pub i64);

/// What a scan shows of a document.
#[derive(Clone, Copy, Debug)]
pub struct Scanned<'a> {
    /// Its id.
    pub doc_id: DocId,
    /// Its surface.
    pub surface: &'a str,
    /// Whether the audience may see it.
    pub is_visible: bool,
    /// [`Terms::as_bytes`].
    pub terms: &'a [u8],
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
        let document = Document {
            surface: document.surface.clone(),
            entity_id: document.entity_id.clone(),
            title,
            body,
            language: document.language,
            audience: document.audience.clone(),
            recency: document.recency.map(within_years),
            url,
            extra,
        };
        let cut_bytes = cut_of_title + cut_of_body;
        (Self { document, terms }, UpsertReport { cut_bytes, cut_words, dropped_url, dropped_extra })
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
