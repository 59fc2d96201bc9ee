//! Counters and histograms, for whoever installs a recorder of the `metrics` facade before the runner starts.

use std::collections::HashMap;
use std::time::Duration;

use chrono::TimeDelta;
use metrics::{Counter, Histogram, counter, histogram};
use tokio::time::Instant;

use crate::{Kind, Queue, Rescued, Tally};

/// Counts jobs as they are stored; should their transaction roll back, they have been counted nevertheless.
pub(crate) fn enqueued(queue: &'static str, kind: &'static str, jobs: usize) {
    counter!("stoa_jobs_enqueued_total", "queue" => queue, "kind" => kind).increment(jobs as u64);
}

/// The instruments of one worker, made once: to look one up takes as long as a short job.
pub(crate) struct Meter {
    told: Tally,
    succeeded: Counter,
    failed: Counter,
    dead: Counter,
    released: Counter,
    cancelled: Counter,
    fenced: Counter,
    crashed: Counter,
    turns: Histogram,
    times: HashMap<Kind, Times>,
}

/// How long the attempts of one kind took, and how long they were waited for.
struct Times {
    attempts: Histogram,
    waits: Histogram,
}

impl Meter {
    pub(crate) fn new<'a>(queue: &Queue, kinds: impl Iterator<Item = &'a Kind>) -> Self {
        let queue = || queue.as_str().to_owned();
        let ended = |outcome| counter!("stoa_jobs_ended_total", "queue" => queue(), "outcome" => outcome);
        let of_kind = |name, kind: &Kind| histogram!(name, "queue" => queue(), "kind" => kind.as_str().to_owned());
        let times = |kind| Times {
            attempts: of_kind("stoa_jobs_attempt_seconds", kind),
            waits: of_kind("stoa_jobs_wait_seconds", kind),
        };
        Self {
            told: Tally::default(),
            succeeded: ended("succeeded"),
            failed: ended("failed"),
            dead: ended("dead"),
            released: ended("released"),
            cancelled: ended("cancelled"),
            fenced: ended("fenced"),
            crashed: counter!("stoa_jobs_crashed_total", "queue" => queue()),
            turns: histogram!("stoa_jobs_turn_seconds", "queue" => queue()),
            times: kinds.map(|kind| (kind.clone(), times(kind))).collect(),
        }
    }

    /// Tells what has been added to the tally since.
    pub(crate) fn tell(&mut self, tally: Tally) {
        let told = std::mem::replace(&mut self.told, tally);
        self.succeeded.increment(tally.succeeded - told.succeeded);
        self.failed.increment(tally.failed - told.failed);
        self.dead.increment(tally.dead - told.dead);
        self.released.increment(tally.released - told.released);
        self.cancelled.increment(tally.cancelled - told.cancelled);
        self.fenced.increment(tally.fenced - told.fenced);
    }

    pub(crate) fn rescued(&self, rescued: Rescued) {
        self.crashed.increment(u64::from(rescued.failed) + u64::from(rescued.dead));
    }

    pub(crate) fn turned(&self, took: Duration) {
        self.turns.record(took);
    }

    /// From when a job was due to its claim, both by the database's clock.
    pub(crate) fn waited(&self, kind: &Kind, time: TimeDelta) {
        if let Some(times) = self.times.get(kind) {
            times.waits.record(time.to_std().unwrap_or_default());
        }
    }

    /// Begins to time an attempt.
    pub(crate) fn attempt(&self, kind: &Kind) -> Stopwatch {
        let attempts = self.times.get(kind).map_or_else(Histogram::noop, |times| times.attempts.clone());
        Stopwatch { began: Instant::now(), attempts }
    }
}

/// Times one attempt.
pub(crate) struct Stopwatch {
    began: Instant,
    attempts: Histogram,
}

impl Stopwatch {
    pub(crate) fn stop(&self) {
        self.attempts.record(self.began.elapsed());
    }
}
