//! The JSON routes of groups and posts.

use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use stoa_membership::Filter;
use utoipa::{OpenApi, ToSchema};

use super::posts::{self, Draft, Post};
use super::sql::GroupSql as _;
use super::{Group, group_scope};
use crate::app::App;
use crate::backend::Backend;
use crate::error::Error;
use crate::groups;
use crate::http::api::{ApiResult, Json, Page, PageQuery, Problem, ProblemBody};
use crate::http::session::Session;
use crate::http::{Routes, Site};

/// Adds the JSON routes of groups and posts.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes
        .get("/api/v1/groups/{id}", read::<B>)
        .post("/api/v1/groups/{id}/join", join::<B>)
        .post("/api/v1/groups/{id}/leave", leave::<B>)
        .get("/api/v1/groups/{id}/posts", list_posts::<B>)
        .post("/api/v1/groups/{id}/posts", create_post::<B>)
        .get("/api/v1/posts/{id}", read_post::<B>)
}

/// Describes them.
#[derive(OpenApi)]
#[openapi(paths(read, join, leave, list_posts, create_post, read_post))]
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
    let scope = group_scope(id)?;
    let (mut tx, viewer) = app.read_as(&session.caller.user).await?;
    let group = tx.group(id).await?.ok_or(Error::NotFound)?;
    let members = app.membership.count(&mut tx, &scope, &Filter::default()).await?;
    Ok(GroupView { group, members, role: viewer.memberships.role(&scope).map(ToString::to_string) })
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
    groups::join(&site.app, &session.caller, &group_scope(&id)?).await?;
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
    groups::leave(&site.app, &session.caller, &group_scope(&id)?).await?;
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
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    if !viewer.memberships.is_member(&group_scope(&id)?) {
        return Err(Error::NotFound.into());
    }
    let limit = page.limit()?;
    let posts = tx.posts(&id, page.after.as_deref(), i64::from(limit) + 1).await.map_err(Error::from)?;
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
    Ok(Json(posts::create(&site.app, &session.caller, &group_scope(&id)?, draft).await?))
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
