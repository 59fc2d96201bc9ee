//! Announcements of the campus, written by its staff: drafted, scheduled, published, withdrawn.

pub mod publish;
pub mod sql;

pub(crate) mod api;
pub(crate) mod pages;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::FromRow;
use stoa_audit::{Action, Actor, Audited, Entity, EntityId, EntityType, Record};
use stoa_capabilities::{Scoped, scoped};
use stoa_jobs_runner::{EnqueueOptions, Job as _};
use stoa_membership::{BATCH, CHAPTER, Filter, GROUP, PageRequest};
use stoa_search::{Document, Surface as Found};
use uuid::Uuid;

use self::publish::{PublishAnnouncement, TellReaders, make_public};
use self::sql::{AnnouncementLockSql as _, AnnouncementSql as _};
use crate::access::{self, ManageAnnouncements, PlatformCapability};
use crate::app::{App, Viewer};
use crate::backend::Backend;
use crate::caller::Caller;
use crate::error::{Error, Result};
use crate::readers::Readers;
use crate::surface::Surface;
use crate::text::{line, text};

/// What announcements bring.
pub const SURFACE: Surface = Surface {
    name: "announcements",
    tables: &["campus_announcement"],
    scopes: &["batch", "chapter", "group"],
    documents: Some("announcements"),
    actions: &[CREATED, UPDATED, SCHEDULED, PUBLISHED, WITHDRAWN],
    jobs: &[PublishAnnouncement::KIND, TellReaders::KIND],
    capabilities: &["platform.announcement.manage"],
    paths: &["/announcements", "/api/v1/announcements"],
};

pub(crate) const CREATED: Action = Action::new("bits.announcements.v1.AnnouncementService/CreateAnnouncement");
const UPDATED: Action = Action::new("bits.announcements.v1.AnnouncementService/UpdateAnnouncement");
const SCHEDULED: Action = Action::new("bits.announcements.v1.AnnouncementService/ScheduleAnnouncement");
pub(crate) const PUBLISHED: Action = Action::new("bits.announcements.v1.AnnouncementService/PublishAnnouncement");
const WITHDRAWN: Action = Action::new("bits.announcements.v1.AnnouncementService/WithdrawAnnouncement");

pub(crate) const DRAFT: &str = "draft";
pub(crate) const WAITING: &str = "scheduled";
pub(crate) const PUBLIC: &str = "published";
pub(crate) const GONE: &str = "withdrawn";

/// An announcement to write, within its bounds.
#[derive(Clone, Debug)]
pub struct Draft {
    title: String,
    body: String,
    readers: Readers,
}

impl Draft {
    /// Parses a title of one line and 1 to 200 characters, a body of 1 to 20,000, and for whom it is: everybody, or a batch, a
    /// chapter or a group.
    ///
    /// # Errors
    /// [`Error::Invalid`] says which is not what it has to be.
    pub fn new(title: &str, body: &str, readers: Readers) -> Result<Self> {
        if readers.scope().is_some_and(|scope| ![BATCH, CHAPTER, GROUP].contains(scope.kind())) {
            return Err(Error::Invalid("announcements are for everybody, a batch, a chapter or a group".into()));
        }
        Ok(Self { title: line("the title", title, 200)?, body: text("the announcement", body, 20_000)?, readers })
    }
}

/// Writes a draft, which only staff sees.
///
/// # Errors
/// [`Error::NotFound`] if the caller may not; [`Error::Invalid`] if nobody would read it; [`Error::Internal`].
pub async fn create<B: Backend>(app: &App<B>, caller: &Caller, draft: Draft) -> Result<Announcement> {
    scoped!(tx = app.begin().await?);
    let news = write(app, &mut tx, caller, draft).await?;
    app.commit(tx.into_inner()).await?;
    Ok(news)
}

/// The steps of [`create`], in a transaction that the caller commits.
///
/// # Errors
/// As [`create`].
pub async fn write<B: Backend>(
    app: &App<B>,
    tx: &mut Scoped<'_, B::Transaction>,
    caller: &Caller,
    draft: Draft,
) -> Result<Announcement> {
    authorize(app, tx, caller).await?;
    has_readers(app, tx, &draft.readers).await?;
    let now = Utc::now().timestamp_micros();
    let news = Announcement {
        id: Uuid::now_v7().to_string(),
        scope: draft.readers.to_string(),
        author_id: caller.user.to_string(),
        title: draft.title,
        body: draft.body,
        state: DRAFT.into(),
        publish_at: None,
        created_at: now,
        updated_at: now,
    };
    tx.insert_announcement(&news).await?;
    app.audit.record(tx, &caller.record(CREATED, news.entity()?)?.after(&news)?).await?;
    Ok(news)
}

