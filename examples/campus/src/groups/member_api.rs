//! The JSON routes of the members of a group.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use stoa_membership::{Filter, Member, PageRequest, Role, UserId};
use utoipa::{IntoParams, OpenApi, ToSchema};

use super::member_pages::{DecisionForm, ROLES, Reach};
use super::members;
use crate::access::GroupCapability;
use crate::backend::Backend;
use crate::error::Error;
use crate::groups;
use crate::http::api::{ApiResult, Json, Page, PageQuery, ProblemBody};
use crate::http::session::Session;
use crate::http::{Routes, Site};

/// Adds the JSON routes of members.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes
        .get("/api/v1/groups/{id}/members", list::<B>)
        .post("/api/v1/groups/{id}/members/{person}", decide::<B>)
        .get("/api/v1/groups/{id}/members/{person}/history", history::<B>)
}

/// Describes them.
#[derive(OpenApi)]
#[openapi(paths(list, decide, history))]
pub(crate) struct Api;

/// A membership, as the caller sees it.
#[derive(Debug, Serialize, ToSchema)]
struct MemberView {
    /// Their id.
    person: String,
    /// As they want to be called.
    name: String,
    /// What they are in the group.
    role: String,
    /// `active`, `banned`, `expired` or `left`.
    state: String,
    /// When the membership ends by itself, if it does.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// What a decision about it has to name.
    version: i64,
}

impl MemberView {
    fn of(member: &Member, name: &str) -> Self {
        Self {
            person: member.user().to_string(),
            name: name.to_owned(),
            role: member.role().to_string(),
            state: member.state().to_string(),
            expires_at: member.expires_at().map(|end| end.to_rfc3339()),
            version: member.version(),
        }
    }
}

/// What happened to a membership once.
#[derive(Debug, Serialize, ToSchema)]
struct ChangeView {
    /// Which verb: `join`, `ban`, …
    verb: String,
    /// Who did it; nobody any more once that person has been purged.
    actor: Option<String>,
    /// Why, if they said so.
    reason: Option<String>,
    /// When.
    #[schema(format = DateTime)]
    at: String,
    /// The state from then on.
    state: String,
    /// The role from then on.
    role: String,
}

/// Which members.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct MemberQuery {
    /// `active` without it. Whoever does not manage the group sees the active ones whatever it says.
    #[serde(default)]
    state: String,
    /// Only those who are this.
    #[serde(default)]
    role: String,
}

/// Lists the members of a group, for its members.
#[utoipa::path(get, path = "/api/v1/groups/{id}/members", tag = "groups", params(("id" = String, Path), MemberQuery, PageQuery),
    responses((status = 200, body = Page<MemberView>), (status = 400, body = ProblemBody), (status = 404, body = ProblemBody)))]
async fn list<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    query: Result<Query<MemberQuery>, QueryRejection>,
    page: PageQuery,
) -> ApiResult<Page<MemberView>> {
    let Query(query) = query?;
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let scope = groups::find(&mut *tx, &id).await?.scope()?;
    let reach = Reach::with(GroupCapability::ReadMembers, &site, &viewer, &scope)?;
    let mut filter = Filter::default();
    if reach.manages() && !query.state.is_empty() {
        filter = filter.state(query.state.parse().map_err(Error::from)?);
    }
    if !query.role.is_empty() {
        if !ROLES.contains(&&*query.role) {
            return Err(Error::Malformed("there is no such role".into()).into());
        }
        filter = filter.role(Role::new(&*query.role).map_err(Error::from)?);
    }
    let mut request = PageRequest::first(page.limit()?.into());
    if let Some(after) = &page.after {
        request = request.after(after.parse().map_err(Error::from)?);
    }
    let found = site.app.membership.list_by_scope(&mut tx, &scope, &filter, &request).await?;
    let names = site.app.names(&mut tx, found.items.iter().map(|member| member.user().as_str())).await?;
    let items = found.items.iter().map(|member| MemberView::of(member, &names[member.user().as_str()])).collect();
    Ok(Json(Page { items, next: found.next.map(|next| next.to_string()) }))
}

/// What to do about a membership.
#[derive(Debug, Deserialize, ToSchema)]
struct NewDecision {
    /// `ban`, `unban`, `remove`, `role` or `invite`.
    decision: String,
    /// The version of the membership that the caller saw; 0 if there was none.
    version: i64,
    /// Why, of a ban: one line.
    #[serde(default)]
    #[schema(max_length = 170)]
    reason: String,
    /// The new role: `member`, `admin` or `owner`.
    #[serde(default)]
    role: String,
    /// The last day of an invitation, as 2030-12-31.
    #[serde(default)]
    until: String,
}

/// Decides about a membership: bans, lifts a ban, removes, gives a role, or invites.
#[utoipa::path(post, path = "/api/v1/groups/{id}/members/{person}", tag = "groups",
    params(("id" = String, Path), ("person" = String, Path)), request_body = NewDecision,
    responses((status = 200, body = MemberView), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn decide<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path((id, person)): Path<(String, String)>,
    Json(new): Json<NewDecision>,
) -> ApiResult<MemberView> {
    let NewDecision { decision, version, reason, role, until } = new;
    let form = DecisionForm { decision, person, version, reason, role, until };
    let (scope, person) = (groups::scope(&site.app, &id).await?, UserId::new(&*form.person)?);
    members::decide(&site.app, &session.caller, &scope, &person, form.version, &form.decision()?).await?;
    let mut tx = site.app.read().await?;
    let member = site.app.membership.get(&mut tx, &person, &scope).await?.ok_or(Error::NotFound)?;
    let names = site.app.names(&mut tx, [person.as_str()].into_iter()).await?;
    Ok(Json(MemberView::of(&member, &names[person.as_str()])))
}

/// Lists what happened to a membership, newest first, for those who manage it.
#[utoipa::path(get, path = "/api/v1/groups/{id}/members/{person}/history", tag = "groups",
    params(("id" = String, Path), ("person" = String, Path), PageQuery),
    responses((status = 200, body = Page<ChangeView>), (status = 404, body = ProblemBody)))]
async fn history<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path((id, person)): Path<(String, String)>,
    page: PageQuery,
) -> ApiResult<Page<ChangeView>> {
    let person = UserId::new(person).map_err(|_| Error::NotFound)?;
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let scope = groups::find(&mut *tx, &id).await?.scope()?;
    Reach::with(GroupCapability::ManageMembers, &site, &viewer, &scope)?;
    let mut request = PageRequest::first(page.limit()?.into());
    if let Some(after) = &page.after {
        request = request.after(after.parse().map_err(Error::from)?);
    }
    let found = site.app.membership.history(&mut tx, &person, &scope, &request).await?;
    if found.items.is_empty() {
        return Err(Error::NotFound.into());
    }
    let view = |change: &stoa_membership::Transition| ChangeView {
        verb: change.verb.to_string(),
        actor: change.actor.as_ref().map(ToString::to_string),
        reason: change.reason.as_ref().map(ToString::to_string),
        at: change.at.to_rfc3339(),
        state: change.after.state.to_string(),
        role: change.after.role.to_string(),
    };
    Ok(Json(Page { items: found.items.iter().map(view).collect(), next: found.next.map(|next| next.to_string()) }))
}
