//! One box over everything.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as UrlQuery, State};
use maud::{Markup, PreEscaped, html};
use serde::Deserialize;
use stoa_search::{Cursor, EntityId, Query, Surface};

use super::Site;
use super::layout::page;
use super::session::Session;
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::sql::Sql as _;

/// Hits on a page.
const HITS: usize = 20;

#[derive(Deserialize)]
pub(super) struct Request {
    #[serde(default)]
    q: String,
    surface: Option<String>,
    after: Option<String>,
}

/// Searches what the viewer may see.
pub(super) async fn search<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    request: std::result::Result<UrlQuery<Request>, QueryRejection>,
) -> Result<Markup> {
    let UrlQuery(request) = request?;
    let text = request.q.trim();
    let surface = request.surface.as_deref().filter(|name| !name.is_empty()).map(Surface::try_from).transpose()?;
    let mut query = Query::text(text).limit(HITS).surfaces(surface.clone());
    if let Some(cursor) = &request.after {
        query = query.after(cursor.parse::<Cursor>()?);
    }
    let (mut tx, viewer) = site.app.read_as(&session.user).await?;
    let started = std::time::Instant::now();
    let results = site.app.search.search(&mut tx, &query, &viewer.audience()?).await?;
    let elapsed = started.elapsed();
    let href = |surface: Option<&str>, after: Option<&Cursor>| {
        let mut url = url::form_urlencoded::Serializer::new(String::from("/search?"));
        url.append_pair("q", text);
        if let Some(surface) = surface {
            url.append_pair("surface", surface);
        }
        if let Some(after) = after {
            url.append_pair("after", &after.to_string());
        }
        url.finish()
    };
    let chosen = surface.as_ref().map(Surface::as_str);
    Ok(page(
        "Search",
        Some(&viewer),
        text,
        &html! {
            h1 { "Search" }
            p.lead { (results.total) " found in " (format!("{:.1}", elapsed.as_secs_f64() * 1e3)) " ms" }
            ul.tabs {
                li { a href=(href(None, None)) aria-current=[chosen.is_none().then_some("true")] { span.badge { "everything" } } }
                @for (surface, count) in &results.counts {
                    li {
                        a href=(href(Some(surface.as_str()), None)) aria-current=[(chosen == Some(surface.as_str())).then_some("true")] {
                            span.badge { (surface) " " (count) }
                        }
                    }
                }
            }
            ul.stack {
                @for hit in &results.hits {
                    li.card {
                        div.row {
                            h3 { a href=[&hit.url] { (PreEscaped(hit.title.html())) } }
                            span.badge { (hit.surface) }
                        }
                        p { (PreEscaped(hit.snippet.html())) }
                    }
                }
            }
            @if let Some(next) = &results.next {
                p { a href=(href(chosen, Some(next))) { "More" } }
            }
        },
    ))
}

#[derive(Deserialize)]
pub(super) struct Key {
    surface: String,
    id: String,
}

/// One imported document.
pub(super) async fn document<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    key: std::result::Result<UrlQuery<Key>, QueryRejection>,
) -> Result<Markup> {
    let UrlQuery(key) = key?;
    // What is no surface or no id names no document.
    let surface = Surface::try_from(key.surface.as_str()).map_err(|_| Error::NotFound)?;
    let id = EntityId::try_from(key.id.as_str()).map_err(|_| Error::NotFound)?;
    let (mut tx, viewer) = site.app.read_as(&session.user).await?;
    let document = tx.document(surface.as_str(), id.as_str()).await?.ok_or(Error::NotFound)?;
    Ok(page(
        &document.title,
        Some(&viewer),
        "",
        &html! {
            p.soft { (document.surface) }
            h1 { (document.title) }
            p.body { (document.body) }
        },
    ))
}
