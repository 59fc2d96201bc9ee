//! One box over all surfaces: what the viewer may find, and nothing of what they may not.

pub(crate) mod api;
pub(crate) mod pages;

use std::time::Duration;

use stoa_search::{Cursor, CursorKey, Query, Results, Surface};
use uuid::Uuid;

use crate::app::{App, Viewer};
use crate::backend::Backend;
use crate::error::Result;
use crate::sql::MetaSql as _;

/// How much of the index a process keeps in memory: the postings of what people look for most.
pub(crate) const CACHE: usize = 32 << 20;

/// How long a ranking may take: what it has by then is shown, and the page says that there may be more.
const TIME_LIMIT: Duration = Duration::from_millis(250);

/// Where news are the point, one of a quarter ago counts half as much more as one of today.
const HALF_LIFE: Duration = Duration::from_hours(24 * 90);

/// How many completions are offered.
pub(crate) const SUGGESTIONS: usize = 8;

/// What is asked for, within its bounds.
#[derive(Clone, Debug)]
pub struct Question {
    text: String,
    surface: Option<Surface>,
    after: Option<Cursor>,
}

impl Question {
    /// Parses what came from outside. Any text is a question; an empty one finds nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::error::Error::Invalid) if the surface is no name, or the cursor is damaged.
    pub fn new(text: &str, surface: Option<&str>, after: Option<&str>) -> Result<Self> {
        let surface = surface.filter(|name| !name.is_empty()).map(Surface::try_from).transpose()?;
        let after = after.map(str::parse).transpose()?;
        Ok(Self { text: text.trim().to_owned(), surface, after })
    }

    /// The words.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The surface asked for; none means all.
    pub fn surface(&self) -> Option<&str> {
        self.surface.as_ref().map(Surface::as_str)
    }

    fn query(&self, limit: usize) -> Query {
        let mut query =
            Query::text(&*self.text).limit(limit).time_limit(TIME_LIMIT).surfaces(self.surface.iter().cloned());
        if self.surface.as_ref().is_some_and(|surface| [Surface::FEED, Surface::ANNOUNCEMENTS].contains(surface)) {
            query = query.boost_recency(HALF_LIFE);
        }
        match &self.after {
            Some(cursor) => query.after(cursor.clone()),
            None => query,
        }
    }
}

/// Finds what the viewer may see, best first.
///
/// # Errors
/// [`Error::Invalid`](crate::error::Error::Invalid) if the text is too long, or the cursor is of another question or of somebody else's
/// making; [`Error::Internal`](crate::error::Error::Internal).
pub async fn find<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    viewer: &Viewer,
    question: &Question,
    limit: usize,
) -> Result<Results> {
    Ok(app.search.search(conn, &question.query(limit), &viewer.audience()?).await?)
}

/// Completes the word that is being typed, with words of what the viewer may see.
///
/// # Errors
/// [`Error::Invalid`](crate::error::Error::Invalid) if the text is too long; [`Error::Internal`](crate::error::Error::Internal).
pub async fn suggest<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    viewer: &Viewer,
    text: &str,
) -> Result<Vec<String>> {
    Ok(app.search.suggest(conn, text, &viewer.audience()?, SUGGESTIONS).await?)
}

/// The secret that seals cursors. The first process to ask makes it, and all others read it: a link works in every one.
pub(crate) async fn cursor_key<B: Backend>(backend: &B) -> Result<CursorKey> {
    use stoa_membership::Source as _;
    const NAME: &str = "search.cursor_key";
    let mut tx = backend.pool().begin_snapshot().await?;
    let known = tx.meta(NAME).await?;
    drop(tx);
    let secret = if let Some(secret) = known {
        secret
    } else {
        let fresh = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let mut tx = backend.pool().begin().await?;
        tx.insert_meta(NAME, &fresh).await?;
        // Of two processes that start at once the first one's stands.
        let secret = tx.meta(NAME).await?.unwrap_or(fresh);
        backend.pool().commit(tx).await?;
        secret
    };
    Ok(CursorKey::new(secret)?)
}

/// A surface by the name that people know it by.
pub(crate) fn surface_name(surface: &str) -> &str {
    match surface {
        "directory" => "People",
        "feed" => "Posts",
        "jobs" => "Jobs",
        "groups" => "Groups",
        "events" => "Events",
        "announcements" => "Announcements",
        "marketplace" => "Deals",
        "mentorship" => "Mentorship",
        other => other,
    }
}
