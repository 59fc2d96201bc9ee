//! The pages: routes, limits, headers.

mod groups;
mod layout;
mod members;
mod operations;
mod search;
mod session;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use maud::Markup;

use crate::app::App;
use crate::backend::Backend;
use crate::error::Error;

/// The largest form, in bytes.
const MAX_BODY: usize = 256 * 1024;

/// Sent with every answer. No page of campus loads anything but its own stylesheet.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Site<B: Backend> {
    app: App<B>,
    /// The database was made by the demo, and the listener is a loopback address.
    is_demo: bool,
}

/// Serves the pages of the application. The person picker exists only where `is_demo` holds.
pub fn router<B: Backend>(app: App<B>, is_demo: bool) -> Router {
    let site = Site { app, is_demo };
    Router::new()
        .route("/", get(groups::home::<B>))
        .route("/people", get(groups::people::<B>).post(groups::pick::<B>))
        .route("/groups/{id}", get(groups::group::<B>))
        .route("/groups/{id}/join", post(groups::join::<B>))
        .route("/groups/{id}/leave", post(groups::leave::<B>))
        .route("/groups/{id}/members", get(members::members::<B>).post(members::decide::<B>))
        .route("/groups/{id}/members/history", get(members::history::<B>))
        .route("/groups/{id}/posts", post(groups::create_post::<B>))
        .route("/posts/{id}", get(groups::post_page::<B>))
        .route("/documents", get(search::document::<B>))
        .route("/search", get(search::search::<B>))
        .route("/jobs", get(operations::jobs::<B>))
        .route("/audit", get(operations::audit::<B>))
        .fallback(async || Error::NotFound)
        .method_not_allowed_fallback(async || Error::NotFound)
        .layer(middleware::from_fn_with_state(site.clone(), session::guard::<B>))
        .route("/style.css", get(stylesheet))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::map_response(with_headers))
        .with_state(site)
}

/// A page for nobody in particular.
pub(crate) fn bare_page(title: &str, content: &Markup) -> Markup {
    layout::page(title, None, "", content)
}

async fn stylesheet() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("style.css"))
}

async fn with_headers(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, value);
    }
    response
}
