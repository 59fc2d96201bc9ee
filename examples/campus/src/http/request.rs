//! What every request is called: in the log, in the answer, in audit records, in the jobs it leaves behind.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use stoa_audit::{RequestContext, RequestId, TraceId, Trust};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::trace::{self, Traceparent};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Names the request, and runs it under its name.
pub(super) async fn named(mut request: Request, next: Next) -> Response {
    let parent = sole(request.headers(), &TRACEPARENT).and_then(|header| header.parse().ok());
    let trace = parent.map_or_else(Traceparent::random, Traceparent::next);
    let id = sole(request.headers(), &REQUEST_ID).filter(|id| is_plain(id)).map(str::to_owned);
    let id = id.unwrap_or_else(|| Uuid::now_v7().to_string());
    let span = tracing::info_span!(
        "request",
        method = %request.method(),
        path = request.uri().path(),
        request_id = id,
        trace_id = trace.trace_id(),
    );
    let context = context(&request, &id, trace);
    request.extensions_mut().insert(context);
    let mut response = trace::within(trace, next.run(request)).instrument(span).await;
    for (name, value) in [(REQUEST_ID, id), (TRACEPARENT, trace.to_string())] {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// What audit records say of the request. The address is the other end of the socket: behind a proxy, the proxy's.
fn context(request: &Request, id: &str, trace: Traceparent) -> RequestContext {
    let mut context = RequestContext::default();
    context.request_id = RequestId::new(id).ok();
    context.trace_id = TraceId::new(trace.trace_id()).ok();
    match request.extensions().get() {
        Some(ConnectInfo::<SocketAddr>(address)) => context.client(address.ip().to_canonical(), Trust::Direct),
        None => context,
    }
}

/// The value of a header that is there once.
pub(super) fn sole<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first)
}

/// Ids from outside stand in logs: they are short and of one word.
fn is_plain(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    (1..=64).contains(&id.len()) && id.bytes().all(is_plain)
}
