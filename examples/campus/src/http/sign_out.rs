//! The way out.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;

use super::{Routes, Site, bare_page, session};
use crate::backend::Backend;

/// Adds the way out.
pub(super) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes.post("/sign-out", sign_out::<B>)
}

/// Has the browser forget its token, also one that no longer holds. Whoever has a copy can use it until it expires: no list of tokens is
/// kept.
async fn sign_out<B: Backend>(State(site): State<Site<B>>) -> Response {
    let forget = [(header::SET_COOKIE, session::no_cookie())];
    if site.options.has_picker() {
        return (forget, Redirect::to("/people")).into_response();
    }
    let content = html! {
        h1 { "Signed out" }
        p.lead { "This browser no longer knows who you are. Sign in again through your organisation." }
    };
    (forget, bare_page("Signed out", &content)).into_response()
}
