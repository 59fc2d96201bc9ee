//! The loop that serves one queue.
//!
//! One task does all the database work of its queue, in turns: renew, rescue, report and claim, in one transaction. Handlers
//! run in tasks of their own and hand back what became of them. Between two turns no connection is held.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::Instrument;

use crate::handler::{Verdict, storable};
use crate::runner::{Registry, Settings};
use crate::{
    Claim, ClaimRequest, Claimed, Context, DeadReason, Error, Failure, Jobs, Kind, Outcome, Queue, Report, Reported,
    Result, Runner, Source, State, Store, Tally, Token,
};

/// How many jobs one turn rescues.
const RESCUE_LIMIT: u32 = 1000;
/// How long aborted handlers have to notice.
const ABORT_TIME: Duration = Duration::from_secs(1);
/// How often the last reports are tried before it is left to the leases.
const LAST_TRIES: u32 = 3;
/// The longest pause after the database failed.
const MAX_PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct Worker<S, P, T> {
    jobs: Jobs<S>,
    source: P,
    state: Arc<T>,
    registry: Arc<Registry<T>>,
    settings: Settings,
    queue: Queue,
    slots: usize,
    kinds: Vec<Kind>,
    wake: watch::Receiver<()>,
    handlers: JoinSet<Result<(), Failure>>,
    running: HashMap<Id, Running>,
    reports: Vec<Report>,
    /// There may be due jobs: a poll is due, somebody called, or the last claim filled every slot.
    is_hungry: bool,
    poll_at: Instant,
    beat_at: Instant,
    /// No turn before: the database failed.
    resume_at: Instant,
    tally: Tally,
}

struct Running {
    claim: Claim,
    attempt: u16,
    cancel: watch::Sender<bool>,
}

