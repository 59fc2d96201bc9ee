//! The loop that serves one queue.
//!
//! One task does all the database work of its queue, in turns: renew, report, rescue and claim, in one transaction. The order
//! matters: what waits for locks comes before what skips them, and nobody rescues a job whose outcome is in its own hands.
//! Handlers run in tasks of their own and hand back what became of them. Between two turns no connection is held.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tracing::Instrument;

use crate::handler::{Failed, Verdict, storable};
use crate::runner::{Registry, Settings};
use crate::{
    Claim, ClaimRequest, Claimed, Context, DeadReason, Error, Jobs, Kind, Outcome, Queue, Report, Reported, Rescued,
    Result, Runner, Source, State, Store, Tally, Token,
};

/// How many jobs one turn rescues.
const RESCUE_LIMIT: u32 = 1000;
/// How long aborted handlers have to notice, and a turn to end after the grace period.
const ABORT_TIME: Duration = Duration::from_secs(1);
/// How often the last reports are tried before it is left to the leases.
const LAST_TRIES: u32 = 3;
/// How long each of these tries may take.
const LAST_TRY_TIME: Duration = Duration::from_secs(2);
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
    handlers: JoinSet<Result<(), Failed>>,
    running: HashMap<Id, Running>,
    reports: Vec<Report>,
    /// There may be due jobs: a poll is due, somebody called, or the last claim filled every slot.
    is_hungry: bool,
    poll_at: Instant,
    beat_at: Instant,
    /// A beat after this moment does not rescue: whatever held it up may have held up the loops of other queues too, and they
    /// shall renew first. `None`: no beat was missed, for there was none before.
    rescue_by: Option<Instant>,
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
            rescue_by: None,
            resume_at: now,
            tally: Tally::default(),
        }
    }

    /// Serves the queue until there is a deadline, then stops gracefully.
    pub(crate) async fn run(mut self, mut stopping: watch::Receiver<Option<Instant>>) -> Tally {
        let deadline = loop {
            tokio::select! {
                turned = self.turn() => {
                    if let Err(error) = turned {
                        self.hold_off(&error);
                    }
                }
                // A turn that was claiming jobs had better end, but its connection may be dead without saying so.
                () = overdue(stopping.clone()) => {}
            }
            tokio::select! {
                biased;
                deadline = deadline(&mut stopping) => break deadline,
                () = self.rest() => {}
            }
        };
        self.stop(deadline).await;
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
        let mut rescued = Rescued::default();
        let mut tx = self.source.begin().await?;
        if beats && !self.running.is_empty() {
            let claims: Vec<Claim> = self.running.values().map(|running| running.claim).collect();
            lost = store.renew(&mut tx, &claims, self.settings.lease).await?;
        }
        if !self.reports.is_empty() {
            reported = store.report(&mut tx, &self.reports).await?;
        }
        if beats && self.rescue_by.is_none_or(|by| Instant::now() <= by) {
            rescued = store.rescue(&mut tx, RESCUE_LIMIT).await?;
            self.is_hungry |= rescued.failed > 0;
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
            self.rescue_by = Some(self.beat_at + self.settings.lease / 3);
        }
        if rescued != Rescued::default() {
            tracing::warn!(failed = rescued.failed, dead = rescued.dead, "took jobs from workers that were lost");
            self.tally.dead += u64::from(rescued.dead);
        }
        self.cancel(lost);
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

    async fn stop(&mut self, deadline: Instant) {
        self.slots = 0;
        for running in self.running.values() {
            running.cancel.send_replace(true);
        }
        // Whether something happened or the time is up: the loop's condition tells. A turn that is cut off here claims nothing.
        while !self.handlers.is_empty() && Instant::now() < deadline {
            if let Ok(Err(error)) = timeout_at(deadline, self.turn()).await {
                self.hold_off(&error);
            }
            let _ = timeout_at(deadline, self.rest()).await;
        }
        self.handlers.abort_all();
        let deadline = Instant::now() + ABORT_TIME;
        while let Ok(Some(ended)) = timeout_at(deadline, self.handlers.join_next_with_id()).await {
            self.ended(ended);
        }
        for running in self.running.values() {
            // Given back, it would run twice at once: nobody knows when it ends, but it does so with this process.
            tracing::warn!(job = %running.claim.id, "a handler blocks its thread: left to its lease");
        }
        for _ in 0..LAST_TRIES {
            if self.reports.is_empty() {
                return;
            }
            sleep_until(self.resume_at).await;
            if let Ok(Err(error)) = timeout(LAST_TRY_TIME, self.turn()).await {
                self.hold_off(&error);
            }
        }
        if !self.reports.is_empty() {
            tracing::warn!(queue = %self.queue, jobs = self.reports.len(), "could not report: left to the leases");
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
            self.reports.push(Report { claim: job.claim, outcome: self.released() });
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

    fn ended(&mut self, ended: Result<(Id, Result<(), Failed>), JoinError>) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some(running) = self.running.remove(&id) else { return };
        let outcome = match ended {
            Ok((_, Ok(()))) => Outcome::Succeeded,
            Ok((_, Err(failed))) => self.failed(failed, running.attempt),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => {
                    let error = panic_text(panic.as_ref());
                    self.failed(Failed { verdict: Verdict::Retry, error }, running.attempt)
                }
                // Only `stop` aborts handlers.
                Err(_) => self.released(),
            },
        };
        self.reports.push(Report { claim: running.claim, outcome });
    }

    fn failed(&self, Failed { verdict, error }: Failed, attempt: u16) -> Outcome {
        let backoff = || self.settings.backoff.delay(attempt);
        let (retry, reason) = match verdict {
            Verdict::Retry => (Some(backoff()), DeadReason::Exhausted),
            Verdict::RetryAfter(delay) => (Some(delay), DeadReason::Exhausted),
            Verdict::Undecodable => (Some(backoff()), DeadReason::Undecodable),
            Verdict::Fatal => (None, DeadReason::Fatal),
            Verdict::Release => return self.released(),
        };
        Outcome::Failed { error, retry, reason }
    }

    /// What is given back by a runner that goes on waits for its next poll, or it would come back at once and spin; what is given
    /// back by one that stops is for others to take.
    fn released(&self) -> Outcome {
        let is_stopping = self.slots == 0;
        Outcome::Released { delay: if is_stopping { Duration::ZERO } else { self.settings.poll_interval } }
    }

    fn cancel(&self, lost: Vec<Claim>) {
        let lost: HashSet<Claim> = lost.into_iter().collect();
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
                    // What is due at once was looked for in the same turn.
                    let later = retry.filter(|retry| !retry.is_zero());
                    let soon = later.and_then(|retry| Instant::now().checked_add(retry));
                    self.poll_at = soon.map_or(self.poll_at, |soon| soon.min(self.poll_at));
                }
                (Reported::Now(_), Outcome::Released { .. }) => self.tally.released += 1,
                (Reported::Now(_), Outcome::Succeeded) => self.tally.succeeded += 1,
            }
        }
    }

    fn hold_off(&mut self, error: &Error) {
        tracing::warn!(queue = %self.queue, error = error as &dyn std::error::Error, "the job store failed; trying again");
        let now = Instant::now();
        self.resume_at = now + self.settings.poll_interval.min(MAX_PAUSE);
        self.rescue_by = Some(now);
    }
}

/// Waits for the runner to say until when work may go on.
async fn deadline(stopping: &mut watch::Receiver<Option<Instant>>) -> Instant {
    let told = stopping.wait_for(Option::is_some).await.ok().and_then(|deadline| *deadline);
    // Nobody can say it any more: the runner was dropped.
    told.unwrap_or_else(Instant::now)
}

/// Waits until a turn has taken too long for a runner that stops.
async fn overdue(mut stopping: watch::Receiver<Option<Instant>>) {
    sleep_until(deadline(&mut stopping).await + ABORT_TIME).await;
}

fn is_due_at_once(report: &Report) -> bool {
    matches!(report.outcome, Outcome::Failed { retry: Some(Duration::ZERO), .. })
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let message = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    storable(&format!("panicked: {}", message.unwrap_or("no message")))
}
