//! People, groups and posts.

use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use stoa_membership::{Filter, Member, PageRequest, Role, Scope, UserId};
use uuid::Uuid;

use super::layout::{group_card, page, post_card};
use super::session::{self, Session};
use super::{Site, bare_page, members};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::posts::Draft;
use crate::sql::Sql as _;
use crate::{access, groups, posts};

/// Posts on one page of a group.
const POSTS: u8 = 20;

#[derive(Deserialize)]
pub(super) struct Pick {
    person: String,
}

#[derive(Deserialize)]
pub(super) struct DraftForm {
    title: String,
    body: String,
}

/// A form, or what is wrong with it.
type FormResult<T> = std::result::Result<Form<T>, FormRejection>;

#[derive(Deserialize)]
pub(super) struct Position {
    before: Option<String>,
}

/// The demo's person picker.
pub(super) async fn people<B: Backend>(State(site): State<Site<B>>) -> Result<Markup> {
    let mut tx = site.app.read().await?;
    let people = tx.people(60).await?;
    let staff = site
        .app
        .membership
        .list_by_scope(&mut tx, &access::platform()?, &Filter::default(), &PageRequest::first(100))
        .await?;
    let is_staff = |id: &str| staff.items.iter().any(|member| member.user().as_str() == id);
    Ok(bare_page(
        "Who are you?",
        &html! {
            h1 { "Who are you?" }
            p.lead { "This is a demo campus on your own machine. Pick somebody and look around as them." }
            ul.grid {
                @for person in &people {
                    li.card {
                        div.row {
                            h3 { (person.name) }
                            @if is_staff(&person.id) { span.badge { "staff" } }
                        }
                        p.soft { (person.headline) }
                        form method="post" action="/people" {
                            input type="hidden" name="person" value=(person.id);
                            p { button { "Be " (person.name.split(' ').next().unwrap_or("this person")) } }
                        }
                    }
                }
            }
        },
    ))
}

/// Remembers the picked person.
pub(super) async fn pick<B: Backend>(State(site): State<Site<B>>, form: FormResult<Pick>) -> Result<Response> {
    let Form(form) = form?;
    let user = UserId::new(form.person).map_err(|_| Error::NotFound)?;
    let (_, viewer) = site.app.read_as(&user).await.map_err(|error| match error {
        Error::NotSignedIn => Error::NotFound,
        other => other,
    })?;
    Ok(([(header::SET_COOKIE, session::cookie(&viewer.person.id))], Redirect::to("/")).into_response())
}

/// What is new for the viewer, their groups, and the others.
pub(super) async fn home<B: Backend>(State(site): State<Site<B>>, session: Session) -> Result<Markup> {
    let (mut tx, viewer) = site.app.read_as(&session.user).await?;
    let groups = tx.groups().await?;
    let told = tx.notified_posts(&viewer.person.id, 100).await?;
    // Whoever has left a group since no longer reads it.
    let is_readable = |group_id: &str| Scope::group(group_id).is_ok_and(|scope| viewer.memberships.is_member(&scope));
    let told: Vec<_> = told.into_iter().filter(|post| is_readable(&post.group_id)).take(6).collect();
    let names = site.app.names(&mut tx, told.iter().map(|post| post.author_id.as_str())).await?;
    let role = |id: &str| Scope::group(id).ok().and_then(|scope| viewer.memberships.role(&scope).map(Role::to_string));
    let (mine, others): (Vec<_>, Vec<_>) =
        groups.iter().map(|group| (group, role(&group.id))).partition(|(_, role)| role.is_some());
    Ok(page(
        "Home",
        Some(&viewer),
        "",
        &html! {
            h1 { "Good to see you, " (viewer.person.name.split(' ').next().unwrap_or_default()) }
            p.lead { (viewer.person.headline) }
            @if !told.is_empty() {
                h2 { "New in your groups" }
                ul.stack { @for post in &told { (post_card(post, &names[&post.author_id])) } }
            }
            h2 { "Your groups" }
            @if mine.is_empty() { p.soft { "You have not joined a group yet." } }
            ul.grid { @for (group, role) in &mine { (group_card(group, role.as_deref())) } }
            h2 { "More groups" }
            ul.grid { @for (group, _) in &others { (group_card(group, None)) } }
        },
    ))
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
    let (mut tx, viewer) = site.app.read_as(&session.user).await?;
    let group = tx.group(&id).await?.ok_or(Error::NotFound)?;
    let own = site.app.membership.get(&mut tx, &viewer.user, &scope).await?.filter(Member::is_active);
    let count = site.app.membership.count(&mut tx, &scope, &Filter::default()).await?;
    let Some(own) = own else {
        return Ok(page(
            &group.name,
            Some(&viewer),
            "",
            &html! {
                h1 { (group.name) }
                p.lead { (group.description) " " (count) " members." }
                form method="post" action={ "/groups/" (group.id) "/join" } { button { "Join this group" } }
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
                    span.badge { (own.role()) } (members::until(&own)) " "
                    button.quiet { "Leave" }
                }
            }
            p.lead { (group.description) " " a href={ "/groups/" (group.id) "/members" } { (count) " members" } "." }
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
    groups::join(&site.app, &session.user, &group_scope(&id)?).await?;
    Ok(Redirect::to(&format!("/groups/{id}")))
}

/// Leaves, and shows the group.
pub(super) async fn leave<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Redirect> {
    groups::leave(&site.app, &session.user, &group_scope(&id)?).await?;
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
    let post = posts::create(&site.app, &session.user, &group_scope(&id)?, draft).await?;
    Ok(Redirect::to(&format!("/groups/{id}#post-{}", post.id)))
}

/// One post, for the members of its group.
pub(super) async fn post_page<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Markup> {
    let (mut tx, viewer) = site.app.read_as(&session.user).await?;
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

/// A group's scope; what is no id names no group.
pub(super) fn group_scope(id: &str) -> Result<Scope> {
    Scope::group(id).map_err(|_| Error::NotFound)
}
