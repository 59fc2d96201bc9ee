//! The pages of announcements: for everybody to read, for staff to write.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Form, Path, Query, State};
use axum::response::Redirect;
use chrono_tz::TZ_VARIANTS;
use maud::{Markup, html};
use serde::Deserialize;
use uuid::Uuid;

use super::sql::AnnouncementSql as _;
use super::{Announcement, DRAFT, Draft, GONE, PUBLIC, WAITING};
use crate::announcements;
use crate::app::{EVERYONE, Viewer};
use crate::backend::Backend;
use crate::calendar::api::readers;
use crate::calendar::{on_the_wall, parse_zone};
use crate::error::{Error, Result};
use crate::groups::sql::GroupSql as _;
use crate::http::layout::{date, page};
use crate::http::session::Session;
use crate::http::{FormResult, Routes, Site};

/// Adds the pages of announcements.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes
        .get("/announcements", list::<B>)
        .post("/announcements", create::<B>)
        .get("/announcements/new", new::<B>)
        .get("/announcements/all", all::<B>)
        .get("/announcements/{id}", read::<B>)
        .post("/announcements/{id}", update::<B>)
        .get("/announcements/{id}/edit", edit::<B>)
        .post("/announcements/{id}/schedule", schedule::<B>)
        .post("/announcements/{id}/publish", publish::<B>)
        .post("/announcements/{id}/withdraw", withdraw::<B>)
}

/// Announcements on a page.
const NEWS: u8 = 20;

#[derive(Deserialize)]
struct Position {
    after: Option<String>,
}

#[derive(Deserialize)]
struct DraftForm {
    #[serde(default)]
    scope: String,
    title: String,
    body: String,
}

impl DraftForm {
    fn draft(&self) -> Result<Draft> {
        let scope = self.scope.trim();
        Draft::new(&self.title, &self.body, readers(if scope.is_empty() { EVERYONE } else { scope })?)
    }
}

#[derive(Deserialize)]
struct ScheduleForm {
    publish_at: String,
    time_zone: String,
}

/// What is published for the viewer, newest first.
async fn list<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    position: std::result::Result<Query<Position>, QueryRejection>,
) -> Result<Markup> {
    let Query(position) = position?;
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let mut news = announcements::page::<B>(&mut tx, &viewer, position.after.as_deref(), i64::from(NEWS) + 1).await?;
    let has_more = news.len() > usize::from(NEWS);
    news.truncate(NEWS.into());
    let cards = cards::<B>(&mut tx, &news).await?;
    let is_editor = announcements::is_editor(&site.app, &mut tx, &viewer).await?;
    Ok(page(
        "Announcements",
        Some(&viewer),
        "",
        &html! {
            div.row {
                h1 { "Announcements" }
                @if is_editor { span { a href="/announcements/all" { "Drafts and all others" } " · " a.button href="/announcements/new" { "Write one" } } }
            }
            p.lead { "What the campus has to say to you." }
            @if news.is_empty() { p.soft { "Nothing has been announced yet. What is new in your groups is on the " a href="/" { "home page" } "." } }
            ul.stack { @for card in &cards { (card) } }
            @if let Some(last) = news.last().filter(|_| has_more) {
                p { a href={ "/announcements?after=" (last.key()) } { "Older announcements" } }
            }
        },
    ))
}

/// The newest announcements as a section of the home page.
///
/// # Errors
/// If the database does not answer.
pub(crate) async fn section<B: Backend>(conn: &mut B::Connection, viewer: &Viewer, limit: i64) -> Result<Markup> {
    let news = announcements::latest::<B>(conn, viewer, limit).await?;
    let cards = cards::<B>(conn, &news).await?;
    Ok(html! {
        @if !cards.is_empty() {
            div.row { h2 { "Announcements" } a href="/announcements" { "All announcements" } }
            ul.stack { @for card in &cards { (card) } }
        }
    })
}

/// Announcements as cards with their beginnings.
async fn cards<B: Backend>(conn: &mut B::Connection, news: &[Announcement]) -> Result<Vec<Markup>> {
    let mut cards = Vec::new();
    for one in news {
        let whose = one.readers()?.name::<B>(conn).await?;
        let mut beginning: String = one.body.chars().take(240).collect();
        if beginning.len() < one.body.len() {
            beginning.push('…');
        }
        cards.push(html! {
            li.card {
                h3 { a href={ "/announcements/" (one.id) } { (one.title) } }
                p { (beginning) }
                p.soft { (whose) @if let Some(at) = one.publish_at { " · " (date(at)) } }
            }
        });
    }
    Ok(cards)
}

