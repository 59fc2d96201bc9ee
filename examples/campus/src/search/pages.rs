//! One box over everything.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as UrlQuery, State};
use maud::{Markup, PreEscaped, html};
use serde::Deserialize;
use stoa_search::{Cursor, Query, Surface};

use crate::backend::Backend;
use crate::error::Result;
use crate::http::layout::page;
use crate::http::session::Session;
use crate::http::{Routes, Site};

/// Adds the search page.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes.get("/search", search::<B>)
}

/// Hits on a page.
const HITS: usize = 20;

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    q: String,
    surface: Option<String>,
    after: Option<String>,
}

/// Searches what the viewer may see.
async fn search<B: Backend>(
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
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
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
