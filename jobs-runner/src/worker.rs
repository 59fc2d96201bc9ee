//! The loop that serves one queue.
//!
//! One task decides, in turns that fly beside it, what happens in the database: beat, report, rescue and claim. Handlers run in
//! tasks of their own and hand back what became of them. Between two turns no connection is held.

mod flight;
mod hunger;

use std::any::Any;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tracing::Instrument;

use self::flight::{Beat, Ground, Hunt, Landing, Plan, fly};
use self::hunger::Hunger;
use crate::handler::{Failed, Verdict, storable};
use crate::meter::{Meter, Stopwatch};
use crate::runner::{Attempt, Registry, Settings};
use crate::{
    Cancellation, Claim, Claimed, Context, DeadReason, Error, Jobs, Orphans, Outcome, Queue, Report, Reported, Rescued,
    Result, Runner, Signal, Source, State, Store, Tally, Token, WorkerId,
};

/// How often a worker asks whether its claims still hold and whether anybody wants one of its jobs cancelled.
const WATCH_INTERVAL: Duration = Duration::from_millis(400);
/// With so many reports waiting a second turn takes off before the first has landed.
const FULL_LOAD: usize = 200;
/// How often a worker looks for running jobs of workers that nobody knows; the first time when it starts.
const ORPHAN_INTERVAL: Duration = Duration::from_hours(1);
/// How long aborted handlers have to notice, and a turn to end after the grace period.
const ABORT_TIME: Duration = Duration::from_secs(1);
/// How often the last reports are tried before it is left to the leases.
const LAST_TRIES: u32 = 3;
/// How long each of these tries may take.
const LAST_TRY_TIME: Duration = Duration::from_secs(2);
/// The longest pause after the database failed.
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// The pause after it was only busy: SQLite has one writer at a time.
const BUSY_PAUSE: Duration = Duration::from_millis(10);
/// The first pause between polls after there was work is this part of the poll interval.
const EAGER_PART: u32 = 64;

pub(crate) struct Worker<S, P, T> {
    ground: Arc<Ground<S, P>>,
    state: Arc<T>,
    registry: Arc<Registry<T>>,
    settings: Settings,
    slots: usize,
    wake: watch::Receiver<()>,
    handlers: JoinSet<Result<(), Failed>>,
    running: HashMap<Id, Running>,
    /// Claimed ahead of a free slot, and not begun.
    backlog: VecDeque<Claimed>,
    reports: Vec<Report>,
    turns: JoinSet<Result<Landing>>,
    flights: HashMap<Id, Plan>,
    hunger: Hunger,
    /// As [`Plan::frees_others`], of the reports.
    frees_others: bool,
    poll_at: Instant,
    /// From one poll to the next: short after there was work, twice as long after every time there was none.
    poll_pause: Duration,
    beat_at: Instant,
    watch_at: Instant,
    orphans_at: Instant,
    /// `None`: no beat was missed, for there was none before.
    rescue_by: Option<Instant>,
    /// Claims whose answers never came: given back with every beat, and for so long after the first that the database heard, for
    /// their statements may end late.
    lost_claims: Vec<(Token, Option<Instant>)>,
    /// No turn before: the database failed.
    resume_at: Instant,
    /// Claims that ended in a transaction of their handler's, before they are reported.
    completed: HashSet<Claim>,
    tally: Tally,
    meter: Meter,
}

struct Running {
    claim: Claim,
    attempt: u16,
    is_awaited: bool,
    backoff: Option<crate::Backoff>,
    cancel: watch::Sender<Option<Cancellation>>,
    progress: watch::Receiver<Option<String>>,
    is_completed: Arc<AtomicBool>,
    stopwatch: Stopwatch,
}