/// One announcement; for staff with what to do about it.
async fn read<B: Backend>(State(site): State<Site<B>>, session: Session, Path(id): Path<String>) -> Result<Markup> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let news = announcements::read(&site.app, &mut tx, &viewer, &id).await?;
    let is_editor = announcements::is_editor(&site.app, &mut tx, &viewer).await?;
    let whose = news.readers()?.name::<B>(&mut tx).await?;
    Ok(page(
        &news.title,
        Some(&viewer),
        "",
        &html! {
            p.soft { a href="/announcements" { "Announcements" } }
            div.row { h1 { (news.title) } @if is_editor { (badge(&news)) } }
            p.lead { (whose) @if let Some(at) = news.publish_at { " · " (date(at)) " UTC" } }
            div.card { p.body { (news.body) } }
            @if is_editor && news.state != GONE { (desk(&news)) }
        },
    ))
}

fn badge(news: &Announcement) -> Markup {
    let class = match &*news.state {
        PUBLIC => "succeeded",
        GONE => "failed",
        _ => "",
    };
    html! { span.badge.(class) { (news.state) } }
}

/// What staff may do about it.
fn desk(news: &Announcement) -> Markup {
    let path = format!("/announcements/{}", news.id);
    html! {
        h2 { "For the editors" }
        div.stack {
            p { a href={ (path) "/edit" } { "Change the text" } }
            @if news.state == DRAFT || news.state == WAITING {
                form.write.card method="post" action={ (path) "/schedule" } {
                    h3 { @if news.state == WAITING { "Publish at another time" } @else { "Publish later" } }
                    div.fields {
                        label { "When" input type="datetime-local" name="publish_at" required; }
                        label { "Time zone" input name="time_zone" required maxlength="64" list="zones" value="UTC" autocomplete="off"; }
                    }
                    datalist #zones { @for zone in TZ_VARIANTS { option value=(zone.name()) {} } }
                    div { button.quiet { "Schedule it" } }
                }
                form method="post" action={ (path) "/publish" } { button { "Publish it now" } }
            }
            details {
                summary { "Withdraw it" }
                form method="post" action={ (path) "/withdraw" } { button { "Withdraw it for good" } }
            }
        }
    }
}

/// Every announcement there is, for staff, the last written first.
async fn all<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    position: std::result::Result<Query<Position>, QueryRejection>,
) -> Result<Markup> {
    let Query(position) = position?;
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    if !announcements::is_editor(&site.app, &mut tx, &viewer).await? {
        return Err(Error::NotFound);
    }
    // Every id is made of digits, letters and hyphens, all of them less than a tilde.
    let before =
        position.after.and_then(|id| Uuid::parse_str(&id).ok()).map_or_else(|| "~".into(), |id| id.to_string());
    let mut news = tx.announcements(&before, i64::from(NEWS) + 1).await?;
    let has_more = news.len() > usize::from(NEWS);
    news.truncate(NEWS.into());
    let mut names = Vec::new();
    for one in &news {
        names.push(one.readers()?.name::<B>(&mut tx).await?);
    }
    Ok(page(
        "All announcements",
        Some(&viewer),
        "",
        &html! {
            p.soft { a href="/announcements" { "Announcements" } }
            div.row { h1 { "All announcements" } a.button href="/announcements/new" { "Write one" } }
            p.lead { "Drafts and scheduled ones are seen by the staff only. Times are in UTC." }
            @if news.is_empty() { p.soft { "There is none yet. " a href="/announcements/new" { "Write the first." } } }
            ul.stack {
                @for (one, name) in news.iter().zip(&names) {
                    li.card {
                        div.row { h3 { a href={ "/announcements/" (one.id) } { (one.title) } } (badge(one)) }
                        p.soft { (name) @if let Some(at) = one.publish_at { " · " (date(at)) } }
                    }
                }
            }
            @if let Some(last) = news.last().filter(|_| has_more) {
                p { a href={ "/announcements/all?after=" (last.id) } { "Older ones" } }
            }
        },
    ))
}

