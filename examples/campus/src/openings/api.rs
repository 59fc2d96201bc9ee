//! The JSON routes of the jobs board.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use chrono::Utc;
use serde::Deserialize;
use utoipa::{IntoParams, OpenApi};

use super::{Draft, NewOpening, Opening, Wanted};
use crate::backend::Backend;
use crate::http::api::{ApiResult, Json, Page, PageQuery, ProblemBody};
use crate::http::session::Session;
use crate::http::{Routes, Site};
use crate::openings;

/// Adds the JSON routes of the jobs board.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes
        .get("/api/v1/openings", list::<B>)
        .post("/api/v1/openings", create::<B>)
        .get("/api/v1/openings/{id}", read::<B>)
        .post("/api/v1/openings/{id}/close", close::<B>)
}

/// Describes them.
#[derive(OpenApi)]
#[openapi(paths(list, create, read, close))]
pub(crate) struct Api;

/// Which openings.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OpeningQuery {
    /// Only those there.
    #[serde(default)]
    #[param(max_length = 100)]
    place: String,
    /// Only those that can be done from anywhere.
    #[serde(default)]
    remote: bool,
}

/// Lists the openings that are for the caller and still open, newest first.
#[utoipa::path(get, path = "/api/v1/openings", tag = "openings", params(OpeningQuery, PageQuery),
    responses((status = 200, body = Page<Opening>), (status = 400, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn list<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    query: Result<Query<OpeningQuery>, QueryRejection>,
    page: PageQuery,
) -> ApiResult<Page<Opening>> {
    let Query(OpeningQuery { place, remote }) = query?;
    let (limit, wanted) = (page.limit()?, Wanted { place, is_remote: remote, after: page.after });
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let found = openings::list(&mut *tx, &viewer, &wanted, Utc::now(), limit).await?;
    Ok(Json(Page::of(found, limit, |opening| opening.id.clone())))
}

/// Posts an opening, for everybody or for one of the caller's groups.
#[utoipa::path(post, path = "/api/v1/openings", tag = "openings", request_body = NewOpening,
    responses((status = 200, body = Opening), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn create<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Json(new): Json<NewOpening>,
) -> ApiResult<Opening> {
    Ok(Json(openings::create(&site.app, &session.caller, Draft::new(&new, Utc::now())?).await?))
}

/// Reads an opening that is for the caller, also after it has closed.
#[utoipa::path(get, path = "/api/v1/openings/{id}", tag = "openings", params(("id" = String, Path)),
    responses((status = 200, body = Opening), (status = 404, body = ProblemBody)))]
async fn read<B: Backend>(State(site): State<Site<B>>, session: Session, Path(id): Path<String>) -> ApiResult<Opening> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    Ok(Json(openings::read(&mut *tx, &viewer, &id).await?))
}

/// Closes an opening, as its author or as the staff. Closing again changes nothing.
#[utoipa::path(post, path = "/api/v1/openings/{id}/close", tag = "openings", params(("id" = String, Path)),
    responses((status = 200, body = Opening), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody)))]
async fn close<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> ApiResult<Opening> {
    Ok(Json(openings::close(&site.app, &session.caller, &id).await?))
}
