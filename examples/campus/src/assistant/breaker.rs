//! A circuit breaker: a service that keeps failing is left alone for a while.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets requests through as long as they succeed (closed); after some failures in a row none (open); and after a while one at a time, to
/// see whether it is over (half-open). Whoever asks says what time it is.
#[derive(Debug)]
pub struct Breaker {
    threshold: u32,
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// In a row.
    failures: u32,
    /// When the next request may go through; without it, every one may.
    retry_at: Option<Instant>,
}

impl Breaker {
    /// Opens after so many failures in a row, for so long.
    pub fn new(threshold: u32, pause: Duration) -> Self {
        Self { threshold, pause, state: Mutex::default() }
    }

    /// Says whether a request may go through. One that goes through while the breaker is half-open keeps others out for another pause, so
    /// that one whose end is never reported holds nobody up for longer.
    pub fn admits(&self, now: Instant) -> bool {
        let mut state = self.state();
        match state.retry_at {
            Some(at) if now < at => false,
            Some(_) => {
                state.retry_at = Some(now + self.pause);
                true
            }
            None => true,
        }
    }

    /// Notes that a request succeeded.
    pub fn succeeded(&self) {
        *self.state() = State::default();
    }

    /// Notes that a request failed.
    pub fn failed(&self, now: Instant) {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= self.threshold {
            state.retry_at = Some(now + self.pause);
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing panics while it is held; if it did, the state would still be one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(30);

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_after_a_success() {
        let (breaker, start) = (Breaker::new(3, PAUSE), Instant::now());
        for _ in 0..2 {
            breaker.failed(start);
        }
        assert!(breaker.admits(start));
        breaker.succeeded();
        for _ in 0..3 {
            assert!(breaker.admits(start), "those before were not in a row");
            breaker.failed(start);
        }
        assert!(!breaker.admits(start) && !breaker.admits(start + PAUSE.mul_f64(0.99)));
        let later = start + PAUSE;
        assert!(breaker.admits(later) && !breaker.admits(later), "one tries");
        breaker.failed(later);
        assert!(!breaker.admits(later + PAUSE / 2), "one failure opens it again");
        assert!(breaker.admits(later + PAUSE));
        breaker.succeeded();
        assert!(breaker.admits(later + PAUSE) && breaker.admits(later + PAUSE));
    }

    #[test]
    fn a_trial_that_never_ends_holds_nobody_up_for_good() {
        let (breaker, start) = (Breaker::new(1, PAUSE), Instant::now());
        breaker.failed(start);
        assert!(breaker.admits(start + PAUSE) && !breaker.admits(start + PAUSE));
        assert!(breaker.admits(start + 2 * PAUSE));
    }
}
