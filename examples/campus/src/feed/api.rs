//! The JSON route of the feed.

use axum::extract::State;
use utoipa::OpenApi;
use uuid::Uuid;

use super::Item;
use crate::backend::Backend;
use crate::error::Error;
use crate::feed;
use crate::http::api::{ApiResult, Json, Page, PageQuery, ProblemBody};
use crate::http::session::Session;
use crate::http::{Routes, Site};

/// Adds the JSON route of the feed.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes.get("/api/v1/feed", list::<B>)
}

/// Describes it.
#[derive(OpenApi)]
#[openapi(paths(list))]
pub(crate) struct Api;

/// Lists the posts of all groups of the caller, newest first.
#[utoipa::path(get, path = "/api/v1/feed", tag = "feed", params(PageQuery),
    responses((status = 200, body = Page<Item>), (status = 400, body = ProblemBody)))]
async fn list<B: Backend>(State(site): State<Site<B>>, session: Session, page: PageQuery) -> ApiResult<Page<Item>> {
    let (limit, after) = (page.limit()?, before(page.after.as_deref())?);
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let items = feed::before(&mut *tx, &viewer, after.as_deref(), limit + 1).await?;
    Ok(Json(Page::of(items, limit, |item| item.post.id.clone())))
}

/// Where to go on: the id of a post.
pub(crate) fn before(after: Option<&str>) -> Result<Option<String>, Error> {
    let parse = |after| {
        Uuid::parse_str(after)
            .map_err(|_| Error::Malformed("the link does not fit this list: go back to its first page".into()))
    };
    Ok(after.filter(|after| !after.is_empty()).map(parse).transpose()?.map(|id| id.to_string()))
}
