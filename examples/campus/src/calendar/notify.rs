//! Telling people what became of an event they answered: jobs, run after the commit.

use serde::{Deserialize, Serialize};
use stoa_jobs_runner::{Context, Failure, Handler, Job};

use super::Event;
use super::rsvp::{GOING, WAITING};
use super::sql::CalendarSql as _;
use crate::app::App;
use crate::backend::Backend;
use crate::error::Result;
use crate::notices::{self, Notice};

/// How many people are told in one transaction.
const BATCH: i64 = 500;

/// Tells somebody who waited that they have a place.
#[derive(Debug, Serialize, Deserialize)]
pub struct TellMovedUp {
    /// The event.
    pub event_id: String,
    /// Who moved up.
    pub person_id: String,
    /// The place in line they had: whoever moves up a second time is told a second time.
    pub place: i64,
}

impl Job for TellMovedUp {
    const KIND: &'static str = "calendar.moved_up";
    const QUEUE: &'static str = "notifications";
}

impl<B: Backend> Handler<App<B>> for TellMovedUp {
    async fn run(self, context: &Context<App<B>>) -> Result<(), Failure> {
        Ok(tell_moved_up(context.state(), &self).await?)
    }
}

/// Tells everybody who answered an event that it is called off.
#[derive(Debug, Serialize, Deserialize)]
pub struct TellCancelled {
    /// The event.
    pub event_id: String,
}

impl Job for TellCancelled {
    const KIND: &'static str = "calendar.cancelled";
    const QUEUE: &'static str = "notifications";
}

impl<B: Backend> Handler<App<B>> for TellCancelled {
    async fn run(self, context: &Context<App<B>>) -> Result<(), Failure> {
        Ok(tell_cancelled(context.state(), &self.event_id).await?)
    }
}

async fn tell_moved_up<B: Backend>(app: &App<B>, job: &TellMovedUp) -> Result<()> {
    let mut tx = app.begin().await?;
    let Some(event) = tx.event(&job.event_id).await? else { return Ok(()) };
    // Whoever has given the place up since, or lost it, has nothing to be told.
    let rsvp = tx.rsvp(&job.event_id, &job.person_id).await?;
    if !rsvp.is_some_and(|rsvp| rsvp.state == GOING && rsvp.place == job.place) {
        return Ok(());
    }
    let entity = format!("{}/{}", event.id, job.place);
    let notice = notice(TellMovedUp::KIND, entity, format!("You have a place: {}", event.title), &event);
    notices::tell(app, &mut tx, &[&job.person_id], &notice).await?;
    app.commit(tx).await
}

/// Page by page, each in a transaction of its own; telling again changes nothing: after a crash the job starts over.
async fn tell_cancelled<B: Backend>(app: &App<B>, event_id: &str) -> Result<()> {
    for state in [GOING, WAITING] {
        let mut after = 0;
        loop {
            let mut tx = app.begin().await?;
            let Some(event) = tx.event(event_id).await? else { return Ok(()) };
            let rsvps = tx.rsvps(event_id, state, after, BATCH).await?;
            let Some(last) = rsvps.last() else { break };
            after = last.place;
            let notice = notice(TellCancelled::KIND, event.id.clone(), format!("Called off: {}", event.title), &event);
            let people: Vec<&str> = rsvps.iter().map(|rsvp| &*rsvp.person_id).collect();
            let readers = event.readers()?.who(app, &mut tx, &people).await?;
            let people = people.into_iter().zip(readers).filter(|(_, is_reader)| *is_reader);
            notices::tell(app, &mut tx, &people.map(|(id, _)| id).collect::<Vec<_>>(), &notice).await?;
            app.commit(tx).await?;
        }
    }
    Ok(())
}

fn notice(kind: &str, entity: String, title: String, event: &Event) -> Notice {
    Notice { kind: kind.into(), entity, title, url: format!("/events/{}", event.id), scope: event.scope.clone() }
}
