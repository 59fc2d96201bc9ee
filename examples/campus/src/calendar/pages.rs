//! The pages of the calendar.

use std::collections::HashMap;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Form, Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Redirect};
use chrono::DateTime;
use chrono_tz::{TZ_VARIANTS, Tz};
use maud::{Markup, html};
use serde::Deserialize;
use stoa_membership::Scope;
use url::form_urlencoded;

use super::api::{answers, readers};
use super::rsvp::{self, Answer, GOING, WAITING};
use super::sql::CalendarSql as _;
use super::{Draft, Event, MAX_CAPACITY, When, ics};
use crate::access::{GroupCapability, PlatformCapability, platform};
use crate::app::{App, EVERYONE, Viewer};
use crate::backend::Backend;
use crate::calendar;
use crate::error::{Error, Result};
use crate::groups::GroupKind;
use crate::http::layout::page;
use crate::http::session::Session;
use crate::http::{FormResult, Routes, Site};
use crate::readers::Readers;

/// Adds the pages of the calendar.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes
        .get("/events", list::<B>)
        .post("/events", create::<B>)
        .get("/events/new", new::<B>)
        .get("/events/{id}", event::<B>)
        .post("/events/{id}", update::<B>)
        .get("/events/{id}/edit", edit::<B>)
        .post("/events/{id}/cancel", cancel::<B>)
        .post("/events/{id}/rsvp", answer::<B>)
        .get("/events/{id}/attendees", attendees::<B>)
        .get("/events/{id}/event.ics", download::<B>)
}

/// Events on a page.
const EVENTS: u8 = 20;
/// People on a page of those who come.
const PEOPLE: u8 = 100;
/// People named on the page of an event.
const NAMED: u8 = 12;

#[derive(Deserialize)]
struct Listing {
    scope: Option<String>,
    after: Option<String>,
}

#[derive(Deserialize)]
struct Chosen {
    scope: Option<String>,
}

#[derive(Deserialize)]
struct Position {
    #[serde(default)]
    state: String,
    #[serde(default)]
    after: i64,
}

#[derive(Deserialize)]
struct EventForm {
    #[serde(default)]
    scope: String,
    title: String,
    body: String,
    place: String,
    starts_at: String,
    ends_at: String,
    time_zone: String,
    #[serde(default)]
    capacity: String,
}

impl EventForm {
    fn draft(&self) -> Result<Draft> {
        let when = When::local(&self.starts_at, &self.ends_at, &self.time_zone)?;
        let capacity = match self.capacity.trim() {
            "" => None,
            number => Some(number.parse().map_err(|_| Error::Invalid("the capacity must be a number".into()))?),
        };
        Draft::new(&self.title, &self.body, &self.place, when, capacity)
    }
}

#[derive(Deserialize)]
struct AnswerForm {
    answer: Answer,
}

/// Where the viewer may plan events, as texts of [`Readers`], the campus first.
fn plannable<B: Backend>(app: &App<B>, viewer: &Viewer) -> Result<Vec<Readers>> {
    let matrix = app.platform_capabilities.matrix();
    let staff = viewer.memberships.role(&platform()?);
    let is_planner = staff.is_some_and(|role| matrix.allows(role.as_str(), PlatformCapability::CreateCampusEvent));
    let groups = app.group_capabilities.matrix();
    let mut scopes: Vec<&Scope> = viewer.memberships.scopes().collect();
    scopes.retain(|scope| {
        let role = viewer.memberships.role(scope);
        role.is_some_and(|role| groups.allows(role.as_str(), GroupCapability::CreateEvent))
    });
    scopes.sort_unstable();
    let groups = scopes.into_iter().cloned().map(Readers::Members);
    Ok(is_planner.then_some(Readers::Everyone).into_iter().chain(groups).collect())
}

/// How a page calls whoever the events are for.
async fn names<B: Backend>(
    conn: &mut B::Connection,
    scopes: impl Iterator<Item = &str> + Send,
) -> Result<HashMap<String, String>> {
    let mut names = HashMap::new();
    for scope in scopes {
        if !names.contains_key(scope) {
            let name = readers(scope)?.name::<B>(conn).await?;
            names.insert(scope.to_owned(), name);
        }
    }
    Ok(names)
}

