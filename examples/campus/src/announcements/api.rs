//! The JSON routes of announcements.

use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::{Announcement, Draft};
use crate::announcements;
use crate::app::EVERYONE;
use crate::backend::Backend;
use crate::calendar::api::{moment, readers, rfc3339};
use crate::error::Result;
use crate::http::api::{ApiResult, Json, Page, PageQuery, ProblemBody};
use crate::http::session::Session;
use crate::http::{Routes, Site};

/// Adds the JSON routes of announcements.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes
        .get("/api/v1/announcements", list::<B>)
        .post("/api/v1/announcements", create::<B>)
        .get("/api/v1/announcements/{id}", read::<B>)
        .post("/api/v1/announcements/{id}", update::<B>)
        .post("/api/v1/announcements/{id}/schedule", schedule::<B>)
        .post("/api/v1/announcements/{id}/publish", publish::<B>)
        .post("/api/v1/announcements/{id}/withdraw", withdraw::<B>)
}

/// Describes them.
#[derive(OpenApi)]
#[openapi(paths(list, create, read, update, schedule, publish, withdraw))]
pub(crate) struct Api;

/// An announcement.
#[derive(Debug, Serialize, ToSchema)]
struct AnnouncementView {
    /// A UUID.
    id: String,
    /// `campus:everyone`, or a scope such as `group:chess`.
    scope: String,
    author_id: String,
    title: String,
    body: String,
    /// `draft`, `scheduled`, `published` or `withdrawn`.
    state: String,
    /// RFC 3339: when it is to be published, or was.
    publish_at: Option<String>,
    /// RFC 3339.
    updated_at: String,
}

impl From<Announcement> for AnnouncementView {
    fn from(news: Announcement) -> Self {
        Self {
            id: news.id,
            scope: news.scope,
            author_id: news.author_id,
            title: news.title,
            body: news.body,
            state: news.state,
            publish_at: news.publish_at.map(rfc3339),
            updated_at: rfc3339(news.updated_at),
        }
    }
}

/// What an announcement says, and to whom.
#[derive(Debug, Deserialize, ToSchema)]
struct AnnouncementBody {
    /// One line.
    #[schema(min_length = 1, max_length = 200)]
    title: String,
    /// Plain text.
    #[schema(min_length = 1, max_length = 20_000)]
    body: String,
    /// A scope such as `batch:2014`; everybody without it.
    scope: Option<String>,
}

impl AnnouncementBody {
    fn draft(&self) -> Result<Draft> {
        Draft::new(&self.title, &self.body, readers(self.scope.as_deref().unwrap_or(EVERYONE))?)
    }
}

/// When to publish.
#[derive(Debug, Deserialize, ToSchema)]
struct Schedule {
    /// RFC 3339, within a year.
    publish_at: String,
}

/// Lists what is published for the caller, newest first.
#[utoipa::path(get, path = "/api/v1/announcements", tag = "announcements", params(PageQuery),
    responses((status = 200, body = Page<AnnouncementView>), (status = 400, body = ProblemBody)))]
async fn list<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    page: PageQuery,
) -> ApiResult<Page<AnnouncementView>> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let limit = page.limit()?;
    let news = announcements::page::<B>(&mut tx, &viewer, page.after.as_deref(), i64::from(limit) + 1).await?;
    let found = Page::of(news, limit, Announcement::key);
    Ok(Json(Page { items: found.items.into_iter().map(Into::into).collect(), next: found.next }))
}

/// Writes a draft, for staff.
#[utoipa::path(post, path = "/api/v1/announcements", tag = "announcements", request_body = AnnouncementBody,
    responses((status = 200, body = AnnouncementView), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn create<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Json(body): Json<AnnouncementBody>,
) -> ApiResult<AnnouncementView> {
    Ok(Json(announcements::create(&site.app, &session.caller, body.draft()?).await?.into()))
}

/// Reads an announcement.
#[utoipa::path(get, path = "/api/v1/announcements/{id}", tag = "announcements", params(("id" = String, Path)),
    responses((status = 200, body = AnnouncementView), (status = 404, body = ProblemBody)))]
async fn read<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> ApiResult<AnnouncementView> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    Ok(Json(announcements::read(&site.app, &mut tx, &viewer, &id).await?.into()))
}

/// Changes what an announcement says, for staff.
#[utoipa::path(post, path = "/api/v1/announcements/{id}", tag = "announcements", params(("id" = String, Path)),
    request_body = AnnouncementBody,
    responses((status = 200, body = AnnouncementView), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn update<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    Json(body): Json<AnnouncementBody>,
) -> ApiResult<AnnouncementView> {
    Ok(Json(announcements::update(&site.app, &session.caller, &id, body.draft()?).await?.into()))
}

/// Has it published at a time, for staff.
#[utoipa::path(post, path = "/api/v1/announcements/{id}/schedule", tag = "announcements", params(("id" = String, Path)),
    request_body = Schedule,
    responses((status = 200, body = AnnouncementView), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn schedule<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    Json(body): Json<Schedule>,
) -> ApiResult<AnnouncementView> {
    let at = moment("publish_at", &body.publish_at)?;
    Ok(Json(announcements::schedule(&site.app, &session.caller, &id, at).await?.into()))
}

/// Publishes it now, for staff.
#[utoipa::path(post, path = "/api/v1/announcements/{id}/publish", tag = "announcements", params(("id" = String, Path)),
    responses((status = 200, body = AnnouncementView), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn publish<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> ApiResult<AnnouncementView> {
    Ok(Json(announcements::publish(&site.app, &session.caller, &id).await?.into()))
}

/// Withdraws it, for staff.
#[utoipa::path(post, path = "/api/v1/announcements/{id}/withdraw", tag = "announcements", params(("id" = String, Path)),
    responses((status = 200, body = AnnouncementView), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn withdraw<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> ApiResult<AnnouncementView> {
    announcements::withdraw(&site.app, &session.caller, &id).await?;
    read(State(site), session, Path(id)).await
}
