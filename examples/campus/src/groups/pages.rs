//! The pages of groups and posts.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Form, Path, Query, State};
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;
use stoa_membership::{Filter, Member, Role, State as Standing};
use url::form_urlencoded::Serializer;
use uuid::Uuid;

use super::member_pages::{self, Reach};
use super::posts::{self, Draft};
use super::sql::GroupSql as _;
use super::{Description, Group, GroupKind, NewGroup};
use crate::access::GroupCapability;
use crate::backend::Backend;
use crate::directory::profile;
use crate::error::{Error, Result};
use crate::groups;
use crate::http::layout::{date, group_card, page, post_card};
use crate::http::session::Session;
use crate::http::{FormResult, Routes, Site};
use crate::recommender;

/// Adds the pages of groups, posts and members.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes
        .get("/groups", browse::<B>)
        .get("/groups/new", blank::<B>)
        .post("/groups", create::<B>)
        .get("/groups/{id}", group::<B>)
        .get("/groups/{id}/edit", edit_form::<B>)
        .post("/groups/{id}/edit", edit::<B>)
        .post("/groups/{id}/join", join::<B>)
        .post("/groups/{id}/leave", leave::<B>)
        .get("/groups/{id}/members", member_pages::members::<B>)
        .post("/groups/{id}/members", member_pages::decide::<B>)
        .get("/groups/{id}/members/history", member_pages::history::<B>)
        .post("/groups/{id}/posts", create_post::<B>)
        .get("/posts/{id}", post_page::<B>)
        .post("/posts/{id}/edit", edit_post::<B>)
        .post("/posts/{id}/delete", delete_post::<B>)
}

/// Groups on one page.
const GROUPS: u8 = 24;

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

#[derive(Deserialize)]
pub(super) struct Listing {
    #[serde(default)]
    kind: String,
    after: Option<String>,
}

/// All groups by name, with the viewer's role in each.
pub(super) async fn browse<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    listing: std::result::Result<Query<Listing>, QueryRejection>,
) -> Result<Markup> {
    let Query(listing) = listing?;
    let kind = if listing.kind.is_empty() { None } else { Some(GroupKind::try_from(&*listing.kind)?) };
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let after = listing.after.as_deref().filter(|after| !after.is_empty());
    let mut found = groups::list(&mut *tx, kind, after, GROUPS).await?;
    let has_more = found.len() > usize::from(GROUPS);
    found.truncate(GROUPS.into());
    let href = |kind: Option<GroupKind>, after: &str| {
        let mut url = Serializer::new(String::from("/groups?"));
        for (name, value) in [("kind", kind.map_or("", GroupKind::as_str)), ("after", after)] {
            if !value.is_empty() {
                url.append_pair(name, value);
            }
        }
        url.finish()
    };
    Ok(page(
        "Groups",
        Some(&viewer),
        "",
        &html! {
            div.row {
                h1 { "Groups" }
                a.button href="/groups/new" { "Start a group" }
            }
            p.lead { "Interest groups for whoever likes the same thing, chapters for the alumni of a city or a batch." }
            nav.tabs aria-label="Which groups" {
                @for (choice, title) in [(None, "All"), (Some(GroupKind::Interest), "Interest groups"), (Some(GroupKind::Chapter), "Chapters")] {
                    a href=(href(choice, "")) aria-current=[(choice == kind).then_some("page")] { span.badge { (title) } }
                }
            }
            @if found.is_empty() {
                p { "There is none yet. " a href="/groups/new" { "Start the first one" } "." }
            }
            ul.grid {
                @for group in &found { (group_card(group, viewer.memberships.role(&group.scope()?).map(Role::as_str))) }
            }
            @if let Some(last) = found.last().filter(|_| has_more) {
                p { a rel="next" href=(href(kind, &last.id)) { "More groups" } }
            }
        },
    ))
}

/// The form of a new group.
pub(super) async fn blank<B: Backend>(State(site): State<Site<B>>, session: Session) -> Result<Markup> {
    let (_, viewer) = site.app.read_as(&session.caller.user).await?;
    Ok(page(
        "Start a group",
        Some(&viewer),
        "",
        &html! {
            p.soft { a href="/groups" { "Groups" } }
            h1 { "Start a group" }
            p.lead { "You will be its first owner. Everybody can find and join it; only its members read what is written there." }
            form.write.card method="post" action="/groups" {
                label { "Kind" select name="kind" {
                    option value="interest" { "Interest group" }
                    option value="chapter" { "Alumni chapter" }
                } }
                (description_fields("", "", ""))
                label { "Address (optional: lower-case letters, digits and hyphens)" input name="id" maxlength="64" pattern="[a-z0-9][a-z0-9\\-]*[a-z0-9]"; }
                div { button { "Start the group" } }
            }
        },
    ))
}

fn description_fields(name: &str, description: &str, place: &str) -> Markup {
    html! {
        label { "Name" input name="name" required maxlength="100" value=(name); }
        label { "What it is about" textarea name="description" required rows="4" maxlength="2000" { (description) } }
        label { "City or batch (of a chapter)" input name="place" maxlength="100" value=(place); }
    }
}

/// Creates a group, and shows it.
pub(super) async fn create<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    form: FormResult<NewGroup>,
) -> Result<Redirect> {
    let Form(form) = form?;
    let group = Group::try_from(&form)?;
    groups::found(&site.app, &session.caller, &group).await?;
    Ok(Redirect::to(&format!("/groups/{}", group.id)))
}

