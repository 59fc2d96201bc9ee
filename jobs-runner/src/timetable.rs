//! Cron entries as the database knows them.

use chrono::{DateTime, Utc};
use tracing::instrument;

use crate::{Jobs, Name, Result, Store};

/// A cron entry, whoever serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronRecord {
    /// What it is called.
    pub name: Name,
    /// When it is due; of the runner that was started last with an entry of this name.
    pub expression: String,
    /// By the clocks of which zone.
    pub zone: String,
    /// Up to when every tick has become a job, or was passed over. Moves on every few seconds while a runner serves the entry.
    pub settled_at: DateTime<Utc>,
    /// The last tick that became a job.
    pub last_fire_at: Option<DateTime<Utc>>,
}

#[cfg(feature = "cron")]
impl CronRecord {
    /// Returns the next tick that is to become a job.
    pub fn next_fire_at(&self) -> Option<DateTime<Utc>> {
        crate::Schedule::new(&self.expression, &self.zone).ok()?.next_after(self.settled_at)
    }
}

/// All cron entries at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timetable {
    /// What the database's clock showed.
    pub now: DateTime<Utc>,
    /// The entries, by name.
    pub entries: Vec<CronRecord>,
}

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CronEntry<'a> {
    /// What it is called.
    pub name: &'a Name,
    /// When it is due.
    pub expression: &'a str,
    /// By the clocks of which zone.
    pub zone: &'a str,
}

/// How far an entry is to be settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement<'a> {
    /// Which entry, and what it has to say still.
    pub entry: CronEntry<'a>,
    /// From where it has to stand still.
    pub from: DateTime<Utc>,
    /// Up to where.
    pub to: DateTime<Utc>,
    /// The last of its ticks that becomes a job.
    pub fired: Option<DateTime<Utc>>,
}

impl<S: Store> Jobs<S> {
    /// Lists the cron entries of all runners by name, with those that nobody serves any more.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the database failed.
    #[instrument(level = "debug", name = "jobs.schedule", skip_all)]
    pub async fn schedule(&self, conn: &mut S::Connection) -> Result<Vec<CronRecord>> {
        Ok(self.store.timetable(conn).await?.entries)
    }

    /// Forgets a cron entry that no runner has any more, and says whether there was one. A runner that has it enters it anew.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the database failed.
    #[instrument(level = "debug", name = "jobs.unschedule", skip_all)]
    pub async fn unschedule(&self, conn: &mut S::Connection, name: &Name) -> Result<bool> {
        self.store.withdraw(conn, name).await
    }
}
