//! The jobs board: openings that alumni tell each other of, for everybody or for the members of a group.

pub mod expire;
pub mod sql;

pub(crate) mod api;
pub(crate) mod pages;

use chrono::{DateTime, Days, Utc};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use stoa_audit::{Action, Audited, Entity, EntityId, EntityType};
use stoa_capabilities::scoped;
use stoa_jobs_runner::Job as _;
use stoa_membership::Scope;
use stoa_search::{Document, Tag};
use url::Url;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::access::{self, CloseOpening, CreateOpening};
use crate::app::{App, EVERYONE, Viewer};
use crate::backend::Backend;
use crate::caller::Caller;
use crate::directory::sql::DirectorySql as _;
use crate::error::{Error, Result};
use crate::groups::{self, GroupKind};
use crate::openings::expire::CloseExpired;
use crate::openings::sql::{BoardSql, Listing, OpeningSql};
use crate::surface::Surface;
use crate::text::{end_of, line, line_if_any, moment, moment_if_any, text};

/// What the jobs board brings.
pub const SURFACE: Surface = Surface {
    name: "openings",
    tables: &["campus_opening"],
    scopes: &["group", "chapter"],
    documents: Some("jobs"),
    actions: &[CREATED, CLOSED, expire::EXPIRED],
    jobs: &[CloseExpired::KIND],
    capabilities: &["group.opening.create", "platform.opening.close"],
    paths: &["/openings", "/api/v1/openings"],
};

pub(crate) const CREATED: Action = Action::new("bits.openings.v1.OpeningService/CreateOpening");
const CLOSED: Action = Action::new("bits.openings.v1.OpeningService/CloseOpening");

/// The longest that an opening stays open, in days.
const MAX_DAYS: u64 = 366;

/// An opening to post, as it comes from outside.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct NewOpening {
    /// What it is: one line.
    #[schema(min_length = 1, max_length = 200)]
    pub title: String,
    /// Whose it is.
    #[schema(min_length = 1, max_length = 100)]
    pub employer: String,
    /// Where it is; needed unless it is remote.
    #[serde(default)]
    #[schema(max_length = 100)]
    pub place: String,
    /// Whether it can be done from anywhere.
    #[serde(default)]
    pub is_remote: bool,
    /// What there is to know.
    #[schema(min_length = 1, max_length = 10_000)]
    pub body: String,
    /// Where to apply: `https` only.
    #[schema(max_length = 500)]
    pub url: String,
    /// Only for the members of this group; for everybody without it.
    #[serde(default)]
    pub group: String,
    /// The last day, in UTC, as 2030-12-31; at most a year from now.
    pub last_day: String,
}

/// An opening to post, within its bounds.
#[derive(Clone, Debug)]
pub struct Draft {
    title: String,
    employer: String,
    place: String,
    is_remote: bool,
    body: String,
    url: String,
    group: Option<String>,
    closes_at: DateTime<Utc>,
}

impl Draft {
    /// Parses what came from outside.
    ///
    /// # Errors
    /// [`Error::Invalid`] says what is not what it has to be.
    pub fn new(new: &NewOpening, now: DateTime<Utc>) -> Result<Self> {
        let place = line_if_any("the place", &new.place, 100)?;
        if place.is_empty() && !new.is_remote {
            return Err(Error::Invalid("say where it is, or that it can be done from anywhere".into()));
        }
        let closes_at = end_of(&new.last_day, now)?;
        if now.checked_add_days(Days::new(MAX_DAYS)).is_none_or(|last| closes_at > last) {
            return Err(Error::Invalid("an opening closes within a year".into()));
        }
        Ok(Self {
            title: line("the title", &new.title, 200)?,
            employer: line("the employer", &new.employer, 100)?,
            place,
            is_remote: new.is_remote,
            body: text("the description", &new.body, 10_000)?,
            url: https(&new.url)?,
            group: Some(new.group.clone()).filter(|group| !group.is_empty()),
            closes_at,
        })
    }
}

/// A link that a browser follows without asking what it is.
fn https(text: &str) -> Result<String> {
    let invalid = || Error::Invalid("the link must be an https address, as https://example.org/apply".into());
    let url = Url::parse(&line("the link", text, 500)?).map_err(|_| invalid())?;
    let is_plain = url.scheme() == "https" && url.username().is_empty() && url.password().is_none();
    // Escaping makes it longer.
    if is_plain && url.as_str().len() <= 2000 { Ok(url.into()) } else { Err(invalid()) }
}

