//! What is no text is refused before it is repaired: the web framework reads broken UTF-8 in queries and forms as `U+FFFD`.

use axum::body::{self, Body, HttpBody as _};
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use percent_encoding::percent_decode;

use super::MAX_BODY;
use crate::error::Error;

/// Lets a request through whose address and form are UTF-8, and whose body is none too large: also where nobody reads it.
pub(super) async fn readable(request: Request, next: Next) -> Response {
    let address = request.uri().path_and_query().map_or("", |address| address.as_str());
    if !is_text(address.as_bytes()) {
        return Error::Malformed("the address is not UTF-8".into()).into_response();
    }
    if usize::try_from(request.body().size_hint().lower()).is_ok_and(|size| size > MAX_BODY) {
        return Error::TooLarge.into_response();
    }
    let kind = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !kind.is_some_and(|kind| kind.starts_with(b"application/x-www-form-urlencoded")) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(form) = body::to_bytes(body, MAX_BODY).await else { return Error::TooLarge.into_response() };
    if !is_text(&form) {
        return Error::Malformed("the form is not UTF-8".into()).into_response();
    }
    next.run(Request::from_parts(parts, Body::from(form))).await
}

fn is_text(encoded: &[u8]) -> bool {
    percent_decode(encoded).decode_utf8().is_ok()
}
