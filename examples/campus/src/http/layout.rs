//! What every page shares.

use maud::{DOCTYPE, Markup, html};
use stoa_membership::Role;

use crate::access;
use crate::app::Viewer;
use crate::groups::posts::Post;
use crate::groups::{Group, GroupKind};

/// A whole page. `viewer` is whoever is signed in.
pub(crate) fn page(title: &str, viewer: Option<&Viewer>, query: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · Campus" }
                link rel="stylesheet" href="/style.css";
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                header.top {
                    div {
                        a.brand href="/" { "Campus" span { "." } }
                        @if let Some(viewer) = viewer {
                            nav aria-label="Main" {
                                a href="/" { "Home" }
                                a href="/feed" { "Feed" }
                                a href="/groups" { "Groups" }
                                a href="/directory" { "Directory" }
                                a href="/events" { "Events" }
                                a href="/announcements" { "Announcements" }
                                a href="/openings" { "Jobs board" }
                                a href="/mentorship" { "Mentorship" }
                                a href="/deals" { "Deals" }
                                a href="/assistant" { "Assistant" }
                                @if works_here(viewer) { a href="/staff" { "Staff" } }
                                @if administrates(viewer) { a href="/admin" { "Admin" } }
                            }
                            form.find action="/search" role="search" {
                                input type="search" name="q" value=(query) maxlength="400" placeholder="Search everything" aria-label="Search everything";
                            }
                            form.who method="post" action="/sign-out" {
                                a href="/notifications" { "Notifications" } " · "
                                a href="/me" { (viewer.person.name) } " · " button.link { "Sign out" }
                            }
                        }
                    }
                }
                main #content { (content) }
                footer.soft { "One transaction a write: checked, stored, searchable, recorded, and queued together." }
            }
        }
    }
}

/// Who is offered the pages of the staff; the pages themselves ask for more.
fn works_here(viewer: &Viewer) -> bool {
    viewer.is_employee || platform_role(viewer).is_some()
}

/// Who is offered the administration; its pages themselves ask for the capability.
fn administrates(viewer: &Viewer) -> bool {
    platform_role(viewer) == Some("staff")
}

fn platform_role(viewer: &Viewer) -> Option<&str> {
    let platform = access::platform().ok()?;
    viewer.memberships.role(&platform).map(Role::as_str)
}

/// A group as a card.
pub(crate) fn group_card(group: &Group, role: Option<&str>) -> Markup {
    html! {
        li.card {
            div.row {
                h3 { a href={ "/groups/" (group.id) } { (group.name) } }
                @if let Some(role) = role { span.badge { (role) } }
            }
            @if group.kind == GroupKind::Chapter { p.soft { "Chapter" @if !group.place.is_empty() { " · " (group.place) } } }
            p.soft { (group.description) }
        }
    }
}

/// A post as a card that links to itself.
pub(crate) fn post_card(post: &Post, author: &str) -> Markup {
    html! {
        li.card id={ "post-" (post.id) } {
            h3 { a href={ "/posts/" (post.id) } { (post.title) } }
            p.body { (post.body) }
            p.soft { (author) " · " (date(post.created_at)) @if post.edited_at.is_some() { " · edited" } }
        }
    }
}

/// A moment, in microseconds since 1970, for people.
pub(crate) fn date(micros: i64) -> String {
    chrono::DateTime::from_timestamp_micros(micros)
        .map_or_else(String::new, |at| at.format("%e %B %Y, %H:%M").to_string())
}
