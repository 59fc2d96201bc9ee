//! Days, half days and months, and which of them are worked.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{Datelike, Days, Months, NaiveDate, Weekday};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{Error, Result};

/// No stretch of leave is longer, in days.
const MAX_DAYS: i64 = 366;

/// Half of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Half {
    /// Until noon.
    Morning,
    /// From noon on.
    Afternoon,
}

impl Half {
    /// As a form and a page name it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Morning => "morning",
            Self::Afternoon => "afternoon",
        }
    }
}

/// A stretch of half days, from the first to the last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    first: i64,
    last: i64,
}

impl Period {
    /// From half of a day to half of the same or a later one.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it ends before it begins, or is longer than a year.
    pub fn new(first_on: NaiveDate, first: Half, last_on: NaiveDate, last: Half) -> Result<Self> {
        let period = Self { first: slot(first_on, first), last: slot(last_on, last) };
        if period.last < period.first {
            return Err(Error::Invalid("leave cannot end before it begins".into()));
        }
        if period.last - period.first >= 2 * MAX_DAYS {
            return Err(Error::Invalid("leave is a year at most".into()));
        }
        Ok(period)
    }

    /// Whole days. The last must not come before the first.
    pub(super) fn days(first: NaiveDate, last: NaiveDate) -> Self {
        Self { first: slot(first, Half::Morning), last: slot(last, Half::Afternoon) }
    }

    pub(super) const fn from_slots(first: i64, last: i64) -> Self {
        Self { first, last }
    }

    pub(crate) const fn slots(self) -> (i64, i64) {
        (self.first, self.last)
    }

    /// The first day, and which half of it.
    pub(super) fn begins(self) -> (NaiveDate, Half) {
        day_of(self.first)
    }

    /// The last day, and which half of it.
    pub(super) fn ends(self) -> (NaiveDate, Half) {
        day_of(self.last)
    }

    /// What both have in common.
    pub(super) fn within(self, other: Self) -> Option<Self> {
        let both = Self { first: self.first.max(other.first), last: self.last.min(other.last) };
        (both.first <= both.last).then_some(both)
    }
}

fn slot(day: NaiveDate, half: Half) -> i64 {
    i64::from(day.to_epoch_days()) * 2 + i64::from(half == Half::Afternoon)
}

fn day_of(slot: i64) -> (NaiveDate, Half) {
    let half = if slot.rem_euclid(2) == 0 { Half::Morning } else { Half::Afternoon };
    // Slots are made of days, so every one is a day again.
    let days = i32::try_from(slot.div_euclid(2)).unwrap_or_default();
    (NaiveDate::from_epoch_days(days).unwrap_or_default(), half)
}

/// Parses a day such as `2026-11-21`, of the years that the campus plans for.
///
/// # Errors
/// [`Error::Invalid`] if there is no such day.
pub(crate) fn day(what: &str, text: &str) -> Result<NaiveDate> {
    let parsed = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    parsed
        .filter(|day| (1950..2200).contains(&day.year()) && day.to_string() == text)
        .ok_or_else(|| Error::Invalid(format!("{what} must be a day such as 2026-11-21")))
}

/// A month of a year.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month(NaiveDate);

impl Month {
    /// Parses a month such as `2026-11`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no such month.
    pub fn parse(text: &str) -> Result<Self> {
        day("the month", &format!("{text}-01"))
            .map(Self)
            .map_err(|_| Error::Invalid("a month is written such as 2026-11".into()))
    }

    /// The month that a day is in.
    pub fn of(day: NaiveDate) -> Self {
        Self(day.with_day(1).unwrap_or(day)) // every month has a first day
    }

    /// Its first day.
    pub fn first(self) -> NaiveDate {
        self.0
    }

    /// Its last day.
    pub fn last(self) -> NaiveDate {
        // The years that days are parsed from are far from the end of the calendar.
        self.0.checked_add_months(Months::new(1)).and_then(|next| next.pred_opt()).unwrap_or(self.0)
    }

    pub(super) fn year(self) -> i32 {
        self.0.year()
    }

    /// The months of its year up to itself.
    pub(super) fn of_year_so_far(self) -> impl Iterator<Item = Self> {
        (1..=self.0.month()).filter_map(move |month| self.0.with_month(month).map(Self))
    }

    /// How much of a yearly number belongs to this month, so that all twelve are the yearly number exactly.
    pub(super) fn part_of(self, yearly: i64) -> i64 {
        let month = i64::from(self.0.month());
        yearly * month / 12 - yearly * (month - 1) / 12
    }
}

/// As it is stored: `2026-11`.
impl fmt::Display for Month {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:04}-{:02}", self.0.year(), self.0.month())
    }
}

