//! How many jobs run at once, and how many begin within a time.

use std::fmt;
use std::time::Duration;

#[cfg(any(feature = "postgres", feature = "sqlite"))]
use crate::store::duration;
use crate::store::{MAX_DURATION, micros};
use crate::{Error, Queue, Result};

/// No key is longer, in bytes.
const MAX_KEY: usize = 256;
/// No limit is greater: beyond, it costs more than it is good for.
const MAX_COUNT: u32 = 1_000_000;
/// What begins within the same twentieth of the time that a rate looks back is remembered as having begun at its last moment:
/// whatever the rate, no more than this many moments are.
const GRAIN: i64 = 20;
/// What a queue's limit goes by; no key may.
const QUEUE: &str = "queue";

/// What a [`Limit`] is on: a queue, or the jobs that were enqueued with a key.
///
/// What stands before the first colon of a key is its name. A key without a limit of its own has that of its name, and is counted
/// by itself: `api` may allow each of `api:ada` and `api:bob` three jobs at once, and `api:eve` one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LimitKey(String);

impl LimitKey {
    /// Parses a key as jobs are enqueued with: 1 to 256 bytes without control characters, not named `queue`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is not such a key.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        if text.is_empty() || text.len() > MAX_KEY || text.chars().any(char::is_control) {
            return Err(Error::Invalid {
                what: "limit_key",
                problem: "must be 1 to 256 bytes without control characters",
            });
        }
        if name(&text) == QUEUE {
            return Err(Error::Invalid { what: "limit_key", problem: "must not be named 'queue'" });
        }
        Ok(Self(text))
    }

    /// Names all jobs of a queue, whatever their keys.
    pub fn queue(queue: &Queue) -> Self {
        Self(format!("{QUEUE}:{queue}"))
    }

    /// Returns the text; of a queue `queue:` and its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for LimitKey {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for LimitKey {
    type Error = Error;
    fn try_from(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl TryFrom<String> for LimitKey {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::new(text)
    }
}

impl fmt::Display for LimitKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The part of a key whose limit it has unless it has one of its own.
pub(crate) fn name(key: &str) -> &str {
    key.split(':').next().unwrap_or(key)
}

/// What a queue or a key allows, in all processes together. At least one of the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// How many jobs run at once.
    pub concurrency: Option<u32>,
    /// How many attempts begin within a time.
    pub rate: Option<Rate>,
}

/// A limit as the databases keep it: key, concurrency, rate and its microseconds.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) type Stored = (String, Option<i64>, Option<i64>, Option<i64>);

/// At most `count` attempts begin within any stretch of time as long as `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many: they may all begin at once.
    pub count: u32,
    /// Within which time, whenever it begins.
    pub per: Duration,
}

impl Limit {
    /// So many jobs at once.
    pub fn concurrency(count: u32) -> Self {
        Self { concurrency: Some(count), rate: None }
    }

    /// So many attempts within a time.
    pub fn rate(count: u32, per: Duration) -> Self {
        Self { concurrency: None, rate: Some(Rate { count, per }) }
    }

    /// Takes what is stored.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn stored((key, concurrency, rate, period): Stored) -> Result<(LimitKey, Self)> {
        let count = |count: Option<i64>| count.map(u32::try_from).transpose();
        let (Ok(concurrency), Ok(rate)) = (count(concurrency), count(rate)) else {
            return Err(Error::Corrupt { what: "limit" });
        };
        let rate = rate.zip(period).map(|(count, period)| Rate { count, per: duration(period) });
        Ok((LimitKey(key), Self { concurrency, rate }))
    }

    /// Refuses what makes no sense.
    pub(crate) fn checked(&self) -> Result<&Self> {
        let is_count = |count: u32| (1..=MAX_COUNT).contains(&count);
        let problem = "must be 1 to 1000000";
        if self.concurrency.is_some_and(|count| !is_count(count)) {
            return Err(Error::Invalid { what: "concurrency", problem });
        }
        match self.rate {
            None if self.concurrency.is_none() => {
                Err(Error::Invalid { what: "limit", problem: "must have a concurrency or a rate" })
            }
            Some(rate) if !is_count(rate.count) => Err(Error::Invalid { what: "rate", problem }),
            Some(rate) if rate.per.as_millis() == 0 || rate.per > MAX_DURATION => {
                Err(Error::Invalid { what: "rate", problem: "must be per 1 millisecond to 100 years" })
            }
            _ => Ok(self),
        }
    }
}

