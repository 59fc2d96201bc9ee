//! The JSON route of the assistant.

use axum::extract::State;
use serde::Deserialize;
use utoipa::{OpenApi, ToSchema};

use super::Answer;
use crate::assistant;
use crate::backend::Backend;
use crate::http::api::{ApiResult, Json, ProblemBody};
use crate::http::session::Session;
use crate::http::{Routes, Site};

/// Adds the JSON route of the assistant.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes.post("/api/v1/assistant", ask::<B>)
}

/// Describes it.
#[derive(OpenApi)]
#[openapi(paths(ask))]
pub(crate) struct Api;

/// What is asked.
#[derive(Debug, Deserialize, ToSchema)]
struct Asked {
    /// As one would ask a person.
    #[schema(min_length = 1, max_length = 500)]
    question: String,
}

/// Answers a question from what the caller may see. It changes nothing.
#[utoipa::path(post, path = "/api/v1/assistant", tag = "assistant", request_body = Asked,
    responses((status = 200, body = Answer), (status = 422, body = ProblemBody)))]
async fn ask<B: Backend>(State(site): State<Site<B>>, session: Session, Json(asked): Json<Asked>) -> ApiResult<Answer> {
    Ok(Json(assistant::ask(&site.app, &session.caller, &asked.question).await?))
}
