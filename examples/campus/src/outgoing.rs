//! Requests to other services: to an address that the operator named, within a time, for an answer within bounds. No redirect is
//! followed, and no secret is ever printed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use chrono::{DateTime, Utc};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::Value;
use url::Url;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 256 * 1024;

/// The longest that anybody is told to wait counts, whatever they are told.
const MAX_WAIT: Duration = Duration::from_hours(1);

/// Why another service cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SettingError(String);

impl SettingError {
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        Self(problem.into())
    }
}

/// What nobody may read in a log.
#[derive(Clone)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Takes a secret as a file has it: what stands around it does not count.
    ///
    /// # Errors
    /// If it is empty, longer than 4096 bytes, or more than one word of ASCII: it travels in a header.
    pub fn new(text: &str) -> Result<Self, SettingError> {
        let text = text.trim();
        if text.is_empty() || text.len() > 4096 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SettingError::new("a secret is one word of at most 4096 ASCII characters"));
        }
        Ok(Self(text.into()))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

/// Where people find campus, without a slash at its end: links in what leaves campus begin so.
///
/// # Errors
/// If it is no address of a web server.
pub(crate) fn link_base(site: &Url) -> Result<String, SettingError> {
    if matches!(site.scheme(), "http" | "https") && site.has_host() {
        Ok(site.as_str().trim_end_matches('/').to_owned())
    } else {
        Err(SettingError::new("the URL of the site must begin with https:// or http://"))
    }
}

/// One address of another service, where JSON is posted.
#[derive(Clone)]
pub(crate) struct Endpoint {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    authorization: Option<HeaderValue>,
    time_limit: Duration,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Endpoint").field("uri", &self.uri).finish_non_exhaustive()
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    /// How long to wait before the next request, if it says so.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Bytes,
}

/// Why nothing came back that could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error("there was no answer in time")]
    TimedOut,
    #[error("the answer is longer than any that is read")]
    TooLarge,
    #[error("the service cannot be reached")]
    Unreachable(#[source] Cause),
}

impl Endpoint {
    /// The address that follows from a base and a path below it.
    ///
    /// # Errors
    /// If the base is no plain HTTP address, or the machine has no certificates to trust.
    pub(crate) fn new(
        base: &str,
        path: &str,
        token: Option<&Secret>,
        time_limit: Duration,
    ) -> Result<Self, SettingError> {
        let base = Url::parse(base).map_err(|error| SettingError::new(format!("{base}: {error}")))?;
        let is_plain = matches!(base.scheme(), "http" | "https")
            && base.has_host()
            && base.username().is_empty()
            && base.password().is_none()
            && base.query().is_none()
            && base.fragment().is_none();
        if !is_plain {
            return Err(SettingError::new("an address is http:// or https:// with a host, and perhaps a path"));
        }
        let uri = format!("{}{path}", base.as_str().trim_end_matches('/'));
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()
            .map_err(|error| SettingError::new(format!("the certificates of this machine cannot be read: {error}")))?
            .https_or_http()
            .enable_http1()
            .build();
        let authorization = token.map(|token| {
            let value = HeaderValue::try_from(format!("Bearer {}", token.0));
            value.map(|mut value| {
                value.set_sensitive(true);
                value
            })
        });
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector),
            uri: Uri::try_from(uri).map_err(|error| SettingError::new(error.to_string()))?,
            authorization: authorization.transpose().map_err(|error| SettingError::new(error.to_string()))?,
            time_limit,
        })
    }

    /// Gives up after this time, from the first byte sent to the last one read.
    pub(crate) fn time_limit(self, time_limit: Duration) -> Self {
        Self { time_limit, ..self }
    }

    /// Posts JSON, and reads what comes back.
    pub(crate) async fn post(&self, body: &Value) -> Result<Reply, SendError> {
        let mut request = Request::post(self.uri.clone()).header(header::CONTENT_TYPE, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request =
            request.body(Full::from(body.to_string())).map_err(|error| SendError::Unreachable(error.into()))?;
        let exchange = async {
            let answer = self.client.request(request).await.map_err(|error| SendError::Unreachable(error.into()))?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(unreadable)?.to_bytes();
            Ok(Reply { status: parts.status, retry_after: retry_after(&parts.headers, Utc::now()), body })
        };
        tokio::time::timeout(self.time_limit, exchange).await.unwrap_or(Err(SendError::TimedOut))
    }
}

fn unreadable(error: Cause) -> SendError {
    if error.is::<LengthLimitError>() { SendError::TooLarge } else { SendError::Unreachable(error) }
}

/// `Retry-After` is a number of seconds or a moment.
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => (DateTime::parse_from_rfc2822(text).ok()?.to_utc() - now).to_std().unwrap_or_default(),
    };
    Some(wait.min(MAX_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_plain_and_a_secret_is_not_printed() {
        let secret = Secret::new(" s3cret\n").unwrap();
        assert_eq!(format!("{secret:?}"), "Secret");
        let endpoint =
            |base: &str| Endpoint::new(base, "/v1/x", Some(&secret), Duration::from_secs(1)).map(|e| e.uri.to_string());
        assert_eq!(endpoint("https://llm.example/").unwrap(), "https://llm.example/v1/x");
        assert_eq!(endpoint("http://[::1]:9/a").unwrap(), "http://[::1]:9/a/v1/x");
        for bad in ["", "llm.example", "file:///etc/passwd", "https://me:pw@a.example", "https://a.example/?x=1"] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
        let shown = format!("{:?}", Endpoint::new("http://a", "", Some(&secret), Duration::ZERO).unwrap());
        assert!(!shown.contains("s3cret"), "{shown}");
        for bad in ["", " ", "two words", "ü", &"x".repeat(4097)] {
            assert!(Secret::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_wait_is_seconds_or_a_moment_and_has_an_end() {
        let now = "2030-05-17T12:00:00Z".parse().unwrap();
        let wait = |text: &'static str| {
            retry_after(&HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static(text))]), now)
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Fri, 17 May 2030 12:01:00 GMT"), Some(Duration::from_mins(1)));
        assert_eq!(wait("Fri, 17 May 2030 11:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("18446744073709551615"), Some(MAX_WAIT));
        assert_eq!((wait("soon"), wait("-1")), (None, None));
    }
}
