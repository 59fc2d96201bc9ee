//! The JSON routes of the calendar.

use std::collections::HashMap;

use axum::extract::{Path, State};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::rsvp::{self, Answer, GOING};
use super::sql::{CalendarLockSql as _, CalendarSql as _};
use super::{Draft, Event, When};
use crate::app::EVERYONE;
use crate::backend::Backend;
use crate::calendar;
use crate::error::{Error, Result};
use crate::http::api::{ApiResult, Json, Page, PageQuery, ProblemBody};
use crate::http::session::Session;
use crate::http::{Routes, Site};
use crate::readers::Readers;

/// Adds the JSON routes of the calendar.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes
        .get("/api/v1/events", list::<B>)
        .post("/api/v1/events", create::<B>)
        .get("/api/v1/events/{id}", read::<B>)
        .post("/api/v1/events/{id}", update::<B>)
        .post("/api/v1/events/{id}/cancel", cancel::<B>)
        .post("/api/v1/events/{id}/rsvp", answer::<B>)
        .get("/api/v1/events/{id}/attendees", attendees::<B>)
}

/// Describes them.
#[derive(OpenApi)]
#[openapi(paths(list, create, read, update, cancel, answer, attendees))]
pub(crate) struct Api;

/// An event, as the caller sees it.
#[derive(Debug, Serialize, ToSchema)]
struct EventView {
    /// A UUID.
    id: String,
    /// `campus:everyone`, or a scope such as `group:chess`.
    scope: String,
    author_id: String,
    title: String,
    body: String,
    place: String,
    /// RFC 3339, in UTC.
    starts_at: String,
    /// RFC 3339, in UTC.
    ends_at: String,
    /// An IANA name.
    time_zone: String,
    /// How many can come; null if there is no bound.
    capacity: Option<i64>,
    going: i64,
    waiting: i64,
    is_cancelled: bool,
    /// The caller's answer: `going`, `waiting` or `none`.
    rsvp: String,
}

impl EventView {
    fn of(event: Event, rsvp: Option<&str>) -> Self {
        Self {
            id: event.id,
            scope: event.scope,
            author_id: event.author_id,
            title: event.title,
            body: event.body,
            place: event.place,
            starts_at: rfc3339(event.starts_at),
            ends_at: rfc3339(event.ends_at),
            time_zone: event.time_zone,
            capacity: event.capacity,
            going: event.going,
            waiting: event.waiting,
            is_cancelled: event.cancelled_at.is_some(),
            rsvp: rsvp.unwrap_or("none").to_owned(),
        }
    }
}

/// A moment, in microseconds since 1970, as JSON has it.
pub(crate) fn rfc3339(micros: i64) -> String {
    DateTime::from_timestamp_micros(micros)
        .map_or_else(String::new, |at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

/// A moment out of JSON.
pub(crate) fn moment(what: &str, text: &str) -> Result<DateTime<Utc>> {
    let parsed = DateTime::parse_from_rfc3339(text).map_err(|_| Error::Invalid(format!("{what} must be RFC 3339")))?;
    Ok(parsed.with_timezone(&Utc))
}

/// Whom something is for, out of JSON or a form.
pub(crate) fn readers(scope: &str) -> Result<Readers> {
    Ok(scope.parse()?)
}

/// What an event says.
#[derive(Debug, Deserialize, ToSchema)]
struct EventBody {
    /// One line.
    #[schema(min_length = 1, max_length = 200)]
    title: String,
    /// Plain text.
    #[schema(min_length = 1, max_length = 20_000)]
    body: String,
    /// One line.
    #[schema(min_length = 1, max_length = 200)]
    place: String,
    /// RFC 3339.
    starts_at: String,
    /// RFC 3339; at most 31 days after the start.
    ends_at: String,
    /// An IANA name.
    #[schema(max_length = 64)]
    time_zone: String,
    /// How many can come, if there is a bound.
    #[schema(minimum = 1, maximum = 2000)]
    capacity: Option<i64>,
}

impl EventBody {
    fn draft(&self) -> Result<Draft> {
        let (starts_at, ends_at) = (moment("starts_at", &self.starts_at)?, moment("ends_at", &self.ends_at)?);
        let when = When::new(starts_at, ends_at, &self.time_zone)?;
        Draft::new(&self.title, &self.body, &self.place, when, self.capacity)
    }
}

/// An event to plan.
#[derive(Debug, Deserialize, ToSchema)]
struct NewEvent {
    /// For whom: a scope such as `group:chess`; everybody without it.
    scope: Option<String>,
    #[serde(flatten)]
    event: EventBody,
}

/// An answer to an event.
#[derive(Debug, Deserialize, ToSchema)]
struct AnswerBody {
    answer: Answer,
}

/// What became of an answer.
#[derive(Debug, Serialize, ToSchema)]
struct Standing {
    /// `going`, `waiting` or `none`.
    rsvp: String,
}

/// Somebody who comes.
#[derive(Debug, Serialize, ToSchema)]
struct Attendee {
    person_id: String,
    name: String,
}

/// Lists the next events of the caller's scopes and of the campus, by start.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", params(PageQuery),
    responses((status = 200, body = Page<EventView>), (status = 400, body = ProblemBody)))]
