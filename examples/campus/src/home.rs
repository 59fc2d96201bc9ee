//! The home page.

use axum::extract::State;
use maud::{Markup, html};
use stoa_membership::Role;

use crate::backend::Backend;
use crate::error::Result;
use crate::groups::Group;
use crate::groups::posts::Post;
use crate::groups::sql::GroupSql as _;
use crate::http::layout::{group_card, page, post_card};
use crate::http::session::Session;
use crate::http::{Routes, Site};
use crate::{announcements, calendar, notices};

/// Adds the home page.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes.get("/", home::<B>)
}

/// What is new for the viewer, their groups, and the others.
async fn home<B: Backend>(State(site): State<Site<B>>, session: Session) -> Result<Markup> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let groups = tx.groups("", "", 60).await?;
    let told = tx.notified_posts(&viewer.person.id, 100).await?;
    // Whoever has left a group since no longer reads it.
    let is_readable = |post: &Post| post.scope().is_ok_and(|scope| viewer.memberships.is_member(&scope));
    let told: Vec<_> = told.into_iter().filter(is_readable).take(6).collect();
    let news = announcements::pages::section::<B>(&mut tx, &viewer, 3).await?;
    let events = calendar::pages::section::<B>(&mut tx, &viewer, 6).await?;
    let notices = notices::recent::<B>(&mut tx, &viewer, 5).await?;
    let names = site.app.names(&mut tx, told.iter().map(|post| post.author_id.as_str())).await?;
    let role =
        |group: &Group| group.scope().ok().and_then(|scope| viewer.memberships.role(&scope).map(Role::to_string));
    let (mine, others): (Vec<_>, Vec<_>) =
        groups.iter().map(|group| (group, role(group))).partition(|(_, role)| role.is_some());
    Ok(page(
        "Home",
        Some(&viewer),
        "",
        &html! {
            h1 { "Good to see you, " (viewer.person.name.split(' ').next().unwrap_or_default()) }
            p.lead { (viewer.person.headline) }
            (notices::section(&notices))
            (news)
            (events)
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
