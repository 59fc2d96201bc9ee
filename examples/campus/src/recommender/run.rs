//! The batch: what happened since the last one, and new candidates for whoever it concerns.
//!
//! Every step is a short transaction that also notes how far it has come, and asks whether this process still leads: a batch may end
//! anywhere, and the next one goes on.

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use stoa_jobs_runner::Batch;
use stoa_membership::{Cursor, Event, UserId};
use stoa_search::recommendation::SignalCursor;
use tokio::time::timeout;

use super::circle::Circles;
use super::sql::{DueSql as _, RecommenderSql as _};
use super::{as_user, candidates, recorder, score};
use crate::app::App;
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::sql::MetaSql as _;

/// Signals and changes that are read in one transaction.
const PAGE: u32 = 1_000;
/// People whose candidates are written in one transaction.
const PEOPLE: i64 = 20;
/// Who was active so lately gets new candidates every day.
const ACTIVE: TimeDelta = TimeDelta::days(30);
/// What was done so long ago is forgotten.
const FORGOTTEN: TimeDelta = TimeDelta::days(90);
const DAY: TimeDelta = TimeDelta::days(1);

/// The facts in which it notes how far it has come.
const SIGNALS: &str = "recommender.signals";
const CHANGES: &str = "recommender.changes";
const REFRESHED: &str = "recommender.refreshed_at";

/// How far a batch has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Signals that were read.
    pub signals: u64,
    /// Changes of memberships that were read.
    pub changes: u64,
    /// People whose candidates were made.
    pub people: u64,
    /// Whether nobody is left whose turn it is.
    pub is_complete: bool,
}

/// Makes candidates for everybody who did something, or whose memberships changed, since the last batch; until all have them or
/// the time is over. Without a [`Batch`] nobody else may be running one.
///
/// # Errors
/// [`Error::Internal`] if the database fails; what was done stays done.
pub async fn run<B: Backend>(
    app: &App<B>,
    lead: Option<&Batch<B::Jobs, App<B>>>,
    budget: Option<Duration>,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<Progress> {
    let mut run = Run { app, lead, until: budget.map(|budget| Instant::now() + budget), done: Progress::default() };
    let is_finished = run.read_signals(&mut progress).await?
        && run.read_changes(&mut progress).await?
        && run.refresh().await?
        && run.make_candidates(&mut progress).await?;
    run.done.is_complete = is_finished;
    progress(run.done);
    Ok(run.done)
}

/// Makes the candidates of a few people at once, of all that was done so far: a demo has something to show from its first page on. Nobody
/// else may be running a batch.
///
/// # Errors
/// [`Error::Internal`] if the database fails; what was done stays done.
pub(crate) async fn prepare<B: Backend>(app: &App<B>, people: &[String]) -> Result<()> {
    let mut run = Run { app, lead: None, until: None, done: Progress::default() };
    run.read_signals(&mut |_| {}).await?;
    let mut circles = Circles::default();
    for some in people.chunks(usize::try_from(PEOPLE).unwrap_or(1)) {
        run.make(&mut circles, some).await?;
    }
    run.keep_popular(&circles).await
}

struct Run<'a, B: Backend> {
    app: &'a App<B>,
    lead: Option<&'a Batch<B::Jobs, App<B>>>,
    until: Option<Instant>,
    done: Progress,
}