/// Changes what an announcement says. Whom a published one is for stays as it is: they have been told.
///
/// # Errors
/// [`Error::NotFound`] if the caller may not, or there is none; [`Error::Invalid`] if it is withdrawn, or nobody would read it;
/// [`Error::Internal`].
pub async fn update<B: Backend>(app: &App<B>, caller: &Caller, id: &str, draft: Draft) -> Result<Announcement> {
    scoped!(tx = app.begin().await?);
    let before = lock(app, &mut tx, caller, id).await?;
    let scope = draft.readers.to_string();
    if before.state == PUBLIC && before.scope != scope {
        return Err(Error::Invalid("whom a published announcement is for cannot be changed".into()));
    }
    let mut news = Announcement { title: draft.title, body: draft.body, scope, ..before.clone() };
    if news == before {
        return Ok(news);
    }
    has_readers(app, &mut tx, &draft.readers).await?;
    news.updated_at = Utc::now().timestamp_micros();
    tx.update_announcement(&news).await?;
    if news.state == PUBLIC {
        app.search.upsert(&mut tx, &news.document()?).await?;
    }
    app.audit.record(&mut tx, &caller.record(UPDATED, news.entity()?)?.diff(&before, &news)?).await?;
    app.commit(tx.into_inner()).await?;
    Ok(news)
}

/// Has it published at that time, by a job of the same transaction. Scheduled again, it is published at the later choice only.
///
/// # Errors
/// As [`update`]; [`Error::Invalid`] if it is published, or the time is past or more than a year ahead.
pub async fn schedule<B: Backend>(app: &App<B>, caller: &Caller, id: &str, at: DateTime<Utc>) -> Result<Announcement> {
    let now = Utc::now();
    if at <= now || at > now + TimeDelta::days(366) {
        return Err(Error::Invalid("an announcement is scheduled for a time within a year from now".into()));
    }
    scoped!(tx = app.begin().await?);
    let before = lock(app, &mut tx, caller, id).await?;
    if before.state == PUBLIC {
        return Err(Error::Invalid("this announcement is published already".into()));
    }
    let publish_at = Some(at.timestamp_micros());
    let mut news = Announcement { state: WAITING.into(), publish_at, ..before.clone() };
    if news == before {
        return Ok(news);
    }
    news.updated_at = now.timestamp_micros();
    tx.update_announcement(&news).await?;
    app.audit.record(&mut tx, &caller.record(SCHEDULED, news.entity()?)?.diff(&before, &news)?).await?;
    let job = PublishAnnouncement { announcement_id: news.id.clone(), publish_at: at.timestamp_micros() };
    app.jobs.enqueue_with(&mut tx, &job, &EnqueueOptions::default().run_at(at)).await?;
    app.commit(tx.into_inner()).await?;
    app.jobs.wake();
    Ok(news)
}

/// Publishes it now. Publishing what is published changes nothing.
///
/// # Errors
/// As [`update`].
pub async fn publish<B: Backend>(app: &App<B>, caller: &Caller, id: &str) -> Result<Announcement> {
    scoped!(tx = app.begin().await?);
    let before = lock(app, &mut tx, caller, id).await?;
    if before.state == PUBLIC {
        return Ok(before);
    }
    let news = make_public(app, &mut tx, &before, &Actor::user(caller.user.as_str())?, &caller.request).await?;
    app.commit(tx.into_inner()).await?;
    app.jobs.wake();
    Ok(news)
}

/// Withdraws it, whatever its state: it is no longer found, and whoever was told of it is no longer.
///
/// # Errors
/// As [`update`].
pub async fn withdraw<B: Backend>(app: &App<B>, caller: &Caller, id: &str) -> Result<()> {
    scoped!(tx = app.begin().await?);
    let before = lock(app, &mut tx, caller, id).await?;
    let news = Announcement { state: GONE.into(), updated_at: Utc::now().timestamp_micros(), ..before.clone() };
    tx.update_announcement(&news).await?;
    app.search.remove(&mut tx, &Found::ANNOUNCEMENTS, &news.id.as_str().try_into()?).await?;
    crate::notices::NoticeSql::delete_notices(&mut *tx, TellReaders::KIND, &news.id).await?;
    app.audit.record(&mut tx, &caller.record(WITHDRAWN, news.entity()?)?.diff(&before, &news)?).await?;
    app.commit(tx.into_inner()).await
}

/// Reads an announcement as the viewer may: staff reads all of them, others what is published for them.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Internal`].
pub async fn read<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    viewer: &Viewer,
    id: &str,
) -> Result<Announcement> {
    let news = conn.announcement(&parse_id(id)?).await?.ok_or(Error::NotFound)?;
    let is_theirs = news.state == PUBLIC && news.readers()?.include(viewer);
    if is_theirs || is_editor(app, conn, viewer).await? { Ok(news) } else { Err(Error::NotFound) }
}

/// Reads what is published for the viewer, newest first.
///
/// # Errors
/// [`Error::Internal`].
pub async fn latest<B: Backend>(conn: &mut B::Connection, viewer: &Viewer, limit: i64) -> Result<Vec<Announcement>> {
    page::<B>(conn, viewer, None, limit).await
}

