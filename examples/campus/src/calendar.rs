//! Events of the campus and of its groups: planned, changed, called off. [`rsvp`] is who comes.

pub mod notify;
pub mod rsvp;
pub mod sql;

pub(crate) mod api;
pub(crate) mod ics;
pub(crate) mod pages;

use std::str::FromStr as _;

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use sqlx::FromRow;
use stoa_audit::{Action, Audited, Entity, EntityId, EntityType, Record};
use stoa_capabilities::{Scoped, scoped};
use stoa_jobs_runner::Job as _;
use stoa_search::{Document, Surface as Found};
use uuid::Uuid;

use self::notify::{TellCancelled, TellMovedUp};
use self::sql::{CalendarLockSql as _, CalendarSql as _, Next};
use crate::access::{self, CreateCampusEvent, CreateEvent};
use crate::app::{App, Viewer};
use crate::backend::Backend;
use crate::caller::Caller;
use crate::error::{Error, Result};
use crate::readers::Readers;
use crate::surface::Surface;
use crate::text::{line, text};

/// What the calendar brings.
pub const SURFACE: Surface = Surface {
    name: "calendar",
    tables: &["campus_event", "campus_rsvp"],
    scopes: &["group"],
    documents: Some("events"),
    actions: &[CREATED, UPDATED, CANCELLED, rsvp::ANSWERED],
    jobs: &[TellMovedUp::KIND, TellCancelled::KIND],
    capabilities: &["group.event.attend", "group.event.create", "platform.event.create"],
    paths: &["/events", "/api/v1/events"],
};

pub(crate) const CREATED: Action = Action::new("bits.calendar.v1.EventService/CreateEvent");
const UPDATED: Action = Action::new("bits.calendar.v1.EventService/UpdateEvent");
const CANCELLED: Action = Action::new("bits.calendar.v1.EventService/CancelEvent");

/// The largest capacity: whoever is going is looked at when somebody waits.
pub const MAX_CAPACITY: i64 = 2_000;

/// The longest event.
const LONGEST: TimeDelta = TimeDelta::days(31);

/// How far ahead an event may begin.
const FARTHEST: TimeDelta = TimeDelta::days(5 * 366);

/// From when to when, and by which clock on the wall.
#[derive(Clone, Copy, Debug)]
pub struct When {
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    zone: Tz,
}

impl When {
    /// Parses a time that is not over yet, of at most 31 days, within five years, in an IANA time zone.
    ///
    /// # Errors
    /// [`Error::Invalid`] says what is wrong with it.
    pub fn new(starts_at: DateTime<Utc>, ends_at: DateTime<Utc>, zone: &str) -> Result<Self> {
        let now = Utc::now();
        let problem = if ends_at <= starts_at {
            "an event must end after it has started"
        } else if ends_at - starts_at > LONGEST {
            "an event must not last longer than 31 days"
        } else if ends_at <= now {
            "an event must not be over already"
        } else if starts_at > now + FARTHEST {
            "an event must start within five years"
        } else {
            return Ok(Self { starts_at, ends_at, zone: parse_zone(zone)? });
        };
        Err(Error::Invalid(problem.into()))
    }

    /// Parses what a form sends: the times on the wall of that zone, as `2030-05-17T18:30`.
    ///
    /// # Errors
    /// As [`new`](Self::new), and if there is no such time.
    pub fn local(starts_at: &str, ends_at: &str, zone: &str) -> Result<Self> {
        let tz = parse_zone(zone)?;
        Self::new(on_the_wall("the start", starts_at, tz)?, on_the_wall("the end", ends_at, tz)?, zone)
    }
}

pub(crate) fn parse_zone(zone: &str) -> Result<Tz> {
    Tz::from_str(zone).map_err(|_| Error::Invalid("the time zone must be an IANA name, such as Europe/Lisbon".into()))
}

