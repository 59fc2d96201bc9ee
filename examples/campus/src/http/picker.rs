//! The demo's person picker.

use axum::extract::{Form, State};
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use stoa_membership::{Filter, PageRequest, UserId};

use super::{FormResult, Routes, Site, bare_page, session};
use crate::access;
use crate::backend::Backend;
use crate::demo;
use crate::error::{Error, Result};

/// Adds the picker.
pub(super) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes.get("/people", people::<B>).post("/people", pick::<B>)
}

#[derive(Deserialize)]
struct Pick {
    person: String,
}

/// The demo's person picker.
async fn people<B: Backend>(State(site): State<Site<B>>) -> Result<Markup> {
    site.options.signer()?;
    let mut tx = site.app.read().await?;
    let people = demo::known(&mut *tx).await?;
    let staff = site
        .app
        .membership
        .list_by_scope(&mut tx, &access::platform()?, &Filter::default(), &PageRequest::first(100))
        .await?;
    let is_staff = |id: &str| staff.items.iter().any(|member| member.user().as_str() == id);
    Ok(bare_page(
        "Who are you?",
        &html! {
            h1 { "Who are you?" }
            p.lead { "This is a demo campus on your own machine. Pick somebody and look around as them." }
            ul.grid {
                @for person in &people {
                    li.card {
                        div.row {
                            h3 { (person.name) }
                            @if is_staff(&person.id) { span.badge { "staff" } }
                        }
                        p.soft { (person.headline) }
                        form method="post" action="/people" {
                            input type="hidden" name="person" value=(person.id);
                            p { button { "Be " (person.name.split(' ').next().unwrap_or("this person")) } }
                        }
                    }
                }
            }
        },
    ))
}

/// Signs in as the picked person.
async fn pick<B: Backend>(State(site): State<Site<B>>, form: FormResult<Pick>) -> Result<Response> {
    let signer = site.options.signer()?;
    let Form(form) = form?;
    let user = UserId::new(form.person).map_err(|_| Error::NotFound)?;
    let (_, viewer) = site.app.read_as(&user).await.map_err(|error| match error {
        Error::NotSignedIn => Error::NotFound,
        other => other,
    })?;
    Ok(([(header::SET_COOKIE, session::cookie(&signer.token(&viewer.user)?))], Redirect::to("/")).into_response())
}
