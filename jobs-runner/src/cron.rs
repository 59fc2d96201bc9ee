//! Jobs that are enqueued by the clock.

mod schedule;
mod ticker;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use chrono::{DateTime, Utc};

pub use schedule::Schedule;
pub(crate) use ticker::Ticker;

use crate::job::Keys;
use crate::{CronEntry, EnqueueOptions, Error, Job, Kind, Name, NewJob, Queue, Result};

/// No runner enqueues more jobs at once for one entry.
const MAX_CATCH_UP: usize = 1000;

/// An entry of the timetable: when a job is enqueued, and which. [`Runner::cron`](crate::Runner::cron) serves it.
///
/// Each tick becomes one job, however many runners serve the entry: whoever stores the job moves the entry on in the same
/// transaction. Ticks are told by the database's clock. An entry counts from the moment it is first served; what it was settled
/// up to stays settled when its expression changes, and the runner that was started last says what that is.
///
/// ```
/// use stoa_jobs_runner::{Cron, Job, Missed};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Report { day: String }
/// impl Job for Report {
///     const KIND: &'static str = "report";
/// }
///
/// let nightly = Cron::with("reports.nightly", "30 2 * * *", |tick| Report { day: tick.date_naive().to_string() })?
///     .zone("Europe/Berlin")?
///     .missed(Missed::CatchUp(7));
/// # Ok::<(), stoa_jobs_runner::Error>(())
/// ```
pub struct Cron {
    name: Name,
    schedule: Schedule,
    missed: Missed,
    keys: Keys,
    options: EnqueueOptions,
    make: Box<Make>,
    /// Names and keys of the kind under such options, if nothing is wrong with them.
    rekey: fn(&EnqueueOptions) -> Result<Keys>,
}

type Make = dyn for<'a> Fn(&'a Keys, &EnqueueOptions, DateTime<Utc>) -> Result<NewJob<'a>> + Send + Sync;

/// What becomes of the ticks that came while no runner was there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missed {
    /// All together become one job, for the last of them.
    #[default]
    Coalesce,
    /// Each becomes a job, at most so many and never more than 1000: the last ones.
    CatchUp(u16),
    /// They become nothing: a tick that is found later than this after its time has been missed.
    Skip(Duration),
}

impl Cron {
    /// Enqueues this job at every tick, with the defaults of its kind, by the clocks of UTC.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the name is not `[a-z][a-z0-9_.-]{0,63}`, the expression cannot be read or names a day that never
    /// comes, or the job could not be enqueued; [`Error::Unserialisable`].
    pub fn new<J: Job>(name: &str, expression: &str, job: J) -> Result<Self> {
        let entry = Self::made::<J>(name, expression, move |keys, options, _| options.new_job(&job, keys))?;
        entry.job(DateTime::UNIX_EPOCH)?;
        Ok(entry)
    }

    /// Enqueues at every tick the job that this makes of the tick's time.
    ///
    /// # Errors
    /// As [`new`](Self::new); what is wrong with a job is logged at its tick, which is tried again.
    pub fn with<J: Job>(
        name: &str,
        expression: &str,
        make: impl Fn(DateTime<Utc>) -> J + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::made::<J>(name, expression, move |keys, options, tick| options.new_job(&make(tick), keys))
    }

    /// Reads the expression by the clocks of this zone: an IANA name, such as `Europe/Berlin`. [`Schedule`] says what happens
    /// when they change.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no such zone.
    pub fn zone(self, zone: &str) -> Result<Self> {
        Ok(Self { schedule: Schedule::new(self.schedule.expression(), zone)?, ..self })
    }

    /// Says what becomes of ticks that came while no runner was there. Default: [`Missed::Coalesce`].
    #[must_use]
    pub fn missed(self, missed: Missed) -> Self {
        Self { missed, ..self }
    }

    /// Enqueues with these options. A tick whose job is not stored because its unique key is taken is settled all the same.
    ///
    /// # Errors
    /// [`Error::Invalid`] if an option is out of its bounds.
    pub fn options(self, options: EnqueueOptions) -> Result<Self> {
        Ok(Self { keys: (self.rekey)(&options)?, options, ..self })
    }

    fn made<J: Job>(
        name: &str,
        expression: &str,
        make: impl for<'a> Fn(&'a Keys, &EnqueueOptions, DateTime<Utc>) -> Result<NewJob<'a>> + Send + Sync + 'static,
    ) -> Result<Self> {
        let rekey = |options: &EnqueueOptions| {
            let (queue, kind) = const { (Queue::from_static(J::QUEUE), Kind::from_static(J::KIND)) };
            let keys = Keys::new(queue, kind, options)?;
            options.template::<J>(&keys)?;
            Ok(keys)
        };
        let options = EnqueueOptions::default();
        let (name, schedule) = (Name::new(name)?, Schedule::new(expression, "UTC")?);
        let (keys, make) = (rekey(&options)?, Box::new(make));
        Ok(Self { name, schedule, missed: Missed::default(), keys, options, make, rekey })
    }

    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    pub(crate) fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    pub(crate) fn entry(&self) -> CronEntry<'_> {
        CronEntry { name: &self.name, expression: self.schedule.expression(), zone: self.schedule.zone() }
    }

    /// Chooses among the ticks after `settled` and up to `now` those that become jobs, the first one first.
    pub(crate) fn ticks(&self, settled: DateTime<Utc>, now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        let ticks = self.schedule.due_between(settled, now);
        let mut ticks: Vec<_> = match self.missed {
            Missed::Coalesce => ticks.take(1).collect(),
            Missed::CatchUp(limit) => ticks.take(usize::from(limit.max(1)).min(MAX_CATCH_UP)).collect(),
            Missed::Skip(late) => {
                ticks.take(1).filter(|tick| (now - *tick).to_std().is_ok_and(|ago| ago <= late)).collect()
            }
        };
        ticks.reverse();
        ticks
    }

    /// Makes the job of a tick.
    pub(crate) fn job(&self, tick: DateTime<Utc>) -> Result<NewJob<'_>> {
        // The host's code: that it panics must not cost the other entries their ticks.
        let made = catch_unwind(AssertUnwindSafe(|| (self.make)(&self.keys, &self.options, tick)));
        made.unwrap_or_else(|_| Err(Error::Unserialisable("the entry panicked".into())))
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Cron({}, {:?}, {:?})", self.name, self.schedule, self.missed)
    }
}