async fn list<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    page: PageQuery,
) -> ApiResult<Page<EventView>> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let limit = page.limit()?;
    let scopes = Readers::of(&viewer);
    let events = calendar::page::<B>(&mut tx, &scopes, page.after.as_deref(), i64::from(limit) + 1).await?;
    let found = Page::of(events, limit, Event::key);
    let answers = answers::<B>(&mut tx, &viewer.person.id, &found.items).await?;
    let view = |event: Event| {
        let rsvp = answers.get(&event.id).map(String::as_str);
        EventView::of(event, rsvp)
    };
    Ok(Json(Page { items: found.items.into_iter().map(view).collect(), next: found.next }))
}

/// What somebody has answered to the given events.
pub(super) async fn answers<B: Backend>(
    conn: &mut B::Connection,
    person_id: &str,
    events: &[Event],
) -> Result<HashMap<String, String>> {
    let ids: Vec<&str> = events.iter().map(|event| &*event.id).collect();
    let answers = conn.answers(person_id, &serde_json::Value::from(ids).to_string()).await?;
    Ok(answers.into_iter().map(|rsvp| (rsvp.event_id, rsvp.state)).collect())
}

/// Plans an event.
#[utoipa::path(post, path = "/api/v1/events", tag = "events", request_body = NewEvent,
    responses((status = 200, body = EventView), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn create<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Json(new): Json<NewEvent>,
) -> ApiResult<EventView> {
    let readers = readers(new.scope.as_deref().unwrap_or(EVERYONE))?;
    let event = calendar::create(&site.app, &session.caller, &readers, new.event.draft()?).await?;
    Ok(Json(EventView::of(event, None)))
}

/// Reads an event.
#[utoipa::path(get, path = "/api/v1/events/{id}", tag = "events", params(("id" = String, Path)),
    responses((status = 200, body = EventView), (status = 404, body = ProblemBody)))]
async fn read<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> ApiResult<EventView> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let event = calendar::read::<B>(&mut tx, &viewer, &id).await?;
    let rsvp = tx.rsvp(&event.id, &viewer.person.id).await.map_err(Error::from)?;
    Ok(Json(EventView::of(event, rsvp.as_ref().map(|rsvp| &*rsvp.state))))
}

/// Changes what an event says. More places are given to whoever waits; fewer take none away.
#[utoipa::path(post, path = "/api/v1/events/{id}", tag = "events", params(("id" = String, Path)), request_body = EventBody,
    responses((status = 200, body = EventView), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn update<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    Json(body): Json<EventBody>,
) -> ApiResult<EventView> {
    calendar::update(&site.app, &session.caller, &id, body.draft()?).await?;
    read(State(site), session, Path(id)).await
}

/// Calls an event off.
#[utoipa::path(post, path = "/api/v1/events/{id}/cancel", tag = "events", params(("id" = String, Path)),
    responses((status = 200, body = EventView), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn cancel<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> ApiResult<EventView> {
    calendar::cancel(&site.app, &session.caller, &id).await?;
    read(State(site), session, Path(id)).await
}

/// Answers whether the caller comes. Where every place is taken they wait for one.
#[utoipa::path(post, path = "/api/v1/events/{id}/rsvp", tag = "events", params(("id" = String, Path)), request_body = AnswerBody,
    responses((status = 200, body = Standing), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn answer<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    Json(body): Json<AnswerBody>,
) -> ApiResult<Standing> {
    Ok(Json(Standing { rsvp: rsvp::answer(&site.app, &session.caller, &id, body.answer).await? }))
}

/// Lists who comes, first come first, for those who may come.
#[utoipa::path(get, path = "/api/v1/events/{id}/attendees", tag = "events", params(("id" = String, Path), PageQuery),
    responses((status = 200, body = Page<Attendee>), (status = 404, body = ProblemBody)))]
async fn attendees<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    page: PageQuery,
) -> ApiResult<Page<Attendee>> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let event = calendar::read::<B>(&mut tx, &viewer, &id).await?;
    let after = page.after.as_deref().map_or(Ok(0), str::parse);
    let after =
        after.map_err(|_| Error::Malformed("the link does not fit this list: go back to its first page".into()))?;
    let (rsvps, next) = rsvp::attendees(&site.app, &mut tx, &event, GOING, after, page.limit()?).await?;
    let names = site.app.names(&mut tx, rsvps.iter().map(|rsvp| &*rsvp.person_id)).await?;
    let attendee = |rsvp: rsvp::Rsvp| Attendee { name: names[&rsvp.person_id].clone(), person_id: rsvp.person_id };
    Ok(Json(Page { items: rsvps.into_iter().map(attendee).collect(), next: next.map(|place| place.to_string()) }))
}
