//! The loop that turns ticks into jobs.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::runner::Settings;
use crate::worker::deadline;
use crate::{Cron, CronEntry, Error, Jobs, NewJob, Result, Settlement, Source, Store};

/// The longest pause after the database failed.
const MAX_PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct Ticker<S, P> {
    jobs: Jobs<S>,
    source: P,
    entries: Vec<Arc<Cron>>,
    settings: Settings,
    /// Who was started last says what the entries say.
    is_entered: bool,
}

impl<S: Store + Clone, P: Source<Connection = S::Connection>> Ticker<S, P> {
    pub(crate) fn new(jobs: Jobs<S>, source: P, entries: Vec<Arc<Cron>>, settings: Settings) -> Self {
        Self { jobs, source, entries, settings, is_entered: false }
    }

    /// Serves the entries until there is a deadline. What is under way then is rolled back, for somebody else's next look.
    pub(crate) async fn run(mut self, mut stopping: watch::Receiver<Option<Instant>>) {
        loop {
            let pause = tokio::select! {
                biased;
                _ = deadline(&mut stopping) => return,
                passed = self.pass() => passed.unwrap_or_else(|error| {
                    tracing::warn!(error = &error as &dyn std::error::Error, "no tick could be looked for; trying again");
                    self.settings.poll_interval.min(MAX_PAUSE)
                }),
            };
            tokio::select! {
                biased;
                _ = deadline(&mut stopping) => return,
                () = sleep(pause) => {}
            }
        }
    }

    /// Enqueues what has become due since the entries were settled last, and says how long it is until there may be more.
    pub(crate) async fn pass(&mut self) -> Result<Duration> {
        let store = &self.jobs.store;
        let beat = self.settings.lease / 3;
        let mut conn = self.source.acquire().await?;
        let mut timetable = store.timetable(&mut conn).await?;
        // An entry that says something else belongs to another release of the host, until that is gone.
        let is_mine = |entry: &CronEntry<'_>, is_entered: bool| {
            let known = timetable.entries.iter().find(|known| known.name == *entry.name);
            known.is_some_and(|known| {
                let is_alive = (timetable.now - known.settled_at).to_std().is_ok_and(|ago| ago < self.settings.lease);
                known.expression == entry.expression && known.zone == entry.zone || is_entered && is_alive
            })
        };
        let mut unknown: Vec<CronEntry<'_>> = self.entries.iter().map(|entry| entry.entry()).collect();
        unknown.retain(|entry| !is_mine(entry, self.is_entered));
        if !unknown.is_empty() {
            store.post(&mut conn, &unknown).await?;
            timetable = store.timetable(&mut conn).await?;
        }
        drop(conn);
        self.is_entered = true;

        let now = timetable.now;
        let (mut settlements, mut drafts, mut next) = (Vec::new(), Vec::new(), None);
        for known in &timetable.entries {
            let is_served = |entry: &&Arc<Cron>| {
                let entry = entry.entry();
                (entry.name, entry.expression, entry.zone) == (&known.name, &*known.expression, &*known.zone)
            };
            let Some(entry) = self.entries.iter().find(is_served) else { continue };
            next = [next, entry.schedule().next_after(now)].into_iter().flatten().min();
            let ticks = entry.ticks(known.settled_at, now);
            let jobs = match jobs(entry, &ticks) {
                Ok(jobs) => jobs,
                Err(error) => {
                    let name = entry.name().as_str();
                    tracing::error!(error = &error as &dyn std::error::Error, name, "a tick is no job; trying again");
                    continue;
                }
            };
            // Without a tick it is only moved on to show that somebody is there.
            if !ticks.is_empty() || (now - known.settled_at).to_std().is_ok_and(|ago| ago >= beat) {
                let fired = ticks.last().copied();
                settlements.push(Settlement { entry: entry.entry(), from: known.settled_at, to: now, fired });
                drafts.push(jobs);
            }
        }
        if !settlements.is_empty() {
            self.settle(&settlements, drafts).await?;
        }
        let next = next.and_then(|next: DateTime<Utc>| (next - now).to_std().ok());
        // Not less than a millisecond, for a clock that is a little behind ours.
        Ok(next.map_or(beat, |next| next.min(beat)).max(Duration::from_millis(1)))
    }

    async fn settle(&self, settlements: &[Settlement<'_>], drafts: Vec<Vec<NewJob<'_>>>) -> Result<()> {
        let mut tx = self.source.begin().await?;
        let settled = self.jobs.store.settle(&mut tx, settlements).await?;
        let won = drafts.into_iter().zip(settled).filter(|(_, is_settled)| *is_settled);
        let new: Vec<NewJob<'_>> = won.flat_map(|(drafts, _)| drafts).collect();
        if !new.is_empty() {
            self.jobs.store.enqueue(&mut tx, &new).await?;
        }
        self.source.commit(tx).await?;
        if !new.is_empty() {
            self.jobs.wake();
        }
        Ok(())
    }
}

fn jobs<'a>(entry: &'a Cron, ticks: &[DateTime<Utc>]) -> Result<Vec<NewJob<'a>>, Error> {
    ticks.iter().map(|tick| entry.job(*tick)).collect()
}