/// What is upcoming, everywhere or in one scope.
async fn list<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    listing: std::result::Result<Query<Listing>, QueryRejection>,
) -> Result<Markup> {
    let Query(listing) = listing?;
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let chosen = listing.scope.as_deref().filter(|scope| !scope.is_empty()).map(readers).transpose()?;
    if chosen.as_ref().is_some_and(|chosen| !chosen.include(&viewer)) {
        return Err(Error::NotFound);
    }
    let scopes = match &chosen {
        Some(chosen) => serde_json::Value::from(vec![chosen.to_string()]).to_string(),
        None => Readers::of(&viewer),
    };
    let mut events = calendar::page::<B>(&mut tx, &scopes, listing.after.as_deref(), i64::from(EVENTS) + 1).await?;
    let has_more = events.len() > usize::from(EVENTS);
    events.truncate(EVENTS.into());
    let names = names::<B>(&mut tx, events.iter().map(|event| &*event.scope)).await?;
    let answers = answers::<B>(&mut tx, &viewer.person.id, &events).await?;
    let plannable = plannable(&site.app, &viewer)?;
    // Nobody else has events of their own.
    let mut filters: Vec<Readers> = viewer
        .memberships
        .scopes()
        .filter(|scope| GroupKind::of_scope(scope).is_some())
        .cloned()
        .map(Readers::Members)
        .collect();
    filters.sort_by_key(ToString::to_string);
    let mut tabs = vec![(Readers::Everyone.to_string(), "Campus".to_owned())];
    for filter in &filters {
        tabs.push((filter.to_string(), filter.name::<B>(&mut tx).await?));
    }
    let chosen = chosen.map(|chosen| chosen.to_string());
    let href = |scope: Option<&str>, after: Option<&str>| {
        let mut url = form_urlencoded::Serializer::new(String::from("/events?"));
        for (name, value) in [("scope", scope), ("after", after)] {
            if let Some(value) = value {
                url.append_pair(name, value);
            }
        }
        url.finish()
    };
    let can_plan_here = plannable.iter().any(|it| chosen.as_ref().is_none_or(|chosen| it.to_string() == *chosen));
    let new = match &chosen {
        Some(chosen) => {
            form_urlencoded::Serializer::new(String::from("/events/new?")).append_pair("scope", chosen).finish()
        }
        None => "/events/new".into(),
    };
    Ok(page(
        "Events",
        Some(&viewer),
        "",
        &html! {
            div.row {
                h1 { "Events" }
                @if can_plan_here { a.button href=(new) { "Plan an event" } }
            }
            p.lead { "What is coming up on campus and in your groups." }
            ul.tabs {
                li { a href="/events" aria-current=[chosen.is_none().then_some("true")] { span.badge { "All of yours" } } }
                @for (scope, name) in &tabs {
                    li { a href=(href(Some(scope), None)) aria-current=[(chosen.as_ref() == Some(scope)).then_some("true")] { span.badge { (name) } } }
                }
            }
            @if events.is_empty() {
                p.soft {
                    "Nothing is planned here yet."
                    @if can_plan_here { " Be the first: " a href=(new) { "plan an event" } "." }
                    @else { " Join a group on the " a href="/" { "home page" } " to see what its members plan." }
                }
            }
            ul.stack { @for event in &events { (card(event, &names[&event.scope], answers.get(&event.id).map(String::as_str))) } }
            @if let Some(last) = events.last().filter(|_| has_more) {
                p { a href=(href(chosen.as_deref(), Some(&last.key()))) { "Later events" } }
            }
        },
    ))
}

