//! Routes that can be listed.

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing;

use super::Site;
use crate::backend::Backend;

/// A router that remembers what it was given, so that tests can walk through all of it.
pub(crate) struct Routes<B: Backend> {
    router: Router<Site<B>>,
    listed: Vec<(Method, &'static str)>,
}

impl<B: Backend> Routes<B> {
    pub(super) fn new() -> Self {
        Self { router: Router::new(), listed: Vec::new() }
    }

    /// Adds what answers `GET`.
    pub(crate) fn get<H: Handler<T, Site<B>>, T: 'static>(mut self, path: &'static str, handler: H) -> Self {
        self.listed.push((Method::GET, path));
        self.router = self.router.route(path, routing::get(handler));
        self
    }

    /// Adds what answers `POST`.
    pub(crate) fn post<H: Handler<T, Site<B>>, T: 'static>(mut self, path: &'static str, handler: H) -> Self {
        self.listed.push((Method::POST, path));
        self.router = self.router.route(path, routing::post(handler));
        self
    }

    pub(super) fn listed(&self) -> &[(Method, &'static str)] {
        &self.listed
    }

    pub(super) fn into_router(self) -> Router<Site<B>> {
        self.router
    }
}