/// How many attempts began when, in microseconds since 1970: what a rate has to remember.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Began(Vec<(i64, u32)>);

impl Began {
    fn within(&self, period: i64, now: i64) -> impl Iterator<Item = &(i64, u32)> {
        self.0.iter().filter(move |(at, _)| *at > now - period)
    }

    fn count(&self, period: i64, now: i64) -> u64 {
        self.within(period, now).map(|(_, count)| u64::from(*count)).sum()
    }

    /// Notes that so many begin now.
    pub(crate) fn begin(&mut self, period: i64, now: i64, count: u32) {
        let mut began: Vec<(i64, u32)> = self.within(period, now).copied().collect();
        // A rate is per 1 millisecond at least.
        let grain = |at: i64| at / (period / GRAIN);
        match began.last_mut().filter(|(at, _)| grain(*at) == grain(now)) {
            Some(last) => *last = (now, last.1.saturating_add(count)),
            None => began.push((now, count)),
        }
        self.0 = began;
    }
}

/// What a key or a queue leaves room for at this moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Door {
    /// `None`: anything.
    pub(crate) room: Option<u64>,
    /// When the rate opens it again.
    pub(crate) opens_at: Option<i64>,
}

impl Door {
    pub(crate) fn new(limit: &Limit, running: u64, began: &Began, now: i64) -> Self {
        let slots = limit.concurrency.map(|count| u64::from(count).saturating_sub(running));
        let Some(rate) = limit.rate else { return Self { room: slots, opens_at: None } };
        let period = micros(rate.per);
        let left = u64::from(rate.count).saturating_sub(began.count(period, now));
        let first = began.within(period, now).map(|(at, _)| *at).min();
        Self {
            room: Some(slots.map_or(left, |slots| slots.min(left))),
            opens_at: first.filter(|_| left == 0).map(|at| at + period),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_window_holds_more_than_the_rate_and_little_less_is_used() {
        let (count, period) = (50_u32, 1_000_000_i64);
        let limit = Limit::rate(count, Duration::from_secs(1));
        let (mut began, mut all) = (Began::default(), Vec::new());
        // Somebody always wants seven.
        for now in (0..20_000_000).step_by(3_777) {
            let door = Door::new(&limit, 0, &began, now);
            let taken = door.room.unwrap().min(7);
            if taken > 0 {
                began.begin(period, now, u32::try_from(taken).unwrap());
                all.extend(std::iter::repeat_n(now, usize::try_from(taken).unwrap()));
            }
            assert!(door.opens_at.is_none_or(|at| at > now && at <= now + period), "{door:?} at {now}");
            assert!(began.0.len() <= 22, "{began:?}");
        }
        for window in all.windows(count as usize + 1) {
            assert!(window[count as usize] - window[0] >= period, "{window:?}");
        }
        assert!(all.len() >= 900, "of 1000: {}", all.len());
    }

    #[test]
    fn keys_and_limits_keep_to_their_bounds() {
        for bad in ["", "queue", "queue:mail", "a\0", &"a".repeat(257)] {
            assert!(matches!(LimitKey::new(bad), Err(Error::Invalid { what: "limit_key", .. })), "{bad:?}");
        }
        assert_eq!(LimitKey::new("queues:mail").unwrap().as_str(), "queues:mail");
        let second = Duration::from_secs(1);
        for (bad, at) in [
            (Limit::default(), "limit"),
            (Limit::concurrency(0), "concurrency"),
            (Limit::concurrency(MAX_COUNT + 1), "concurrency"),
            (Limit::rate(0, second), "rate"),
            (Limit::rate(u32::MAX, second), "rate"),
            (Limit::rate(1, Duration::ZERO), "rate"),
            (Limit::rate(1, Duration::MAX), "rate"),
            (Limit { concurrency: Some(0), ..Limit::rate(1, second) }, "concurrency"),
        ] {
            assert!(matches!(bad.checked(), Err(Error::Invalid { what, .. }) if what == at), "{bad:?}");
        }
    }
}
