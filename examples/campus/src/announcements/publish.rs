//! Publishing an announcement, now or when its time has come, and telling those it is for: jobs.

use std::time::Duration;

use chrono::Utc;
use serde::{Deserialize, Serialize};
use stoa_audit::{Actor, RequestContext};
use stoa_jobs_runner::{Context, Failure, Handler, Job};
use stoa_membership::{Filter, PageRequest};

use super::sql::{AnnouncementLockSql as _, AnnouncementSql as _};
use super::{Announcement, PUBLIC, WAITING};
use crate::app::App;
use crate::backend::Backend;
use crate::error::Result;
use crate::notices::{self, Notice};

/// How many members are told in one transaction.
const BATCH: u32 = 500;

/// Publishes a scheduled announcement, if it is still scheduled for that time.
#[derive(Debug, Serialize, Deserialize)]
pub struct PublishAnnouncement {
    /// The announcement.
    pub announcement_id: String,
    /// When: microseconds since 1970 in UTC.
    pub publish_at: i64,
}

impl Job for PublishAnnouncement {
    const KIND: &'static str = "announcements.publish";
    const QUEUE: &'static str = "notifications";
}

impl<B: Backend> Handler<App<B>> for PublishAnnouncement {
    async fn run(self, context: &Context<App<B>>) -> Result<(), Failure> {
        match publish_scheduled(context.state(), &self).await? {
            None => Ok(()),
            Some(early) => Err(Failure::snooze(early)),
        }
    }
}

/// Tells the members of a scope of an announcement. One for everybody is told to nobody: it stands on the home page.
#[derive(Debug, Serialize, Deserialize)]
pub struct TellReaders {
    /// The announcement.
    pub announcement_id: String,
}

impl Job for TellReaders {
    const KIND: &'static str = "announcements.tell";
    const QUEUE: &'static str = "notifications";
}

impl<B: Backend> Handler<App<B>> for TellReaders {
    async fn run(self, context: &Context<App<B>>) -> Result<(), Failure> {
        Ok(tell(context.state(), &self.announcement_id).await?)
    }
}

/// Publishes an announcement that is locked and not published: its state, its document, the audit record and the job that
/// tells of it.
pub(crate) async fn make_public<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    before: &Announcement,
    actor: &Actor,
    request: &RequestContext,
) -> Result<Announcement> {
    let now = Utc::now().timestamp_micros();
    // What was scheduled stands in the list at the time it was scheduled for.
    let publish_at = before.publish_at.filter(|_| before.state == WAITING).map_or(now, |at| at.min(now));
    let news = Announcement { state: PUBLIC.into(), publish_at: Some(publish_at), updated_at: now, ..before.clone() };
    conn.update_announcement(&news).await?;
    app.search.upsert(conn, &news.document()?).await?;
    app.audit.record(conn, &news.published_by(actor, before)?.request(request)).await?;
    if news.readers()?.scope().is_some() {
        app.jobs.enqueue(conn, &TellReaders { announcement_id: news.id.clone() }).await?;
    }
    Ok(news)
}

/// Publishes it unless it has been published, withdrawn or scheduled for another time since (then another job comes). Says how
/// long to wait where this machine's clock is behind the database's, by which the job is due.
async fn publish_scheduled<B: Backend>(app: &App<B>, job: &PublishAnnouncement) -> Result<Option<Duration>> {
    let mut tx = app.begin().await?;
    let Some(before) = tx.lock_announcement(&job.announcement_id).await? else { return Ok(None) };
    if before.state != WAITING || before.publish_at != Some(job.publish_at) {
        return Ok(None);
    }
    let early = job.publish_at.saturating_sub(Utc::now().timestamp_micros());
    if let Some(early) = u64::try_from(early).ok().filter(|early| *early > 0) {
        return Ok(Some(Duration::from_micros(early)));
    }
    let system = Actor::System("scheduler".try_into()?);
    make_public(app, &mut tx, &before, &system, &RequestContext::default()).await?;
    app.commit(tx).await?;
    app.jobs.wake();
    Ok(None)
}

/// Page by page, each in a transaction of its own; telling again changes nothing: after a crash the job starts over.
async fn tell<B: Backend>(app: &App<B>, announcement_id: &str) -> Result<()> {
    let mut request = PageRequest::first(BATCH);
    loop {
        let mut tx = app.begin().await?;
        // Locked: whoever withdraws it takes back every notice there is, and none comes after.
        let Some(news) = tx.lock_announcement(announcement_id).await? else { return Ok(()) };
        let readers = news.readers()?;
        let Some(scope) = readers.scope().filter(|_| news.state == PUBLIC) else { return Ok(()) };
        let page = app.membership.list_by_scope(&mut tx, scope, &Filter::default(), &request).await?;
        let notice = Notice {
            kind: TellReaders::KIND.into(),
            entity: news.id.clone(),
            title: news.title.clone(),
            url: format!("/announcements/{}", news.id),
            scope: news.scope.clone(),
        };
        let people = page.items.iter().map(|member| member.user().as_str());
        let people: Vec<&str> = people.filter(|id| *id != news.author_id).collect();
        notices::tell(app, &mut tx, &people, &notice).await?;
        app.commit(tx).await?;
        match page.next {
            Some(next) => request = PageRequest::first(BATCH).after(next),
            None => return Ok(()),
        }
    }
}