/// A moment by the clock on the wall of a zone. Of an hour that comes twice in autumn the first is meant.
pub(crate) fn on_the_wall(what: &str, local: &str, zone: Tz) -> Result<DateTime<Utc>> {
    let parsed = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"].iter().find_map(|format| {
        let is_short = local.len() <= 32;
        NaiveDateTime::parse_from_str(local, format).ok().filter(|_| is_short)
    });
    let parsed = parsed.ok_or_else(|| Error::Invalid(format!("{what} must be a date and a time")))?;
    match zone.from_local_datetime(&parsed) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => Ok(at.with_timezone(&Utc)),
        LocalResult::None => Err(Error::Invalid(format!("{what} is skipped by the clocks of {zone}"))),
    }
}

/// An event to plan, within its bounds.
#[derive(Clone, Debug)]
pub struct Draft {
    title: String,
    body: String,
    place: String,
    when: When,
    capacity: Option<i64>,
}

impl Draft {
    /// Parses a title and a place of one line and 1 to 200 characters, a body of 1 to 20,000, and a capacity of 1 to
    /// [`MAX_CAPACITY`], or none.
    ///
    /// # Errors
    /// [`Error::Invalid`] says which is not what it has to be.
    pub fn new(title: &str, body: &str, place: &str, when: When, capacity: Option<i64>) -> Result<Self> {
        if capacity.is_some_and(|capacity| !(1..=MAX_CAPACITY).contains(&capacity)) {
            return Err(Error::Invalid(format!("the capacity must be 1 to {MAX_CAPACITY}, or left out")));
        }
        Ok(Self {
            title: line("the title", title, 200)?,
            body: text("the description", body, 20_000)?,
            place: line("the place", place, 200)?,
            when,
            capacity,
        })
    }
}

/// Plans an event for the members of a scope, or for everybody: checked, stored, searchable and recorded in one transaction.
///
/// # Errors
/// [`Error::NotFound`] if the caller may not, or there is no such scope; [`Error::Internal`].
pub async fn create<B: Backend>(app: &App<B>, caller: &Caller, readers: &Readers, draft: Draft) -> Result<Event> {
    scoped!(tx = app.begin().await?);
    let event = plan(app, &mut tx, caller, readers, draft).await?;
    app.commit(tx.into_inner()).await?;
    Ok(event)
}

/// The steps of [`create`], in a transaction that the caller commits.
///
/// # Errors
/// As [`create`].
pub async fn plan<B: Backend>(
    app: &App<B>,
    tx: &mut Scoped<'_, B::Transaction>,
    caller: &Caller,
    readers: &Readers,
    draft: Draft,
) -> Result<Event> {
    authorize(app, tx, caller, readers).await?;
    let now = Utc::now().timestamp_micros();
    let event = Event {
        id: Uuid::now_v7().to_string(),
        scope: readers.to_string(),
        author_id: caller.user.to_string(),
        title: draft.title,
        body: draft.body,
        place: draft.place,
        starts_at: draft.when.starts_at.timestamp_micros(),
        ends_at: draft.when.ends_at.timestamp_micros(),
        time_zone: draft.when.zone.name().to_owned(),
        capacity: draft.capacity,
        going: 0,
        waiting: 0,
        last_place: 0,
        created_at: now,
        updated_at: now,
        cancelled_at: None,
    };
    tx.insert_event(&event).await?;
    app.search.upsert(tx, &event.document()?).await?;
    app.audit.record(tx, &event.record(caller, CREATED)?.after(&event)?).await?;
    Ok(event)
}

/// Changes what an event says. More places are given to whoever waits, in the same transaction; fewer take none away.
///
/// # Errors
/// [`Error::NotFound`] if the caller may not, or there is no such event; [`Error::Invalid`] if it is called off; [`Error::Internal`].
pub async fn update<B: Backend>(app: &App<B>, caller: &Caller, id: &str, draft: Draft) -> Result<Event> {
    scoped!(tx = app.begin().await?);
    let before = own(app, &mut tx, caller, id).await?;
    let mut event = Event {
        title: draft.title,
        body: draft.body,
        place: draft.place,
        starts_at: draft.when.starts_at.timestamp_micros(),
        ends_at: draft.when.ends_at.timestamp_micros(),
        time_zone: draft.when.zone.name().to_owned(),
        capacity: draft.capacity,
        ..before.clone()
    };
    if event == before {
        return Ok(event);
    }
    event.updated_at = Utc::now().timestamp_micros();
    tx.update_event(&event).await?;
    rsvp::settle(app, &mut tx, &mut event, None).await?;
    app.search.upsert(&mut tx, &event.document()?).await?;
    app.audit.record(&mut tx, &event.record(caller, UPDATED)?.diff(&before, &event)?).await?;
    app.commit(tx.into_inner()).await?;
    app.jobs.wake();
    Ok(event)
}

