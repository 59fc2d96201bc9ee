//! What a recommender learns from, and what it recommends.
//!
//! The recommender itself is the host's: a job that reads signals page by page, thinks, and replaces candidates. Both stores work on the
//! caller's own connection, like all of this crate.
//!
//! ```
//! use stoa_search::recommendation::{Candidate, CandidateStore, Signal, SignalKey, SignalKind, SignalRecorder, UserId};
//! use stoa_search::{Audience, Document, EntityId, Search, Sqlite, Surface, Tag};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
//! # stoa_search::sqlite::MIGRATOR.run(&pool).await?;
//! let (recorder, candidates) = (SignalRecorder::new(Sqlite), CandidateStore::new(Sqlite));
//! let (ada, post, rowing) = (UserId::new("ada")?, EntityId::new("post-7")?, Tag::new("group:rowing")?);
//!
//! // With what happened, in its transaction.
//! let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
//! let like = Signal::new(SignalKey::new("like ada post-7")?, ada.clone(), Surface::FEED, post.clone(), SignalKind::LIKE);
//! assert!(recorder.record(&mut tx, &like).await?);
//! # let document = Document::new(Surface::FEED, post.clone()).body("boats").audience([rowing.clone()]);
//! # Search::new(Sqlite).upsert(&mut tx, &document).await?;
//! tx.commit().await?;
//!
//! // In the recommender, now and then.
//! let mut conn = pool.acquire().await?;
//! let page = recorder.page(&mut conn, None, 500).await?;
//! assert_eq!(page.signals[0].signal, like);
//! candidates.replace(&mut conn, &ada, &Surface::FEED, &[Candidate::new(post.clone(), 0.9)]).await?;
//!
//! // Wherever they are shown.
//! let shown = candidates.read(&mut conn, &ada, &Surface::FEED, &Audience::tags([rowing]), 20).await?;
//! assert_eq!(shown[0].entity_id, post);
//! # Ok(())
//! # }
//! ```

mod store;

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::audience::Audience;
use crate::error::{Error, Result};
use crate::id::{EntityId, Surface};

pub use crate::id::{Reason, SignalKey, SignalKind, UserId};
pub use store::{Place, Store};

/// The most signals that one call records or returns.
pub const MAX_SIGNALS: usize = 1_000;

/// The most candidates of a user on a surface.
pub const MAX_CANDIDATES: usize = 1_000;

/// Something that somebody did with a document, or with what will become or was one.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    pub(crate) key: SignalKey,
    pub(crate) user_id: UserId,
    pub(crate) surface: Surface,
    pub(crate) entity_id: EntityId,
    pub(crate) kind: SignalKind,
    pub(crate) weight: f32,
}

impl Signal {
    /// Says who did what with which document, at a weight of one.
    pub fn new(key: SignalKey, user_id: UserId, surface: Surface, entity_id: EntityId, kind: SignalKind) -> Self {
        Self { key, user_id, surface, entity_id, kind, weight: 1.0 }
    }

    /// Sets how much it counts, whatever the recommender makes of it. It must be a finite number.
    #[must_use]
    pub fn weight(self, weight: f32) -> Self {
        Self { weight, ..self }
    }

    /// Returns the key: of two signals with the same one only the first is recorded.
    pub fn key(&self) -> &SignalKey {
        &self.key
    }

    /// Returns who did it.
    pub fn user_id(&self) -> &UserId {
        &self.user_id
    }

    /// Returns the surface of the document.
    pub fn surface(&self) -> &Surface {
        &self.surface
    }

    /// Returns the id of the document.
    pub fn entity_id(&self) -> &EntityId {
        &self.entity_id
    }

    /// Returns what was done.
    pub fn kind(&self) -> &SignalKind {
        &self.kind
    }

    /// Returns how much it counts.
    pub fn strength(&self) -> f32 {
        self.weight
    }
}

/// A signal that was recorded.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Recorded {
    /// Its number, never used twice.
    pub number: i64,
    /// What was recorded.
    pub signal: Signal,
    /// When, by the clock of the database.
    pub recorded_at: DateTime<Utc>,
}

/// Signals in the order in which they are read.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SignalPage {
    /// As many as were asked for, or all that there are.
    pub signals: Vec<Recorded>,
    /// Where the next page begins, now or when there is more.
    pub next: SignalCursor,
}

