//! What a refusal looks like: a problem (RFC 9457) where programs ask, a page elsewhere, whoever refused.

use axum::body::{self, Body};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::html;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Site, bare_page};
use crate::backend::Backend;
use crate::error::Error;

/// Of what the web framework itself says of a request, this many bytes are repeated.
const MAX_DETAIL: usize = 1024;

/// What an [`Error`] leaves in its response for [`written`].
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    detail: String,
    sign_in: SignIn,
}

/// What it has to do with who is asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SignIn {
    Irrelevant,
    Missing,
    Refused,
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        let sign_in = match error {
            Error::NotSignedIn => SignIn::Missing,
            Error::BadToken => SignIn::Refused,
            _ => SignIn::Irrelevant,
        };
        Self { detail: error.to_string(), sign_in }
    }
}

/// What a problem looks like on the wire: `application/problem+json`, as RFC 9457 has it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProblemBody {
    /// Always `about:blank`: the status says what kind of problem it is.
    r#type: &'static str,
    /// The reason phrase of the status.
    title: &'static str,
    /// The status code.
    status: u16,
    /// What to do about it.
    detail: String,
}

/// Writes what the handlers, the limits and the web framework refuse in the form that whoever asks expects.
pub(super) async fn written<B: Backend>(State(site): State<Site<B>>, request: Request, next: Next) -> Response {
    let is_api = matches!(request.uri().path().split('/').nth(1), Some("api" | "webhooks"));
    let mut response = next.run(request).await;
    if !response.status().is_client_error() && !response.status().is_server_error() {
        return response;
    }
    let refusal = match response.extensions_mut().remove() {
        Some(refusal) => refusal,
        None if is_bare(&response) => {
            let (parts, body) = response.into_parts();
            let refusal = Refusal { detail: detail(parts.status, body).await, sign_in: SignIn::Irrelevant };
            response = Response::from_parts(parts, Body::empty());
            refusal
        }
        None => return response,
    };
    let has_picker = site.options.has_picker();
    if refusal.sign_in == SignIn::Missing && has_picker && !is_api {
        return Redirect::to("/people").into_response();
    }
    let (mut parts, _) = response.into_parts();
    for stale in [header::CONTENT_TYPE, header::CONTENT_LENGTH] {
        parts.headers.remove(stale);
    }
    if parts.status == StatusCode::UNAUTHORIZED {
        let challenge = match refusal.sign_in {
            SignIn::Refused => r#"Bearer error="invalid_token""#,
            SignIn::Irrelevant | SignIn::Missing => "Bearer",
        };
        parts.headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    let mut written =
        if is_api { problem(parts.status, refusal.detail) } else { page(parts.status, &refusal, has_picker) };
    written.headers_mut().extend(parts.headers);
    written
}

fn problem(status: StatusCode, detail: String) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    let body = ProblemBody { r#type: "about:blank", title, status: status.as_u16(), detail };
    (status, [(header::CONTENT_TYPE, "application/problem+json")], axum::Json(body)).into_response()
}

fn page(status: StatusCode, refusal: &Refusal, has_picker: bool) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    let content = html! {
        h1 { (title) }
        p.lead { (sentence(&refusal.detail)) }
        @if refusal.sign_in == SignIn::Irrelevant {
            p { a href="/" { "Back to the start" } }
        } @else if has_picker {
            p { a href="/people" { "Pick a person" } }
        }
    };
    (status, bare_page(title, &content)).into_response()
}

/// A detail as a page says it.
fn sentence(detail: &str) -> String {
    let mut letters = detail.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).chain(['.']).collect()).unwrap_or_default()
}

/// The web framework refuses in plain text, or without a word.
fn is_bare(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_none_or(|kind| kind.starts_with(b"text/plain"))
}

async fn detail(status: StatusCode, body: Body) -> String {
    let said = body::to_bytes(body, MAX_DETAIL).await.ok().and_then(|bytes| String::from_utf8(bytes.into()).ok());
    match status {
        StatusCode::METHOD_NOT_ALLOWED => "this address does not take that method".into(),
        StatusCode::PAYLOAD_TOO_LARGE => Error::TooLarge.to_string(),
        _ if status.is_server_error() => "something went wrong on our side".into(),
        _ => said.filter(|said| !said.is_empty()).unwrap_or_else(|| "the request is not what campus expects".into()),
    }
}