/// Posts an opening: stored, searchable by those it is for, and recorded in one transaction.
///
/// # Errors
/// [`Error::NotSignedIn`] if there is no such person; [`Error::NotFound`] if it is for a group that the author is no member of, or
/// that is none; [`Error::Internal`].
pub async fn create<B: Backend>(app: &App<B>, author: &Caller, draft: Draft) -> Result<Opening> {
    scoped!(tx = app.begin().await?);
    tx.person(author.user.as_str()).await?.ok_or(Error::NotSignedIn)?;
    let audience = match &draft.group {
        None => EVERYONE.to_owned(),
        Some(id) => {
            let scope = groups::find(&mut *tx, id).await?.scope()?;
            drop(app.group_capabilities.authorize(&mut tx, CreateOpening, &author.user, &scope).await?);
            scope.to_string()
        }
    };
    let opening = Opening {
        id: Uuid::now_v7().to_string(),
        author_id: author.user.to_string(),
        audience,
        title: draft.title,
        employer: draft.employer,
        place: draft.place,
        is_remote: draft.is_remote,
        body: draft.body,
        url: draft.url,
        created_at: Utc::now().timestamp_micros(),
        closes_at: draft.closes_at.timestamp_micros(),
        closed_at: None,
    };
    tx.insert_opening(&opening).await?;
    app.search.upsert(&mut tx, &opening.document()?).await?;
    app.audit.record(&mut tx, &author.record(CREATED, opening.entity()?)?.after(&opening)?).await?;
    app.commit(tx.into_inner()).await?;
    Ok(opening)
}

/// Takes an opening off the board: by its author, or by the staff. Closing again changes nothing.
///
/// # Errors
/// [`Error::NotFound`] if there is none, or none that the caller may see; [`Error::Forbidden`] if it is somebody else's;
/// [`Error::Internal`].
pub async fn close<B: Backend>(app: &App<B>, caller: &Caller, id: &str) -> Result<Opening> {
    scoped!(tx = app.begin().await?);
    let known = find(&mut *tx, id).await?;
    let scope = known.scope()?;
    // An author who is no member any more sees it no more than anybody else outside.
    let may_see = match &scope {
        Some(scope) => app.membership.hold(&mut tx, &caller.user, scope).await?.is_some(),
        None => true,
    };
    if !may_see || known.author_id != caller.user.as_str() {
        let may = app.platform_capabilities.authorize(&mut tx, CloseOpening, &caller.user, &access::platform()?).await;
        drop(may.map_err(|error| match Error::from(error) {
            Error::NotFound if may_see => Error::Forbidden,
            other => other,
        })?);
    }
    let Some(closed) = tx.close_opening(&known.id, Utc::now().timestamp_micros()).await? else { return Ok(known) };
    app.search.remove(&mut tx, &stoa_search::Surface::JOBS, &closed.id.as_str().try_into()?).await?;
    app.audit.record(&mut tx, &caller.record(CLOSED, closed.entity()?)?.before(&known)?).await?;
    app.commit(tx.into_inner()).await?;
    Ok(closed)
}

async fn find<C: OpeningSql>(conn: &mut C, id: &str) -> Result<Opening> {
    let id = Uuid::parse_str(id).map_err(|_| Error::NotFound)?;
    conn.opening(&id.to_string()).await?.ok_or(Error::NotFound)
}

/// Reads an opening as the viewer may, in the viewer's own transaction; also one that has closed.
///
/// # Errors
/// [`Error::NotFound`] if there is none that the viewer may see; [`Error::Internal`].
pub async fn read<C: OpeningSql>(conn: &mut C, viewer: &Viewer, id: &str) -> Result<Opening> {
    let opening = find(conn, id).await?;
    let may_see = opening.scope()?.is_none_or(|scope| viewer.memberships.is_member(&scope));
    if may_see { Ok(opening) } else { Err(Error::NotFound) }
}

/// Which openings, as asked from outside.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Only those there; empty: anywhere.
    pub place: String,
    /// Only those that can be done from anywhere.
    pub is_remote: bool,
    /// Those before this one: ids grow with time.
    pub after: Option<String>,
}

