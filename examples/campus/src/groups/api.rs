//! The JSON routes of groups and posts.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use stoa_membership::Filter;
use utoipa::{IntoParams, OpenApi, ToSchema};

use super::posts::{self, Draft, Post};
use super::sql::GroupSql as _;
use super::{Description, Group, GroupKind, NewGroup};
use crate::app::App;
use crate::backend::Backend;
use crate::error::Error;
use crate::feed;
use crate::groups;
use crate::http::api::{ApiResult, Json, Page, PageQuery, Problem, ProblemBody};
use crate::http::session::Session;
use crate::http::{Routes, Site};

/// Adds the JSON routes of groups and posts.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes
        .get("/api/v1/groups", list::<B>)
        .post("/api/v1/groups", create::<B>)
        .get("/api/v1/groups/{id}", read::<B>)
        .post("/api/v1/groups/{id}", edit::<B>)
        .post("/api/v1/groups/{id}/join", join::<B>)
        .post("/api/v1/groups/{id}/leave", leave::<B>)
        .get("/api/v1/groups/{id}/posts", list_posts::<B>)
        .post("/api/v1/groups/{id}/posts", create_post::<B>)
        .get("/api/v1/posts/{id}", read_post::<B>)
        .post("/api/v1/posts/{id}", edit_post::<B>)
        .post("/api/v1/posts/{id}/delete", delete_post::<B>)
}

/// Describes them.
#[derive(OpenApi)]
#[openapi(paths(list, create, read, edit, join, leave, list_posts, create_post, read_post, edit_post, delete_post))]
pub(crate) struct Api;

/// A group, as the caller sees it.
#[derive(Debug, Serialize, ToSchema)]
struct GroupView {
    #[serde(flatten)]
    group: Group,
    /// How many active members it has.
    members: u64,
    /// The caller's role, if they are an active member.
    role: Option<String>,
}

/// A post to write.
#[derive(Debug, Deserialize, ToSchema)]
struct NewPost {
    /// One line.
    #[schema(min_length = 1, max_length = 200)]
    title: String,
    /// Plain text.
    #[schema(min_length = 1, max_length = 20_000)]
    body: String,
}

async fn view<B: Backend>(app: &App<B>, session: &Session, id: &str) -> Result<GroupView, Error> {
    let (mut tx, viewer) = app.read_as(&session.caller.user).await?;
    let group = groups::find(&mut *tx, id).await?;
    let scope = group.scope()?;
    let members = app.membership.count(&mut tx, &scope, &Filter::default()).await?;
    Ok(GroupView { group, members, role: viewer.memberships.role(&scope).map(ToString::to_string) })
}

/// Which groups.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct GroupQuery {
    /// `interest` or `chapter`; all of them without it.
    #[serde(default)]
    kind: String,
}

/// What a group says about itself.
#[derive(Debug, Deserialize, ToSchema)]
struct NewDescription {
    /// One line.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// What it is about.
    #[schema(min_length = 1, max_length = 2000)]
    description: String,
    /// The city or the batch that a chapter is of.
    #[serde(default)]
    #[schema(max_length = 100)]
    place: String,
}

/// Lists the groups by name.
#[utoipa::path(get, path = "/api/v1/groups", tag = "groups", params(GroupQuery, PageQuery),
    responses((status = 200, body = Page<Group>), (status = 422, body = ProblemBody)))]
async fn list<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    query: Result<Query<GroupQuery>, QueryRejection>,
    page: PageQuery,
) -> ApiResult<Page<Group>> {
    let Query(query) = query?;
    let kind = if query.kind.is_empty() { None } else { Some(GroupKind::try_from(&*query.kind)?) };
    let (mut tx, _) = site.app.read_as(&session.caller.user).await?;
    let limit = page.limit()?;
    let found = groups::list(&mut *tx, kind, page.after.as_deref(), limit).await?;
    Ok(Json(Page::of(found, limit, |group| group.id.clone())))
}

/// Creates a group, whose first owner is the caller.
#[utoipa::path(post, path = "/api/v1/groups", tag = "groups", request_body = NewGroup,
    responses((status = 200, body = GroupView), (status = 422, body = ProblemBody)))]
async fn create<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Json(new): Json<NewGroup>,
) -> ApiResult<GroupView> {
    let group = Group::try_from(&new)?;
    groups::found(&site.app, &session.caller, &group).await?;
    Ok(Json(view(&site.app, &session, &group.id).await?))
}