/// The forms that write and change an announcement.
fn form(action: &str, news: Option<&Announcement>, scopes: &[(String, String)], submit: &str) -> Markup {
    html! {
        form.write.card method="post" action=(action) {
            label { "For: empty for everybody, or a scope such as batch:2014 or group:chess"
                input name="scope" maxlength="192" list="scopes" autocomplete="off" value=(news.map_or("", |news| &news.scope));
            }
            datalist #scopes { @for (scope, name) in scopes { option value=(scope) { (name) } } }
            label { "Title" input name="title" required maxlength="200" value=(news.map_or("", |news| &news.title)); }
            label { "Text" textarea name="body" required rows="10" maxlength="20000" { (news.map_or("", |news| &news.body)) } }
            div { button { (submit) } }
        }
    }
}

/// Whom an announcement may be for, as far as a form suggests it.
async fn suggestions<B: Backend>(conn: &mut B::Connection) -> Result<Vec<(String, String)>> {
    let mut scopes = vec![(EVERYONE.to_owned(), "Everybody on campus".to_owned())];
    for group in conn.groups("", "", 200).await? {
        scopes.push((group.scope()?.to_string(), group.name));
    }
    Ok(scopes)
}

/// The form for a new announcement.
async fn new<B: Backend>(State(site): State<Site<B>>, session: Session) -> Result<Markup> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    if !announcements::is_editor(&site.app, &mut tx, &viewer).await? {
        return Err(Error::NotFound);
    }
    let scopes = suggestions::<B>(&mut tx).await?;
    Ok(page(
        "Write an announcement",
        Some(&viewer),
        "",
        &html! {
            h1 { "Write an announcement" }
            p.lead { "It is a draft first: nobody but the staff sees it until you publish or schedule it." }
            (form("/announcements", None, &scopes, "Save the draft"))
        },
    ))
}

/// Writes a draft, and shows it.
async fn create<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    form: FormResult<DraftForm>,
) -> Result<Redirect> {
    let Form(form) = form?;
    let news = announcements::create(&site.app, &session.caller, form.draft()?).await?;
    Ok(Redirect::to(&format!("/announcements/{}", news.id)))
}

/// The form that changes an announcement.
async fn edit<B: Backend>(State(site): State<Site<B>>, session: Session, Path(id): Path<String>) -> Result<Markup> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let news = announcements::read(&site.app, &mut tx, &viewer, &id).await?;
    if !announcements::is_editor(&site.app, &mut tx, &viewer).await? {
        return Err(Error::NotFound);
    }
    let scopes = suggestions::<B>(&mut tx).await?;
    Ok(page(
        "Change an announcement",
        Some(&viewer),
        "",
        &html! {
            h1 { "Change an announcement" }
            p.lead { "What is published changes at once for everybody who reads or finds it." }
            (form(&format!("/announcements/{}", news.id), Some(&news), &scopes, "Save the text"))
        },
    ))
}

/// Changes, and shows the announcement.
async fn update<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    form: FormResult<DraftForm>,
) -> Result<Redirect> {
    let Form(form) = form?;
    let news = announcements::update(&site.app, &session.caller, &id, form.draft()?).await?;
    Ok(Redirect::to(&format!("/announcements/{}", news.id)))
}

/// Schedules, and shows the announcement.
async fn schedule<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    form: FormResult<ScheduleForm>,
) -> Result<Redirect> {
    let Form(form) = form?;
    let zone = parse_zone(&form.time_zone)?;
    let at = on_the_wall("the time", &form.publish_at, zone)?;
    let news = announcements::schedule(&site.app, &session.caller, &id, at).await?;
    Ok(Redirect::to(&format!("/announcements/{}", news.id)))
}

/// Publishes, and shows the announcement.
async fn publish<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Redirect> {
    let news = announcements::publish(&site.app, &session.caller, &id).await?;
    Ok(Redirect::to(&format!("/announcements/{}", news.id)))
}

/// Withdraws, and shows the others.
async fn withdraw<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Redirect> {
    announcements::withdraw(&site.app, &session.caller, &id).await?;
    Ok(Redirect::to("/announcements/all"))
}