/// Reads up to one more than `limit` of the openings that are for the viewer and have not closed by `now`, newest first.
///
/// # Errors
/// [`Error::Malformed`] if there is no going on from there; [`Error::Invalid`] if the place is none; [`Error::Internal`].
pub async fn list<C: BoardSql>(
    conn: &mut C,
    viewer: &Viewer,
    wanted: &Wanted,
    now: DateTime<Utc>,
    limit: u8,
) -> Result<Vec<Opening>> {
    let before = match wanted.after.as_deref().filter(|after| !after.is_empty()) {
        Some(after) => Uuid::parse_str(after)
            .map_err(|_| Error::Malformed("the link does not fit this list: go back to its first page".into()))?
            .to_string(),
        // Every id is made of digits, letters and hyphens, all of them less than a tilde.
        None => String::from("~"),
    };
    let scopes = viewer.memberships.scopes().filter(|scope| GroupKind::of_scope(scope).is_some());
    let listing = Listing {
        audience: scopes.map(Scope::to_string).chain([EVERYONE.to_owned()]).collect(),
        before,
        now: now.timestamp_micros(),
        place: place_key(&line_if_any("the place", &wanted.place, 100)?),
        is_remote: wanted.is_remote,
        limit: i64::from(limit) + 1,
    };
    Ok(conn.openings(&listing).await?)
}

/// Places that differ in case or in spaces are one.
fn place_key(place: &str) -> String {
    place.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Work that somebody offers.
#[derive(Clone, Debug, FromRow, Serialize, ToSchema)]
pub struct Opening {
    /// A UUID of version 7: ids grow with time.
    pub id: String,
    /// Who posted it.
    pub author_id: String,
    /// Whom it is for: `campus:everyone`, or the scope of a group.
    pub audience: String,
    /// What it is.
    pub title: String,
    /// Whose it is.
    pub employer: String,
    /// Where it is; empty if anywhere.
    pub place: String,
    /// Whether it can be done from anywhere.
    pub is_remote: bool,
    /// What there is to know.
    pub body: String,
    /// Where to apply.
    pub url: String,
    /// When it was posted.
    #[serde(serialize_with = "moment")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: i64,
    /// When it closes by itself.
    #[serde(serialize_with = "moment")]
    #[schema(value_type = String, format = DateTime)]
    pub closes_at: i64,
    /// When it was closed, if it was.
    #[serde(serialize_with = "moment_if_any")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub closed_at: Option<i64>,
}

impl Opening {
    /// The scope whose members see it; everybody does if there is none.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the audience is no scope; that of a stored opening is one.
    pub fn scope(&self) -> Result<Option<Scope>> {
        if self.audience == EVERYONE { Ok(None) } else { Ok(Some(self.audience.parse()?)) }
    }

    /// Says whether one can still apply at that moment.
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.closed_at.is_none() && self.closes_at > now.timestamp_micros()
    }

    /// The opening as it is found: by those it is for.
    pub(crate) fn document(&self) -> Result<Document> {
        let remote = if self.is_remote { "Remote" } else { "" };
        let lines = [&*self.employer, &*self.place, remote, &*self.body];
        let lines: Vec<_> = lines.into_iter().filter(|line| !line.is_empty()).collect();
        let document = Document::new(stoa_search::Surface::JOBS, self.id.as_str().try_into()?)
            .title(&self.title)
            .body(lines.join("\n"))
            .url(format!("/openings/{}", self.id))
            .audience([Tag::try_from(self.audience.as_str())?]);
        Ok(match DateTime::from_timestamp_micros(self.created_at) {
            Some(at) => document.recency(at),
            None => document,
        })
    }

    pub(crate) fn entity(&self) -> Result<Entity> {
        Ok(Entity::new(EntityType::from_static("opening"), EntityId::new(&*self.id)?))
    }
}

/// What of an opening an audit record may hold.
impl Audited for Opening {
    const FIELDS: &'static [&'static str] = &["author_id", "audience", "title", "employer", "closes_at"];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_https_and_nothing_else() {
        assert_eq!(https(" https://example.org/a b ").unwrap(), "https://example.org/a%20b");
        for bad in [
            "",
            "example.org",
            "http://example.org",
            "javascript:alert(1)",
            "data:text/html,a",
            "https://user@example.org",
            "https://",
            "https://a\nb",
        ] {
            assert!(https(bad).is_err(), "{bad}");
        }
        assert!(https(&format!("https://example.org/{}", "a".repeat(500))).is_err());
    }
}