impl<B: Backend> Run<'_, B> {
    fn is_over(&self) -> bool {
        self.lead.is_some_and(Batch::is_cancelled) || self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// Begins a step, unless the time is over or another process has taken the lead.
    async fn begin(&self) -> Result<Option<B::Transaction>> {
        if self.is_over() {
            return Ok(None);
        }
        let mut tx = self.app.begin().await?;
        let leads = match self.lead {
            Some(batch) => batch.still_leads(&mut tx).await?,
            None => true,
        };
        Ok(leads.then_some(tx))
    }

    /// Turns signals into what people did lately; says whether all are read.
    async fn read_signals(&mut self, progress: &mut impl FnMut(Progress)) -> Result<bool> {
        loop {
            let Some(mut tx) = self.begin().await? else { return Ok(false) };
            // A cursor that is none means a note of another release: signals that are read again change nothing.
            let after: Option<SignalCursor> = tx.meta(SIGNALS).await?.and_then(|text| text.parse().ok());
            let page = recorder(self.app).page(&mut tx, after.as_ref(), PAGE as usize).await?;
            if page.signals.is_empty() {
                return Ok(true);
            }
            let mut people = Vec::new();
            for recorded in &page.signals {
                let (signal, at) = (&recorded.signal, recorded.recorded_at.timestamp_micros());
                let person = signal.user_id().as_str();
                tx.upsert_taste(person, signal.surface().as_str(), signal.entity_id().as_str(), at).await?;
                people.push(person.to_owned());
            }
            insert_due::<B>(&mut tx, people).await?;
            tx.put_meta(SIGNALS, &page.next.to_string()).await?;
            self.app.commit(tx).await?;
            self.done.signals += page.signals.len() as u64;
            progress(self.done);
        }
    }

    /// Finds whose memberships changed; says whether all changes are read.
    async fn read_changes(&mut self, progress: &mut impl FnMut(Progress)) -> Result<bool> {
        loop {
            let Some(mut tx) = self.begin().await? else { return Ok(false) };
            let after = tx.meta(CHANGES).await?.and_then(|text| text.parse().ok()).unwrap_or_else(Cursor::start);
            let changes = match self.app.membership.changes(&mut tx, &after, PAGE).await {
                Ok(changes) => changes,
                // Of a database that this one was restored from: everybody's turn comes once.
                Err(stoa_membership::Error::Cursor) => {
                    self.app.membership.changes(&mut tx, &Cursor::start(), PAGE).await?
                }
                Err(error) => return Err(error.into()),
            };
            let people = changes.events.iter().filter_map(|event| match event {
                Event::Changed(transition) => Some(transition.user.to_string()),
                _ => None,
            });
            insert_due::<B>(&mut tx, people.collect()).await?;
            let is_read = changes.events.is_empty();
            if after != changes.next {
                tx.put_meta(CHANGES, &changes.next.to_string()).await?;
                self.app.commit(tx).await?;
            }
            self.done.changes += changes.events.len() as u64;
            progress(self.done);
            if is_read {
                return Ok(true);
            }
        }
    }

    /// Once a day it is the turn of everybody who was active lately, since there is news for them; and what is old is forgotten.
    async fn refresh(&mut self) -> Result<bool> {
        let now = Utc::now();
        let Some(mut tx) = self.begin().await? else { return Ok(false) };
        let last: Option<i64> = tx.meta(REFRESHED).await?.and_then(|text| text.parse().ok());
        drop(tx);
        if last.is_some_and(|last| last > (now - DAY).timestamp_micros()) {
            return Ok(true);
        }
        let mut above = String::new();
        loop {
            let Some(mut tx) = self.begin().await? else { return Ok(false) };
            let people = tx.active_people(&above, (now - ACTIVE).timestamp_micros(), PAGE.into()).await?;
            let Some(last) = people.last().cloned() else { break };
            insert_due::<B>(&mut tx, people).await?;
            self.app.commit(tx).await?;
            above = last;
        }
        loop {
            let Some(mut tx) = self.begin().await? else { return Ok(false) };
            let forgotten = tx.forget_tastes((now - FORGOTTEN).timestamp_micros(), PAGE.into()).await?;
            let age = FORGOTTEN.to_std().unwrap_or_default();
            let pruned = recorder(self.app).prune(&mut tx, age, PAGE).await?;
            let is_done = forgotten.max(pruned) < u64::from(PAGE);
            if is_done {
                tx.put_meta(REFRESHED, &now.timestamp_micros().to_string()).await?;
            }
            self.app.commit(tx).await?;
            if is_done {
                return Ok(true);
            }
        }
    }

    /// Makes candidates for everybody whose turn it is, a few people a transaction; says whether nobody is left.
    async fn make_candidates(&mut self, progress: &mut impl FnMut(Progress)) -> Result<bool> {
        let mut circles = Circles::default();
        let mut above = String::new();
        let is_finished = loop {
            if self.is_over() {
                break false;
            }
            let began = Instant::now();
            // Read in one moment that holds up nobody, and written after.
            let mut tx = self.app.read().await?;
            let due = tx.due(&above, PEOPLE).await?;
            let Some(last) = due.last().cloned() else { break true };
            drop(tx);
            if !self.make(&mut circles, &due).await? {
                break false;
            }
            self.done.people += due.len() as u64;
            progress(self.done);
            above = last;
            if let Some(batch) = self.lead {
                // Beside a server it leaves half of the time to whoever visits.
                let _ = timeout(began.elapsed(), batch.cancelled()).await;
            }
        };
        self.keep_popular(&circles).await?;
        Ok(is_finished)
    }

    /// Makes candidates for some people in one transaction; says whether it still might.
    async fn make(&self, circles: &mut Circles, people: &[String]) -> Result<bool> {
        let mut made = Vec::new();
        for id in people {
            made.push((id, self.candidates_of(circles, id).await?));
        }
        let Some(mut tx) = self.begin().await? else { return Ok(false) };
        for (id, boards) in &made {
            for (place, board) in boards {
                let user = stoa_search::recommendation::UserId::new(id.as_str())?;
                candidates(self.app).replace(&mut tx, &user, place, board).await?;
            }
            tx.delete_due(id).await?;
        }
        self.app.commit(tx).await?;
        Ok(true)
    }

    /// Keeps what is popular in the classes that were looked at, for those of them who have nothing of their own.
    async fn keep_popular(&self, circles: &Circles) -> Result<()> {
        let Some(mut tx) = self.begin().await? else { return Ok(()) };
        for (scope, circle) in circles.classes() {
            let popular = score::popular(circle)?;
            candidates(self.app).replace(&mut tx, &as_user(scope)?, &super::Place::GROUPS, &popular).await?;
        }
        self.app.commit(tx).await
    }

    async fn candidates_of(
        &self,
        circles: &mut Circles,
        id: &str,
    ) -> Result<Vec<(super::Place, Vec<stoa_search::recommendation::Candidate>)>> {
        let user = UserId::new(id)?;
        match self.app.read_as(&user).await {
            Ok((mut tx, viewer)) => score::candidates(self.app, &mut tx, circles, &viewer).await,
            // Nobody on campus any more, or not yet.
            Err(Error::NotSignedIn) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// In one order and once each, so that two who note the same people do not wait for each other in a circle.
async fn insert_due<B: Backend>(conn: &mut B::Connection, mut people: Vec<String>) -> Result<()> {
    people.sort_unstable();
    people.dedup();
    if !people.is_empty() {
        conn.insert_due(&people).await?;
    }
    Ok(())
}
