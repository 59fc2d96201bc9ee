//! The page of the assistant.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;

use super::extract::{MAX_QUESTION, Question};
use super::{Answer, Source, answer, context};
use crate::backend::Backend;
use crate::error::Result;
use crate::http::layout::page;
use crate::http::session::Session;
use crate::http::{Routes, Site};

/// Adds the page of the assistant.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes.get("/assistant", assistant::<B>)
}

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    q: String,
}

/// Answers a question, if there is one.
async fn assistant<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    request: std::result::Result<Query<Request>, QueryRejection>,
) -> Result<Markup> {
    let Query(Request { q }) = request?;
    let asked = q.trim();
    let question = if asked.is_empty() { None } else { Some(Question::new(asked)?) };
    let (viewer, read) = {
        let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
        let read = match question {
            Some(question) => Some((context::read(&site.app, &mut tx, &viewer, &question).await?, question)),
            None => None,
        };
        (viewer, read)
    };
    let answer = match &read {
        Some((context, question)) => Some(answer(&site.app, question, context).await),
        None => None,
    };
    Ok(page(
        "Assistant",
        Some(&viewer),
        "",
        &html! {
            h1 { "Assistant" }
            p.lead { "Ask about your groups, events, mentorships, deals and everything else that you may read here. Every sentence says where it stands." }
            form.write.card action="/assistant" {
                label {
                    "Your question"
                    input name="q" required maxlength=(MAX_QUESTION) value=(asked) placeholder="When is the next outing on the water?";
                }
                div { button { "Ask" } }
            }
            @match &answer {
                Some(answer) => (shown(answer)),
                None => p.soft { "Try “Which events are coming up?”, “Which groups do I belong to?” or “Who plays chess?”." },
            }
            @if site.app.whatsapp.is_some() {
                p.soft { "On the way? " a href="/settings/whatsapp" { "Ask by WhatsApp" } "." }
            }
        },
    ))
}

fn shown(answer: &Answer) -> Markup {
    html! {
        section aria-labelledby="answer" {
            h2 #answer { "Answer" }
            div.card role="status" {
                p.body { (answer.text) }
                @if answer.source == Source::Model {
                    p.soft { "Written by a language model from the pages below: look there before you rely on it." }
                }
                @if let Some(note) = answer.note { p.soft { (note) } }
            }
            @if answer.citations.is_empty() {
                p { "Other words may find more: " a href="/search" { "search everything" } "." }
            } @else {
                h2 { "Where it stands" }
                ul.plain {
                    @for citation in &answer.citations {
                        li { "[" (citation.number) "] " a href=(citation.url) { (citation.title) } }
                    }
                }
            }
        }
    }
}
