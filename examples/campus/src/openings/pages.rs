//! The pages of the jobs board.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Form, Path, Query, State};
use axum::response::Redirect;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde::Deserialize;
use stoa_membership::Scope;
use url::form_urlencoded::Serializer;

use super::{Draft, NewOpening, Opening, Wanted};
use crate::access::{self, PlatformCapability};
use crate::app::Viewer;
use crate::backend::Backend;
use crate::directory::profile;
use crate::error::Result;
use crate::groups::sql::GroupSql;
use crate::groups::{Group, GroupKind};
use crate::http::layout::page;
use crate::http::session::Session;
use crate::http::{FormResult, Routes, Site};
use crate::openings;

/// Adds the pages of the jobs board.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes
        .get("/openings", list::<B>)
        .post("/openings", create::<B>)
        .get("/openings/new", blank::<B>)
        .get("/openings/{id}", opening::<B>)
        .post("/openings/{id}/close", close::<B>)
}

/// Openings on one page.
const OPENINGS: u8 = 20;

/// Groups that the form offers.
const GROUPS: usize = 100;

#[derive(Deserialize)]
struct Filters {
    #[serde(default)]
    place: String,
    /// A box that is not ticked is not sent at all.
    remote: Option<String>,
    after: Option<String>,
}

/// What is open, the newest first.
async fn list<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    filters: std::result::Result<Query<Filters>, QueryRejection>,
) -> Result<Markup> {
    let Query(Filters { place, remote, after }) = filters?;
    let wanted = Wanted { place, is_remote: remote.is_some_and(|remote| !remote.is_empty()), after };
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let mut found = openings::list(&mut *tx, &viewer, &wanted, Utc::now(), OPENINGS).await?;
    let has_more = found.len() > usize::from(OPENINGS);
    found.truncate(OPENINGS.into());
    let mut rows = Vec::new();
    for opening in &found {
        rows.push((opening, group_of(&mut *tx, opening).await?));
    }
    let next = |last: &Opening| {
        let mut url = Serializer::new(String::from("/openings?"));
        if !wanted.place.trim().is_empty() {
            url.append_pair("place", wanted.place.trim());
        }
        if wanted.is_remote {
            url.append_pair("remote", "1");
        }
        url.append_pair("after", &last.id).finish()
    };
    let is_filtered = wanted.is_remote || !wanted.place.trim().is_empty();
    Ok(page(
        "Jobs board",
        Some(&viewer),
        "",
        &html! {
            div.row {
                h1 { "Jobs board" }
                a.button href="/openings/new" { "Post an opening" }
            }
            p.lead { "Work that alumni know of, the newest first. What is past its day is gone." }
            form.filter action="/openings" {
                label { "Place" input name="place" maxlength="100" value=(wanted.place); }
                label.check { input type="checkbox" name="remote" value="1" checked[wanted.is_remote]; "Remote only" }
                button.quiet { "Filter" }
            }
            @if rows.is_empty() {
                @if is_filtered {
                    p { "Nothing like that is open. " a href="/openings" { "Show everything" } "." }
                } @else {
                    p { "Nothing is open. " a href="/openings/new" { "Post the first opening" } "." }
                }
            }
            ul.stack { @for (opening, group) in &rows { (card(opening, group.as_ref())) } }
            @if let Some(last) = found.last().filter(|_| has_more) {
                p { a rel="next" href=(next(last)) { "Older openings" } }
            }
        },
    ))
}

/// The group that the opening is for, if it is not for everybody.
async fn group_of<C: GroupSql>(conn: &mut C, opening: &Opening) -> Result<Option<Group>> {
    Ok(match opening.scope()? {
        Some(scope) => conn.group(scope.id().as_str()).await?,
        None => None,
    })
}

fn card(opening: &Opening, group: Option<&Group>) -> Markup {
    html! {
        li.card {
            div.row {
                h3 { a href={ "/openings/" (opening.id) } { (opening.title) } }
                span { (badges(opening, group)) }
            }
            p { (opening.employer) }
            p.soft { "Until " (last_day(opening)) }
        }
    }
}

fn badges(opening: &Opening, group: Option<&Group>) -> Markup {
    html! {
        @if !opening.place.is_empty() { span.badge { (opening.place) } " " }
        @if opening.is_remote { span.badge { "Remote" } " " }
        @if let Some(group) = group { span.badge { "Only " (group.name) } }
    }
}

/// The day that ends when the opening closes.
fn last_day(opening: &Opening) -> String {
    DateTime::from_timestamp_micros(opening.closes_at - 1)
        .map_or_else(String::new, |at| at.format("%-d %B %Y").to_string())
}