/// Up to where signals were read: a short text that a recommender keeps with what it made of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalCursor(Place);

impl fmt::Display for SignalCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { is_restored, xid, number } = self.0;
        write!(f, "{}.{xid}.{number}", u8::from(!is_restored))
    }
}

impl FromStr for SignalCursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |part: &str| part.parse().ok().filter(|number| *number >= 0);
        let mut parts = text.split('.').map(number);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Some(part @ (0 | 1))), Some(Some(xid)), Some(Some(number)), None) => {
                Ok(Self(Place { is_restored: part == 0, xid, number }))
            }
            _ => Err(Error::CursorDamaged),
        }
    }
}

/// Records what people do, for a recommender to learn from.
#[derive(Clone, Copy, Debug, Default)]
pub struct SignalRecorder<S> {
    store: S,
}

impl<S: Store> SignalRecorder<S> {
    /// Records in `store`.
    pub const fn new(store: S) -> Self {
        Self { store }
    }

    /// Records a signal, unless there is one of the same key; answers whether it was new.
    ///
    /// It is part of the caller's transaction. On PostgreSQL who records the key of another open transaction waits for that one to end.
    ///
    /// # Errors
    ///
    /// * [`Error::Invalid`] if the weight is no finite number.
    /// * [`Error::Backend`] if the database fails.
    #[tracing::instrument(level = "debug", name = "search.record", skip_all, fields(kind = %signal.kind))]
    pub async fn record(&self, conn: &mut S::Connection, signal: &Signal) -> Result<bool> {
        Ok(self.insert(conn, std::slice::from_ref(signal)).await? > 0)
    }

    /// Records many signals, all or none, in the order of their keys; answers how many were new.
    ///
    /// # Errors
    ///
    /// Those of [`SignalRecorder::record`], and [`Error::TooMany`] above [`MAX_SIGNALS`].
    #[tracing::instrument(level = "debug", name = "search.record_many", skip_all, fields(signals = signals.len()))]
    pub async fn record_many(&self, conn: &mut S::Connection, signals: &[Signal]) -> Result<u64> {
        self.insert(conn, signals).await
    }

    async fn insert(&self, conn: &mut S::Connection, signals: &[Signal]) -> Result<u64> {
        check_count("signals", signals.len(), MAX_SIGNALS)?;
        for signal in signals {
            check_number("signal weight", signal.weight)?;
        }
        // In one order, so that two who record the same keys wait for each other and do not dead-lock.
        let mut sorted: Vec<&Signal> = signals.iter().collect();
        sorted.sort_by_key(|signal| &signal.key);
        sorted.dedup_by_key(|signal| &signal.key);
        if sorted.is_empty() { Ok(0) } else { self.store.record(conn, &sorted).await }
    }

    /// Returns the signals after a cursor, or the first ones: at most `limit`, and at most [`MAX_SIGNALS`].
    ///
    /// Every signal comes on one page, however late its transaction commits. On PostgreSQL those of a transaction come when every
    /// transaction that began to write before it has ended, in the whole server. When a dump was restored on another server, pages may begin
    /// anew: a recommender that counts leaves out the numbers it knows.
    ///
    /// # Errors
    ///
    /// * [`Error::Corrupt`] if what is stored is damaged.
    /// * [`Error::Backend`] if the database fails.
    #[tracing::instrument(level = "debug", name = "search.signals", skip_all)]
    pub async fn page(
        &self,
        conn: &mut S::Connection,
        after: Option<&SignalCursor>,
        limit: usize,
    ) -> Result<SignalPage> {
        let after = after.map_or(Place::START, |cursor| cursor.0);
        let limit = u32::try_from(limit.clamp(1, MAX_SIGNALS)).unwrap_or(1);
        let found = self.store.signals(conn, after, limit).await?;
        let next = SignalCursor(found.last().map_or(after, |(place, _)| *place));
        Ok(SignalPage { signals: found.into_iter().map(|(_, recorded)| recorded).collect(), next })
    }