/// One page of what is published for the viewer; `after` is the [`Announcement::key`] of the last one on the page before.
pub(crate) async fn page<B: Backend>(
    conn: &mut B::Connection,
    viewer: &Viewer,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Announcement>> {
    let before = after.map_or_else(|| Ok((i64::MAX, String::new())), parse_key)?;
    Ok(conn.published(&Readers::of(viewer), (before.0, &before.1), limit).await?)
}

fn parse_key(key: &str) -> Result<(i64, String)> {
    let parse = || {
        let (publish_at, id) = key.split_once('_')?;
        Some((publish_at.parse().ok()?, Uuid::parse_str(id).ok()?.to_string()))
    };
    parse().ok_or_else(|| Error::Malformed("the link does not fit this list: go back to its first page".into()))
}

/// An id from outside; what is none names no announcement.
fn parse_id(id: &str) -> Result<String> {
    Ok(Uuid::parse_str(id).map_err(|_| Error::NotFound)?.to_string())
}

/// Says whether the viewer writes announcements.
pub(crate) async fn is_editor<B: Backend>(app: &App<B>, conn: &mut B::Connection, viewer: &Viewer) -> Result<bool> {
    let capability = PlatformCapability::ManageAnnouncements;
    Ok(app.platform_capabilities.check(conn, capability, &viewer.user, &access::platform()?).await?)
}

async fn authorize<B: Backend>(app: &App<B>, tx: &mut Scoped<'_, B::Transaction>, caller: &Caller) -> Result<()> {
    let platform = access::platform()?;
    drop(app.platform_capabilities.authorize(tx, ManageAnnouncements, &caller.user, &platform).await?);
    Ok(())
}

/// What nobody is a member of is most likely misspelt.
async fn has_readers<B: Backend>(app: &App<B>, conn: &mut B::Connection, readers: &Readers) -> Result<()> {
    let Some(scope) = readers.scope() else { return Ok(()) };
    let first = app.membership.list_by_scope(conn, scope, &Filter::default(), &PageRequest::first(1)).await?;
    if first.items.is_empty() { Err(Error::Invalid(format!("nobody is in {scope}"))) } else { Ok(()) }
}

/// Locks an announcement that the caller may change and that is not withdrawn.
async fn lock<B: Backend>(
    app: &App<B>,
    tx: &mut Scoped<'_, B::Transaction>,
    caller: &Caller,
    id: &str,
) -> Result<Announcement> {
    let id = parse_id(id)?;
    authorize(app, tx, caller).await?;
    let news = tx.lock_announcement(&id).await?.ok_or(Error::NotFound)?;
    if news.state == GONE {
        return Err(Error::Invalid("this announcement has been withdrawn".into()));
    }
    Ok(news)
}

/// What the campus has to say.
#[derive(Clone, Debug, PartialEq, Eq, FromRow, Serialize)]
pub struct Announcement {
    /// A UUID of version 7: ids grow with time.
    pub id: String,
    /// For whom, as [`Readers`] are written.
    pub scope: String,
    /// Who wrote it first.
    pub author_id: String,
    /// One line.
    pub title: String,
    /// Plain text.
    pub body: String,
    /// `draft`, `scheduled`, `published` or `withdrawn`.
    pub state: String,
    /// Microseconds since 1970 in UTC: when it is to be published, or was.
    pub publish_at: Option<i64>,
    /// Microseconds since 1970 in UTC.
    pub created_at: i64,
    /// Microseconds since 1970 in UTC.
    pub updated_at: i64,
}

impl Announcement {
    /// For whom.
    ///
    /// # Errors
    /// [`Error::Internal`] if the row is damaged.
    pub fn readers(&self) -> Result<Readers> {
        Ok(self.scope.parse()?)
    }

    /// Its place in the list of what is published.
    pub(crate) fn key(&self) -> String {
        format!("{}_{}", self.publish_at.unwrap_or_default(), self.id)
    }

    /// The announcement as it is found once it is published.
    ///
    /// # Errors
    /// [`Error::Internal`] if an id is out of bounds; those of stored announcements are not.
    pub fn document(&self) -> Result<Document> {
        let mut document = Document::new(Found::ANNOUNCEMENTS, self.id.as_str().try_into()?)
            .title(&self.title)
            .body(&self.body)
            .url(format!("/announcements/{}", self.id))
            .audience([self.readers()?.tag()?]);
        if let Some(at) = self.publish_at.and_then(DateTime::from_timestamp_micros) {
            document = document.recency(at);
        }
        Ok(document)
    }

    pub(crate) fn entity(&self) -> Result<Entity> {
        Ok(Entity::new(EntityType::from_static("announcement"), EntityId::new(&*self.id)?))
    }

    /// The record of its publication.
    pub(crate) fn published_by(&self, actor: &Actor, before: &Self) -> Result<Record> {
        Ok(Record::new(PUBLISHED, actor, self.entity()?).diff(before, self)?)
    }
}

/// What of an announcement an audit record may hold.
impl Audited for Announcement {
    const FIELDS: &'static [&'static str] = &["scope", "author_id", "title", "state", "publish_at"];
}
