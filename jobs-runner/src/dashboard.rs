//! Pages for operators, to mount under a path of one's own.
//!
//! ```no_run
//! # #[cfg(feature = "sqlite")]
//! # mod host {
//! use axum::Router;
//! use axum::http::request::Parts;
//! use stoa_jobs_runner::dashboard::{Action, Dashboard};
//! use stoa_jobs_runner::{Jobs, Sqlite};
//! # #[derive(Clone)]
//! # struct User { is_admin: bool }
//!
//! # pub fn router(pool: sqlx::SqlitePool) -> Router {
//! let dashboard = Dashboard::new(Jobs::new(Sqlite), pool, |request: &Parts, _: Action| {
//!     let user = request.extensions.get::<User>().cloned();   // from the host's own middleware
//!     async move { user.is_some_and(|user| user.is_admin) }
//! });
//! Router::new().nest("/admin/jobs", dashboard.router())
//! # }
//! # }
//! ```
//!
//! The guard is asked before every page and every action, and for each button before it is shown; nobody sees anything until
//! it says yes ([`Nobody`] never does). An action is a `POST` that a browser sends from these pages only: it names their own
//! origin, and brings the token of a cookie that other sites cannot read. The pages need no script, load nothing from
//! elsewhere and forbid both. No page counts what it need not show: it costs the same at ten finished jobs and at millions.

mod act;
mod job;
mod layout;
mod list;
mod overview;
mod protect;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::http::request::Parts;
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::{get, post};

use crate::{Jobs, Source, Store};

/// The largest form, in bytes.
const MAX_BODY: usize = 16 * 1024;

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Read any page.
    View,
    /// Bring jobs back, or let them run at once.
    Retry,
    /// Cancel jobs.
    Cancel,
    /// Give jobs up.
    Discard,
    /// Remove jobs.
    Delete,
    /// Pause a queue.
    Pause,
    /// Resume a queue.
    Resume,
}

/// Who may do what: the host's own check, a closure or a type.
pub trait Guard: Send + Sync + 'static {
    /// Says whether whoever sent the request may do this. What the host's middleware knows of them is in its extensions.
    fn allows(&self, request: &Parts, action: Action) -> impl Future<Output = bool> + Send;
}

impl<F, R> Guard for F
where
    F: Fn(&Parts, Action) -> R + Send + Sync + 'static,
    R: Future<Output = bool> + Send,
{
    fn allows(&self, request: &Parts, action: Action) -> impl Future<Output = bool> + Send {
        self(request, action)
    }
}

/// Lets nobody in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

impl Guard for Nobody {
    async fn allows(&self, _: &Parts, _: Action) -> bool {
        false
    }
}

/// The pages, not yet mounted.
#[derive(Clone, Debug)]
pub struct Dashboard<S, P, G> {
    jobs: Jobs<S>,
    source: P,
    guard: G,
}

impl<S: Store + Clone, P: Source<Connection = S::Connection>, G: Guard> Dashboard<S, P, G> {
    /// Shows the jobs of a store with connections from a source to whom the guard lets in.
    pub fn new(jobs: Jobs<S>, source: P, guard: G) -> Self {
        Self { jobs, source, guard }
    }

    /// Makes a router, to be nested under any path of the host's.
    pub fn router<A: Clone + Send + Sync + 'static>(self) -> Router<A> {
        let site = Site { jobs: self.jobs, source: self.source, guard: Arc::new(self.guard) };
        Router::new()
            .route("/", get(overview::overview::<S, P, G>))
            .route("/health", get(overview::health::<S, P, G>))
            .route("/list", get(list::list::<S, P, G>))
            .route("/list/{verb}", post(act::on_many::<S, P, G>))
            .route("/job/{id}", get(job::job::<S, P, G>))
            .route("/job/{id}/{verb}", post(act::on_one::<S, P, G>))
            .route("/queue/{queue}/{verb}", post(act::on_queue::<S, P, G>))
            .fallback(async || layout::Refusal::NotFound)
            .method_not_allowed_fallback(async || layout::Refusal::NotFound)
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .layer(middleware::from_fn_with_state(site.clone(), protect::protect::<S, P, G>))
            .route("/style.css", get(stylesheet))
            .layer(middleware::map_response(protect::with_headers))
            .with_state(site)
    }
}

/// What the handlers share.
struct Site<S, P, G> {
    jobs: Jobs<S>,
    source: P,
    guard: Arc<G>,
}

impl<S: Clone, P: Clone, G> Clone for Site<S, P, G> {
    fn clone(&self) -> Self {
        Self { jobs: self.jobs.clone(), source: self.source.clone(), guard: self.guard.clone() }
    }
}

async fn stylesheet() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("dashboard/style.css"))
}
