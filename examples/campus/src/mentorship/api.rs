//! The JSON routes of the mentorship.

use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use stoa_membership::UserId;
use utoipa::{OpenApi, ToSchema};

use super::matches::{self, Decision, Match};
use super::matching::{self, Run};
use super::sql::{MatchSql as _, MentorshipSql as _};
use super::{Profile, ProfileDraft, ProfileInput, Programme, ProgrammeDraft, ProgrammeRole, ProgrammeState, parsed_id};
use crate::app::App;
use crate::backend::Backend;
use crate::error::Error;
use crate::http::api::{ApiResult, Json, Page, PageQuery, ProblemBody};
use crate::http::session::Session;
use crate::http::{Routes, Site};
use crate::mentorship;

/// Adds the JSON routes of the mentorship.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes
        .get("/api/v1/mentorship", list::<B>)
        .post("/api/v1/mentorship", create::<B>)
        .get("/api/v1/mentorship/{id}", read::<B>)
        .post("/api/v1/mentorship/{id}/state", set_state::<B>)
        .post("/api/v1/mentorship/{id}/profile", register::<B>)
        .post("/api/v1/mentorship/{id}/withdraw", withdraw::<B>)
        .get("/api/v1/mentorship/{id}/runs", read_run::<B>)
        .post("/api/v1/mentorship/{id}/runs", start_run::<B>)
        .post("/api/v1/mentorship/{id}/matches", propose::<B>)
        .get("/api/v1/matches", list_matches::<B>)
        .get("/api/v1/matches/{id}", read_match::<B>)
        .post("/api/v1/matches/{id}", decide::<B>)
}

/// Describes them.
#[derive(OpenApi)]
#[openapi(paths(
    list,
    create,
    read,
    set_state,
    register,
    withdraw,
    read_run,
    start_run,
    propose,
    list_matches,
    read_match,
    decide
))]
pub(crate) struct Api;

/// A programme, as the caller sees it.
#[derive(Debug, Serialize, ToSchema)]
struct ProgrammeView {
    #[serde(flatten)]
    programme: Programme,
    /// What the caller said of themselves, if they take part.
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<ProfileView>,
}

/// A profile.
#[derive(Debug, Serialize, ToSchema)]
struct ProfileView {
    /// `mentor` or `mentee`.
    role: String,
    skills: Vec<String>,
    interests: Vec<String>,
    languages: Vec<String>,
    batch_year: i64,
    goals: String,
    /// How many matches they may have at once.
    capacity: i64,
    /// How many they have.
    taken: i64,
}

impl From<Profile> for ProfileView {
    fn from(profile: Profile) -> Self {
        let terms = |lines: &str| lines.lines().map(str::to_owned).collect();
        Self {
            skills: terms(&profile.skills),
            interests: terms(&profile.interests),
            languages: terms(&profile.languages),
            role: profile.role,
            batch_year: profile.batch_year,
            goals: profile.goals,
            capacity: profile.capacity,
            taken: profile.taken,
        }
    }
}

/// A programme to make.
#[derive(Debug, Deserialize, ToSchema)]
struct NewProgramme {
    /// One line.
    #[schema(min_length = 1, max_length = 120)]
    name: String,
    /// Plain text.
    #[schema(min_length = 1, max_length = 4000)]
    description: String,
    /// `campus:everyone`, or a scope such as `batch:2018`.
    #[schema(min_length = 1, max_length = 255)]
    audience: String,
}

/// Whether a programme takes registrations.
#[derive(Debug, Deserialize, ToSchema)]
struct NewState {
    state: ProgrammeState,
}

/// A profile to register with.
#[derive(Debug, Deserialize, ToSchema)]
struct NewProfile {
    role: ProgrammeRole,
    #[serde(flatten)]
    profile: ProfileInput,
}

/// A proposal.
#[derive(Debug, Deserialize, ToSchema)]
struct NewMatch {
    /// The id of the person to propose to.
    #[schema(min_length = 1, max_length = 128)]
    person: String,
}

/// A decision about a match.
#[derive(Debug, Deserialize, ToSchema)]
struct NewDecision {
    decision: Decision,
}

async fn view<B: Backend>(app: &App<B>, session: &Session, id: &str) -> Result<ProgrammeView, Error> {
    let (mut tx, viewer) = app.read_as(&session.caller.user).await?;
    let (programme, _) = mentorship::read(app, &mut tx, &viewer, id).await?;
    let profile = tx.mentorship_profile(&programme.id, viewer.user.as_str()).await?.map(Into::into);
    Ok(ProgrammeView { programme, profile })
}

/// Lists the programmes for the caller, newest first.
#[utoipa::path(get, path = "/api/v1/mentorship", tag = "mentorship", params(PageQuery),
    responses((status = 200, body = Page<Programme>)))]
async fn list<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    page: PageQuery,
) -> ApiResult<Page<Programme>> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let limit = page.limit()?;
    let after = page.after.as_deref().map(parsed_id).transpose()?;
    let found = mentorship::list(&site.app, &mut tx, &viewer, after.as_deref(), i64::from(limit) + 1).await?;
    Ok(Json(Page::of(found, limit, |programme| programme.id.clone())))
}

