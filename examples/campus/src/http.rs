//! The pages and the JSON routes: sign-in, limits, headers, and what a refusal looks like.

pub mod auth;

pub(crate) mod answer;
pub(crate) mod api;
pub(crate) mod layout;
pub(crate) mod session;

mod docs;
mod input;
mod limit;
mod picker;
mod request;
mod routes;
mod sign_out;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{DefaultBodyLimit, Form, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use governor::clock::DefaultClock;
use maud::Markup;

use self::auth::{Keys, Signer};
use self::limit::Limiter;
pub use self::limit::{Rate, Rates};
pub(crate) use self::routes::Routes;
use crate::app::App;
use crate::backend::Backend;
use crate::error::{Error, Result};

/// A form, or what is wrong with it.
pub(crate) type FormResult<T> = std::result::Result<Form<T>, FormRejection>;

/// The largest form, in bytes.
const MAX_BODY: usize = 256 * 1024;

/// Sent with every answer. No page of campus loads anything but its own stylesheet.
const HEADERS: [(HeaderName, HeaderValue); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ),
];

/// How long a request may take.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// How campus is served. There is no default: whoever serves it says who can sign in.
pub struct Options {
    keys: Keys,
    /// In the demo, what the picker signs with.
    signer: Option<Signer>,
    limiter: Option<Limiter>,
    time_limit: Duration,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Options {
    /// The demo: whoever reaches it picks who to be. For a loopback listener, and a database that the demo made.
    pub fn demo() -> Self {
        Self::demo_with(&auth::random_secret())
    }

    /// The demo, with a secret that outlives the process: see [`auth::demo_secret`].
    pub fn demo_with(secret: &str) -> Self {
        let signer = Some(Signer::new(secret.as_bytes()));
        Self { signer, ..Self::production(Keys::demo(secret.as_bytes())) }
    }

    /// Production: whoever has a token that one of the keys signed is who the token says.
    pub fn production(keys: Keys) -> Self {
        let limiter = Some(Limiter::new(Rates::default(), &DefaultClock::default()));
        Self { keys, signer: None, limiter, time_limit: TIME_LIMIT, headers: HEADERS.into() }
    }

    /// Lets so many requests of one person through; all of them without rates.
    #[must_use]
    pub fn rates(self, rates: Option<Rates>) -> Self {
        Self { limiter: rates.map(|rates| Limiter::new(rates, &DefaultClock::default())), ..self }
    }

    /// Gives up a request after this time. 30 seconds without it.
    #[must_use]
    pub fn time_limit(self, time_limit: Duration) -> Self {
        Self { time_limit, ..self }
    }

    /// Tells browsers to come back over HTTPS only, for a year.
    #[must_use]
    pub fn https_only(mut self) -> Self {
        self.headers.push((header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000")));
        self
    }

    fn keys(&self) -> &Keys {
        &self.keys
    }

    fn has_picker(&self) -> bool {
        self.signer.is_some()
    }

    fn signer(&self) -> Result<&Signer> {
        self.signer.as_ref().ok_or(Error::NoPicker)
    }
}

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Site<B: Backend> {
    pub(crate) app: App<B>,
    options: Arc<Options>,
}

/// Serves the pages and the JSON routes of the application.
pub fn router<B: Backend>(app: App<B>, options: Options) -> Router {
    let site = Site { app, options: Arc::new(options) };
    all::<B>()
        .into_router()
        .nest("/admin/jobs", crate::admin::dashboard(&site))
        .fallback(async || Error::NotFound)
        .layer(middleware::from_fn(input::readable))
        .layer(middleware::from_fn_with_state(site.clone(), session::guard::<B>))
        .merge(signed::<B>().into_router())
        .route("/style.css", get(stylesheet))
        .route("/api/docs", get(docs::page))
        .route("/api/v1/openapi.json", get(docs::document))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(site.options.time_limit, session::in_time))
        .layer(middleware::from_fn_with_state(site.clone(), answer::written::<B>))
        .layer(middleware::map_response_with_state(site.clone(), with_headers::<B>))
        .layer(middleware::from_fn(request::named))
        .with_state(site)
}

/// Every route, as method and path: what the tests walk through.
pub fn routes<B: Backend>() -> Vec<(Method, &'static str)> {
    [all::<B>().listed(), signed::<B>().listed()].concat()
}

fn all<B: Backend>() -> Routes<B> {
    let surfaces = [
        picker::routes,
        sign_out::routes,
        crate::home::routes,
        crate::groups::pages::routes,
        crate::groups::api::routes,
        crate::calendar::pages::routes,
        crate::calendar::api::routes,
        crate::announcements::pages::routes,
        crate::announcements::api::routes,
        crate::groups::member_api::routes,
        crate::directory::pages::routes,
        crate::directory::api::routes,
        crate::feed::pages::routes,
        crate::feed::api::routes,
        crate::openings::pages::routes,
        crate::openings::api::routes,
        crate::search::pages::routes,
        crate::search::api::routes,
        crate::import::pages::routes,
        crate::notifications::pages::routes,
        crate::notifications::api::routes,
        crate::staff::pages::routes,
        crate::staff::api::routes,
        crate::marketplace::pages::routes,
        crate::marketplace::api::routes,
        crate::mentorship::pages::routes,
        crate::mentorship::api::routes,
        crate::admin::pages::routes,
        crate::assistant::pages::routes,
        crate::assistant::api::routes,
        crate::whatsapp::pages::routes,
        crate::whatsapp::api::routes,
    ];
    surfaces.into_iter().fold(Routes::new(), |routes, add| add(routes))
}

/// What no session opens: whoever calls it proves who they are by a signature.
fn signed<B: Backend>() -> Routes<B> {
    crate::whatsapp::webhook::routes(Routes::new())
}

/// A page for nobody in particular.
pub(crate) fn bare_page(title: &str, content: &Markup) -> Markup {
    layout::page(title, None, "", content)
}

async fn stylesheet() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("http/style.css"))
}

async fn with_headers<B: Backend>(State(site): State<Site<B>>, mut response: Response) -> Response {
    for (name, value) in &site.options.headers {
        response.headers_mut().insert(name, value.clone());
    }
    response
}
