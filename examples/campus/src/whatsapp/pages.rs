//! The page where one opts in to WhatsApp, and out of it.

use axum::extract::State;
use axum::response::Redirect;
use maud::{Markup, html};

use super::opt_in::{self, OptIn};
use super::sql::OptInSql as _;
use crate::app::Viewer;
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::http::layout::{date, page};
use crate::http::session::Session;
use crate::http::{Routes, Site};

const PATH: &str = "/settings/whatsapp";

/// Adds the page.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes
        .get(PATH, settings::<B>)
        .post("/settings/whatsapp/code", create_code::<B>)
        .post("/settings/whatsapp/opt-out", opt_out::<B>)
}

/// What the viewer opted in with.
async fn settings<B: Backend>(State(site): State<Site<B>>, session: Session) -> Result<Markup> {
    let (viewer, opt_in) = read(&site, &session).await?;
    Ok(shown(&viewer, opt_in.as_ref(), None))
}

/// Makes a code and shows it, this once: what is stored of it cannot be shown.
async fn create_code<B: Backend>(State(site): State<Site<B>>, session: Session) -> Result<Markup> {
    let code = opt_in::create_code(&site.app, &session.caller).await?;
    let (viewer, opt_in) = read(&site, &session).await?;
    Ok(shown(&viewer, opt_in.as_ref(), Some(&code)))
}

/// Forgets the viewer's telephone.
async fn opt_out<B: Backend>(State(site): State<Site<B>>, session: Session) -> Result<Redirect> {
    opt_in::opt_out(&site.app, &session.caller).await?;
    Ok(Redirect::to(PATH))
}

async fn read<B: Backend>(site: &Site<B>, session: &Session) -> Result<(Viewer, Option<OptIn>)> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    site.app.whatsapp.as_ref().ok_or(Error::NotFound)?;
    let opt_in = tx.whatsapp_opt_in(viewer.user.as_str()).await?;
    Ok((viewer, opt_in))
}

fn shown(viewer: &Viewer, opt_in: Option<&OptIn>, code: Option<&str>) -> Markup {
    page(
        "WhatsApp",
        Some(viewer),
        "",
        &html! {
            h1 { "WhatsApp" }
            p.lead { "Ask the assistant from your telephone, and be told there what is new. Nobody on campus sees your number." }
            @if let Some(code) = code {
                section.card aria-labelledby="code" {
                    h2.hit #code { "Send this from your telephone" }
                    p { code.figure { "JOIN " (code) } }
                    p.soft { "To the WhatsApp number of campus, within a quarter of an hour. It is good for one telephone, once." }
                    p { a href=(PATH) { "I have sent it" } }
                }
            }
            @match opt_in {
                Some(opt_in) => {
                    h2 { "Your telephone" }
                    div.card {
                        p { "+" (opt_in.phone) }
                        @match opt_in.stopped_at {
                            Some(at) => p.soft { "You said STOP on" (date(at)) ": nothing is sent to it. Send START from it to change that." }
                            None => p.soft { "Since" (date(opt_in.opted_in_at)) ". Send STOP from it at any time, or forget it here." }
                        }
                        form.actions method="post" action="/settings/whatsapp/opt-out" {
                            button { "Forget this telephone" }
                        }
                    }
                }
                None => @if code.is_none() { p.soft { "No telephone of yours is known yet." } }
            }
            @if code.is_none() {
                form.actions method="post" action="/settings/whatsapp/code" {
                    button.quiet { @if opt_in.is_some() { "Use another telephone" } @else { "Get a code" } }
                }
            }
        },
    )
}