/// Calls an event off. Its page stays for whoever has the link; it is neither listed nor found any more, and whoever answered is
/// told by a job.
///
/// # Errors
/// As [`update`].
pub async fn cancel<B: Backend>(app: &App<B>, caller: &Caller, id: &str) -> Result<()> {
    scoped!(tx = app.begin().await?);
    let before = own(app, &mut tx, caller, id).await?;
    let now = Utc::now().timestamp_micros();
    let event = Event { cancelled_at: Some(now), updated_at: now, ..before.clone() };
    tx.update_event(&event).await?;
    app.search.remove(&mut tx, &Found::EVENTS, &event.id.as_str().try_into()?).await?;
    app.audit.record(&mut tx, &event.record(caller, CANCELLED)?.diff(&before, &event)?).await?;
    app.jobs.enqueue(&mut tx, &TellCancelled { event_id: event.id }).await?;
    app.commit(tx.into_inner()).await?;
    app.jobs.wake();
    Ok(())
}

/// Reads an event as the viewer may: whoever is no reader is told the same as if there were none.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Internal`].
pub async fn read<B: Backend>(conn: &mut B::Connection, viewer: &Viewer, id: &str) -> Result<Event> {
    let event = conn.event(&event_id(id)?).await?.ok_or(Error::NotFound)?;
    if event.readers()?.include(viewer) { Ok(event) } else { Err(Error::NotFound) }
}

/// Reads the next events that the viewer may come to, by start: those of their scopes and those for everybody.
///
/// # Errors
/// [`Error::Internal`].
pub async fn upcoming<B: Backend>(conn: &mut B::Connection, viewer: &Viewer, limit: i64) -> Result<Vec<Event>> {
    page::<B>(conn, &Readers::of(viewer), None, limit).await
}

