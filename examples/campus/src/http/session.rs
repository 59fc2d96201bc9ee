//! Who is looking: the demo's person picker, and what keeps it to this machine.
//!
//! The picker signs nobody in by proof, so it exists only where nothing is at stake: on a loopback listener, for a request that
//! names a loopback host (a page elsewhere cannot point a name of its own at it), in a database the demo created.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use stoa_membership::UserId;
use url::form_urlencoded;

use super::Site;
use crate::backend::Backend;
use crate::caller::Caller;
use crate::error::Error;

const COOKIE: &str = "campus_person";

/// The cookie that remembers the picked person.
pub(super) fn cookie(person_id: &str) -> String {
    let pair = form_urlencoded::Serializer::new(String::new()).append_pair(COOKIE, person_id).finish();
    format!("{pair}; Path=/; HttpOnly; SameSite=Strict")
}

fn picked(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().flat_map(|value| value.as_bytes().split(|&byte| byte == b';'));
    let mut pairs = cookies.flat_map(|pair| form_urlencoded::parse(pair.trim_ascii()));
    pairs.find(|(name, _)| name == COOKIE).map(|(_, person_id)| person_id.into_owned())
}

/// Who the request says to come from. Whether there is such a person is for the page's transaction to see.
pub(crate) struct Session {
    pub(crate) caller: Caller,
}

impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let user = picked(&parts.headers).and_then(|id| UserId::new(id).ok());
        Ok(Self { caller: Caller::new(user.ok_or(Error::NotSignedIn)?) })
    }
}

/// Lets a request through if it names a loopback host and, where it changes something, comes from a page of ours.
pub(super) async fn guard<B: Backend>(State(site): State<Site<B>>, request: Request, next: Next) -> Response {
    if !site.is_demo {
        return Error::NoSignIn.into_response();
    }
    let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !is_loopback(host) {
        return Error::ForeignHost.into_response();
    }
    if request.method() != Method::GET && request.method() != Method::HEAD && !is_same_origin(request.headers(), host) {
        return Error::ForeignOrigin.into_response();
    }
    next.run(request).await
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

/// Browsers send `Origin` with every form that posts.
fn is_same_origin(headers: &HeaderMap, host: &str) -> bool {
    let origin = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok());
    origin.and_then(|origin| origin.strip_prefix("http://")) == Some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_loopback() {
        for host in ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in
            ["", "campus.example", "127.0.0.1.example:80", "localhost.example", "[::1]x", "[::2]:1", "localhost:x"]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_cookie_reads_back() {
        let mut headers = HeaderMap::new();
        assert_eq!(picked(&headers), None);
        for id in ["ada", "p-é1 ;=%&", ""] {
            headers.insert(header::COOKIE, format!("a=b; {}", cookie(id).split(';').next().unwrap()).parse().unwrap());
            assert_eq!(picked(&headers).as_deref(), Some(id));
        }
    }
}