/// The next events as a section of the home page.
///
/// # Errors
/// If the database does not answer.
pub(crate) async fn section<B: Backend>(conn: &mut B::Connection, viewer: &Viewer, limit: i64) -> Result<Markup> {
    let events = calendar::upcoming::<B>(conn, viewer, limit).await?;
    let names = names::<B>(conn, events.iter().map(|event| &*event.scope)).await?;
    let answers = answers::<B>(conn, &viewer.person.id, &events).await?;
    Ok(html! {
        @if !events.is_empty() {
            div.row { h2 { "Coming up" } a href="/events" { "All events" } }
            ul.grid { @for event in &events { (card(event, &names[&event.scope], answers.get(&event.id).map(String::as_str))) } }
        }
    })
}

/// An event as a card.
fn card(event: &Event, whose: &str, rsvp: Option<&str>) -> Markup {
    html! {
        li.card {
            div.row {
                h3 { a href={ "/events/" (event.id) } { (event.title) } }
                (badge(event, rsvp))
            }
            p { (span(event)) }
            p.soft { (event.place) " · " (whose) " · " (places(event)) }
        }
    }
}

fn badge(event: &Event, rsvp: Option<&str>) -> Markup {
    html! {
        @if event.cancelled_at.is_some() { span.badge.failed { "called off" } }
        @else if rsvp == Some(GOING) { span.badge.succeeded { "you are going" } }
        @else if rsvp == Some(WAITING) { span.badge { "you are waiting" } }
        @else if event.is_over() { span.badge { "over" } }
    }
}

/// How full it is.
fn places(event: &Event) -> String {
    let waiting = if event.waiting > 0 { format!(", {} waiting", event.waiting) } else { String::new() };
    match event.capacity {
        Some(capacity) => format!("{} of {capacity} places taken{waiting}", event.going),
        None => format!("{} going{waiting}", event.going),
    }
}

/// When it is, by the clock on its wall.
pub(crate) fn span(event: &Event) -> String {
    let zone: Tz = event.time_zone.parse().unwrap_or(Tz::UTC);
    let local = |micros| DateTime::from_timestamp_micros(micros).unwrap_or_default().with_timezone(&zone);
    let (starts_at, ends_at) = (local(event.starts_at), local(event.ends_at));
    let end = if starts_at.date_naive() == ends_at.date_naive() { "%H:%M" } else { "%a %-d %B, %H:%M" };
    format!("{} to {} ({zone})", starts_at.format("%a %-d %B %Y, %H:%M"), ends_at.format(end))
}

/// The forms that plan and change an event.
fn form(
    action: &str,
    event: Option<&Event>,
    scopes: &[(String, String)],
    chosen: Option<&str>,
    submit: &str,
) -> Markup {
    let text = |field: fn(&Event) -> &str| event.map(field).unwrap_or_default();
    let zone = event.map_or("UTC", |event| &event.time_zone);
    let local = |micros: fn(&Event) -> i64| {
        let at = event.and_then(|event| DateTime::from_timestamp_micros(micros(event)));
        at.map(|at| at.with_timezone(&zone.parse().unwrap_or(Tz::UTC)).format("%Y-%m-%dT%H:%M").to_string())
    };
    html! {
        form.write.card method="post" action=(action) {
            @if event.is_none() {
                label { "For"
                    select name="scope" required {
                        @for (scope, name) in scopes {
                            option value=(scope) selected[chosen == Some(scope)] { (name) }
                        }
                    }
                }
            }
            label { "Title" input name="title" required maxlength="200" value=(text(|event| &event.title)); }
            label { "Place" input name="place" required maxlength="200" value=(text(|event| &event.place)); }
            div.fields {
                label { "Starts" input type="datetime-local" name="starts_at" required value=[local(|event| event.starts_at)]; }
                label { "Ends" input type="datetime-local" name="ends_at" required value=[local(|event| event.ends_at)]; }
                label { "Time zone" input name="time_zone" required maxlength="64" list="zones" value=(zone) autocomplete="off"; }
                label { "Places, if limited" input type="number" name="capacity" min="1" max=(MAX_CAPACITY) value=[event.and_then(|event| event.capacity)]; }
            }
            datalist #zones { @for zone in TZ_VARIANTS { option value=(zone.name()) {} } }
            label { "What happens there" textarea name="body" required rows="6" maxlength="20000" { (text(|event| &event.body)) } }
            div { button { (submit) } }
        }
    }
}

