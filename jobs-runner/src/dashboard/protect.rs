//! Who gets in, and where a request comes from.

use axum::extract::{OriginalUri, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::layout::Refusal;
use super::{Action, Guard, Site};
use crate::{Source, Store};

const COOKIE: &str = "stoa_jobs_token";

/// Sent with every answer. No page loads anything but its own stylesheet.
const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

pub(super) async fn with_headers(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, value);
    }
    response
}

/// What a page knows of the request it answers.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    /// Where the pages are mounted.
    pub(super) base: String,
    /// What a form must bring.
    pub(super) token: String,
    /// The request, for the guard.
    pub(super) parts: Parts,
}

impl Visit {
    /// Asks the guard.
    pub(super) async fn may<G: Guard>(&self, guard: &G, action: Action) -> bool {
        guard.allows(&self.parts, action).await
    }
}

/// Lets in whom the guard lets in, and changes nothing for a request that comes from elsewhere.
pub(super) async fn protect<S, P, G>(State(site): State<Site<S, P, G>>, request: Request, next: Next) -> Response
where
    S: Store + Clone,
    P: Source<Connection = S::Connection>,
    G: Guard,
{
    let (mut parts, body) = request.into_parts();
    let base = base(parts.extensions.get::<OriginalUri>().map(|OriginalUri(uri)| uri), &parts.uri);
    let known = token(&parts.headers);
    let token = known.clone().unwrap_or_else(|| Uuid::new_v4().simple().to_string());
    let visit = Visit { base: base.clone(), token: token.clone(), parts: parts.clone() };
    if !visit.may(&*site.guard, Action::View).await {
        return Refusal::Forbidden.into_response();
    }
    let is_safe = parts.method == Method::GET || parts.method == Method::HEAD;
    if !is_safe && (known.is_none() || !is_same_origin(&parts.headers)) {
        return Refusal::Elsewhere.into_response();
    }
    parts.extensions.insert(visit);
    let mut response = next.run(Request::from_parts(parts, body)).await;
    if known.is_none() {
        let cookie =
            format!("{COOKIE}={token}; Path={}; HttpOnly; SameSite=Strict", if base.is_empty() { "/" } else { &base });
        if let Ok(cookie) = HeaderValue::try_from(cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
    response
}

/// The path that the host's router has cut off.
fn base(original: Option<&Uri>, uri: &Uri) -> String {
    let whole = original.unwrap_or(uri).path();
    let base = whole.strip_suffix(uri.path()).unwrap_or(whole);
    // A path that a header or a link would take for something else is nobody's mount point.
    let is_plain = base
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~' | b'%'));
    if is_plain && !base.starts_with("//") { base.trim_end_matches('/').to_owned() } else { String::new() }
}

/// The token of the cookie, if it can be one of ours.
fn token(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, token) = pairs.find(|(name, _)| *name == COOKIE)?;
    (token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| token.to_owned())
}

/// Whether the token of a form is that of the cookie, in a time that does not tell where they differ.
pub(super) fn is_same_token(one: &str, other: &str) -> bool {
    let difference = one.bytes().zip(other.bytes()).fold(0, |difference, (one, other)| difference | (one ^ other));
    one.len() == other.len() && difference == 0
}

/// Browsers say where a form comes from, in one way or both; whoever says neither is no browser of ours.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let site = text("sec-fetch-site").map(|site| site == "same-origin");
    let host = text("host").unwrap_or_default();
    let authority = |origin: &str| origin.split_once("://").map(|(_, authority)| authority.to_owned());
    let origin = text("origin").map(|origin| !host.is_empty() && authority(origin).as_deref() == Some(host));
    match (site, origin) {
        (None, None) => false,
        (site, origin) => site.unwrap_or(true) && origin.unwrap_or(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_point_is_what_was_cut_off() {
        let at = |whole: &str, rest: &str| base(Some(&whole.parse().unwrap()), &rest.parse().unwrap());
        assert_eq!(at("/admin/jobs", "/"), "/admin/jobs");
        assert_eq!(at("/admin/jobs/job/7?x=1", "/job/7?x=1"), "/admin/jobs");
        assert_eq!(at("/job/7", "/job/7"), "");
        assert_eq!(at("/a;b/job/7", "/job/7"), "");
    }

    #[test]
    fn only_the_same_origin_is_the_same_origin() {
        let is_same = |pairs: &[(&'static str, &'static str)]| {
            let headers =
                pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            is_same_origin(&headers.collect())
        };
        let host = ("host", "a.example:8080");
        assert!(is_same(&[host, ("origin", "https://a.example:8080")]));
        assert!(is_same(&[host, ("sec-fetch-site", "same-origin")]));
        for foreign in [
            &[host][..],
            &[host, ("origin", "null")],
            &[host, ("origin", "https://a.example")],
            &[host, ("origin", "https://b.example:8080")],
            &[host, ("sec-fetch-site", "same-site")],
            &[host, ("sec-fetch-site", "none")],
            &[host, ("sec-fetch-site", "cross-site"), ("origin", "https://a.example:8080")],
            &[host, ("sec-fetch-site", "same-origin"), ("origin", "https://b.example")],
            &[("origin", "://")],
        ] {
            assert!(!is_same(foreign), "{foreign:?}");
        }
        assert!(is_same_token("ab", "ab") && !is_same_token("ab", "ac") && !is_same_token("a", "ab"));
    }
}
