//! Who comes to an event: first come, first served, and never more than there are places.
//!
//! Everything here happens under the lock of the event's row. Whoever is going or waiting is counted in that row.
//! A place belongs to active readers only. Leaving a group, being removed or banned gives it back in the same transaction
//! (`forfeit`); a membership that ends otherwise (it runs out, a command ends it) is noticed when somebody wants the place
//! (`settle`), and is not listed from the moment it ended.

use chrono::Utc;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use stoa_audit::{Action, Audited, Record};
use stoa_capabilities::scoped;
use stoa_membership::{Scope, UserId};
use utoipa::ToSchema;

use super::notify::TellMovedUp;
use super::sql::{CalendarLockSql as _, CalendarSql as _};
use super::{Event, MAX_CAPACITY, event_id};
use crate::access::AttendEvents;
use crate::app::App;
use crate::backend::Backend;
use crate::caller::Caller;
use crate::directory::sql::DirectorySql as _;
use crate::error::{Error, Result};
use crate::readers::Readers;
use crate::recommender::{self, Act};

pub(crate) const ANSWERED: Action = Action::new("bits.calendar.v1.EventService/SetRsvp");

/// Has a place.
pub(crate) const GOING: &str = "going";
/// Gets one when there is one.
pub(crate) const WAITING: &str = "waiting";

/// How many of those who wait are looked at in one go.
const CHUNK: i64 = 200;

/// What somebody says to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// They come, or wait for a place.
    Going,
    /// They do not come.
    None,
}

/// A place at an event, or one in the line for it.
#[derive(Clone, Debug, FromRow, Serialize)]
pub struct Rsvp {
    /// The event.
    pub event_id: String,
    /// Who.
    pub person_id: String,
    /// `going` or `waiting`.
    pub state: String,
    /// The place in line: who came first has the smaller one.
    pub place: i64,
}

/// What of an answer an audit record holds.
#[derive(Serialize)]
struct Standing<'a> {
    rsvp: &'a str,
}

impl Audited for Standing<'_> {
    const FIELDS: &'static [&'static str] = &["rsvp"];
}

/// What is recorded of an answer: where somebody stood before it, and after.
pub(crate) fn record(event: &Event, caller: &Caller, before: &str, after: &str) -> Result<Record> {
    Ok(event.record(caller, ANSWERED)?.before(&Standing { rsvp: before })?.after(&Standing { rsvp: after })?)
}

/// Takes an answer, checked and recorded in one transaction, and says what has become of it: `going`, `waiting` or `none`.
/// Whoever moves up because of it is told by a job.
///
/// # Errors
/// [`Error::NotFound`] if the caller is no reader, or there is no such event; [`Error::Invalid`] if it is over or called off;
/// [`Error::Internal`].
pub async fn answer<B: Backend>(app: &App<B>, caller: &Caller, id: &str, answer: Answer) -> Result<String> {
    let id = event_id(id)?;
    let person = caller.user.as_str();
    scoped!(tx = app.begin().await?);
    tx.person(person).await?.ok_or(Error::NotSignedIn)?;
    // The membership is held before the event is locked, as everywhere: nobody waits in a circle. A scope never changes.
    if let Readers::Members(scope) = tx.event(&id).await?.ok_or(Error::NotFound)?.readers()? {
        drop(app.group_capabilities.authorize(&mut tx, AttendEvents, &caller.user, &scope).await?);
    }
    let mut event = tx.lock_event(&id).await?.ok_or(Error::NotFound)?;
    if event.cancelled_at.is_some() {
        return Err(Error::Invalid("this event has been called off".into()));
    }
    if event.is_over() {
        return Err(Error::Invalid("this event is over".into()));
    }
    let before = tx.rsvp(&id, person).await?;
    match (answer, &before) {
        (Answer::Going, Some(rsvp)) => return Ok(rsvp.state.clone()),
        (Answer::None, None) => return Ok("none".into()),
        (Answer::Going, None) => {
            event.last_place += 1;
            event.waiting += 1;
            let rsvp =
                Rsvp { event_id: id.clone(), person_id: person.into(), state: WAITING.into(), place: event.last_place };
            tx.put_rsvp(&rsvp).await?;
        }
        (Answer::None, Some(rsvp)) => give_up::<B>(&mut tx, &mut event, rsvp).await?,
    }
    settle(app, &mut tx, &mut event, Some(person)).await?;
    let after = tx.rsvp(&id, person).await?;
    let [before, after] = [before, after].map(|rsvp| rsvp.map_or_else(|| "none".to_owned(), |rsvp| rsvp.state));
    app.audit.record(&mut tx, &record(&event, caller, &before, &after)?).await?;
    if answer == Answer::Going {
        recommender::signal(app, &mut tx, &caller.user, &stoa_search::Surface::EVENTS, &id, Act::Rsvp).await?;
    }
    app.commit(tx.into_inner()).await?;
    app.jobs.wake();
    Ok(after)
}