/// What a group says about itself, to be changed by those who run it.
pub(super) async fn edit_form<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Markup> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let group = groups::find(&mut *tx, &id).await?;
    Reach::with(GroupCapability::EditGroup, &site, &viewer, &group.scope()?)?;
    Ok(page(
        "Edit the group",
        Some(&viewer),
        "",
        &html! {
            p.soft { a href={ "/groups/" (group.id) } { (group.name) } }
            h1 { "Edit the group" }
            form.write.card method="post" action={ "/groups/" (group.id) "/edit" } {
                (description_fields(&group.name, &group.description, &group.place))
                div { button { "Save" } }
            }
        },
    ))
}

#[derive(Deserialize)]
pub(super) struct DescriptionForm {
    name: String,
    description: String,
    #[serde(default)]
    place: String,
}

/// Changes what a group says about itself, and shows it.
pub(super) async fn edit<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    form: FormResult<DescriptionForm>,
) -> Result<Redirect> {
    let Form(form) = form?;
    let description = Description::new(&form.name, &form.description, &form.place)?;
    groups::edit(&site.app, &session.caller, &groups::scope(&site.app, &id).await?, description).await?;
    Ok(Redirect::to(&format!("/groups/{id}")))
}

/// One group: for members its posts and a form, for others the way in.
pub(super) async fn group<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    position: std::result::Result<Query<Position>, QueryRejection>,
) -> Result<Markup> {
    let Query(position) = position?;
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let group = groups::find(&mut *tx, &id).await?;
    recommender::viewed(&site.app, &viewer.user, &stoa_search::Surface::GROUPS, &group.id);
    let scope = group.scope()?;
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
                (kind_line(&group))
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
    let edits = site.app.group_capabilities.matrix().allows(own.role().as_str(), GroupCapability::EditGroup);
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
            (kind_line(&group))
            p.lead {
                (group.description) " " a href={ "/groups/" (group.id) "/members" } { (count) " members" } ", "
                a href={ "/events?scope=" (scope) } { "events" } "."
                @if edits { " " a href={ "/groups/" (group.id) "/edit" } { "Edit" } }
            }
            form.write.card method="post" action={ "/groups/" (group.id) "/posts" } {
                label { "Title" input name="title" required maxlength="200"; }
                label { "Post" textarea name="body" required rows="4" maxlength="20000" {} }
                div { button { "Post to the group" } }
            }
            h2 { "Posts" }
            @if posts.is_empty() { p.soft { "Nobody has written here yet: be the first." } }
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
    groups::join(&site.app, &session.caller, &groups::scope(&site.app, &id).await?).await?;
    Ok(Redirect::to(&format!("/groups/{id}")))
}

/// Leaves, and shows the group.
pub(super) async fn leave<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Redirect> {
    groups::leave(&site.app, &session.caller, &groups::scope(&site.app, &id).await?).await?;
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
    let post = posts::create(&site.app, &session.caller, &groups::scope(&site.app, &id).await?, draft).await?;
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
    recommender::viewed(&site.app, &viewer.user, &stoa_search::Surface::FEED, &post.id);
    let group = tx.group(&post.group_id).await?.ok_or(Error::NotFound)?;
    let is_author = post.author_id == viewer.person.id;
    let moderates = Reach::with(GroupCapability::ModeratePosts, &site, &viewer, &group.scope()?).is_ok();
    let names = site.app.names(&mut tx, [post.author_id.as_str()].into_iter()).await?;
    Ok(page(
        &post.title,
        Some(&viewer),
        "",
        &html! {
            p.soft { a href={ "/groups/" (group.id) } { (group.name) } }
            h1 { (post.title) }
            p.soft {
                a href=(profile::path(&post.author_id)) { (names[&post.author_id]) } " · " (date(post.created_at))
                @if let Some(edited_at) = post.edited_at { " · edited " (date(edited_at)) }
            }
            div.card { p.body { (post.body) } }
            @if is_author {
                details {
                    summary { "Edit this post" }
                    form.write.card method="post" action={ "/posts/" (post.id) "/edit" } {
                        label { "Title" input name="title" required maxlength="200" value=(post.title); }
                        label { "Post" textarea name="body" required rows="6" maxlength="20000" { (post.body) } }
                        div { button { "Save" } }
                    }
                }
            }
            @if is_author || moderates {
                details {
                    summary { "Delete this post" }
                    form method="post" action={ "/posts/" (post.id) "/delete" } {
                        p.soft { "It will be gone for everybody, at once and for good." }
                        button.quiet { "Delete it" }
                    }
                }
            }
        },
    ))
}

/// Changes what a post says, and shows it.
pub(super) async fn edit_post<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    form: FormResult<DraftForm>,
) -> Result<Redirect> {
    let Form(form) = form?;
    let post = posts::edit(&site.app, &session.caller, &id, Draft::new(&form.title, &form.body)?).await?;
    Ok(Redirect::to(&format!("/posts/{}", post.id)))
}

/// Deletes a post, and shows its group.
pub(super) async fn delete_post<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Redirect> {
    let post = posts::delete(&site.app, &session.caller, &id).await?;
    Ok(Redirect::to(&format!("/groups/{}", post.group_id)))
}

fn kind_line(group: &Group) -> Markup {
    html! {
        @if group.kind == GroupKind::Chapter {
            p { span.badge { "Chapter" } @if !group.place.is_empty() { " " span.badge { (group.place) } } }
        }
    }
}
