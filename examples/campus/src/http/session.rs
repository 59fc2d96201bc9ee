//! Who is asking, and from where: what a request has to prove before a handler sees it.
//!
//! The demo's picker signs anybody in, so it exists only where nothing is at stake: on a loopback listener, for a request that
//! names a loopback host (a page elsewhere cannot point a name of its own at it), in a database the demo created.

use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use stoa_audit::{Personal, RequestContext};
use stoa_membership::UserId;

use super::auth::{self, Keys};
use super::limit::Who;
use super::{Options, Site, request};
use crate::backend::Backend;
use crate::caller::Caller;
use crate::error::{Error, Result};

const COOKIE: &str = "campus_session";

/// The cookie that keeps a token.
pub(super) fn cookie(token: &str) -> String {
    format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}", auth::SESSION)
}

/// Has the browser forget the cookie.
pub(super) fn no_cookie() -> String {
    format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0")
}

/// Who the request proves to come from. Whether there is such a person is for the page's transaction to see.
pub(crate) struct Session {
    pub(crate) caller: Caller,
}

/// What a request says of whom it comes from.
#[derive(Clone, Debug)]
enum Identity {
    Nobody,
    User(UserId),
    /// It has a token that proves nothing.
    Refused,
}

impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let user = match parts.extensions.get() {
            Some(Identity::User(user)) => user.clone(),
            Some(Identity::Refused) => return Err(Error::BadToken),
            Some(Identity::Nobody) | None => return Err(Error::NotSignedIn),
        };
        let request = parts.extensions.get::<RequestContext>().cloned().unwrap_or_default();
        Ok(Self { caller: Caller { user, request } })
    }
}

/// Lets a request through if it names a host of ours, comes from a page of ours where it changes something, and is not one too
/// many; says who it comes from.
pub(super) async fn guard<B: Backend>(State(site): State<Site<B>>, mut request: Request, next: Next) -> Response {
    match admit(&site.options, &request) {
        Ok(identity) => {
            request.extensions_mut().insert(identity);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

/// Ends a request that takes too long: its transaction is dropped, and so rolled back.
pub(super) async fn in_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    let answered = tokio::time::timeout(limit, next.run(request)).await;
    answered.unwrap_or_else(|_| {
        tracing::warn!("a request took too long and was given up");
        Error::TimedOut.into_response()
    })
}

fn admit(options: &Options, request: &Request) -> Result<Identity> {
    let headers = request.headers();
    let host = request::sole(headers, &header::HOST).unwrap_or_default();
    if options.has_picker() && !is_loopback(host) {
        return Err(Error::ForeignHost);
    }
    let is_read = request.method() == Method::GET || request.method() == Method::HEAD;
    let bearer = bearer(headers);
    // No page elsewhere can make a browser send a token in this header; cookies it sends by itself.
    if !is_read && bearer.is_none() && !is_same_origin(headers, host, options.has_picker()) {
        return Err(Error::ForeignOrigin);
    }
    let identity = identity(options.keys(), headers, bearer);
    let who = match &identity {
        Identity::User(user) => Who::User(user.clone()),
        Identity::Nobody | Identity::Refused => {
            let client = request.extensions().get::<RequestContext>().and_then(|context| context.client);
            Who::address(client.and_then(|client| match client.ip {
                Personal::Kept(address) => Some(address),
                Personal::Erased => None,
            }))
        }
    };
    if let Some(limiter) = &options.limiter {
        limiter.check(&who, is_read)?;
    }
    Ok(identity)
}

/// A header decides where there is one: a bad token is not made good by a cookie.
fn identity(keys: &Keys, headers: &HeaderMap, bearer: Option<&str>) -> Identity {
    let mut tokens = cookies(headers);
    let token = match (bearer, tokens.next(), tokens.next()) {
        (Some(token), ..) | (None, Some(token), None) => token,
        (None, None, None) => return Identity::Nobody,
        // Two cookies of one name: a neighbouring site planted one of them.
        (None, ..) => return Identity::Refused,
    };
    keys.user(token).map_or(Identity::Refused, Identity::User)
}

/// The token in `Authorization`. Other schemes are for proxies in front.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = request::sole(headers, &header::AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.filter(|(name, _)| name.trim() == COOKIE).map(|(_, token)| token.trim())
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

/// Browsers send `Origin` with everything that may change something. In production the encryption ends before us, as a rule: the
/// scheme is not ours to know.
fn is_same_origin(headers: &HeaderMap, host: &str, is_plain: bool) -> bool {
    let Some((scheme, from)) = request::sole(headers, &header::ORIGIN).and_then(|origin| origin.split_once("://"))
    else {
        return false;
    };
    !host.is_empty() && from == host && (scheme == "http" || (scheme == "https" && !is_plain))
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
        assert_eq!(cookies(&headers).next(), None);
        headers
            .insert(header::COOKIE, format!("a=b; {}; c", cookie("x.y.z").split(';').next().unwrap()).parse().unwrap());
        assert_eq!(cookies(&headers).collect::<Vec<_>>(), ["x.y.z"]);
        headers.append(header::COOKIE, "campus_session=other; my_campus_session=no".parse().unwrap());
        assert_eq!(cookies(&headers).collect::<Vec<_>>(), ["x.y.z", "other"]);
    }

    #[test]
    fn only_our_own_pages_are_of_our_origin() {
        let mut headers = HeaderMap::new();
        assert!(!is_same_origin(&headers, "campus.example", false), "no origin");
        headers.insert(header::ORIGIN, "https://campus.example".parse().unwrap());
        assert!(is_same_origin(&headers, "campus.example", false));
        assert!(!is_same_origin(&headers, "campus.example", true), "the demo is not encrypted");
        for host in ["", "campus.example:8443", "evil.example", "campus.example.evil.example"] {
            assert!(!is_same_origin(&headers, host, false), "{host}");
        }
        for origin in ["null", "https://", "file://campus.example", "campus.example"] {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            assert!(!is_same_origin(&headers, "campus.example", false), "{origin}");
        }
    }

    #[test]
    fn other_schemes_are_no_bearer() {
        let mut headers = HeaderMap::new();
        for (value, token) in
            [("Bearer a.b.c", Some("a.b.c")), ("bearer x", Some("x")), ("Basic eA==", None), ("Bearer", None)]
        {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            assert_eq!(bearer(&headers), token, "{value}");
        }
    }
}
