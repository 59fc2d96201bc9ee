//! The JSON routes of opting in to WhatsApp.

use axum::extract::State;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::opt_in::{self, OptIn};
use super::sql::OptInSql as _;
use crate::backend::Backend;
use crate::error::Error;
use crate::http::api::{ApiResult, Json, ProblemBody};
use crate::http::session::Session;
use crate::http::{Routes, Site};

/// Adds the JSON routes of opting in.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes
        .get("/api/v1/whatsapp", read::<B>)
        .post("/api/v1/whatsapp/code", create_code::<B>)
        .post("/api/v1/whatsapp/opt-out", opt_out::<B>)
}

/// Describes them.
#[derive(OpenApi)]
#[openapi(paths(read, create_code, opt_out))]
pub(crate) struct Api;

/// What the caller opted in with.
#[derive(Debug, Serialize, ToSchema)]
struct OptInView {
    /// Absent if they have not.
    #[serde(skip_serializing_if = "Option::is_none")]
    opt_in: Option<OptIn>,
}

/// What to send.
#[derive(Debug, Serialize, ToSchema)]
struct NewCode {
    /// The message that opts in the telephone it is sent from, once, within a quarter of an hour.
    message: String,
}

/// Reads what the caller opted in with.
#[utoipa::path(get, path = "/api/v1/whatsapp", tag = "whatsapp",
    responses((status = 200, body = OptInView), (status = 404, body = ProblemBody)))]
async fn read<B: Backend>(State(site): State<Site<B>>, session: Session) -> ApiResult<OptInView> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    site.app.whatsapp.as_ref().ok_or(Error::NotFound)?;
    let opt_in = tx.whatsapp_opt_in(viewer.user.as_str()).await.map_err(Error::from)?;
    Ok(Json(OptInView { opt_in }))
}

/// Makes a code for the caller, in the place of one they had.
#[utoipa::path(post, path = "/api/v1/whatsapp/code", tag = "whatsapp",
    responses((status = 200, body = NewCode), (status = 404, body = ProblemBody)))]
async fn create_code<B: Backend>(State(site): State<Site<B>>, session: Session) -> ApiResult<NewCode> {
    let code = opt_in::create_code(&site.app, &session.caller).await?;
    Ok(Json(NewCode { message: format!("JOIN {code}") }))
}

/// Forgets the caller's telephone.
#[utoipa::path(post, path = "/api/v1/whatsapp/opt-out", tag = "whatsapp",
    responses((status = 200, body = OptInView), (status = 404, body = ProblemBody)))]
async fn opt_out<B: Backend>(State(site): State<Site<B>>, session: Session) -> ApiResult<OptInView> {
    opt_in::opt_out(&site.app, &session.caller).await?;
    Ok(Json(OptInView { opt_in: None }))
}
