//! The pages of groups and posts.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Form, Path, Query, State};
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;
use stoa_membership::{Filter, Member, State as Standing};
use uuid::Uuid;

use super::posts::{self, Draft};
use super::sql::GroupSql as _;
use super::{group_scope, member_pages};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::groups;
use crate::http::layout::{page, post_card};
use crate::http::session::Session;
use crate::http::{FormResult, Routes, Site};

/// Adds the pages of groups, posts and members.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes
        .get("/groups/{id}", group::<B>)
        .post("/groups/{id}/join", join::<B>)
        .post("/groups/{id}/leave", leave::<B>)
        .get("/groups/{id}/members", member_pages::members::<B>)
        .post("/groups/{id}/members", member_pages::decide::<B>)
        .get("/groups/{id}/members/history", member_pages::history::<B>)
        .post("/groups/{id}/posts", create_post::<B>)
        .get("/posts/{id}", post_page::<B>)
}

/// Posts on one page of a group.
const POSTS: u8 = 20;

#[derive(Deserialize)]
pub(super) struct DraftForm {
    title: String,
    body: String,
}

#[derive(Deserialize)]
pub(super) struct Position {
    before: Option<String>,
}

/// One group: for members its posts and a form, for others the way in.
pub(super) async fn group<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    position: std::result::Result<Query<Position>, QueryRejection>,
) -> Result<Markup> {
    let Query(position) = position?;
    let scope = group_scope(&id)?;
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let group = tx.group(&id).await?.ok_or(Error::NotFound)?;
    let own = site.app.membership.get(&mut tx, &viewer.user, &scope).await?;
    let count = site.app.membership.count(&mut tx, &scope, &Filter::default()).await?;
    let Some(own) = own.as_ref().filter(|own| own.is_active()) else {
        let state = own.as_ref().map(Member::state);
        return Ok(page(
            &group.name,
            Some(&viewer),
            "",
            &html! {
                h1 { (group.name) }
                p.lead { (group.description) " " (count) " members." }
                @if state == Some(Standing::Banned) {
                    p { "You are banned from this group. Only its owners and admins can lift that." }
                } @else {
                    @if state == Some(Standing::Expired) { p { "Your time as a guest here is over." } }
                    form method="post" action={ "/groups/" (group.id) "/join" } { button { "Join this group" } }
                }
            },
        ));
    };
    let before = position.before.and_then(|before| Uuid::parse_str(&before).ok()).map(|before| before.to_string());
    let mut posts = tx.posts(&id, before.as_deref(), i64::from(POSTS) + 1).await?;
    let has_more = posts.len() > usize::from(POSTS);
    posts.truncate(POSTS.into());
    let names = site.app.names(&mut tx, posts.iter().map(|post| post.author_id.as_str())).await?;
    Ok(page(
        &group.name,
        Some(&viewer),
        "",
        &html! {
            div.row {
                h1 { (group.name) }
                form method="post" action={ "/groups/" (group.id) "/leave" } {
                    span.badge { (own.role()) } (member_pages::until(own)) " "
                    button.quiet { "Leave" }
                }
            }
            p.lead { (group.description) " " a href={ "/groups/" (group.id) "/members" } { (count) " members" } ", " a href={ "/events?scope=group:" (group.id) } { "events" } "." }
            form.write.card method="post" action={ "/groups/" (group.id) "/posts" } {
                label { "Title" input name="title" required maxlength="200"; }
                label { "Post" textarea name="body" required rows="4" maxlength="20000" {} }
                div { button { "Post to the group" } }
            }
            h2 { "Posts" }
            @if posts.is_empty() { p.soft { "Nobody has written here yet." } }
            ul.stack { @for post in &posts { (post_card(post, &names[&post.author_id])) } }
            @if let Some(last) = posts.last().filter(|_| has_more) {
                p { a href={ "/groups/" (group.id) "?before=" (last.id) } { "Older posts" } }
            }
        },
    ))
}

/// Joins, and shows the group.
pub(super) async fn join<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Redirect> {
    groups::join(&site.app, &session.caller, &group_scope(&id)?).await?;
    Ok(Redirect::to(&format!("/groups/{id}")))
}

/// Leaves, and shows the group.
pub(super) async fn leave<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Redirect> {
    groups::leave(&site.app, &session.caller, &group_scope(&id)?).await?;
    Ok(Redirect::to(&format!("/groups/{id}")))
}

/// Posts, and shows the post among the others.
pub(super) async fn create_post<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    form: FormResult<DraftForm>,
) -> Result<Redirect> {
    let Form(form) = form?;
    let draft = Draft::new(&form.title, &form.body)?;
    let post = posts::create(&site.app, &session.caller, &group_scope(&id)?, draft).await?;
    Ok(Redirect::to(&format!("/groups/{id}#post-{}", post.id)))
}

/// One post, for the members of its group.
pub(super) async fn post_page<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Markup> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let post = posts::read(&site.app, &mut tx, &viewer, &id).await?;
    let group = tx.group(&post.group_id).await?.ok_or(Error::NotFound)?;
    let names = site.app.names(&mut tx, [post.author_id.as_str()].into_iter()).await?;
    Ok(page(
        &post.title,
        Some(&viewer),
        "",
        &html! {
            p.soft { a href={ "/groups/" (group.id) } { (group.name) } }
            ul.stack { (post_card(&post, &names[&post.author_id])) }
        },
    ))
}