/// The form for a new event.
async fn new<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    chosen: std::result::Result<Query<Chosen>, QueryRejection>,
) -> Result<Markup> {
    let Query(chosen) = chosen?;
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let mut scopes = Vec::new();
    for readers in plannable(&site.app, &viewer)? {
        scopes.push((readers.to_string(), readers.name::<B>(&mut tx).await?));
    }
    if scopes.is_empty() {
        return Err(Error::NotFound);
    }
    Ok(page(
        "Plan an event",
        Some(&viewer),
        "",
        &html! {
            h1 { "Plan an event" }
            p.lead { "Those it is for see it, find it, and can say that they come." }
            (form("/events", None, &scopes, chosen.scope.as_deref(), "Plan the event"))
        },
    ))
}

/// Plans, and shows the event.
async fn create<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    form: FormResult<EventForm>,
) -> Result<Redirect> {
    let Form(form) = form?;
    let scope = if form.scope.is_empty() { EVERYONE } else { &form.scope };
    let event = calendar::create(&site.app, &session.caller, &readers(scope)?, form.draft()?).await?;
    Ok(Redirect::to(&format!("/events/{}", event.id)))
}

/// One event.
async fn event<B: Backend>(State(site): State<Site<B>>, session: Session, Path(id): Path<String>) -> Result<Markup> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let event = calendar::read::<B>(&mut tx, &viewer, &id).await?;
    crate::recommender::viewed(&site.app, &viewer.user, &stoa_search::Surface::EVENTS, &event.id);
    let readers = event.readers()?;
    let whose = readers.name::<B>(&mut tx).await?;
    let own = tx.rsvp(&event.id, &viewer.person.id).await?;
    let rsvp = own.as_ref().map(|rsvp| &*rsvp.state);
    let (coming, more) = rsvp::attendees(&site.app, &mut tx, &event, GOING, 0, NAMED).await?;
    let people = coming.iter().map(|rsvp| &*rsvp.person_id).chain([&*event.author_id]);
    let names = site.app.names(&mut tx, people).await?;
    let is_open = event.cancelled_at.is_none() && !event.is_over();
    let can_change = event.cancelled_at.is_none() && plannable(&site.app, &viewer)?.contains(&readers);
    let path = format!("/events/{}", event.id);
    let is_full = event.capacity.is_some_and(|capacity| event.going >= capacity) || event.waiting > 0;
    Ok(page(
        &event.title,
        Some(&viewer),
        "",
        &html! {
            p.soft {
                @match readers.scope() {
                    Some(_) => { a href={ "/events?" (form_urlencoded::Serializer::new(String::new()).append_pair("scope", &event.scope).finish()) } { (whose) } }
                    None => { (whose) }
                }
            }
            div.row { h1 { (event.title) } (badge(&event, rsvp)) }
            p.lead { (span(&event)) br; (event.place) }
            @if is_open {
                form.row.start method="post" action={ (path) "/rsvp" } {
                    @match rsvp {
                        None => {
                            button name="answer" value="going" { @if is_full { "Wait for a place" } @else { "I am going" } }
                        }
                        Some(GOING) => { button.quiet name="answer" value="none" { "I cannot come" } }
                        Some(_) => { button.quiet name="answer" value="none" { "Stop waiting" } }
                    }
                    a href={ (path) "/event.ics" } { "Add to your calendar" }
                }
            }
            div.card { p.body { (event.body) } p.soft { "Planned by " (names[&event.author_id]) } }
            h2 { "Who is going" }
            p.soft { (places(&event)) "." }
            @if coming.is_empty() {
                @if is_open { p.soft { "Nobody has answered yet: be the first." } }
            } @else {
                ul.tabs { @for rsvp in &coming { li { span.badge { (names[&rsvp.person_id]) } } } }
            }
            @if more.is_some() || event.waiting > 0 { p { a href={ (path) "/attendees" } { "The whole list" } } }
            @if can_change {
                h2 { "For those who plan it" }
                div.row.start {
                    @if !event.is_over() { a href={ (path) "/edit" } { "Change the event" } }
                    details {
                        summary { "Call it off" }
                        form method="post" action={ (path) "/cancel" } {
                            button { "Call the event off, and tell everybody who answered" }
                        }
                    }
                }
            }
        },
    ))
}

