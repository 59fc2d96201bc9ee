//! The search page.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as UrlQuery, State};
use maud::{Markup, PreEscaped, html};
use serde::Deserialize;
use stoa_search::{Hit, Results};

use super::{Question, find, suggest, surface_name};
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
    let question = Question::new(&request.q, request.surface.as_deref(), request.after.as_deref())?;
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let results = find(&site.app, &mut tx, &viewer, &question, HITS).await?;
    let is_first = request.after.is_none();
    let suggestions = if results.total == 0 && !question.text().is_empty() {
        suggest(&site.app, &mut tx, &viewer, question.text()).await?
    } else {
        Vec::new()
    };
    let title = if question.text().is_empty() { "Search".to_owned() } else { format!("{} · Search", question.text()) };
    Ok(page(
        &title,
        Some(&viewer),
        question.text(),
        &html! {
            h1 { "Search" }
            @if question.text().is_empty() {
                p.lead { "Type a few words into the box above: people, groups, posts, events and jobs are searched together." }
                (hints())
            } @else {
                (summary(&results, is_first))
                @if let Some(better) = results.did_you_mean.as_deref().filter(|_| is_first) {
                    p { "Did you mean " a href=(href(better, question.surface(), None)) { strong { (better) } } "?" }
                }
                (facets(&question, &results))
                ul.stack { @for hit in &results.hits { (card(hit)) } }
                @if results.total == 0 { (nothing(&question, &results, &suggestions)) }
                @if let Some(next) = &results.next {
                    p { a.more href=(href(question.text(), question.surface(), Some(&next.to_string()))) { "More results" } }
                } @else if !is_first {
                    p.soft { "That was all." }
                }
            }
        },
    ))
}

/// How much was found, and whether that is all.
fn summary(results: &Results, is_first: bool) -> Markup {
    let took = results.timings.rank + results.timings.fetch;
    html! {
        p.lead role="status" {
            (results.total) " found in " (format!("{:.1}", took.as_secs_f64() * 1e3)) " ms"
            @if !is_first { ", continued" }
            @if results.is_partial { ". It took too long to look at everything: there may be more." }
            @if results.ignored_words > 0 { ". The last " (results.ignored_words) " words were left out." }
        }
    }
}

/// How much every surface has, as links to only that.
fn facets(question: &Question, results: &Results) -> Markup {
    let chosen = question.surface();
    let all: u64 = results.counts.values().sum();
    html! {
        @if all > 0 {
            nav aria-label="Where" {
                ul.tabs {
                    li {
                        a href=(href(question.text(), None, None)) aria-current=[chosen.is_none().then_some("true")] {
                            span.badge { "Everything " (all) }
                        }
                    }
                    @for (surface, count) in &results.counts {
                        li {
                            a href=(href(question.text(), Some(surface.as_str()), None)) aria-current=[(chosen == Some(surface.as_str())).then_some("true")] {
                                span.badge { (surface_name(surface.as_str())) " " (count) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn card(hit: &Hit) -> Markup {
    html! {
        li.card {
            div.row {
                h2.hit { a href=[&hit.url] { (PreEscaped(hit.title.html())) } }
                span.badge { (surface_name(hit.surface.as_str())) }
            }
            p { (PreEscaped(hit.snippet.html())) }
            @if let Some(at) = hit.recency { p.soft { (at.format("%e %B %Y")) } }
        }
    }
}

/// What to do when nothing was found.
fn nothing(question: &Question, results: &Results, suggestions: &[String]) -> Markup {
    html! {
        @if question.surface().is_some() && results.counts.values().any(|count| *count > 0) {
            p { "Nothing here, but elsewhere: " a href=(href(question.text(), None, None)) { "look everywhere" } "." }
        } @else {
            p { "Nothing that you may see holds these words." }
        }
        @if !suggestions.is_empty() {
            h2 { "Others wrote" }
            ul.tabs {
                @for text in suggestions { li { a href=(href(text, question.surface(), None)) { span.badge { (text) } } } }
            }
        }
        (hints())
    }
}

/// What the box understands.
fn hints() -> Markup {
    html! {
        ul.soft {
            li { "Words are found in all their forms: “rowing” finds “rows”." }
            li { "“" code { "\"boat house\"" } "” finds the words next to each other, “" code { "-cancelled" } "” leaves out what holds that word." }
            li { "What is written in a group is found by its members only." }
        }
    }
}

fn href(text: &str, surface: Option<&str>, after: Option<&str>) -> String {
    const PATH: &str = "/search?";
    let mut url = url::form_urlencoded::Serializer::for_suffix(PATH.to_owned(), PATH.len());
    url.append_pair("q", text);
    if let Some(surface) = surface {
        url.append_pair("surface", surface);
    }
    if let Some(after) = after {
        url.append_pair("after", after);
    }
    url.finish()
}