/// Changes what a group says about itself, for those who run it.
#[utoipa::path(post, path = "/api/v1/groups/{id}", tag = "groups", params(("id" = String, Path)), request_body = NewDescription,
    responses((status = 200, body = Group), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn edit<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    Json(new): Json<NewDescription>,
) -> ApiResult<Group> {
    let description = Description::new(&new.name, &new.description, &new.place)?;
    Ok(Json(groups::edit(&site.app, &session.caller, &groups::scope(&site.app, &id).await?, description).await?))
}

/// Reads a group.
#[utoipa::path(get, path = "/api/v1/groups/{id}", tag = "groups", params(("id" = String, Path)),
    responses((status = 200, body = GroupView), (status = 404, body = ProblemBody)))]
async fn read<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> ApiResult<GroupView> {
    Ok(Json(view(&site.app, &session, &id).await?))
}

/// Joins a group.
#[utoipa::path(post, path = "/api/v1/groups/{id}/join", tag = "groups", params(("id" = String, Path)),
    responses((status = 200, body = GroupView), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn join<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> ApiResult<GroupView> {
    groups::join(&site.app, &session.caller, &groups::scope(&site.app, &id).await?).await?;
    Ok(Json(view(&site.app, &session, &id).await?))
}

/// Leaves a group.
#[utoipa::path(post, path = "/api/v1/groups/{id}/leave", tag = "groups", params(("id" = String, Path)),
    responses((status = 200, body = GroupView), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn leave<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> ApiResult<GroupView> {
    groups::leave(&site.app, &session.caller, &groups::scope(&site.app, &id).await?).await?;
    Ok(Json(view(&site.app, &session, &id).await?))
}

/// Lists the posts of a group, newest first, for its members.
#[utoipa::path(get, path = "/api/v1/groups/{id}/posts", tag = "groups", params(("id" = String, Path), PageQuery),
    responses((status = 200, body = Page<Post>), (status = 404, body = ProblemBody)))]
async fn list_posts<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    page: PageQuery,
) -> ApiResult<Page<Post>> {
    let after = feed::api::before(page.after.as_deref())?;
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    if !viewer.memberships.is_member(&groups::find(&mut *tx, &id).await?.scope()?) {
        return Err(Error::NotFound.into());
    }
    let limit = page.limit()?;
    let posts = tx.posts(&id, after.as_deref(), i64::from(limit) + 1).await.map_err(Error::from)?;
    Ok(Json(Page::of(posts, limit, |post| post.id.clone())))
}

/// Creates a post: checked, stored, searchable, recorded and announced in one transaction.
#[utoipa::path(post, path = "/api/v1/groups/{id}/posts", tag = "groups", params(("id" = String, Path)), request_body = NewPost,
    responses((status = 200, body = Post), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn create_post<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    Json(post): Json<NewPost>,
) -> ApiResult<Post> {
    let draft = Draft::new(&post.title, &post.body)?;
    Ok(Json(posts::create(&site.app, &session.caller, &groups::scope(&site.app, &id).await?, draft).await?))
}

/// Reads a post, as a member of its group.
#[utoipa::path(get, path = "/api/v1/posts/{id}", tag = "groups", params(("id" = String, Path)),
    responses((status = 200, body = Post), (status = 404, body = ProblemBody)))]
async fn read_post<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Json<Post>, Problem> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    Ok(Json(posts::read(&site.app, &mut tx, &viewer, &id).await?))
}

/// Changes what a post says, as its author.
#[utoipa::path(post, path = "/api/v1/posts/{id}", tag = "groups", params(("id" = String, Path)), request_body = NewPost,
    responses((status = 200, body = Post), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn edit_post<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    Json(post): Json<NewPost>,
) -> ApiResult<Post> {
    let draft = Draft::new(&post.title, &post.body)?;
    Ok(Json(posts::edit(&site.app, &session.caller, &id, draft).await?))
}

/// Deletes a post, as its author or as whoever moderates its group; answers what it was.
#[utoipa::path(post, path = "/api/v1/posts/{id}/delete", tag = "groups", params(("id" = String, Path)),
    responses((status = 200, body = Post), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody)))]
async fn delete_post<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> ApiResult<Post> {
    Ok(Json(posts::delete(&site.app, &session.caller, &id).await?))
}
