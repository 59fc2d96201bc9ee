//! How long a failed job waits.

use std::time::Duration;

use crate::store::random;

/// Doubles the wait with every attempt, up to a bound, and spreads it so that jobs that failed together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    max: Duration,
}

impl Backoff {
    /// Waits between half of and all of `base`, doubled for every attempt after the first, never more than `max`.
    pub const fn exponential(base: Duration, max: Duration) -> Self {
        Self { base, max }
    }

    /// Does not wait.
    pub const fn none() -> Self {
        Self::exponential(Duration::ZERO, Duration::ZERO)
    }

    /// Draws the wait after the given attempt, which counts from 1.
    pub fn delay(&self, attempt: u16) -> Duration {
        self.jittered(attempt, random())
    }

    fn jittered(&self, attempt: u16, random: u64) -> Duration {
        let factor = 1_u32.checked_shl(u32::from(attempt.saturating_sub(1))).unwrap_or(u32::MAX);
        let full = self.base.saturating_mul(factor).min(self.max);
        let share = f64::from(u32::try_from(random >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX);
        full / 2 + (full / 2).mul_f64(share)
    }
}

impl Default for Backoff {
    /// 2 seconds, doubled up to 6 hours: twenty attempts take about a day.
    fn default() -> Self {
        Self::exponential(Duration::from_secs(2), Duration::from_hours(6))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_within_its_bounds() {
        let backoff = Backoff::exponential(Duration::from_secs(2), Duration::from_mins(1));
        for (attempt, full) in [(0, 2), (1, 2), (2, 4), (3, 8), (5, 32), (6, 60), (40, 60), (u16::MAX, 60)] {
            let full = Duration::from_secs(full);
            assert_eq!(backoff.jittered(attempt, 0), full / 2);
            assert_eq!(backoff.jittered(attempt, u64::MAX), full);
            assert!((full / 2..=full).contains(&backoff.delay(attempt)));
        }
        assert_eq!(Backoff::none().delay(3), Duration::ZERO);
        let longest = Backoff::exponential(Duration::MAX, Duration::MAX);
        assert!(longest.jittered(u16::MAX, u64::MAX) <= Duration::MAX);
    }
}
