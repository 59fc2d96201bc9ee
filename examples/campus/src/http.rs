//! The pages: routes, limits, headers.

pub(crate) mod api;
pub(crate) mod layout;
pub(crate) mod session;

mod picker;
mod routes;

use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{DefaultBodyLimit, Form};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use maud::Markup;

pub(crate) use self::routes::Routes;
use crate::app::App;
use crate::backend::Backend;
use crate::error::Error;
use crate::{admin, groups, home, import, marketplace, mentorship, search};

/// A form, or what is wrong with it.
pub(crate) type FormResult<T> = std::result::Result<Form<T>, FormRejection>;

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
    pub(crate) app: App<B>,
    /// The database was made by the demo, and the listener is a loopback address.
    is_demo: bool,
}

/// Serves the pages of the application. The person picker exists only where `is_demo` holds.
pub fn router<B: Backend>(app: App<B>, is_demo: bool) -> Router {
    let site = Site { app, is_demo };
    all::<B>()
        .into_router()
        .fallback(async || Error::NotFound)
        .method_not_allowed_fallback(async || Error::NotFound)
        .layer(middleware::from_fn_with_state(site.clone(), session::guard::<B>))
        .route("/style.css", get(stylesheet))
        .route("/api/v1/openapi.json", get(async || axum::Json(api::document())))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::map_response(with_headers))
        .with_state(site)
}

/// Every route, as method and path: what the tests walk through.
pub fn routes<B: Backend>() -> Vec<(Method, &'static str)> {
    all::<B>().listed().to_vec()
}

fn all<B: Backend>() -> Routes<B> {
    let surfaces = [
        picker::routes,
        home::routes,
        groups::pages::routes,
        groups::api::routes,
        mentorship::pages::routes,
        mentorship::api::routes,
        marketplace::pages::routes,
        marketplace::api::routes,
        search::pages::routes,
        import::pages::routes,
        admin::pages::routes,
    ];
    surfaces.into_iter().fold(Routes::new(), |routes, add| add(routes))
}

/// A page for nobody in particular.
pub(crate) fn bare_page(title: &str, content: &Markup) -> Markup {
    layout::page(title, None, "", content)
}

async fn stylesheet() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("http/style.css"))
}

async fn with_headers(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, value);
    }
    response
}
