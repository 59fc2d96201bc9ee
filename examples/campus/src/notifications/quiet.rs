//! Hours in which somebody does not want to hear from campus, by the clock on their wall.

use chrono::{DateTime, DurationRound as _, NaiveTime, TimeDelta, Timelike as _, Utc};
use chrono_tz::Tz;

use crate::error::{Error, Result};

/// Quiet hours end every day: whatever clocks do, not later than this many minutes after they were looked at.
const LONGEST: i64 = 2 * 24 * 60;

/// From one time of the day to another, often over midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    from: u32,
    until: u32,
}

impl Quiet {
    /// Parses two times such as `22:00` and `07:30`; both empty: there are no quiet hours.
    ///
    /// # Errors
    /// [`Error::Invalid`] if one of them is no time, is missing, or is the same as the other.
    pub fn new(from: &str, until: &str) -> Result<Option<Self>> {
        let (from, until) = (from.trim(), until.trim());
        if from.is_empty() && until.is_empty() {
            return Ok(None);
        }
        let quiet = Self { from: minutes(from)?, until: minutes(until)? };
        if quiet.from == quiet.until {
            return Err(Error::Invalid("quiet hours must end at another time than they begin".into()));
        }
        Ok(Some(quiet))
    }

    /// As rows keep them: minutes since midnight.
    pub(super) fn stored(from: Option<i64>, until: Option<i64>) -> Option<Self> {
        let minute = |stored: i64| u32::try_from(stored).ok();
        Some(Self { from: minute(from?)?, until: minute(until?)? })
    }

    /// When they begin, in minutes since midnight.
    pub(super) fn from(self) -> u32 {
        self.from
    }

    /// When they end.
    pub(super) fn until(self) -> u32 {
        self.until
    }

    /// Says when it is no longer quiet there, if it is now: the first minute of which the clock on the wall says so. A time that the
    /// clocks skip, or show twice, needs no rule of its own.
    pub fn ends(self, zone: Tz, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if !self.holds(zone, now) {
            return None;
        }
        let minute = now.duration_trunc(TimeDelta::minutes(1)).unwrap_or(now);
        (1..=LONGEST).map(|minutes| minute + TimeDelta::minutes(minutes)).find(|at| !self.holds(zone, *at))
    }

    fn holds(self, zone: Tz, at: DateTime<Utc>) -> bool {
        let local = at.with_timezone(&zone);
        let minute = local.hour() * 60 + local.minute();
        if self.from < self.until {
            (self.from..self.until).contains(&minute)
        } else {
            minute >= self.from || minute < self.until
        }
    }
}

/// A time of the day as people write it.
pub(super) fn clock(minutes: u32) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

fn minutes(time: &str) -> Result<u32> {
    let parsed = NaiveTime::parse_from_str(time, "%H:%M").ok().filter(|_| time.len() == "22:00".len());
    let parsed = parsed.ok_or_else(|| Error::Invalid("quiet hours need two times, such as 22:00 and 07:00".into()))?;
    Ok(parsed.hour() * 60 + parsed.minute())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(quiet: (&str, &str), zone: &str, now: &str) -> Option<String> {
        let quiet = Quiet::new(quiet.0, quiet.1).unwrap().unwrap();
        let end = quiet.ends(zone.parse().unwrap(), now.parse().unwrap());
        end.map(|end| end.format("%FT%TZ").to_string())
    }

    #[test]
    fn the_night_ends_in_the_morning_there() {
        let night = ("22:00", "07:00");
        assert_eq!(ends(night, "Asia/Kolkata", "2026-05-17T16:29:59Z"), None);
        assert_eq!(ends(night, "Asia/Kolkata", "2026-05-17T16:30:00Z").as_deref(), Some("2026-05-18T01:30:00Z"));
        assert_eq!(ends(night, "Asia/Kolkata", "2026-05-18T01:29:59Z").as_deref(), Some("2026-05-18T01:30:00Z"));
        assert_eq!(ends(night, "Asia/Kolkata", "2026-05-18T01:30:00Z"), None);
        assert_eq!(ends(("12:00", "14:00"), "UTC", "2026-05-17T13:10:30Z").as_deref(), Some("2026-05-17T14:00:00Z"));
        assert_eq!(ends(("12:00", "14:00"), "UTC", "2026-05-17T14:00:00Z"), None);
    }

    /// In Berlin the clocks go from 02:00 to 03:00 on 29 March 2026, and from 03:00 back to 02:00 on 25 October.
    #[test]
    fn nights_on_which_clocks_change_end_by_the_clock_on_the_wall() {
        let (zone, night) = ("Europe/Berlin", ("22:00", "07:00"));
        assert_eq!(ends(night, zone, "2026-03-28T22:00:00Z").as_deref(), Some("2026-03-29T05:00:00Z"), "an hour less");
        assert_eq!(ends(night, zone, "2026-10-24T21:00:00Z").as_deref(), Some("2026-10-25T06:00:00Z"), "an hour more");
        // It ends at a time that the clocks skip, and at one that they show twice.
        let short = ("22:00", "02:30");
        assert_eq!(ends(short, zone, "2026-03-28T22:00:00Z").as_deref(), Some("2026-03-29T01:00:00Z"));
        assert_eq!(ends(short, zone, "2026-10-24T21:00:00Z").as_deref(), Some("2026-10-25T00:30:00Z"));
        assert_eq!(ends(short, zone, "2026-10-25T01:00:00Z").as_deref(), Some("2026-10-25T01:30:00Z"), "two once more");
    }

    /// Samoa had no 30 December 2011.
    #[test]
    fn a_day_that_is_skipped_is_no_day_to_wait_for() {
        let night = ("22:00", "07:00");
        assert_eq!(ends(night, "Pacific/Apia", "2011-12-30T08:30:00Z").as_deref(), Some("2011-12-30T17:00:00Z"));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        assert_eq!(Quiet::new("", " ").unwrap(), None);
        for (from, until) in [
            ("22:00", ""),
            ("", "07:00"),
            ("07:00", "07:00"),
            ("24:00", "07:00"),
            ("22:60", "07:00"),
            ("+2:00", "07:00"),
        ] {
            assert!(matches!(Quiet::new(from, until), Err(Error::Invalid(_))), "{from} {until}");
        }
        for wrong in ["22", "2:00", "22:0", "022:0", "22:00:00", "\u{0}2:00", "22.00", "２２:00"] {
            assert!(Quiet::new(wrong, "07:00").is_err(), "{wrong}");
        }
    }
}
