//! The page of the feed.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;

use super::Item;
use super::api::before;
use crate::backend::Backend;
use crate::directory::profile;
use crate::error::Result;
use crate::feed;
use crate::http::layout::{date, page};
use crate::http::session::Session;
use crate::http::{Routes, Site};

/// Adds the page of the feed.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes.get("/feed", list::<B>)
}

/// Posts on one page.
const POSTS: u8 = 20;

#[derive(Deserialize)]
struct Position {
    after: Option<String>,
}

/// What was written in all groups of the viewer.
async fn list<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    position: std::result::Result<Query<Position>, QueryRejection>,
) -> Result<Markup> {
    let Query(position) = position?;
    let after = before(position.after.as_deref())?;
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let mut items = feed::before(&mut *tx, &viewer, after.as_deref(), POSTS + 1).await?;
    let has_more = items.len() > usize::from(POSTS);
    items.truncate(POSTS.into());
    Ok(page(
        "Feed",
        Some(&viewer),
        "",
        &html! {
            h1 { "Feed" }
            p.lead { "What was written in your groups, the newest first." }
            @if items.is_empty() && after.is_none() {
                p { "Nothing yet. " a href="/groups" { "Join a group" } ", or write the first post in one of yours." }
            }
            ul.stack { @for item in &items { (card(item)) } }
            @if let Some(last) = items.last().filter(|_| has_more) {
                p { a rel="next" href={ "/feed?after=" (last.post.id) } { "Older posts" } }
            }
        },
    ))
}

/// A post of the feed as a card that links to itself, its group and its author.
pub(crate) fn card(item: &Item) -> Markup {
    let post = &item.post;
    html! {
        li.card id={ "post-" (post.id) } {
            p.soft { a href={ "/groups/" (post.group_id) } { (item.group_name) } }
            h3 { a href={ "/posts/" (post.id) } { (post.title) } }
            p.body.clamp { (post.body) }
            p.soft {
                a href=(profile::path(&post.author_id)) { (item.author_name) } " · " (date(post.created_at))
                @if post.edited_at.is_some() { " · edited" }
            }
        }
    }
}
