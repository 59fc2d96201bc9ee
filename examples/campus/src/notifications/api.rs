//! The JSON routes of the notifications.

use axum::extract::State;
use chrono::Utc;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::preferences::{self, Preferences, Written};
use super::{Channel, Span, told};
use crate::app::App;
use crate::backend::Backend;
use crate::http::api::{ApiResult, Json, ProblemBody, moment};
use crate::http::session::Session;
use crate::http::{Routes, Site};
use crate::notices::ToldNotice;

/// How many of the newest there are.
pub(super) const SHOWN: usize = 50;

/// Adds the JSON routes of the notifications.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes
        .get("/api/v1/notifications", list::<B>)
        .get("/api/v1/settings/notifications", read::<B>)
        .post("/api/v1/settings/notifications", update::<B>)
}

/// Describes them.
#[derive(OpenApi)]
#[openapi(paths(list, read, update))]
pub(crate) struct Api;

/// Something the caller was told.
#[derive(Serialize, ToSchema)]
struct NoticeView {
    /// What happened, such as `calendar.cancelled`.
    kind: String,
    /// One line.
    title: String,
    /// The page that says more.
    url: String,
    /// When they were told.
    #[serde(serialize_with = "moment")]
    #[schema(value_type = String, format = DateTime)]
    told_at: i64,
}

impl From<ToldNotice> for NoticeView {
    fn from(told: ToldNotice) -> Self {
        Self { kind: told.notice.kind, title: told.notice.title, url: told.notice.url, told_at: told.created_at }
    }
}

/// The newest things the caller was told.
#[derive(Serialize, ToSchema)]
struct NoticeList {
    /// At most fifty, the newest first.
    items: Vec<NoticeView>,
}

/// The caller's preferences.
#[derive(Serialize, ToSchema)]
struct PreferencesView {
    #[serde(flatten)]
    written: Written,
    /// Channels that are not set up here: what is chosen of them holds once they are.
    unavailable: Vec<&'static str>,
}

impl PreferencesView {
    fn of<B: Backend>(app: &App<B>, preferences: &Preferences) -> Self {
        let unavailable = Channel::ALL.into_iter().filter(|channel| !channel.is_available(app));
        Self { written: preferences.into(), unavailable: unavailable.map(Channel::as_str).collect() }
    }
}

/// Lists what the caller was told, wants to see on campus and may still read.
#[utoipa::path(get, path = "/api/v1/notifications", tag = "notifications", responses((status = 200, body = NoticeList)))]
async fn list<B: Backend>(State(site): State<Site<B>>, session: Session) -> ApiResult<NoticeList> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let told = told::<B>(&mut tx, &viewer, Channel::InApp, Span::ALWAYS).await?;
    Ok(Json(NoticeList { items: told.into_iter().take(SHOWN).map(NoticeView::from).collect() }))
}

/// Reads how the caller wants to be told of what.
#[utoipa::path(get, path = "/api/v1/settings/notifications", tag = "notifications",
    responses((status = 200, body = PreferencesView)))]
async fn read<B: Backend>(State(site): State<Site<B>>, session: Session) -> ApiResult<PreferencesView> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let preferences = Preferences::of(&mut *tx, &viewer.person.id).await?;
    Ok(Json(PreferencesView::of(&site.app, &preferences)))
}

/// Says how the caller wants to be told of what.
#[utoipa::path(post, path = "/api/v1/settings/notifications", tag = "notifications", request_body = Written,
    responses((status = 200, body = PreferencesView), (status = 422, body = ProblemBody)))]
async fn update<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Json(written): Json<Written>,
) -> ApiResult<PreferencesView> {
    let after = Preferences::try_from(&written)?;
    let after = preferences::update(&site.app, &session.caller, after, Utc::now()).await?;
    Ok(Json(PreferencesView::of(&site.app, &after)))
}
