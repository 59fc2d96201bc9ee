//! The JSON routes of search.

use std::collections::BTreeMap;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as UrlQuery, State};
use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};
use stoa_search::{Hit, Results};
use utoipa::{IntoParams, OpenApi, ToSchema};

use super::{Question, find, suggest as complete};
use crate::backend::Backend;
use crate::http::api::{ApiResult, Json, PageQuery, ProblemBody};
use crate::http::session::Session;
use crate::http::{Routes, Site};

/// Adds the JSON routes of search.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes.get("/api/v1/search", search::<B>).get("/api/v1/search/suggest", suggest::<B>)
}

/// Describes them.
#[derive(OpenApi)]
#[openapi(paths(search, suggest))]
pub(crate) struct Api;

/// What is looked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SearchQuery {
    /// Words as people type them; `"…"` holds some together, and `-` leaves one out. Up to 4096 bytes.
    #[serde(default)]
    #[param(max_length = 4096)]
    q: String,
    /// Only this surface, such as `feed`, `groups`, `events`, `jobs` or `directory`.
    #[param(max_length = 128)]
    surface: Option<String>,
}

/// A document that matches.
#[derive(Debug, Serialize, ToSchema)]
struct HitView {
    /// Where it belongs.
    surface: String,
    /// Its id there.
    id: String,
    /// The title as HTML: escaped, but for the `<mark>` around what was found.
    title_html: String,
    /// The most telling part, likewise.
    snippet_html: String,
    /// The page it can be read on.
    url: Option<String>,
    /// The moment it is about, as RFC 3339 has it.
    at: Option<String>,
}

/// A page of hits. All of it covers only what the caller may see.
#[derive(Debug, Serialize, ToSchema)]
struct Found {
    /// The hits, best first.
    items: Vec<HitView>,
    /// The `after` of the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// How many there are on all pages.
    total: u64,
    /// How many there are on each surface.
    counts: BTreeMap<String, u64>,
    /// The text as others write it, if nobody writes it like this.
    #[serde(skip_serializing_if = "Option::is_none")]
    did_you_mean: Option<String>,
    /// Whether the search stopped at its time limit.
    is_partial: bool,
}

/// Completions of a text, those that find most first.
#[derive(Debug, Serialize, ToSchema)]
struct Suggestions {
    /// The whole text each time.
    items: Vec<String>,
}

impl From<Hit> for HitView {
    fn from(hit: Hit) -> Self {
        Self {
            surface: hit.surface.to_string(),
            id: hit.entity_id.to_string(),
            title_html: hit.title.html(),
            snippet_html: hit.snippet.html(),
            url: hit.url,
            at: hit.recency.map(|at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        }
    }
}

impl From<Results> for Found {
    fn from(results: Results) -> Self {
        Self {
            items: results.hits.into_iter().map(HitView::from).collect(),
            next: results.next.map(|next| next.to_string()),
            total: results.total,
            counts: results.counts.into_iter().map(|(surface, count)| (surface.to_string(), count)).collect(),
            did_you_mean: results.did_you_mean,
            is_partial: results.is_partial,
        }
    }
}

/// Searches everything that the caller may see.
#[utoipa::path(get, path = "/api/v1/search", tag = "search", params(SearchQuery, PageQuery),
    responses((status = 200, body = Found), (status = 422, body = ProblemBody)))]
async fn search<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    query: Result<UrlQuery<SearchQuery>, QueryRejection>,
    page: PageQuery,
) -> ApiResult<Found> {
    let UrlQuery(query) = query?;
    let question = Question::new(&query.q, query.surface.as_deref(), page.after.as_deref())?;
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    Ok(Json(find(&site.app, &mut tx, &viewer, &question, page.limit()?.into()).await?.into()))
}

/// Completes the last word of a text, with words of what the caller may see.
#[utoipa::path(get, path = "/api/v1/search/suggest", tag = "search", params(SearchQuery),
    responses((status = 200, body = Suggestions), (status = 422, body = ProblemBody)))]
async fn suggest<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    query: Result<UrlQuery<SearchQuery>, QueryRejection>,
) -> ApiResult<Suggestions> {
    let UrlQuery(query) = query?;
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    Ok(Json(Suggestions { items: complete(&site.app, &mut tx, &viewer, &query.q).await? }))
}