/// Makes a programme.
#[utoipa::path(post, path = "/api/v1/mentorship", tag = "mentorship", request_body = NewProgramme,
    responses((status = 200, body = Programme), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn create<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Json(new): Json<NewProgramme>,
) -> ApiResult<Programme> {
    let draft = ProgrammeDraft::new(&new.name, &new.description, &new.audience)?;
    Ok(Json(mentorship::create(&site.app, &session.caller, draft).await?))
}

/// Reads a programme.
#[utoipa::path(get, path = "/api/v1/mentorship/{id}", tag = "mentorship", params(("id" = String, Path)),
    responses((status = 200, body = ProgrammeView), (status = 404, body = ProblemBody)))]
async fn read<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> ApiResult<ProgrammeView> {
    Ok(Json(view(&site.app, &session, &id).await?))
}

/// Opens or closes a programme.
#[utoipa::path(post, path = "/api/v1/mentorship/{id}/state", tag = "mentorship", params(("id" = String, Path)), request_body = NewState,
    responses((status = 200, body = ProgrammeView), (status = 404, body = ProblemBody)))]
async fn set_state<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    Json(new): Json<NewState>,
) -> ApiResult<ProgrammeView> {
    mentorship::set_state(&site.app, &session.caller, &parsed_id(&id)?, new.state).await?;
    Ok(Json(view(&site.app, &session, &id).await?))
}

/// Registers the caller, or replaces their profile.
#[utoipa::path(post, path = "/api/v1/mentorship/{id}/profile", tag = "mentorship", params(("id" = String, Path)), request_body = NewProfile,
    responses((status = 200, body = ProgrammeView), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody)))]
async fn register<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    Json(new): Json<NewProfile>,
) -> ApiResult<ProgrammeView> {
    let draft = ProfileDraft::new(new.role, &new.profile)?;
    mentorship::register(&site.app, &session.caller, &parsed_id(&id)?, &draft).await?;
    Ok(Json(view(&site.app, &session, &id).await?))
}

/// Takes the caller out of a programme.
#[utoipa::path(post, path = "/api/v1/mentorship/{id}/withdraw", tag = "mentorship", params(("id" = String, Path)),
    responses((status = 200), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn withdraw<B: Backend>(State(site): State<Site<B>>, session: Session, Path(id): Path<String>) -> ApiResult<()> {
    mentorship::withdraw(&site.app, &session.caller, &parsed_id(&id)?).await?;
    Ok(Json(()))
}

/// Reads the newest matching run of a programme, for the staff.
#[utoipa::path(get, path = "/api/v1/mentorship/{id}/runs", tag = "mentorship", params(("id" = String, Path)),
    responses((status = 200, body = Run), (status = 404, body = ProblemBody)))]
async fn read_run<B: Backend>(State(site): State<Site<B>>, session: Session, Path(id): Path<String>) -> ApiResult<Run> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let (programme, manages) = mentorship::read(&site.app, &mut tx, &viewer, &id).await?;
    if !manages {
        return Err(Error::NotFound.into());
    }
    let run = tx.newest_run(&programme.id).await.map_err(Error::from)?;
    Ok(Json(run.ok_or(Error::NotFound)?))
}

/// Starts a matching run; while one is running, that one.
#[utoipa::path(post, path = "/api/v1/mentorship/{id}/runs", tag = "mentorship", params(("id" = String, Path)),
    responses((status = 200, body = Run), (status = 404, body = ProblemBody)))]
async fn start_run<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> ApiResult<Run> {
    Ok(Json(matching::start(&site.app, &session.caller, &parsed_id(&id)?).await?))
}

/// Proposes to somebody who takes part in the other role.
#[utoipa::path(post, path = "/api/v1/mentorship/{id}/matches", tag = "mentorship", params(("id" = String, Path)), request_body = NewMatch,
    responses((status = 200, body = Match), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn propose<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    Json(new): Json<NewMatch>,
) -> ApiResult<Match> {
    let person = UserId::new(new.person).map_err(|_| Error::NotFound)?;
    Ok(Json(matches::propose(&site.app, &session.caller, &parsed_id(&id)?, &person).await?))
}

/// Lists the caller's matches, newest first.
#[utoipa::path(get, path = "/api/v1/matches", tag = "mentorship", params(PageQuery), responses((status = 200, body = Page<Match>)))]
async fn list_matches<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    page: PageQuery,
) -> ApiResult<Page<Match>> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let limit = page.limit()?;
    let after = page.after.as_deref().map(parsed_id).transpose()?;
    let found = tx.matches_of(viewer.user.as_str(), after.as_deref(), i64::from(limit) + 1).await;
    Ok(Json(Page::of(found.map_err(Error::from)?, limit, |found| found.id.clone())))
}

/// Reads a match, as one of the two or of the staff.
#[utoipa::path(get, path = "/api/v1/matches/{id}", tag = "mentorship", params(("id" = String, Path)),
    responses((status = 200, body = Match), (status = 404, body = ProblemBody)))]
async fn read_match<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> ApiResult<Match> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    Ok(Json(matches::read(&site.app, &mut tx, &viewer, &id).await?.0))
}

/// Accepts, declines, approves or ends a match.
#[utoipa::path(post, path = "/api/v1/matches/{id}", tag = "mentorship", params(("id" = String, Path)), request_body = NewDecision,
    responses((status = 200, body = Match), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody)))]
async fn decide<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    Json(new): Json<NewDecision>,
) -> ApiResult<Match> {
    Ok(Json(matches::decide(&site.app, &session.caller, &id, new.decision).await?))
}
