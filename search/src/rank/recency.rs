//! How much a recent document counts more than an old one.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// A day is as near as it is known.
const DAY: u64 = 24 * 60 * 60;
/// After so many half-lives nothing is left.
const LIVES: usize = 24;

/// Days since 1970, from 1 to 65535; 0 is none.
pub(crate) type Day = u16;

pub(crate) fn day(at: DateTime<Utc>) -> Day {
    let days = at.timestamp().div_euclid(DAY.cast_signed());
    Day::try_from(days.clamp(1, i64::from(Day::MAX))).unwrap_or(Day::MAX)
}

/// What a score is multiplied by, for every age in days: 2 for what is of today or later, halfway to 1 after each half-life, and 1 for
/// what is of no day.
#[derive(Debug)]
pub(crate) struct Boost {
    now: Day,
    by_age: Vec<f32>,
}

impl Boost {
    pub(crate) fn new(now: Day, half_life: Day) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "days")]
        let boost = |age: usize| 1.0 + (-(age as f32) / f32::from(half_life)).exp2();
        let ages = (LIVES * usize::from(half_life)).min(usize::from(Day::MAX));
        Self { now, by_age: (0..=ages).map(boost).collect() }
    }

    #[inline]
    pub(crate) fn of(&self, day: Day) -> f32 {
        let boost = self.by_age.get(usize::from(self.now.saturating_sub(day))).copied().unwrap_or(1.0);
        if day == 0 { 1.0 } else { boost }
    }
}

/// A half-life in whole days, at least one.
pub(crate) fn half_life(duration: Duration) -> Day {
    Day::try_from(duration.as_secs().div_ceil(DAY)).unwrap_or(Day::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_bounded() {
        let at = |text: &str| day(text.parse().unwrap());
        assert_eq!((at("1970-01-02T00:00:00Z"), at("0001-01-01T00:00:00Z"), at("9999-12-31T00:00:00Z")), (1, 1, 65535));
        assert_eq!(at("2026-01-01T23:59:59Z") + 1, at("2026-01-02T00:00:00Z"));
        assert_eq!(
            (half_life(Duration::ZERO), half_life(Duration::from_hours(25)), half_life(Duration::MAX)),
            (1, 2, 65535)
        );
    }

    #[test]
    fn a_boost_halves() {
        let boost = Boost::new(1000, 10);
        let of = |day| boost.of(day).to_string();
        assert_eq!([of(1000), of(2000), of(990), of(980), of(1), of(0)], ["2", "2", "1.5", "1.25", "1", "1"]);
    }
}