    /// Removes signals that were recorded so long ago, the oldest first and at most `limit`; answers how many.
    ///
    /// Their keys are forgotten with them.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] if the database fails.
    #[tracing::instrument(level = "debug", name = "search.prune_signals", skip_all)]
    pub async fn prune(&self, conn: &mut S::Connection, age: Duration, limit: u32) -> Result<u64> {
        // As old as no signal is; a database could not subtract more.
        const OLDEST: Duration = Duration::from_hours(24 * 365 * 1_000);
        self.store.prune_signals(conn, age.min(OLDEST), limit).await
    }
}

/// A document that is recommended.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Its id.
    pub entity_id: EntityId,
    /// How much it is recommended.
    pub score: f32,
    /// Why, as the host's page will say it.
    pub reason: Option<Reason>,
}

impl Candidate {
    /// Recommends a document so much. The score must be a finite number.
    pub const fn new(entity_id: EntityId, score: f32) -> Self {
        Self { entity_id, score, reason: None }
    }

    /// Says why.
    #[must_use]
    pub fn reason(self, reason: Reason) -> Self {
        Self { reason: Some(reason), ..self }
    }
}

/// Keeps what is recommended to whom on which surface.
#[derive(Clone, Copy, Debug, Default)]
pub struct CandidateStore<S> {
    store: S,
}

impl<S: Store> CandidateStore<S> {
    /// Keeps candidates in `store`.
    pub const fn new(store: S) -> Self {
        Self { store }
    }

    /// Replaces all candidates of a user on a surface. Of two for one document the better one counts.
    ///
    /// Of two callers who do it at the same time, the one who commits later replaces all of what the other did.
    ///
    /// # Errors
    ///
    /// * [`Error::TooMany`] above [`MAX_CANDIDATES`].
    /// * [`Error::Invalid`] if a score is no finite number.
    /// * [`Error::Backend`] if the database fails.
    #[tracing::instrument(level = "debug", name = "search.replace_candidates", skip_all, fields(%surface))]
    pub async fn replace(
        &self,
        conn: &mut S::Connection,
        user_id: &UserId,
        surface: &Surface,
        candidates: &[Candidate],
    ) -> Result<()> {
        check_count("candidates", candidates.len(), MAX_CANDIDATES)?;
        for candidate in candidates {
            check_number("candidate score", candidate.score)?;
        }
        let mut sorted: Vec<&Candidate> = candidates.iter().collect();
        sorted.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut seen = HashSet::new();
        sorted.retain(|candidate| seen.insert(&candidate.entity_id));
        self.store.replace_candidates(conn, user_id, surface, &sorted).await
    }

    /// Returns the best candidates of a user on a surface that `audience` may see, at most `limit`: by score, equals in the order they were
    /// given in.
    ///
    /// Of documents that are not indexed, not any more or not yet, there is none.
    ///
    /// # Errors
    ///
    /// * [`Error::Corrupt`] if what is stored is damaged.
    /// * [`Error::Backend`] if the database fails.
    #[tracing::instrument(level = "debug", name = "search.candidates", skip_all, fields(%surface))]
    pub async fn read(
        &self,
        conn: &mut S::Connection,
        user_id: &UserId,
        surface: &Surface,
        audience: &Audience,
        limit: usize,
    ) -> Result<Vec<Candidate>> {
        let mut found = self.store.candidates(conn, user_id, surface, audience).await?;
        found.truncate(limit);
        Ok(found)
    }
}

fn check_count(what: &'static str, count: usize, limit: usize) -> Result<()> {
    if count > limit { Err(Error::TooMany { what, count, limit }) } else { Ok(()) }
}

fn check_number(what: &'static str, number: f32) -> Result<()> {
    if number.is_finite() { Ok(()) } else { Err(Error::Invalid { what, problem: "must be a finite number" }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_back_to_its_place() {
        for place in [Place::START, Place { is_restored: false, xid: i64::MAX, number: 7 }] {
            let cursor = SignalCursor(place);
            assert_eq!(cursor.to_string().parse::<SignalCursor>().unwrap(), cursor);
        }
        for damaged in ["", "1", "1.2", "2.1.1", "1.-1.1", "1.1.1.1", "1.x.1", "1.99999999999999999999.1"] {
            assert!(matches!(damaged.parse::<SignalCursor>(), Err(Error::CursorDamaged)), "{damaged}");
        }
    }
}
