//! The JSON routes of the directory.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, OpenApi, ToSchema};

use super::Wanted;
use super::profile::{NewProfile, Profile, Shown, Update, Visibility};
use super::sql::DirectorySql as _;
use crate::backend::Backend;
use crate::directory;
use crate::error::Error;
use crate::http::api::{ApiResult, Json, Page, PageQuery, ProblemBody};
use crate::http::session::Session;
use crate::http::{Routes, Site};

/// Adds the JSON routes of the directory.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes
        .get("/api/v1/directory", list::<B>)
        .get("/api/v1/directory/{id}", read::<B>)
        .get("/api/v1/me", own::<B>)
        .post("/api/v1/me", edit::<B>)
}

/// Describes them.
#[derive(OpenApi)]
#[openapi(paths(list, read, own, edit))]
pub(crate) struct Api;

/// Which people.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PeopleQuery {
    /// Only those of this city, of whom the caller may know it.
    #[serde(default)]
    #[param(max_length = 100)]
    city: String,
    /// Only those of this batch, of whom the caller may know it.
    batch: Option<i64>,
}

/// The caller's own profile, and who sees what of it.
#[derive(Debug, Serialize, ToSchema)]
struct OwnProfile {
    #[serde(flatten)]
    shown: Shown,
    city_audience: Visibility,
    employer_audience: Visibility,
    batch_audience: Visibility,
    bio_audience: Visibility,
    email_audience: Visibility,
    phone_audience: Visibility,
}

impl From<Profile> for OwnProfile {
    fn from(profile: Profile) -> Self {
        Self {
            shown: profile.shown(|_| true),
            city_audience: profile.city_audience,
            employer_audience: profile.employer_audience,
            batch_audience: profile.batch_audience,
            bio_audience: profile.bio_audience,
            email_audience: profile.email_audience,
            phone_audience: profile.phone_audience,
        }
    }
}

/// Lists people by name, and of each what everybody or the caller's batch may see.
#[utoipa::path(get, path = "/api/v1/directory", tag = "directory", params(PeopleQuery, PageQuery),
    responses((status = 200, body = Page<Shown>), (status = 400, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn list<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    query: Result<Query<PeopleQuery>, QueryRejection>,
    page: PageQuery,
) -> ApiResult<Page<Shown>> {
    let Query(PeopleQuery { city, batch }) = query?;
    let (limit, wanted) = (page.limit()?, Wanted { city, batch, after: page.after });
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let found = directory::list(&mut *tx, &viewer, &wanted, limit).await?;
    Ok(Json(Page::of(found, limit, |shown| shown.id.clone())))
}

/// Reads what the caller may see of somebody.
#[utoipa::path(get, path = "/api/v1/directory/{id}", tag = "directory", params(("id" = String, Path)),
    responses((status = 200, body = Shown), (status = 404, body = ProblemBody)))]
async fn read<B: Backend>(State(site): State<Site<B>>, session: Session, Path(id): Path<String>) -> ApiResult<Shown> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    Ok(Json(directory::read(&site.app, &mut tx, &viewer, &id).await?))
}

/// Reads the caller's own profile.
#[utoipa::path(get, path = "/api/v1/me", tag = "directory", responses((status = 200, body = OwnProfile)))]
async fn own<B: Backend>(State(site): State<Site<B>>, session: Session) -> ApiResult<OwnProfile> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let profile = tx.profile(&viewer.person.id).await.map_err(Error::from)?.ok_or(Error::NotSignedIn)?;
    Ok(Json(profile.into()))
}

/// Changes the caller's own profile.
#[utoipa::path(post, path = "/api/v1/me", tag = "directory", request_body = NewProfile,
    responses((status = 200, body = OwnProfile), (status = 422, body = ProblemBody)))]
async fn edit<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Json(new): Json<NewProfile>,
) -> ApiResult<OwnProfile> {
    Ok(Json(directory::edit(&site.app, &session.caller, Update::try_from(&new)?).await?.into()))
}