/// The form of a new opening.
async fn blank<B: Backend>(State(site): State<Site<B>>, session: Session) -> Result<Markup> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let groups = groups_of(&mut *tx, &viewer).await?;
    Ok(page(
        "Post an opening",
        Some(&viewer),
        "",
        &html! {
            p.soft { a href="/openings" { "Jobs board" } }
            h1 { "Post an opening" }
            p.lead { "It closes by itself at the end of its last day; you can close it earlier." }
            form.write.card method="post" action="/openings" {
                label { "Title" input name="title" required maxlength="200"; }
                label { "Employer" input name="employer" required maxlength="100"; }
                label { "Place" input name="place" maxlength="100"; }
                label.check { input type="checkbox" name="remote" value="1"; "It can be done from anywhere" }
                label { "What there is to know" textarea name="body" required rows="6" maxlength="10000" {} }
                label { "Where to apply" input type="url" name="url" required maxlength="500" pattern="https://.+" placeholder="https://"; }
                label { "Last day (UTC)" input type="date" name="last_day" required; }
                label { "Who sees it" select name="group" {
                    option value="" { "Everybody" }
                    @for group in &groups { option value=(group.id) { "Only members of " (group.name) } }
                } }
                div { button { "Post it" } }
            }
        },
    ))
}

/// The viewer's groups by name.
async fn groups_of<C: GroupSql>(conn: &mut C, viewer: &Viewer) -> Result<Vec<Group>> {
    let mut groups = Vec::new();
    let mut scopes: Vec<&Scope> =
        viewer.memberships.scopes().filter(|scope| GroupKind::of_scope(scope).is_some()).collect();
    scopes.sort_unstable();
    for scope in scopes.into_iter().take(GROUPS) {
        groups.extend(conn.group(scope.id().as_str()).await?);
    }
    groups.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(groups)
}

#[derive(Deserialize)]
struct OpeningForm {
    title: String,
    employer: String,
    #[serde(default)]
    place: String,
    remote: Option<String>,
    body: String,
    url: String,
    #[serde(default)]
    group: String,
    last_day: String,
}

/// Posts an opening, and shows it.
async fn create<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    form: FormResult<OpeningForm>,
) -> Result<Redirect> {
    let Form(OpeningForm { title, employer, place, remote, body, url, group, last_day }) = form?;
    let new = NewOpening { title, employer, place, is_remote: remote.is_some(), body, url, group, last_day };
    let opening = openings::create(&site.app, &session.caller, Draft::new(&new, Utc::now())?).await?;
    Ok(Redirect::to(&format!("/openings/{}", opening.id)))
}

/// One opening, for those it is for.
async fn opening<B: Backend>(State(site): State<Site<B>>, session: Session, Path(id): Path<String>) -> Result<Markup> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let opening = openings::read(&mut *tx, &viewer, &id).await?;
    crate::recommender::viewed(&site.app, &viewer.user, &stoa_search::Surface::JOBS, &opening.id);
    let group = group_of(&mut *tx, &opening).await?;
    let names = site.app.names(&mut tx, [opening.author_id.as_str()].into_iter()).await?;
    let closes = opening.author_id == viewer.person.id
        || site
            .app
            .platform_capabilities
            .check(&mut tx, PlatformCapability::CloseOpening, &viewer.user, &access::platform()?)
            .await?;
    let is_open = opening.is_open(Utc::now());
    Ok(page(
        &opening.title,
        Some(&viewer),
        "",
        &html! {
            p.soft { a href="/openings" { "Jobs board" } }
            h1 { (opening.title) }
            p.lead { (opening.employer) }
            p { (badges(&opening, group.as_ref())) }
            div.card { p.body { (opening.body) } }
            @if is_open {
                p { a.button href=(opening.url) rel="noopener noreferrer nofollow" { "Apply" } " " span.soft { "until " (last_day(&opening)) } }
            } @else {
                p { "This opening has closed." }
            }
            p.soft { "Posted by " a href=(profile::path(&opening.author_id)) { (names[&opening.author_id]) } }
            @if is_open && closes {
                form method="post" action={ "/openings/" (opening.id) "/close" } { button.quiet { "Close this opening" } }
            }
        },
    ))
}

/// Closes an opening, and shows the board.
async fn close<B: Backend>(State(site): State<Site<B>>, session: Session, Path(id): Path<String>) -> Result<Redirect> {
    openings::close(&site.app, &session.caller, &id).await?;
    Ok(Redirect::to("/openings"))
}