/// Which days are worked: all but the weekend and the holidays.
#[derive(Clone, Debug)]
pub struct Calendar {
    weekend: Vec<Weekday>,
    holidays: BTreeSet<NaiveDate>,
}

impl Calendar {
    /// The days of the weekend by name, such as `fri sat`, and the holidays.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a name is no day of the week, or nothing is left to be worked.
    pub fn new(weekend: &str, holidays: impl IntoIterator<Item = NaiveDate>) -> Result<Self> {
        let parse = |name: &str| name.parse().map_err(|_| Error::Invalid(format!("{name} is no day of the week")));
        let weekend: Vec<Weekday> = weekend.split_whitespace().map(parse).collect::<Result<_>>()?;
        if weekend.len() > 6 {
            return Err(Error::Invalid("a weekend has at most six days".into()));
        }
        Ok(Self { weekend, holidays: holidays.into_iter().collect() })
    }

    fn is_worked(&self, day: NaiveDate) -> bool {
        !self.weekend.contains(&day.weekday()) && !self.holidays.contains(&day)
    }

    /// How many half days of the period are worked.
    pub fn half_days(&self, period: Period) -> i64 {
        let ((first, _), (last, _)) = (period.begins(), period.ends());
        let mut count = 0;
        let mut next = Some(first);
        while let Some(day) = next.filter(|day| *day <= last) {
            if self.is_worked(day) {
                let halves = Period::days(day, day).within(period).map_or(0, |both| both.last - both.first + 1);
                count += halves;
            }
            next = day.checked_add_days(Days::new(1));
        }
        count
    }
}

/// Half days as people say them: `2 days`, `½ day`, `2½ days`.
pub(crate) fn in_days(half_days: i64) -> String {
    let sign = if half_days < 0 { "−" } else { "" };
    let (whole, half) = (half_days.unsigned_abs() / 2, half_days.unsigned_abs() % 2);
    match (whole, half) {
        (0, 1) => format!("{sign}½ day"),
        (1, 0) => format!("{sign}1 day"),
        (whole, 0) => format!("{sign}{whole} days"),
        (whole, _) => format!("{sign}{whole}½ days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(text: &str) -> NaiveDate {
        day("it", text).unwrap()
    }

    #[test]
    fn weekends_and_holidays_are_not_worked() {
        let calendar = Calendar::new("sat sun", [on("2026-12-25")]).unwrap();
        let period = |first, from, last, to| Period::new(on(first), from, on(last), to).unwrap();
        for (first, from, last, to, expected) in [
            ("2026-11-23", Half::Morning, "2026-11-27", Half::Afternoon, 10),
            ("2026-11-23", Half::Afternoon, "2026-11-23", Half::Afternoon, 1),
            ("2026-11-27", Half::Afternoon, "2026-11-30", Half::Morning, 2),
            ("2026-11-28", Half::Morning, "2026-11-29", Half::Afternoon, 0),
            ("2026-12-24", Half::Morning, "2026-12-28", Half::Morning, 3),
        ] {
            assert_eq!(calendar.half_days(period(first, from, last, to)), expected, "{first} to {last}");
        }
        assert!(Period::new(on("2026-11-23"), Half::Afternoon, on("2026-11-23"), Half::Morning).is_err());
        assert!(Period::new(on("2026-01-01"), Half::Morning, on("2027-01-02"), Half::Morning).is_err());
        let fridays = Calendar::new("fri", []).unwrap();
        assert_eq!(fridays.half_days(Period::days(on("2026-11-23"), on("2026-11-29"))), 12);
        assert!(Calendar::new("someday", []).is_err());
    }

    #[test]
    fn what_is_no_day_or_month_is_refused() {
        for text in ["", "2026-02-30", "2026-2-3", "0026-11-21", "26-11-21", "2026-11-21 ", "+2026-11-21", "9999-01-01"]
        {
            assert!(day("it", text).is_err(), "{text:?}");
        }
        for text in ["", "2026", "2026-13", "2026-1", "2026-11-01"] {
            assert!(Month::parse(text).is_err(), "{text:?}");
        }
        let month = Month::parse("2028-02").unwrap();
        assert_eq!((month.last().to_string(), month.to_string()), ("2028-02-29".into(), "2028-02".into()));
    }

    #[test]
    fn twelve_months_are_a_year_exactly() {
        let december = Month::parse("2026-12").unwrap();
        for yearly in 0..200 {
            assert_eq!(december.of_year_so_far().map(|month| month.part_of(yearly)).sum::<i64>(), yearly);
        }
    }
}