/// Gives back every place that somebody who is no member any more had at the events of a scope, in the transaction that ends the
/// membership.
///
/// # Errors
/// [`Error::Internal`].
pub(crate) async fn forfeit<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    person: &UserId,
    scope: &Scope,
) -> Result<()> {
    let now = Utc::now().timestamp_micros();
    // In the order of their ids: two who leave at once do not wait for each other in a circle.
    for id in conn.answered_in(person.as_str(), &scope.to_string(), now).await? {
        let Some(mut event) = conn.lock_event(&id).await? else { continue };
        if let Some(rsvp) = conn.rsvp(&id, person.as_str()).await? {
            give_up::<B>(conn, &mut event, &rsvp).await?;
            settle(app, conn, &mut event, None).await?;
        }
    }
    Ok(())
}

async fn give_up<B: Backend>(conn: &mut B::Connection, event: &mut Event, rsvp: &Rsvp) -> Result<()> {
    conn.delete_rsvp(&event.id, &rsvp.person_id).await?;
    match &*rsvp.state {
        GOING => event.going -= 1,
        _ => event.waiting -= 1,
    }
    Ok(())
}

/// Gives the free places of a locked event to those who wait, first come first served, and stores the counts. Who moves up is
/// told by a job, except `asking`, who sees it.
pub(super) async fn settle<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    event: &mut Event,
    asking: Option<&str>,
) -> Result<()> {
    let readers = event.readers()?;
    if event.waiting > 0 && room(event) == 0 {
        // Somebody wants a place: those who lost theirs by losing their membership do not keep it.
        let going = conn.rsvps(&event.id, GOING, 0, MAX_CAPACITY).await?;
        for (rsvp, _) in split(app, conn, &readers, &going).await?.into_iter().filter(|(_, is_reader)| !is_reader) {
            give_up::<B>(conn, event, rsvp).await?;
        }
    }
    while event.waiting > 0 && room(event) > 0 {
        let waiting = conn.rsvps(&event.id, WAITING, 0, room(event).min(CHUNK)).await?;
        if waiting.is_empty() {
            break;
        }
        let mut told = Vec::new();
        for (rsvp, is_reader) in split(app, conn, &readers, &waiting).await? {
            if !is_reader {
                give_up::<B>(conn, event, rsvp).await?;
                continue;
            }
            conn.put_rsvp(&Rsvp { state: GOING.into(), ..rsvp.clone() }).await?;
            event.going += 1;
            event.waiting -= 1;
            if asking != Some(&*rsvp.person_id) {
                let (event_id, person_id) = (event.id.clone(), rsvp.person_id.clone());
                told.push(TellMovedUp { event_id, person_id, place: rsvp.place });
            }
        }
        app.jobs.enqueue_many(conn, &told).await?;
    }
    conn.set_event_counts(event).await?;
    Ok(())
}

fn room(event: &Event) -> i64 {
    event.capacity.map_or(i64::MAX, |capacity| (capacity - event.going).max(0))
}

/// Says of everybody whether they are readers now.
async fn split<'a, B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    readers: &Readers,
    rsvps: &'a [Rsvp],
) -> Result<Vec<(&'a Rsvp, bool)>> {
    let people: Vec<&str> = rsvps.iter().map(|rsvp| &*rsvp.person_id).collect();
    Ok(rsvps.iter().zip(readers.who(app, conn, &people).await?).collect())
}

/// One page of those in a state, first come first served, without those who are no readers any more, and the place to go on from.
pub(crate) async fn attendees<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    event: &Event,
    state: &str,
    after: i64,
    limit: u8,
) -> Result<(Vec<Rsvp>, Option<i64>)> {
    let mut rsvps = conn.rsvps(&event.id, state, after, i64::from(limit) + 1).await?;
    let has_more = rsvps.len() > usize::from(limit);
    rsvps.truncate(limit.into());
    let next = rsvps.last().filter(|_| has_more).map(|rsvp| rsvp.place);
    let readers = split(app, conn, &event.readers()?, &rsvps).await?;
    let present = readers.into_iter().filter(|(_, is_reader)| *is_reader).map(|(rsvp, _)| rsvp.clone()).collect();
    Ok((present, next))
}