/// The form that changes an event.
async fn edit<B: Backend>(State(site): State<Site<B>>, session: Session, Path(id): Path<String>) -> Result<Markup> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let event = calendar::read::<B>(&mut tx, &viewer, &id).await?;
    if event.cancelled_at.is_some() || !plannable(&site.app, &viewer)?.contains(&event.readers()?) {
        return Err(Error::NotFound);
    }
    Ok(page(
        "Change an event",
        Some(&viewer),
        "",
        &html! {
            h1 { "Change an event" }
            p.lead { "More places are given to whoever waits; fewer take none away." }
            (form(&format!("/events/{}", event.id), Some(&event), &[], None, "Save the event"))
        },
    ))
}

/// Changes, and shows the event.
async fn update<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    form: FormResult<EventForm>,
) -> Result<Redirect> {
    let Form(form) = form?;
    let event = calendar::update(&site.app, &session.caller, &id, form.draft()?).await?;
    Ok(Redirect::to(&format!("/events/{}", event.id)))
}

/// Calls off, and shows the event.
async fn cancel<B: Backend>(State(site): State<Site<B>>, session: Session, Path(id): Path<String>) -> Result<Redirect> {
    calendar::cancel(&site.app, &session.caller, &id).await?;
    Ok(Redirect::to(&format!("/events/{}", calendar::event_id(&id)?)))
}

/// Answers, and shows the event.
async fn answer<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    form: FormResult<AnswerForm>,
) -> Result<Redirect> {
    let Form(form) = form?;
    rsvp::answer(&site.app, &session.caller, &id, form.answer).await?;
    Ok(Redirect::to(&format!("/events/{}", calendar::event_id(&id)?)))
}

/// Who comes and who waits, first come first.
async fn attendees<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    position: std::result::Result<Query<Position>, QueryRejection>,
) -> Result<Markup> {
    let Query(position) = position?;
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let event = calendar::read::<B>(&mut tx, &viewer, &id).await?;
    let state = if position.state == WAITING { WAITING } else { GOING };
    let (rsvps, next) = rsvp::attendees(&site.app, &mut tx, &event, state, position.after, PEOPLE).await?;
    let names = site.app.names(&mut tx, rsvps.iter().map(|rsvp| &*rsvp.person_id)).await?;
    let path = format!("/events/{}", event.id);
    Ok(page(
        "Who is going",
        Some(&viewer),
        "",
        &html! {
            p.soft { a href=(path) { (event.title) } }
            h1 { "Who is going" }
            p.lead { (places(&event)) "." }
            ul.tabs {
                @for (value, name) in [(GOING, "Going"), (WAITING, "Waiting")] {
                    li { a href={ (path) "/attendees?state=" (value) } aria-current=[(state == value).then_some("true")] { span.badge { (name) } } }
                }
            }
            @if rsvps.is_empty() {
                p.soft { @if state == GOING { "Nobody has answered yet." } @else { "Nobody waits for a place." } }
            }
            ol.stack { @for rsvp in &rsvps { li.card { (names[&rsvp.person_id]) } } }
            @if let Some(next) = next { p { a href={ (path) "/attendees?state=" (state) "&after=" (next) } { "More" } } }
        },
    ))
}

/// The event for the viewer's own calendar.
async fn download<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> Result<impl IntoResponse> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let event = calendar::read::<B>(&mut tx, &viewer, &id).await?;
    let headers = [
        (header::CONTENT_TYPE, "text/calendar; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"event.ics\""),
    ];
    Ok((headers, ics::file(&event)))
}