impl<S, P, T> Worker<S, P, T>
where
    S: Store + Clone,
    P: Source<Connection = S::Connection>,
    T: Send + Sync + 'static,
{
    pub(crate) fn new(runner: &Runner<S, P, T>, queue: Queue, slots: u32) -> Self {
        let now = Instant::now();
        let jobs: &Jobs<S> = &runner.jobs;
        let meter = Meter::new(&queue, runner.registry.keys());
        let ground = Ground {
            store: jobs.store.clone(),
            source: runner.source.clone(),
            queue,
            kinds: runner.registry.keys().cloned().collect(),
            worker: WorkerId::random(),
            lease: runner.settings.lease,
        };
        Self {
            ground: Arc::new(ground),
            state: runner.state.clone(),
            registry: runner.registry.clone(),
            settings: runner.settings,
            slots: slots as usize,
            wake: jobs.wake.called.subscribe(),
            handlers: JoinSet::new(),
            running: HashMap::new(),
            backlog: VecDeque::new(),
            reports: Vec::new(),
            turns: JoinSet::new(),
            flights: HashMap::new(),
            hunger: Hunger::new(now),
            frees_others: false,
            poll_at: now,
            poll_pause: runner.settings.poll_interval,
            // The first turn rescues what a former process left behind.
            beat_at: now,
            watch_at: now,
            orphans_at: now,
            rescue_by: None,
            lost_claims: Vec::new(),
            resume_at: now,
            completed: HashSet::new(),
            tally: Tally::default(),
            meter,
        }
    }

    /// Serves the queue until there is a deadline, then stops gracefully.
    pub(crate) async fn run(mut self, mut stopping: watch::Receiver<Option<Instant>>) -> Tally {
        let deadline = loop {
            self.take_off();
            tokio::select! {
                biased;
                deadline = deadline(&mut stopping) => break deadline,
                rested = self.rest() => {
                    if let Err(error) = rested {
                        self.hold_off(&error);
                    }
                }
            }
        };
        self.stop(deadline).await;
        self.tally
    }

    /// Runs what is due and what that makes due at once.
    pub(crate) async fn drain(mut self) -> Result<Tally> {
        self.hunger.looks_everywhere();
        loop {
            self.take_off();
            if self.is_idle() && !self.hunger.is_hungry() {
                self.retire().await;
                return Ok(self.tally);
            }
            match self.rest().await {
                Err(error) if error.is_retryable() => self.hold_off(&error),
                rested => rested?,
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.handlers.is_empty() && self.reports.is_empty() && self.backlog.is_empty() && self.turns.is_empty()
    }

    /// Starts what claimed jobs there are slots for, and sends off the turns that are due.
    fn take_off(&mut self) {
        while self.handlers.len() < self.slots
            && let Some(job) = self.backlog.pop_front()
        {
            self.start(job);
        }
        loop {
            let now = Instant::now();
            if now >= self.poll_at && self.slots > 0 {
                self.hunger.rouse();
                self.poll_at = now + self.poll_pause;
            }
            if now < self.resume_at || !self.has_lane() || !self.is_due(now) {
                return;
            }
            let plan = self.plan(now);
            let id = self.turns.spawn(fly(self.ground.clone(), plan.clone())).id();
            self.flights.insert(id, plan);
        }
    }

    fn has_lane(&self) -> bool {
        match self.flights.len() {
            0 => true,
            flying if flying < S::LANES => {
                self.reports.len() >= FULL_LOAD || self.backlog.is_empty() && self.hunt_size() >= FULL_LOAD
            }
            _ => false,
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.is_urgent() || now >= self.beat_at || !self.running.is_empty() && now >= self.watch_at
    }

    fn is_urgent(&self) -> bool {
        !self.reports.is_empty() || self.hunt_size() > 0
    }

    /// How many jobs a turn may claim now.
    fn hunt_size(&self) -> usize {
        if self.slots == 0 || !self.hunger.is_hungry() {
            return 0;
        }
        let flying: usize = self.flights.values().filter_map(|plan| plan.claim).map(|hunt| hunt.limit).sum();
        let held = self.handlers.len() + self.backlog.len() + flying;
        (self.slots + self.hunger.ahead()).saturating_sub(held)
    }

    fn plan(&mut self, now: Instant) -> Plan {
        let mut plan = Plan::default();
        let wanted = self.hunt_size();
        if wanted > 0 {
            let is_alone = self.running.is_empty() && self.flights.is_empty();
            let limit = wanted.min(((self.slots + self.hunger.ahead()) / S::LANES).max(FULL_LOAD));
            plan.claim =
                Some(Hunt { limit, token: Token::random(), since: self.hunger.hunt(now), looks_ahead: is_alone });
            // What this lane leaves the next one claims beside it, if that can take off at once. Otherwise a full bag is what
            // makes hungry: whoever stayed hungry after an empty one would never rest.
            let is_last = self.flights.len() + 1 >= S::LANES;
            if !is_last && self.backlog.is_empty() && wanted - limit >= FULL_LOAD {
                self.hunger.rouse();
            }
        }
        if now >= self.beat_at && self.flights.values().all(|plan| plan.beat.is_none()) {
            self.lost_claims.retain(|(_, until)| until.is_none_or(|until| now < until));
            plan.abandon = self.lost_claims.iter().map(|(token, _)| *token).collect();
            let orphans = if now >= self.orphans_at { Orphans::Include } else { Orphans::Skip };
            plan.beat = Some(Beat { rescue_by: self.rescue_by, orphans });
            self.beat_at = now + self.settings.lease / 3;
            self.rescue_by = Some(self.beat_at + self.settings.lease / 3);
        }
        if plan.beat.is_some() || now >= self.watch_at {
            self.watch_at = now + WATCH_INTERVAL;
            plan.watch = self.claims().collect();
            let changed = self.running.values_mut().filter(|running| running.progress.has_changed().unwrap_or(false));
            plan.notes = changed.filter_map(|running| Some((running.claim, running.note()?))).collect();
        }
        plan.reports = Arc::new(std::mem::take(&mut self.reports));
        plan.frees_others = std::mem::take(&mut self.frees_others);
        self.hunger.finished(plan.reports.len(), now);
        plan
    }

    fn claims(&self) -> impl Iterator<Item = Claim> {
        self.running.values().map(|running| running.claim).chain(self.backlog.iter().map(|job| job.claim))
    }

    /// Waits until there is something to do.
    async fn rest(&mut self) -> Result<()> {
        let timer = if self.has_lane() {
            let watch_at = if self.running.is_empty() { self.beat_at } else { self.watch_at };
            let poll_at = if self.slots > 0 { self.poll_at } else { self.beat_at };
            let due_at = if self.is_urgent() { self.resume_at } else { poll_at.min(self.beat_at).min(watch_at) };
            Some(self.resume_at.max(due_at))
        } else {
            None
        };
        tokio::select! {
            Some(ended) = self.handlers.join_next_with_id() => {
                self.ended(ended);
                while let Some(ended) = self.handlers.try_join_next_with_id() {
                    self.ended(ended);
                }
                Ok(())
            }
            Some(landed) = self.turns.join_next_with_id() => self.landed(landed),
            Ok(()) = self.wake.changed() => {
                self.hunger.rouse();
                Ok(())
            }
            () = async { sleep_until(timer.unwrap_or_else(Instant::now)).await }, if timer.is_some() => Ok(()),
        }
    }

    fn landed(&mut self, landed: Result<(Id, Result<Landing>), JoinError>) -> Result<()> {
        let (id, landing) = match landed {
            Ok((id, landing)) => (id, landing),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // Only `stop` aborts turns.
            Err(error) => (error.id(), Err(Error::Backend(error.into()))),
        };
        let Some(plan) = self.flights.remove(&id) else { return Ok(()) };
        let landing = match landing {
            Ok(landing) => landing,
            Err(error) => {
                self.crashed(plan);
                return Err(error);
            }
        };
        if plan.beat.is_some_and(|beat| beat.orphans == Orphans::Include) {
            self.orphans_at = Instant::now() + ORPHAN_INTERVAL;
        }
        let given_back_until = Instant::now() + self.settings.lease.saturating_mul(2);
        // Those that this beat gave back come first: others are added at the end, and only the next beat drops any.
        for (_, until) in self.lost_claims.iter_mut().take(plan.abandon.len()) {
            until.get_or_insert(given_back_until);
        }
        self.meter.turned(landing.took);
        let rescued = landing.rescued;
        if rescued != Rescued::default() {
            tracing::warn!(failed = rescued.failed, dead = rescued.dead, "took jobs from workers that were lost");
            self.tally.dead += u64::from(rescued.dead);
            self.tally.cancelled += u64::from(rescued.cancelled);
            self.meter.rescued(rescued);
        }
        if landing.expired > 0 {
            tracing::warn!(jobs = landing.expired, "gave up jobs that have expired");
            self.tally.dead += u64::from(landing.expired);
        }
        self.signal(&landing.signals);
        // The turn that reported it may have looked for work before.
        if rescued.failed > 0 || plan.frees_others {
            self.hunger.rouse();
        }
        self.settle(&plan.reports, &landing.turned.reported);
        if let Some(hunt) = plan.claim {
            let full_at = self.hunger.landed(&hunt, &landing.turned.claimed, landing.took);
            let due_at = landing.next_due.and_then(|due| Instant::now().checked_add(due));
            let eager_at = self.pace(landing.turned.claimed.is_empty());
            let opens_at = landing.turned.opens_in.and_then(|opens| Instant::now().checked_add(opens));
            for at in [full_at, due_at, eager_at, opens_at].into_iter().flatten() {
                self.poll_at = self.poll_at.min(at);
            }
        }
        self.backlog.extend(landing.turned.claimed);
        Ok(())
    }

    /// Where there was work there is often more; says when to look for it.
    fn pace(&mut self, found_nothing: bool) -> Option<Instant> {
        let longest = self.settings.poll_interval;
        let shortest = (longest / EAGER_PART).max(Duration::from_millis(1)).min(longest);
        self.poll_pause = if found_nothing { (self.poll_pause * 2).min(longest) } else { shortest };
        (!found_nothing).then(|| Instant::now() + shortest)
    }

    /// Only what was committed is believed: after an error everything is to be done again. A report that had arrived is answered
    /// with `Fenced` then and changes nothing.
    fn crashed(&mut self, plan: Plan) {
        let now = Instant::now();
        let later = std::mem::replace(&mut self.reports, Arc::unwrap_or_clone(plan.reports));
        self.reports.extend(later);
        self.frees_others |= plan.frees_others;
        if plan.beat.is_some() {
            self.beat_at = now;
        }
        if let Some(hunt) = plan.claim {
            self.hunger.rouse();
            self.lost_claims.push((hunt.token, None));
            // Whoever cannot say what was claimed gives it back, and at once.
            self.beat_at = now;
        }
    }

    async fn stop(&mut self, deadline: Instant) {
        self.slots = 0;
        self.give_backlog_back();
        for running in self.running.values() {
            running.cancel(Cancellation::Stopping);
        }
        // Whether something happened or the time is up: the loop's condition tells. No turn claims from here on, but one that
        // did before may land.
        while !self.handlers.is_empty() && Instant::now() < deadline {
            self.take_off();
            if let Ok(Err(error)) = timeout_at(deadline, self.rest()).await {
                self.hold_off(&error);
            }
            self.give_backlog_back();
        }
        self.handlers.abort_all();
        let aborted = Instant::now() + ABORT_TIME;
        while let Ok(Some(ended)) = timeout_at(aborted, self.handlers.join_next_with_id()).await {
            self.ended(ended);
        }
        for running in self.running.values() {
            // Given back, it would run twice at once: nobody knows when it ends, but it does so with this process.
            tracing::warn!(job = %running.claim.id, "a handler blocks its thread: left to its lease");
        }
        self.report_the_last(aborted).await;
    }

    fn give_backlog_back(&mut self) {
        while let Some(job) = self.backlog.pop_front() {
            self.report(job.claim, self.released(None));
        }
    }

    async fn report_the_last(&mut self, turns_end: Instant) {
        // A turn that was claiming jobs had better end, but its connection may be dead without saying so.
        while let Ok(Some(landed)) = timeout_at(turns_end, self.turns.join_next_with_id()).await {
            let _ = self.landed(landed); // its reports are tried again
        }
        let is_silent = !self.turns.is_empty();
        self.turns.shutdown().await;
        for (_, plan) in std::mem::take(&mut self.flights) {
            self.crashed(plan);
        }
        self.give_backlog_back();
        for _ in 0..LAST_TRIES {
            if self.reports.is_empty() && self.lost_claims.is_empty() {
                break;
            }
            sleep_until(self.resume_at).await;
            let beat = Beat { rescue_by: Some(self.resume_at), orphans: Orphans::Skip };
            let plan = Plan {
                reports: Arc::new(std::mem::take(&mut self.reports)),
                beat: (!self.lost_claims.is_empty()).then_some(beat),
                abandon: self.lost_claims.iter().map(|(token, _)| *token).collect(),
                ..Plan::default()
            };
            match timeout(LAST_TRY_TIME, fly(self.ground.clone(), plan.clone())).await {
                Ok(Ok(landing)) => {
                    self.settle(&plan.reports, &landing.turned.reported);
                    self.lost_claims.clear();
                }
                Ok(Err(error)) => {
                    self.crashed(plan);
                    self.hold_off(&error);
                }
                Err(_) => self.crashed(plan),
            }
        }
        if !self.reports.is_empty() {
            tracing::warn!(queue = %self.ground.queue, jobs = self.reports.len(), "could not report: left to the lease");
        } else if self.running.is_empty() && !is_silent {
            self.retire().await;
        }
    }

    /// Says goodbye: nobody needs to look for what this worker held.
    async fn retire(&self) {
        let goodbye = async {
            let mut tx = self.ground.source.begin().await?;
            self.ground.store.retire(&mut tx, self.ground.worker).await?;
            self.ground.source.commit(tx).await
        };
        // Unsaid, it is found out when the lease has ended.
        let _ = timeout(LAST_TRY_TIME, goodbye).await;
    }

    fn start(&mut self, job: Claimed) {
        let Some(handler) = self.registry.get(&job.kind) else {
            // The store was asked for known kinds only; what it should not have given goes back.
            self.report(job.claim, self.released(None));
            return;
        };
        self.meter.waited(&job.kind, job.claimed_at.signed_duration_since(job.run_at));
        let (cancel, cancelled) = watch::channel(None);
        let (note, progress) = watch::channel(None);
        let is_completed = Arc::new(AtomicBool::new(false));
        let trace = job.trace.as_deref();
        let span = tracing::info_span!("jobs.run", job = %job.claim.id, kind = %job.kind, attempt = job.attempt, trace);
        if let Some(trace) = trace {
            (self.settings.link)(&span, trace);
        }
        let cx = Context {
            claim: job.claim,
            worker: self.ground.worker,
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            trace: job.trace,
            state: self.state.clone(),
            deadline: job.timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
            cancelled: cancelled.clone(),
            progress: note,
            is_completed: is_completed.clone(),
        };
        let attempt = Attempt { timeout: job.timeout, grace: self.settings.grace, cancelled };
        let task = self.handlers.spawn((handler.run)(job.payload, cx, attempt).instrument(span));
        let running = Running {
            claim: job.claim,
            attempt: job.attempt,
            is_awaited: job.is_awaited,
            backoff: handler.backoff,
            cancel,
            progress,
            is_completed,
            stopwatch: self.meter.attempt(&job.kind),
        };
        self.running.insert(task.id(), running);
    }

    fn ended(&mut self, ended: Result<(Id, Result<(), Failed>), JoinError>) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some(running) = self.running.remove(&id) else { return };
        running.stopwatch.stop();
        let outcome = match ended {
            Ok((_, Ok(()))) => {
                if running.is_completed.load(Ordering::Acquire) {
                    // Done already, with the handler's transaction; should that have failed, this does it.
                    self.completed.insert(running.claim);
                }
                Outcome::Succeeded
            }
            Ok((_, Err(failed))) => self.failed(failed, &running),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => {
                    let error = panic_text(panic.as_ref());
                    self.failed(Failed { verdict: Verdict::Retry, error }, &running)
                }
                // Only `stop` aborts handlers.
                Err(_) => self.released(None),
            },
        };
        self.frees_others |= running.is_awaited;
        self.report(running.claim, outcome);
    }

    fn report(&mut self, claim: Claim, outcome: Outcome) {
        self.reports.push(Report { claim, outcome });
    }

    fn failed(&self, Failed { verdict, error }: Failed, running: &Running) -> Outcome {
        let backoff = || running.backoff.unwrap_or(self.settings.backoff).delay(running.attempt);
        let (retry, reason) = match verdict {
            Verdict::Retry => (Some(backoff()), DeadReason::Exhausted),
            Verdict::RetryAfter(delay) => (Some(delay), DeadReason::Exhausted),
            Verdict::Undecodable => (Some(backoff()), DeadReason::Undecodable),
            Verdict::Fatal => (None, DeadReason::Fatal),
            Verdict::Release(delay) => return self.released(delay),
        };
        Outcome::Failed { error, retry, reason }
    }

    /// What is given back by a runner that goes on waits for its next poll, or it would come back at once and spin; what is given
    /// back by one that stops is for others to take.
    fn released(&self, delay: Option<Duration>) -> Outcome {
        let is_stopping = self.slots == 0;
        let otherwise = if is_stopping { Duration::ZERO } else { self.settings.poll_interval };
        Outcome::Released { delay: delay.unwrap_or(otherwise) }
    }

    fn signal(&mut self, signals: &[Signal]) {
        let mut cancelled = HashMap::new();
        for signal in signals {
            let (claim, cancellation) = match signal {
                Signal::Lost(claim) => (*claim, Cancellation::Lost),
                Signal::Cancel(claim) => (*claim, Cancellation::Requested),
            };
            cancelled.insert(claim, cancellation);
        }
        if cancelled.is_empty() {
            return;
        }
        for running in self.running.values() {
            match cancelled.get(&running.claim) {
                Some(Cancellation::Lost) => {
                    tracing::warn!(job = %running.claim.id, "lost the claim of a running job");
                    running.cancel(Cancellation::Lost);
                }
                Some(cancellation) => running.cancel(*cancellation),
                None => {}
            }
        }
        let waiting: HashSet<Claim> = self.backlog.iter().map(|job| job.claim).collect();
        self.backlog.retain(|job| !cancelled.contains_key(&job.claim));
        for (claim, cancellation) in cancelled {
            if waiting.contains(&claim) && cancellation == Cancellation::Requested {
                self.report(claim, self.released(None));
            }
        }
    }

    /// Counts and logs what became of the reports, and looks again in time for the next retry.
    fn settle(&mut self, reports: &[Report], reported: &[Reported]) {
        for (Report { claim, outcome }, reported) in reports.iter().zip(reported) {
            let was_completed = !self.completed.is_empty() && self.completed.remove(claim);
            match (reported, outcome) {
                (Reported::Fenced, Outcome::Succeeded) if was_completed => self.tally.succeeded += 1,
                (Reported::Fenced, _) => {
                    tracing::warn!(job = %claim.id, "discarded the outcome of a job whose claim was lost");
                    self.tally.fenced += 1;
                }
                (Reported::Now(State::Cancelled), _) => self.tally.cancelled += 1,
                (Reported::Now(State::Dead), Outcome::Failed { error, reason, .. }) => {
                    tracing::error!(job = %claim.id, error, %reason, "gave a job up");
                    self.tally.dead += 1;
                }
                (Reported::Now(_), Outcome::Failed { error, retry, .. }) => {
                    tracing::warn!(job = %claim.id, error, ?retry, "a job failed");
                    self.tally.failed += 1;
                    self.look_again_in(*retry);
                }
                (Reported::Now(_), Outcome::Released { delay }) => {
                    self.tally.released += 1;
                    self.look_again_in(Some(*delay));
                }
                (Reported::Now(_), Outcome::Succeeded) => self.tally.succeeded += 1,
            }
        }
        self.meter.tell(self.tally);
    }

    fn look_again_in(&mut self, delay: Option<Duration>) {
        match delay {
            // The turn that reported it may have looked for work before.
            Some(Duration::ZERO) if self.slots > 0 => self.hunger.rouse(),
            Some(delay) => {
                let soon = Instant::now().checked_add(delay);
                self.poll_at = soon.map_or(self.poll_at, |soon| soon.min(self.poll_at));
            }
            None => {}
        }
    }

    fn hold_off(&mut self, error: &Error) {
        let (queue, now) = (&self.ground.queue, Instant::now());
        let pause = self.settings.poll_interval.min(MAX_PAUSE);
        if error.is_retryable() {
            tracing::debug!(%queue, error = error as &dyn std::error::Error, "the job store is busy; trying again");
            self.resume_at = now + pause.min(BUSY_PAUSE);
        } else {
            tracing::warn!(%queue, error = error as &dyn std::error::Error, "the job store failed; trying again");
            self.resume_at = now + pause;
        }
        self.rescue_by = Some(now);
    }
}

impl Running {
    fn cancel(&self, cancellation: Cancellation) {
        self.cancel.send_replace(Some(cancellation));
    }

    fn note(&mut self) -> Option<String> {
        self.progress.borrow_and_update().clone()
    }
}

/// Waits for the runner to say until when work may go on.
pub(crate) async fn deadline(stopping: &mut watch::Receiver<Option<Instant>>) -> Instant {
    let told = stopping.wait_for(Option::is_some).await.ok().and_then(|deadline| *deadline);
    // Nobody can say it any more: the runner was dropped.
    told.unwrap_or_else(Instant::now)
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let message = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    storable(&format!("panicked: {}", message.unwrap_or("no message")))
}
