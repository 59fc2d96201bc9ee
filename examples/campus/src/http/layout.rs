//! What every page shares.

use maud::{DOCTYPE, Markup, html};

use crate::model::{Group, Person, Post};

/// A whole page. `viewer` is whoever is signed in.
pub(super) fn page(title: &str, viewer: Option<&Person>, query: &str, content: &Markup) -> Markup {
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
                                a href="/jobs" { "Jobs" }
                                a href="/audit" { "Audit" }
                            }
                            form.find action="/search" role="search" {
                                input type="search" name="q" value=(query) maxlength="400" placeholder="Search everything" aria-label="Search everything";
                            }
                            span.who { (viewer.name) " · " a href="/people" { "switch" } }
                        }
                    }
                }
                main #content { (content) }
                footer.soft { "One transaction a write: checked, stored, searchable, recorded, and queued together." }
            }
        }
    }
}

/// A group as a card.
pub(super) fn group_card(group: &Group, role: Option<&str>) -> Markup {
    html! {
        li.card {
            div.row {
                h3 { a href={ "/groups/" (group.id) } { (group.name) } }
                @if let Some(role) = role { span.badge { (role) } }
            }
            p.soft { (group.description) }
        }
    }
}

/// A post as a card that links to itself.
pub(super) fn post_card(post: &Post, author: &str) -> Markup {
    html! {
        li.card id={ "post-" (post.id) } {
            h3 { a href={ "/posts/" (post.id) } { (post.title) } }
            p.body { (post.body) }
            p.soft { (author) " · " (date(post.created_at)) }
        }
    }
}

/// A moment, in microseconds since 1970, for people.
pub(super) fn date(micros: i64) -> String {
    chrono::DateTime::from_timestamp_micros(micros)
        .map_or_else(String::new, |at| at.format("%e %B %Y, %H:%M").to_string())
}