/// One page of what is upcoming in the scopes; `after` is the [`Event::key`] of the last event on the one before.
pub(crate) async fn page<B: Backend>(
    conn: &mut B::Connection,
    scopes: &str,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Event>> {
    let now = Utc::now();
    let after = match after {
        Some(key) => parse_key(key)?,
        // No event lasts longer: what began before is over.
        None => ((now - LONGEST).timestamp_micros(), String::new()),
    };
    let next = Next { scopes, now: now.timestamp_micros(), after: (after.0, &after.1), limit };
    Ok(conn.next_events(&next).await?)
}

fn parse_key(key: &str) -> Result<(i64, String)> {
    let parse = || {
        let (starts_at, id) = key.split_once('_')?;
        Some((starts_at.parse().ok()?, Uuid::parse_str(id).ok()?.to_string()))
    };
    parse().ok_or_else(|| Error::Malformed("the link does not fit this list: go back to its first page".into()))
}

/// An id from outside; what is none names no event.
pub(crate) fn event_id(id: &str) -> Result<String> {
    Ok(Uuid::parse_str(id).map_err(|_| Error::NotFound)?.to_string())
}

/// Proves that the caller may plan events there: what is one's own scope is nobody else's.
async fn authorize<B: Backend>(
    app: &App<B>,
    tx: &mut Scoped<'_, B::Transaction>,
    caller: &Caller,
    readers: &Readers,
) -> Result<()> {
    match readers {
        Readers::Everyone => {
            drop(app.platform_capabilities.authorize(tx, CreateCampusEvent, &caller.user, &access::platform()?).await?);
        }
        Readers::Members(scope) => {
            drop(app.group_capabilities.authorize(tx, CreateEvent, &caller.user, scope).await?);
        }
    }
    Ok(())
}

/// Locks an event that the caller may change and that is not called off.
async fn own<B: Backend>(
    app: &App<B>,
    tx: &mut Scoped<'_, B::Transaction>,
    caller: &Caller,
    id: &str,
) -> Result<Event> {
    let id = event_id(id)?;
    // Memberships are held before events are locked, here as everywhere: nobody waits in a circle. A scope never changes.
    let readers = tx.event(&id).await?.ok_or(Error::NotFound)?.readers()?;
    authorize(app, tx, caller, &readers).await?;
    let event = tx.lock_event(&id).await?.ok_or(Error::NotFound)?;
    if event.cancelled_at.is_some() {
        return Err(Error::Invalid("this event has been called off".into()));
    }
    Ok(event)
}

/// Something that people come to.
#[derive(Clone, Debug, PartialEq, Eq, FromRow, Serialize)]
pub struct Event {
    /// A UUID of version 7.
    pub id: String,
    /// Whose it is, as [`Readers`] are written.
    pub scope: String,
    /// Who planned it.
    pub author_id: String,
    /// One line.
    pub title: String,
    /// Plain text.
    pub body: String,
    /// One line.
    pub place: String,
    /// Microseconds since 1970 in UTC.
    pub starts_at: i64,
    /// Microseconds since 1970 in UTC.
    pub ends_at: i64,
    /// An IANA name.
    pub time_zone: String,
    /// How many can come, if there is a bound.
    pub capacity: Option<i64>,
    /// How many come.
    pub going: i64,
    /// How many wait for a place.
    pub waiting: i64,
    /// The last place in line that was given.
    pub last_place: i64,
    /// Microseconds since 1970 in UTC.
    pub created_at: i64,
    /// Microseconds since 1970 in UTC.
    pub updated_at: i64,
    /// When it was called off, if it was.
    pub cancelled_at: Option<i64>,
}

impl Event {
    /// Whose it is.
    ///
    /// # Errors
    /// [`Error::Internal`] if the row is damaged.
    pub fn readers(&self) -> Result<Readers> {
        Ok(self.scope.parse()?)
    }

    /// Says whether it is over.
    pub fn is_over(&self) -> bool {
        self.ends_at <= Utc::now().timestamp_micros()
    }

    /// Its place in the list of what is upcoming.
    pub(crate) fn key(&self) -> String {
        format!("{}_{}", self.starts_at, self.id)
    }

    /// The event as it is found.
    ///
    /// # Errors
    /// [`Error::Internal`] if an id is out of bounds; those of stored events are not.
    pub fn document(&self) -> Result<Document> {
        let mut document = Document::new(Found::EVENTS, self.id.as_str().try_into()?)
            .title(&self.title)
            .body(format!("{}\n{}", self.place, self.body))
            .url(format!("/events/{}", self.id))
            .audience([self.readers()?.tag()?]);
        if let Some(at) = DateTime::from_timestamp_micros(self.starts_at) {
            document = document.recency(at);
        }
        Ok(document)
    }

    pub(crate) fn record(&self, caller: &Caller, action: Action) -> Result<Record> {
        let entity = Entity::new(EntityType::from_static("event"), EntityId::new(&*self.id)?);
        let record = caller.record(action, entity)?;
        Ok(match self.readers()?.entity()? {
            Some(scope) => record.scope(scope),
            None => record,
        })
    }
}

/// What of an event an audit record may hold.
impl Audited for Event {
    const FIELDS: &'static [&'static str] =
        &["scope", "author_id", "title", "place", "starts_at", "ends_at", "time_zone", "capacity", "cancelled_at"];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_that_the_clocks_skip_is_refused_and_one_that_comes_twice_is_the_first() {
        let lisbon: Tz = "Europe/Lisbon".parse().unwrap();
        assert!(on_the_wall("the start", "2026-03-29T01:30", lisbon).is_err());
        let twice = on_the_wall("the start", "2026-10-25T01:30", lisbon).unwrap();
        assert_eq!(twice.to_rfc3339(), "2026-10-25T00:30:00+00:00");
        for nonsense in ["", "tomorrow", "2026-10-25", "2026-10-25T25:00", "\0"] {
            assert!(on_the_wall("the start", nonsense, lisbon).is_err(), "{nonsense}");
        }
    }
}
