//! When a loop looks for jobs, where, and for how many.

use std::time::Duration;

use chrono::DateTime;
use tokio::time::Instant;

use super::flight::Hunt;
use crate::{Claimed, Since};

/// A search of the whole queue takes at most this share of the time.
const FULL_SHARE: u32 = 20;
/// The longest time between two searches of the whole queue while there is work.
const MAX_PARTIAL: Duration = Duration::from_secs(10);
/// For how long ahead jobs are claimed, at the rate at which they are finished.
const AHEAD: Duration = Duration::from_millis(20);
/// And no more than so many.
const MAX_AHEAD: f64 = 1000.0;
/// The rate is measured over at least this time.
const WINDOW: Duration = Duration::from_millis(2);

/// Whether there may be due jobs, and where.
///
/// What finished jobs leave behind in the database lies before the jobs that are due, and piles up while a long transaction keeps
/// it from being cleaned away. So a search begins where the last one found its first job, and the whole queue is searched only as
/// often as the time that takes allows: for jobs that were due earlier and committed later.
pub(super) struct Hunger {
    is_hungry: bool,
    since: Since,
    full_at: Instant,
    is_thorough: bool,
    window_at: Instant,
    finished: usize,
    /// Jobs to claim beyond the free slots.
    ahead: usize,
}

impl Hunger {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            is_hungry: true,
            since: [DateTime::UNIX_EPOCH; 10],
            full_at: now,
            is_thorough: false,
            window_at: now,
            finished: 0,
            ahead: 0,
        }
    }

    /// Searches the whole queue every time.
    pub(super) fn looks_everywhere(&mut self) {
        self.is_thorough = true;
    }

    pub(super) fn is_hungry(&self) -> bool {
        self.is_hungry
    }

    /// There may be due jobs: a poll is due, somebody called, or something was given back.
    pub(super) fn rouse(&mut self) {
        self.is_hungry = true;
    }

    pub(super) fn ahead(&self) -> usize {
        self.ahead
    }

    /// Goes hunting, and says where.
    pub(super) fn hunt(&mut self, now: Instant) -> Option<Since> {
        self.is_hungry = false;
        (!self.is_thorough && now < self.full_at).then_some(self.since)
    }

    /// Learns from a hunt; says when to look again if that was not everywhere.
    pub(super) fn landed(&mut self, hunt: &Hunt, claimed: &[Claimed], took: Duration) -> Option<Instant> {
        if hunt.since.is_none() {
            self.full_at = Instant::now() + took.saturating_mul(FULL_SHARE).min(MAX_PARTIAL);
        }
        let mut seen = [false; 10];
        for job in claimed {
            let level = usize::from(job.priority.min(9));
            if !std::mem::replace(&mut seen[level], true) {
                self.since[level] = job.run_at;
            }
        }
        // A full bag may have left jobs behind: the next free slot looks again at once.
        self.is_hungry |= claimed.len() >= hunt.limit;
        (claimed.len() < hunt.limit && hunt.since.is_some()).then_some(self.full_at)
    }

    /// Counts finished jobs, for what to claim ahead.
    pub(super) fn finished(&mut self, jobs: usize, now: Instant) {
        self.finished += jobs;
        let elapsed = now.saturating_duration_since(self.window_at);
        if elapsed < WINDOW {
            return;
        }
        let expected =
            f64::from(u32::try_from(self.finished).unwrap_or(u32::MAX)) * (AHEAD.as_secs_f64() / elapsed.as_secs_f64());
        // From 0 to a thousand.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let ahead = expected.min(MAX_AHEAD) as usize;
        self.ahead = ahead;
        self.finished = 0;
        self.window_at = now;
    }
}
