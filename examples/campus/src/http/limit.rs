//! How much one person, or one address that is nobody yet, may ask for.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use stoa_membership::UserId;

use crate::error::{Error, Result};

/// After this many requests whoever has been quiet since is forgotten: the table is as large as the crowd of the last minutes.
const SWEEP: u32 = 1024;

/// How much is let through.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Requests at once.
    pub burst: NonZeroU32,
    /// How long one of them takes to come back.
    pub refill: Duration,
}

/// What reads and writes are let through, for each person separately.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// `GET` and `HEAD`.
    pub reads: Rate,
    /// Everything else.
    pub writes: Rate,
}

impl Default for Rates {
    /// Nobody who reads and writes by hand comes near.
    fn default() -> Self {
        let rate = |burst: u32, refill| Rate { burst: NonZeroU32::MIN.saturating_add(burst - 1), refill };
        Self { reads: rate(600, Duration::from_millis(50)), writes: rate(300, Duration::from_millis(250)) }
    }
}

/// Who is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    User(UserId),
    Address(Option<IpAddr>),
}

impl Who {
    /// An address as it is counted: whoever has one of IPv6 has 2^64 of them.
    pub(super) fn address(address: Option<IpAddr>) -> Self {
        Self::Address(address.map(|address| match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
            address @ IpAddr::V4(_) => address,
        }))
    }
}

/// Counts requests.
pub(super) struct Limiter<C: Clock = DefaultClock> {
    reads: Counter<C>,
    writes: Counter<C>,
}

struct Counter<C: Clock> {
    limiter: RateLimiter<Who, HashMapStateStore<Who>, C, NoOpMiddleware<C::Instant>>,
    since_sweep: AtomicU32,
    clock: C,
}

impl<C: Clock + Clone> Limiter<C> {
    pub(super) fn new(rates: Rates, clock: &C) -> Self {
        Self { reads: Counter::new(rates.reads, clock), writes: Counter::new(rates.writes, clock) }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// [`Error::TooMany`] if it is one too many.
    pub(super) fn check(&self, who: &Who, is_read: bool) -> Result<()> {
        if is_read { self.reads.check(who) } else { self.writes.check(who) }
    }
}

impl<C: Clock + Clone> Counter<C> {
    fn new(rate: Rate, clock: &C) -> Self {
        // A rate without any wait is no limit, and the library has no word for it.
        let refill = rate.refill.max(Duration::from_nanos(1));
        let quota =
            Quota::with_period(refill).map_or(Quota::per_second(rate.burst), |quota| quota.allow_burst(rate.burst));
        let limiter = RateLimiter::new(quota, HashMapStateStore::default(), clock.clone());
        Self { limiter, since_sweep: AtomicU32::new(0), clock: clock.clone() }
    }

    fn check(&self, who: &Who) -> Result<()> {
        if self.since_sweep.fetch_add(1, Ordering::Relaxed) >= SWEEP {
            self.since_sweep.store(0, Ordering::Relaxed);
            self.limiter.retain_recent();
        }
        self.limiter.check_key(who).map_err(|refused| {
            let wait = refused.wait_time_from(self.clock.now());
            Error::TooMany { seconds: wait.as_secs() + 1 }
        })
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn limiter(clock: &FakeRelativeClock) -> Limiter<FakeRelativeClock> {
        let rate = |burst| Rate { burst: NonZeroU32::new(burst).unwrap(), refill: Duration::from_mins(1) };
        Limiter::new(Rates { reads: rate(3), writes: rate(1) }, clock)
    }

    #[test]
    fn whoever_asks_too_much_waits_and_recovers() {
        let clock = FakeRelativeClock::default();
        let limiter = limiter(&clock);
        let (ada, eve) = (Who::User(UserId::new("ada").unwrap()), Who::User(UserId::new("eve").unwrap()));
        for _ in 0..3 {
            limiter.check(&ada, true).unwrap();
        }
        let Err(Error::TooMany { seconds }) = limiter.check(&ada, true) else { panic!("one too many") };
        assert!((60..=61).contains(&seconds), "{seconds}");
        limiter.check(&eve, true).unwrap();
        limiter.check(&ada, false).unwrap();
        limiter.check(&ada, false).unwrap_err();
        clock.advance(Duration::from_secs(seconds));
        limiter.check(&ada, true).unwrap();
        limiter.check(&ada, true).unwrap_err();
    }

    #[test]
    fn whoever_has_been_quiet_is_forgotten() {
        let clock = FakeRelativeClock::default();
        let limiter = limiter(&clock);
        for number in 0..10 * SWEEP {
            limiter.check(&Who::User(UserId::new(format!("p{number}")).unwrap()), true).unwrap();
            clock.advance(Duration::from_secs(1));
        }
        assert!(limiter.reads.limiter.len() < 2 * SWEEP as usize, "{}", limiter.reads.limiter.len());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let who = |text: &str| Who::address(Some(text.parse().unwrap()));
        assert_eq!(who("2001:db8::1"), who("2001:db8::ffff:1"));
        assert_ne!(who("2001:db8::1"), who("2001:db8:0:1::1"));
        assert_eq!(who("::ffff:192.0.2.1"), who("192.0.2.1"));
        assert_ne!(who("192.0.2.1"), who("192.0.2.2"));
    }
}