impl<S, P, T> Worker<S, P, T>
where
    S: Store + Clone,
    P: Source<Connection = S::Connection>,
    T: Send + Sync + 'static,
{
    pub(crate) fn new(runner: &Runner<S, P, T>, queue: Queue, slots: u32) -> Self {
        let now = Instant::now();
        Self {
            jobs: runner.jobs.clone(),
            source: runner.source.clone(),
            state: runner.state.clone(),
            registry: runner.registry.clone(),
            settings: runner.settings,
            queue,
            slots: slots as usize,
            kinds: runner.registry.keys().cloned().collect(),
            wake: runner.jobs.wake.subscribe(),
            handlers: JoinSet::new(),
            running: HashMap::new(),
            reports: Vec::new(),
            is_hungry: true,
            poll_at: now,
            // The first turn rescues what a former process left behind.
            beat_at: now,
            resume_at: now,
            tally: Tally::default(),
        }
    }

    /// Serves the queue until the flag is raised, then stops gracefully.
    pub(crate) async fn run(mut self, mut stopping: watch::Receiver<bool>) -> Tally {
        loop {
            if let Err(error) = self.turn().await {
                self.hold_off(&error);
            }
            tokio::select! {
                // An error means that nobody can raise the flag any more: the runner was dropped.
                _ = stopping.wait_for(|stopping| *stopping) => break,
                () = self.rest() => {}
            }
        }
        self.stop().await;
        self.tally
    }

    /// Runs what is due and what that makes due at once.
    pub(crate) async fn drain(mut self) -> Result<Tally> {
        loop {
            self.turn().await?;
            if self.handlers.is_empty() && self.reports.is_empty() && !self.is_hungry {
                return Ok(self.tally);
            }
            self.rest().await;
        }
    }

    /// Does what is due in the database, in one transaction.
    async fn turn(&mut self) -> Result<()> {
        let now = Instant::now();
        if now >= self.poll_at {
            self.is_hungry = true;
            self.poll_at = now + self.settings.poll_interval;
        }
        self.is_hungry |= self.reports.iter().any(is_due_at_once);
        let beats = now >= self.beat_at;
        if now < self.resume_at || !(beats || self.is_urgent()) {
            return Ok(());
        }

        let store = &self.jobs.store;
        let (mut lost, mut reported, mut claimed) = (Vec::new(), Vec::new(), Vec::new());
        let mut tx = self.source.begin().await?;
        if beats {
            if !self.running.is_empty() {
                let claims: Vec<Claim> = self.running.values().map(|running| running.claim).collect();
                lost = store.renew(&mut tx, &claims, self.settings.lease).await?;
            }
            let rescued = store.rescue(&mut tx, RESCUE_LIMIT).await?;
            self.is_hungry |= rescued.failed > 0;
        }
        if !self.reports.is_empty() {
            reported = store.report(&mut tx, &self.reports).await?;
        }
        let free = self.free();
        let claims = self.is_hungry && free > 0;
        if claims {
            let request = ClaimRequest {
                queue: &self.queue,
                kinds: &self.kinds,
                limit: u32::try_from(free).unwrap_or(u32::MAX),
                lease: self.settings.lease,
                token: Token::random(),
            };
            claimed = store.claim(&mut tx, &request).await?;
        }
        self.source.commit(tx).await?;

        // Only what was committed is believed: after an error above the reports are still there, to be sent again.
        if beats {
            self.beat_at = now + self.settings.lease / 3;
        }
        self.cancel(&lost);
        self.settle(&reported);
        if claims {
            // A full claim may have left jobs behind: the next free slot looks again at once.
            self.is_hungry = claimed.len() >= free;
        }
        for job in claimed {
            self.start(job);
        }
        Ok(())
    }

    /// Waits until there is something to do.
    async fn rest(&mut self) {
        let until = if self.is_urgent() { self.resume_at } else { self.resume_at.max(self.poll_at.min(self.beat_at)) };
        tokio::select! {
            Some(ended) = self.handlers.join_next_with_id() => {
                self.ended(ended);
                while let Some(ended) = self.handlers.try_join_next_with_id() {
                    self.ended(ended);
                }
            }
            Ok(()) = self.wake.changed() => self.is_hungry = true,
            () = sleep_until(until) => {}
        }
    }

    async fn stop(&mut self) {
        self.slots = 0;
        for running in self.running.values() {
            running.cancel.send_replace(true);
        }
        let deadline = Instant::now() + self.settings.grace;
        while !self.handlers.is_empty() && Instant::now() < deadline {
            if let Err(error) = self.turn().await {
                self.hold_off(&error);
            }
            // Whether something happened or the time is up: the loop's condition tells.
            let _ = timeout_at(deadline, self.rest()).await;
        }
        self.handlers.abort_all();
        let deadline = Instant::now() + ABORT_TIME;
        while let Ok(Some(ended)) = timeout_at(deadline, self.handlers.join_next_with_id()).await {
            self.ended(ended);
        }
        // What blocks its thread cannot be aborted. It is given back all the same: this process is about to end.
        let stuck = self.running.drain().map(|(_, running)| Report { claim: running.claim, outcome: RELEASED });
        self.reports.extend(stuck);
        for _ in 0..LAST_TRIES {
            sleep_until(self.resume_at).await;
            match self.turn().await {
                Ok(()) => return,
                Err(error) => self.hold_off(&error),
            }
        }
    }

    fn free(&self) -> usize {
        self.slots.saturating_sub(self.handlers.len())
    }

    fn is_urgent(&self) -> bool {
        !self.reports.is_empty() || self.is_hungry && self.free() > 0
    }

    fn start(&mut self, job: Claimed) {
        let Some(run) = self.registry.get(&job.kind) else {
            // The store was asked for known kinds only; what it should not have given goes back.
            self.reports.push(Report { claim: job.claim, outcome: RELEASED });
            return;
        };
        let (cancel, cancelled) = watch::channel(false);
        let span = tracing::info_span!("jobs.run", job = %job.claim.id, kind = %job.kind, attempt = job.attempt);
        let cx = Context {
            claim: job.claim,
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            state: self.state.clone(),
            cancelled,
        };
        let handler = self.handlers.spawn(run(job.payload, cx).instrument(span));
        self.running.insert(handler.id(), Running { claim: job.claim, attempt: job.attempt, cancel });
    }

    fn ended(&mut self, ended: Result<(Id, Result<(), Failure>), JoinError>) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some(running) = self.running.remove(&id) else { return };
        let outcome = match ended {
            Ok((_, Ok(()))) => Outcome::Succeeded,
            Ok((_, Err(failure))) => self.failed(&failure, running.attempt),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => self.failed(&Failure::retry(panic_text(panic.as_ref())), running.attempt),
                // Only `stop` aborts handlers.
                Err(_) => RELEASED,
            },
        };
        self.reports.push(Report { claim: running.claim, outcome });
    }

    fn failed(&self, failure: &Failure, attempt: u16) -> Outcome {
        let backoff = || self.settings.backoff.delay(attempt);
        let (retry, reason) = match failure.verdict {
            Verdict::Retry => (Some(backoff()), DeadReason::Exhausted),
            Verdict::RetryAfter(delay) => (Some(delay), DeadReason::Exhausted),
            Verdict::Undecodable => (Some(backoff()), DeadReason::Undecodable),
            Verdict::Fatal => (None, DeadReason::Fatal),
            Verdict::Release => return RELEASED,
        };
        Outcome::Failed { error: failure.text(), retry, reason }
    }

    fn cancel(&self, lost: &[Claim]) {
        for running in self.running.values().filter(|running| lost.contains(&running.claim)) {
            tracing::warn!(job = %running.claim.id, "lost the claim of a running job");
            running.cancel.send_replace(true);
        }
    }

    /// Counts and logs what became of the reports, and looks again in time for the next retry.
    fn settle(&mut self, reported: &[Reported]) {
        for (Report { claim, outcome }, reported) in self.reports.drain(..).zip(reported) {
            match (reported, outcome) {
                (Reported::Fenced, _) => {
                    tracing::warn!(job = %claim.id, "discarded the outcome of a job whose claim was lost");
                    self.tally.fenced += 1;
                }
                (Reported::Now(State::Dead), Outcome::Failed { error, reason, .. }) => {
                    tracing::error!(job = %claim.id, error, %reason, "gave a job up");
                    self.tally.dead += 1;
                }
                (Reported::Now(_), Outcome::Failed { error, retry, .. }) => {
                    tracing::warn!(job = %claim.id, error, ?retry, "a job failed");
                    self.tally.failed += 1;
                    let soon = retry.and_then(|retry| Instant::now().checked_add(retry));
                    self.poll_at = soon.map_or(self.poll_at, |soon| soon.min(self.poll_at));
                }
                (Reported::Now(_), Outcome::Released { .. }) => self.tally.released += 1,
                (Reported::Now(_), Outcome::Succeeded) => self.tally.succeeded += 1,
            }
        }
    }

    fn hold_off(&mut self, error: &Error) {
        tracing::warn!(queue = %self.queue, error = error as &dyn std::error::Error, "the job store failed; trying again");
        self.resume_at = Instant::now() + self.settings.poll_interval.min(MAX_PAUSE);
    }
}

const RELEASED: Outcome = Outcome::Released { delay: Duration::ZERO };

fn is_due_at_once(report: &Report) -> bool {
    // A released job waits for the next poll: a handler that always gives back must not spin.
    matches!(report.outcome, Outcome::Failed { retry: Some(Duration::ZERO), .. })
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let message = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    storable(format!("panicked: {}", message.unwrap_or("no message")))
}
