//! What the JSON routes share: bodies, problems, pages, and the document that describes them.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::openapi::OpenApi;
use utoipa::{IntoParams, OpenApi as _, ToSchema};

pub(crate) use super::answer::ProblemBody;
use super::docs;
use crate::error::Error;

/// An [`Error`] of a JSON route: `application/problem+json`, as RFC 9457 describes it.
#[derive(Debug)]
pub(crate) struct Problem(Error);

/// A result of a JSON route.
pub(crate) type ApiResult<T> = std::result::Result<Json<T>, Problem>;

impl<E: Into<Error>> From<E> for Problem {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

/// A JSON body. What does not fit is a [`Problem`].
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let axum::Json(body) = axum::Json::from_request(request, state).await?;
        Ok(Self(body))
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl From<JsonRejection> for Error {
    fn from(rejection: JsonRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            _ => Self::Malformed(rejection.body_text()),
        }
    }
}

/// Which page of a list: `after` is the `next` of the one before.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// The `next` of the page before.
    #[param(max_length = 4096)]
    pub(crate) after: Option<String>,
    /// Items on the page, 1 to 100; 20 without it.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u8>,
}

impl PageQuery {
    /// Items on the page.
    pub(crate) fn limit(&self) -> Result<u8, Error> {
        match self.limit.unwrap_or(20) {
            limit @ 1..=100 => Ok(limit),
            _ => Err(Error::Invalid("limit must be 1 to 100".into())),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PageQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query: Result<Query<Self>, QueryRejection> = Query::from_request_parts(parts, state).await;
        let Query(page) = query?;
        page.limit()?;
        Ok(page)
    }
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// The items.
    pub(crate) items: Vec<T>,
    /// The `after` of the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

impl<T> Page<T> {
    /// Makes a page of at most `limit` of the rows, which were asked for one more, and names the last one for the next.
    pub(crate) fn of(mut rows: Vec<T>, limit: u8, key: impl FnOnce(&T) -> String) -> Self {
        let has_more = rows.len() > limit.into();
        rows.truncate(limit.into());
        Self { next: rows.last().filter(|_| has_more).map(key), items: rows }
    }
}

/// Writes microseconds since 1970 as RFC 3339: for fields of what goes out.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
pub(crate) fn moment<S: Serializer>(micros: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    let at = DateTime::from_timestamp_micros(*micros).unwrap_or_default();
    serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Micros, true))
}

/// As [`moment`], of what may not have happened.
#[expect(clippy::ref_option, reason = "serde hands over references")]
pub(crate) fn maybe_moment<S: Serializer>(micros: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    match micros {
        Some(micros) => moment(micros, serializer),
        None => serializer.serialize_none(),
    }
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Campus",
        description = "An alumni platform. Every error is an RFC 9457 problem; every list is a keyset page: `next` of one is `after` of \
            the next. Times are RFC 3339, ids are opaque strings. `x-request-id` and `traceparent` are taken over and answered."
    ),
    components(schemas(ProblemBody)),
    security(("token" = []))
)]
struct Base;

/// Describes every JSON route.
pub(crate) fn document() -> OpenApi {
    let surfaces = [
        crate::announcements::api::Api::openapi(),
        crate::calendar::api::Api::openapi(),
        crate::directory::api::Api::openapi(),
        crate::feed::api::Api::openapi(),
        crate::groups::api::Api::openapi(),
        crate::groups::member_api::Api::openapi(),
        crate::notifications::api::Api::openapi(),
        crate::openings::api::Api::openapi(),
        crate::search::api::Api::openapi(),
        crate::marketplace::api::Api::openapi(),
        crate::mentorship::api::Api::openapi(),
        crate::staff::api::Api::openapi(),
        crate::assistant::api::Api::openapi(),
        crate::whatsapp::api::Api::openapi(),
    ];
    docs::complete(surfaces.into_iter().fold(Base::openapi(), |mut document, surface| {
        document.merge(surface);
        document
    }))
}
