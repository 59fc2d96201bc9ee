//! The home page: what is new, what may be liked, what is coming. Each part is one call, and leaves itself out when it is empty.

use axum::extract::State;
use chrono::{Timelike as _, Utc};
use maud::{Markup, html};
use stoa_membership::Role;
use stoa_search::Surface;

use crate::app::{App, Viewer};
use crate::backend::Backend;
use crate::error::Result;
use crate::groups::sql::GroupSql as _;
use crate::groups::{Group, GroupKind};
use crate::http::layout::{group_card, page};
use crate::http::session::Session;
use crate::http::{Routes, Site};
use crate::recommender::{self, Recommended};
use crate::{announcements, calendar, feed, notices};

/// Adds the home page.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes.get("/", home::<B>)
}

/// Posts and groups that are shown, and of each kind of recommendation.
const POSTS: u8 = 6;
const GROUPS: usize = 12;
const RECOMMENDED: usize = 4;

/// Kinds of recommendations, under what they are headed.
const KINDS: [(Surface, &str); 6] = [
    (Surface::GROUPS, "Groups you may like"),
    (Surface::FEED, "Worth reading"),
    (Surface::EVENTS, "Events you may like"),
    (Surface::JOBS, "Jobs that may suit you"),
    (Surface::MARKETPLACE, "Deals you may like"),
    (Surface::DIRECTORY, "People you may know"),
];

/// What is new for the viewer, what may be, and where they are at home.
async fn home<B: Backend>(State(site): State<Site<B>>, session: Session) -> Result<Markup> {
    let app = &site.app;
    let (mut tx, viewer) = app.read_as(&session.caller.user).await?;
    let news = feed::newest(&mut *tx, &viewer, POSTS).await?;
    let mine = groups::<B::Connection>(&mut tx, &viewer).await?;
    let recommended = recommended(app, &mut tx, &viewer).await?;
    let is_new_here = mine.is_empty() && !recommended.iter().any(|(heading, _)| *heading == KINDS[0].1);
    let beginnings = if is_new_here { tx.groups("", "", 4).await? } else { Vec::new() };
    let first_name = viewer.person.name.split(' ').next().unwrap_or_default();
    let announced = announcements::pages::section::<B>(&mut tx, &viewer, 3).await?;
    let events = calendar::pages::section::<B>(&mut tx, &viewer, 6).await?;
    let notices = notices::recent::<B>(&mut tx, &viewer, 5).await?;
    Ok(page(
        "Home",
        Some(&viewer),
        "",
        &html! {
            h1 { (greeting(Utc::now().hour())) ", " (first_name) }
            p.lead { (viewer.person.headline) }
            (notices::section(&notices))
            div.home {
                div {
                    (announced)
                    (events)
                    section aria-labelledby="new" {
                        h2 #new { "New in your groups" }
                        ul.stack { @for item in &news { (feed::pages::card(item)) } }
                        @if news.is_empty() { (no_news(&mine)) } @else { p { a href="/feed" { "Everything from your groups" } } }
                    }
                    section aria-labelledby="groups" {
                        h2 #groups { "Your groups" }
                        ul.grid { @for (group, role) in &mine { (group_card(group, Some(role))) } }
                        @if mine.is_empty() { p.soft { "You have not joined a group yet. Search for what you care about, or try one that somebody else is in." } }
                        @if !beginnings.is_empty() {
                            h2 { "More groups" }
                            ul.grid { @for group in &beginnings { (group_card(group, None)) } }
                        }
                    }
                }
                div {
                    @for (heading, items) in &recommended { (recommendations(heading, items)) }
                    @if recommended.is_empty() {
                        section.card {
                            h2.hit { "Recommended for you" }
                            p.soft { "Nothing yet: it comes from the groups you join and what you read, every ten minutes." }
                        }
                    }
                }
            }
        },
    ))
}

fn greeting(hour: u32) -> &'static str {
    match hour {
        5..=11 => "Good morning",
        12..=17 => "Good afternoon",
        _ => "Good evening",
    }
}

/// The viewer's groups, with their role in each.
async fn groups<C: crate::sql::Sql>(conn: &mut C, viewer: &Viewer) -> Result<Vec<(Group, String)>> {
    let mut mine = Vec::new();
    for scope in viewer.memberships.scopes().filter(|scope| GroupKind::of_scope(scope).is_some()).take(GROUPS) {
        let role = viewer.memberships.role(scope).map(Role::to_string).unwrap_or_default();
        mine.extend(conn.group(scope.id().as_str()).await?.map(|group| (group, role)));
    }
    mine.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    Ok(mine)
}

/// What is recommended, by kind; kinds without anything are left out.
async fn recommended<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    viewer: &Viewer,
) -> Result<Vec<(&'static str, Vec<Recommended>)>> {
    let mut all = Vec::new();
    for (place, heading) in KINDS {
        let items = recommender::read(app, conn, viewer, &place, RECOMMENDED).await?;
        if !items.is_empty() {
            all.push((heading, items));
        }
    }
    Ok(all)
}

fn recommendations(heading: &str, items: &[Recommended]) -> Markup {
    html! {
        section.card {
            h2.hit { (heading) }
            ul.plain {
                @for item in items {
                    li {
                        @match &item.url {
                            Some(url) => a href=(url) { (item.title) },
                            None => (item.title),
                        }
                        span.soft { (item.why) }
                    }
                }
            }
        }
    }
}

fn no_news(mine: &[(Group, String)]) -> Markup {
    html! {
        p.soft {
            @if mine.is_empty() { "What the members of your groups write stands here." }
            @else { "All quiet. Write the first post: " a href={ "/groups/" (mine[0].0.id) } { (mine[0].0.name) } " will hear of it." }
        }
    }
}
