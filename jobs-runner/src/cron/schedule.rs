//! When an entry is due: a cron expression in a time zone.

use std::fmt;
use std::iter::successors;

use chrono::{DateTime, NaiveDateTime, TimeZone, Timelike, Utc};
use chrono_tz::{GapInfo, Tz};
use croner::Cron as Pattern;
use croner::parser::{CronParser, Seconds, Year};

use crate::{Error, Result};

const MAX_EXPRESSION: usize = 256;

/// A cron expression in a time zone.
///
/// Five fields, or six with seconds in front: `minute hour day-of-month month day-of-week`; lists, ranges, steps, names,
/// `L`, `W`, `#`, and `@daily` and its like. If both days are given, either will do.
///
/// The expression is read off a wall clock of the zone. A local time that is skipped when clocks go forward is due at the first
/// valid instant after it, and several skipped ones are due once. A local time that is repeated when clocks go back is due the
/// first time only, so for that hour nothing is due: for even distances take UTC.
#[derive(Clone, PartialEq, Eq)]
pub struct Schedule {
    expression: String,
    zone: Tz,
    pattern: Pattern,
}

impl Schedule {
    /// Reads an expression and the IANA name of a zone, such as `Europe/Berlin`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if either cannot be read, or the expression names a day that never comes, such as 30 February.
    pub fn new(expression: &str, zone: &str) -> Result<Self> {
        let invalid = |problem| Error::Invalid { what: "cron expression", problem };
        if expression.len() > MAX_EXPRESSION || expression.chars().any(char::is_control) {
            return Err(invalid("must be at most 256 bytes without control characters"));
        }
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let pattern = parser.parse(expression).map_err(|_| invalid("cannot be read"))?;
        let zone = zone.parse::<Tz>();
        let zone = zone.map_err(|_| Error::Invalid { what: "time zone", problem: "must be an IANA name" })?;
        let schedule = Self { expression: expression.trim().to_owned(), zone, pattern };
        // The calendar repeats itself: what does not come from here on never does.
        match schedule.next_after(DateTime::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(invalid("must name a moment that comes")),
        }
    }

    /// Returns the expression.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// Returns the name of the zone.
    pub fn zone(&self) -> &'static str {
        self.zone.name()
    }

    /// Returns the first moment after this one at which the entry is due.
    pub fn next_after(&self, moment: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let shown = self.shown(moment).and_utc();
        let local = self.pattern.find_next_occurrence(&shown, false).ok()?;
        self.instant(local.naive_utc())
    }

    /// Returns the moments after `after` and up to `until` at which the entry was due, the latest first.
    pub fn due_between(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
        let (floor, shown) = (self.shown(after).and_utc(), self.shown(until).and_utc());
        let latest = self.pattern.find_previous_occurrence(&shown, true).ok();
        let locals = successors(latest, |local| self.pattern.find_previous_occurrence(local, false).ok());
        let mut last = None;
        locals
            .take_while(move |local| *local > floor)
            .filter_map(|local| self.instant(local.naive_utc()))
            // Those of one gap are all due at its end.
            .filter(move |due| last.replace(*due) != Some(*due))
    }

    /// The latest time that a wall clock has shown: while a time is repeated, the one at which it began to be.
    fn shown(&self, moment: DateTime<Utc>) -> NaiveDateTime {
        let moment = moment.with_nanosecond(0).unwrap_or(moment);
        let local = |moment: DateTime<Utc>| moment.with_timezone(&self.zone).naive_local();
        let shown = local(moment);
        let Some((first, second)) = ambiguous(self.zone.from_local_datetime(&shown)) else { return shown };
        if moment < second {
            return shown;
        }
        // The clock was set back somewhere between the two.
        let offset = |moment: DateTime<Utc>| local(moment) - moment.naive_utc();
        let (mut before, mut after) = (first, second);
        while let half = (after - before) / 2
            && half.num_seconds() > 0
        {
            let middle = before + chrono::TimeDelta::seconds(half.num_seconds());
            if offset(middle) == offset(first) { before = middle } else { after = middle }
        }
        local(before)
    }

    /// When a wall clock shows this time first, or a later one if it never shows this one.
    fn instant(&self, local: NaiveDateTime) -> Option<DateTime<Utc>> {
        let shown = self.zone.from_local_datetime(&local).earliest();
        let shown = shown.or_else(|| GapInfo::new(&local, &self.zone)?.end);
        shown.map(|shown| shown.to_utc())
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Schedule({:?}, {:?})", self.expression, self.zone())
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.expression, self.zone())
    }
}

fn ambiguous(local: chrono::LocalResult<DateTime<Tz>>) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    match local {
        chrono::LocalResult::Ambiguous(first, second) => Some((first.to_utc(), second.to_utc())),
        _ => None,
    }
}
