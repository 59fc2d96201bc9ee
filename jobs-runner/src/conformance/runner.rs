//! Laws of the runner: what becomes of jobs that have handlers.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::future::pending;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio::task::JoinHandle;

use super::queue::{Conn, heartbeat, hunt, request};
use super::{HOUR, Harness};
use crate::{
    Backoff, Claim, ClaimRequest, Context, DeadReason, EnqueueOptions, Error, Failure, Handler, Job, JobId, JobRecord,
    Jobs, Kind, Orphans, Outcome, Queue, Report, Reported, Result, Runner, Source, State, Store, Tally, WorkerId,
};

/// No law takes this long: what has not happened by then never will.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a runner calls that is watched doing so.
const PACE: Duration = Duration::from_millis(20);

/// What handlers saw, and what they wait for.
#[derive(Default)]
struct Probe {
    ran: Mutex<HashMap<u32, u32>>,
    started: Notify,
    /// Waiting handlers take a permit each; closing it lets all go on.
    gate: Option<Semaphore>,
    cancelled: AtomicU32,
    claims: Mutex<Vec<Claim>>,
    workers: Mutex<HashSet<WorkerId>>,
}

impl Probe {
    fn closed() -> Self {
        Self { gate: Some(Semaphore::new(0)), ..Self::default() }
    }

    fn saw(&self, number: u32, claim: Claim, worker: WorkerId) {
        self.claims.lock().unwrap().push(claim);
        self.workers.lock().unwrap().insert(worker);
        *self.ran.lock().unwrap().entry(number).or_default() += 1;
        self.started.notify_one();
    }

    fn count(&self, number: u32) -> u32 {
        self.ran.lock().unwrap().get(&number).copied().unwrap_or_default()
    }

    fn gate(&self) -> &Semaphore {
        self.gate.as_ref().unwrap()
    }

    async fn started(&self) {
        tokio::time::timeout(PATIENCE, self.started.notified()).await.expect("no handler started");
    }
}

/// Does what it is told to.
#[derive(Serialize, Deserialize)]
struct Task {
    number: u32,
    act: Act,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum Act {
    Succeed,
    /// Fails until this attempt.
    SucceedAt(u16),
    Fatal,
    RetryInAnHour,
    Release,
    Panic,
    /// Fails with an error that panics when asked what it is.
    PanicInError,
    /// Keeps its thread until the gate is closed.
    Block,
    /// Waits for a permit of the gate.
    Wait,
    /// Waits for the end of its claim, then gives itself back.
    WaitForCancel,
}

impl Job for Task {
    const KIND: &'static str = "task";
    const MAX_ATTEMPTS: u16 = 3;
}

impl Handler<Arc<Probe>> for Task {
    async fn run(self, cx: &Context<Arc<Probe>>) -> Result<(), Failure> {
        cx.state().saw(self.number, cx.claim, cx.worker());
        match self.act {
            Act::Succeed => {}
            Act::SucceedAt(attempt) if cx.attempt() >= attempt => {}
            Act::SucceedAt(_) => {
                assert_eq!(cx.is_last_attempt(), cx.attempt() == 3);
                // What `?` makes of any error.
                "not a number".parse::<u32>()?;
            }
            Act::Fatal => return Err(Failure::fatal("no such user")),
            Act::RetryInAnHour => return Err(Failure::retry_after(HOUR, "busy")),
            Act::Release => return Err(Failure::release()),
            Act::Panic => panic!("on attempt {}", cx.attempt()),
            Act::PanicInError => return Err(Unspeakable.into()),
            Act::Block => {
                while !cx.state().gate().is_closed() {
                    std::thread::yield_now();
                }
            }
            Act::Wait => drop(cx.state().gate().acquire().await),
            Act::WaitForCancel => {
                cx.cancelled().await;
                assert!(cx.is_cancelled());
                cx.state().cancelled.fetch_add(1, Ordering::SeqCst);
                return Err(Failure::release());
            }
        }
        Ok(())
    }
}

/// An error that cannot even be shown.
#[derive(Debug)]
struct Unspeakable;

impl std::error::Error for Unspeakable {}

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no words")
    }
}

/// Waits in a queue of its own.
#[derive(Serialize, Deserialize)]
struct Elsewhere(Task);

impl Job for Elsewhere {
    const KIND: &'static str = "elsewhere";
    const QUEUE: &'static str = "elsewhere";
}

impl Handler<Arc<Probe>> for Elsewhere {
    async fn run(self, cx: &Context<Arc<Probe>>) -> Result<(), Failure> {
        self.0.run(cx).await
    }
}

/// Has the kind of [`Task`] and none of its fields.
#[derive(Serialize, Deserialize)]
struct Misread {
    text: String,
}

impl Job for Misread {
    const KIND: &'static str = Task::KIND;
    const MAX_ATTEMPTS: u16 = 2;
}

impl Handler<Arc<Probe>> for Misread {
    async fn run(self, _: &Context<Arc<Probe>>) -> Result<(), Failure> {
        Ok(())
    }
}

/// A database that can be out of reach.
#[derive(Clone)]
struct Remote<P> {
    source: P,
    line: watch::Sender<Line>,
    calls: watch::Sender<u32>,
    /// How many of them are held.
    held: watch::Sender<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Open,
    /// Every attempt to reach the database fails at once.
    Cut,
    /// No attempt to reach the database ever ends.
    Silent,
    /// It is reached when the line is open again.
    Held,
    /// The next commit is made and its answer is lost, and the line with it.
    Failing,
}

impl<P> Remote<P> {
    fn new(source: P) -> Self {
        Self { source, line: watch::Sender::new(Line::Open), calls: watch::Sender::new(0), held: watch::Sender::new(0) }
    }

    fn set(&self, line: Line) {
        self.line.send_replace(line);
    }

    /// Waits until the database was called so many times more, whether it could be reached or not.
    fn called(&self, times: u32) -> impl Future<Output = ()> {
        let mut calls = self.calls.subscribe();
        let enough = *calls.borrow() + times;
        async move {
            let called = calls.wait_for(|calls| *calls >= enough);
            tokio::time::timeout(PATIENCE, called).await.expect("the database is not called").unwrap();
        }
    }

    /// Waits until somebody is held.
    async fn holds(&self) {
        let mut held = self.held.subscribe();
        let held = held.wait_for(|held| *held > 0);
        tokio::time::timeout(PATIENCE, held).await.expect("nobody is held").unwrap();
    }

    async fn reach(&self) -> Result<()> {
        self.calls.send_modify(|calls| *calls += 1);
        let mut line = self.line.subscribe();
        if *line.borrow() == Line::Held {
            self.held.send_modify(|held| *held += 1);
            line.wait_for(|line| *line != Line::Held).await.unwrap();
            self.held.send_modify(|held| *held -= 1);
        }
        let line = *line.borrow();
        match line {
            Line::Cut => Err(Error::Backend("out of reach".into())),
            Line::Silent => pending().await,
            Line::Open | Line::Failing | Line::Held => Ok(()),
        }
    }
}

impl<P: Source> Source for Remote<P> {
    type Connection = P::Connection;
    type Guard = P::Guard;
    type Transaction = P::Transaction;

    async fn acquire(&self) -> Result<P::Guard> {
        self.reach().await?;
        self.source.acquire().await
    }

    async fn begin(&self) -> Result<P::Transaction> {
        self.reach().await?;
        self.source.begin().await
    }

    async fn begin_snapshot(&self) -> Result<P::Transaction> {
        self.reach().await?;
        self.source.begin_snapshot().await
    }

    async fn commit(&self, tx: P::Transaction) -> Result<()> {
        self.source.commit(tx).await?;
        if *self.line.borrow() == Line::Failing {
            self.set(Line::Cut);
            return Err(Error::Backend("the answer is lost".into()));
        }
        Ok(())
    }
}

/// Jobs, a probe and runners over one database.
struct Stage<H: Harness> {
    jobs: Jobs<H::Store>,
    source: H::Source,
    probe: Arc<Probe>,
}

impl<H: Harness> Stage<H> {
    fn new(harness: &H, probe: Probe) -> Self {
        Self { jobs: Jobs::new(harness.store()), source: harness.source(), probe: Arc::new(probe) }
    }

    async fn enqueue(&self, number: u32, act: Act) -> JobId {
        let mut tx = self.source.begin().await.unwrap();
        let id = self.jobs.enqueue(&mut tx, &Task { number, act }).await.unwrap();
        self.source.commit(tx).await.unwrap();
        id
    }

    async fn job(&self, id: JobId) -> JobRecord {
        let mut conn = self.source.acquire().await.unwrap();
        self.jobs.find(&mut conn, id).await.unwrap().unwrap()
    }

    /// Lets the lease of every worker end now, as a long time would. Whoever beats after this has its lease again.
    async fn end_leases(&self) {
        let mut conn = self.source.acquire().await.unwrap();
        let workers = self.probe.workers.lock().unwrap().clone();
        for worker in workers {
            self.jobs.store.beat(&mut conn, heartbeat(worker, Duration::ZERO)).await.unwrap();
        }
    }

    /// Polls once in an hour: whatever happens, happens without a poll.
    fn runner(&self) -> Runner<H::Store, H::Source, Arc<Probe>> {
        self.runner_over(self.source.clone())
    }

    fn runner_over<P: Source<Connection = Conn<H>>>(&self, source: P) -> Runner<H::Store, P, Arc<Probe>> {
        Runner::new(self.jobs.clone(), source, self.probe.clone())
            .handle::<Task>()
            .backoff(Backoff::none())
            .poll_interval(HOUR)
    }
}

/// Runs until told to stop; the handle says what was done.
fn spawn<S: Store + Clone, P: Source<Connection = S::Connection>>(
    runner: Runner<S, P, Arc<Probe>>,
) -> (oneshot::Sender<()>, JoinHandle<Tally>) {
    let (stop, stopped) = oneshot::channel();
    let running = tokio::spawn(async move {
        let shutdown = async { drop(stopped.await) };
        runner.run_until(shutdown).await.unwrap()
    });
    (stop, running)
}

async fn ended(running: JoinHandle<Tally>) -> Tally {
    tokio::time::timeout(PATIENCE, running).await.expect("the runner did not stop").unwrap()
}

/// Two runners on one queue: each job is run by one of them, once.
pub async fn a_handler_runs_once_for_each_job<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness, Probe::default());
    let mut ids = Vec::new();
    for number in 0..40 {
        ids.push(stage.enqueue(number, Act::Succeed).await);
    }
    let (one, other) = (stage.runner(), stage.runner());
    let (one, other) = tokio::join!(one.drain(), other.drain());
    assert_eq!(one.unwrap().succeeded + other.unwrap().succeeded, 40);
    // What was locked for the one when the other looked was skipped: nothing is left all the same.
    assert_eq!(stage.runner().drain().await.unwrap(), Tally::default());
    for (number, id) in (0..).zip(ids) {
        assert_eq!(stage.probe.count(number), 1);
        let job = stage.job(id).await;
        assert_eq!((job.state, job.attempt, job.last_error), (State::Succeeded, 1, None));
    }
}

/// However claims are shared out between turns: one that finds nothing ends a drain, and lets a runner rest.
pub async fn an_empty_queue_stills_any_number_of_slots<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness, Probe::default());
    for (number, slots) in (0..).zip([1, 199, 201, 300, 399, 401, 500, 1001]) {
        stage.enqueue(number, Act::Succeed).await;
        let runner = stage.runner().queue("default", slots);
        let drained = tokio::time::timeout(PATIENCE, runner.drain()).await;
        assert_eq!(drained.expect("the drain did not end").unwrap().succeeded, 1, "{slots} slots");
    }
}

/// An error costs an attempt and is recorded; the next attempt may succeed.
pub async fn a_failing_handler_is_tried_again<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness, Probe::default());
    let recovers = stage.enqueue(1, Act::SucceedAt(3)).await;
    let never = stage.enqueue(2, Act::SucceedAt(4)).await;
    let tally = stage.runner().drain().await.unwrap();
    assert_eq!(tally, Tally { succeeded: 1, failed: 4, dead: 1, ..Tally::default() });
    assert_eq!((stage.probe.count(1), stage.probe.count(2)), (3, 3));
    let job = stage.job(recovers).await;
    assert_eq!((job.state, job.attempt), (State::Succeeded, 3));
    let job = stage.job(never).await;
    assert_eq!((job.state, job.attempt, job.reason), (State::Dead, 3, Some(DeadReason::Exhausted)));
    assert_eq!(job.last_error.as_deref(), Some("invalid digit found in string"));
}

/// Fatal: dead at once. After a time: not before. Released: as if it had never run.
pub async fn failures_say_what_shall_become_of_the_job<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness, Probe::default());
    let fatal = stage.enqueue(1, Act::Fatal).await;
    let later = stage.enqueue(2, Act::RetryInAnHour).await;
    let released = stage.enqueue(3, Act::Release).await;
    let tally = stage.runner().drain().await.unwrap();
    assert_eq!(tally, Tally { failed: 1, dead: 1, released: 1, ..Tally::default() });
    let job = stage.job(fatal).await;
    assert_eq!((job.state, job.reason, job.attempt), (State::Dead, Some(DeadReason::Fatal), 1));
    assert_eq!(job.last_error.as_deref(), Some("no such user"));
    let job = stage.job(later).await;
    assert_eq!((job.state, job.attempt, job.last_error.as_deref()), (State::Failed, 1, Some("busy")));
    assert!(job.run_at >= job.attempted_at.unwrap() + HOUR);
    let job = stage.job(released).await;
    assert_eq!((job.state, job.attempt), (State::Pending, 0));
}

/// However many slots there are: a job that is always given back is tried once a poll, and drained once.
pub async fn a_released_job_waits_for_the_next_poll<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness, Probe::default());
    let id = stage.enqueue(1, Act::Release).await;
    let runner = stage.runner().queue("default", 1);
    let drained = tokio::time::timeout(PATIENCE, runner.drain()).await.expect("the runner does not rest");
    assert_eq!(drained.unwrap(), Tally { released: 1, ..Tally::default() });
    let job = stage.job(id).await;
    assert_eq!((job.state, job.attempt), (State::Pending, 0));
    assert!(job.run_at >= job.attempted_at.unwrap() + HOUR);
}

/// An error that panics when it is to be recorded is a panic of its handler, not of the runner.
pub async fn an_error_that_cannot_be_shown_costs_an_attempt<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness, Probe::default());
    let id = stage.enqueue(1, Act::PanicInError).await;
    let tally = stage.runner().drain().await.unwrap();
    assert_eq!(tally, Tally { failed: 2, dead: 1, ..Tally::default() });
    assert_eq!(stage.job(id).await.last_error.as_deref(), Some("panicked: no words"));
}

/// Both are recorded; neither takes the runner or another job with it.
pub async fn panics_and_undecodable_payloads_cost_an_attempt<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness, Probe::default());
    let panics = stage.enqueue(1, Act::Panic).await;
    let mut conn = stage.source.acquire().await.unwrap();
    let misread = stage.jobs.enqueue(&mut conn, &Misread { text: "hello".to_owned() }).await.unwrap();
    drop(conn);
    let fine = stage.enqueue(2, Act::Succeed).await;
    let tally = stage.runner().drain().await.unwrap();
    assert_eq!(tally, Tally { succeeded: 1, failed: 3, dead: 2, ..Tally::default() });
    let job = stage.job(panics).await;
    assert_eq!((job.state, job.reason, job.attempt), (State::Dead, Some(DeadReason::Exhausted), 3));
    assert_eq!(job.last_error.as_deref(), Some("panicked: on attempt 3"));
    let job = stage.job(misread).await;
    assert_eq!((job.state, job.reason, job.attempt), (State::Dead, Some(DeadReason::Undecodable), 2));
    assert!(job.last_error.unwrap().contains("missing field"));
    assert_eq!(stage.job(fine).await.state, State::Succeeded);
}

/// The first thing a runner does is to look for ended leases.
pub async fn a_runner_rescues_what_a_lost_one_left<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness, Probe::default());
    let id = stage.enqueue(1, Act::Succeed).await;
    let mut conn = stage.source.acquire().await.unwrap();
    let task =
        ClaimRequest { queue: &Queue::from_static(Task::QUEUE), kinds: &[Kind::from_static(Task::KIND)], ..request() };
    assert_eq!(hunt(&harness.store(), &mut conn, task).await.len(), 1);
    drop(conn);
    assert_eq!(stage.runner().drain().await.unwrap().succeeded, 1);
    let job = stage.job(id).await;
    assert_eq!((job.state, job.attempt, job.crashes), (State::Succeeded, 2, 1));
}

/// What the loss of a worker made dead is counted by the runner that found it.
pub async fn a_runner_counts_what_died_with_a_lost_one<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness, Probe::default());
    let mut conn = stage.source.acquire().await.unwrap();
    let last = EnqueueOptions::default().max_attempts(1);
    let id = stage.jobs.enqueue_with(&mut conn, &Task { number: 1, act: Act::Succeed }, &last).await.unwrap().id;
    let task =
        ClaimRequest { queue: &Queue::from_static(Task::QUEUE), kinds: &[Kind::from_static(Task::KIND)], ..request() };
    assert_eq!(hunt(&harness.store(), &mut conn, task).await.len(), 1);
    drop(conn);
    assert_eq!(stage.runner().drain().await.unwrap(), Tally { dead: 1, ..Tally::default() });
    assert_eq!(stage.job(id).await.reason, Some(DeadReason::Crashed));
}

/// Committed and called: the runner comes at once.
pub async fn a_wake_starts_a_job_without_a_poll<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness, Probe::default());
    stage.enqueue(0, Act::Succeed).await;
    let (stop, running) = spawn(stage.runner());
    stage.probe.started().await;
    // By now the runner has made its first claim; the second job is there only for those who are called.
    for number in 1..5 {
        stage.enqueue(number, Act::Succeed).await;
        stage.jobs.wake();
        stage.probe.started().await;
        assert_eq!(stage.probe.count(number), 1);
    }
    stop.send(()).unwrap();
    assert_eq!(ended(running).await.succeeded, 5);
}

/// More jobs than slots: throughput does not hang on the poll.
pub async fn a_freed_slot_is_filled_without_a_poll<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness, Probe::default());
    for number in 0..10 {
        stage.enqueue(number, Act::Succeed).await;
    }
    let (stop, running) = spawn(stage.runner().queue("default", 1));
    for number in 0..10 {
        while stage.probe.count(number) == 0 {
            stage.probe.started().await;
        }
    }
    stop.send(()).unwrap();
    assert_eq!(ended(running).await.succeeded, 10);
}

/// From the shutdown on nothing starts; what runs has its time, and its success counts.
pub async fn a_graceful_stop_lets_running_work_finish<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness, Probe::closed());
    let running_job = stage.enqueue(1, Act::Wait).await;
    let (stop, running) = spawn(stage.runner());
    stage.probe.started().await;
    // Nobody knows of this one when the runner is told to stop; a wake would tell.
    let late = stage.enqueue(2, Act::Wait).await;
    stop.send(()).unwrap();
    let mut running = running;
    let early = tokio::time::timeout(Duration::from_millis(100), &mut running).await;
    assert!(early.is_err(), "the runner did not wait for its work");
    stage.jobs.wake();
    stage.probe.gate().add_permits(1);
    assert_eq!(ended(running).await, Tally { succeeded: 1, ..Tally::default() });
    assert_eq!(stage.job(running_job).await.state, State::Succeeded);
    let job = stage.job(late).await;
    assert_eq!((job.state, job.attempt), (State::Pending, 0));
}

/// Work that listens gives itself back, work that does not is aborted; both keep their attempts.
pub async fn a_graceful_stop_gives_back_what_does_not_finish<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness, Probe::closed());
    let deaf = stage.enqueue(1, Act::Wait).await;
    let listens = stage.enqueue(2, Act::WaitForCancel).await;
    let (stop, running) = spawn(stage.runner().grace(Duration::from_secs(1)));
    while stage.probe.count(1) + stage.probe.count(2) < 2 {
        stage.probe.started().await;
    }
    stop.send(()).unwrap();
    assert_eq!(ended(running).await, Tally { released: 2, ..Tally::default() });
    assert_eq!(stage.probe.cancelled.load(Ordering::SeqCst), 1);
    for id in [deaf, listens] {
        let job = stage.job(id).await;
        assert_eq!((job.state, job.attempt, job.crashes), (State::Pending, 0, 0));
    }
}

/// Nobody can end what never yields: it is not given back while it runs, and the runner does not wait for it.
pub async fn a_graceful_stop_leaves_what_blocks_its_thread_to_its_lease<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness, Probe::closed());
    let id = stage.enqueue(1, Act::Block).await;
    let (stop, running) = spawn(stage.runner().grace(Duration::ZERO));
    stage.probe.started().await;
    stop.send(()).unwrap();
    let tally = ended(running).await;
    let job = stage.job(id).await;
    stage.probe.gate().close();
    assert_eq!(tally, Tally::default());
    assert_eq!((job.state, job.attempt), (State::Running, 1));
}

/// A connection that says nothing any more holds up neither the stop nor the process; the leases decide.
pub async fn a_graceful_stop_does_not_wait_for_a_silent_database<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness, Probe::closed());
    let id = stage.enqueue(1, Act::Wait).await;
    let remote = Remote::new(stage.source.clone());
    let runner = stage.runner_over(remote.clone()).grace(Duration::from_millis(50));
    let (stop, running) = spawn(runner);
    stage.probe.started().await;
    remote.set(Line::Silent);
    // The runner looks for work, and waits for an answer when it is told to stop.
    let called = remote.called(1);
    stage.jobs.wake();
    called.await;
    stop.send(()).unwrap();
    assert_eq!(ended(running).await, Tally::default());
    assert_eq!(stage.job(id).await.state, State::Running);
}

/// A job that finished while the database was away, even for longer than its lease, has finished.
pub async fn an_outage_longer_than_the_lease_discards_no_outcome<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness, Probe::closed());
    let id = stage.enqueue(1, Act::Wait).await;
    let remote = Remote::new(stage.source.clone());
    let runner = stage.runner_over(remote.clone()).lease(Duration::from_millis(300)).poll_interval(PACE);
    let (stop, running) = spawn(runner);
    stage.probe.started().await;
    remote.set(Line::Cut);
    stage.end_leases().await;
    stage.probe.gate().close();
    // By then a beat is due.
    remote.called(20).await;
    remote.set(Line::Open);
    remote.called(3).await;
    stop.send(()).unwrap();
    assert_eq!(ended(running).await, Tally { succeeded: 1, ..Tally::default() });
    let job = stage.job(id).await;
    assert_eq!((job.state, job.attempt, job.crashes, stage.probe.count(1)), (State::Succeeded, 1, 0, 1));
}

/// Of two queues one is back first; what runs in the other is not taken for lost.
pub async fn an_outage_longer_than_the_lease_costs_no_claim<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness, Probe::closed());
    let here = stage.enqueue(1, Act::Wait).await;
    let mut conn = stage.source.acquire().await.unwrap();
    let elsewhere = Elsewhere(Task { number: 2, act: Act::Wait });
    let elsewhere = stage.jobs.enqueue(&mut conn, &elsewhere).await.unwrap();
    drop(conn);
    let remote = Remote::new(stage.source.clone());
    let runner = stage.runner_over(remote.clone()).lease(Duration::from_millis(900)).poll_interval(PACE);
    let (stop, running) = spawn(runner.handle::<Elsewhere>());
    while stage.probe.count(1) + stage.probe.count(2) < 2 {
        stage.probe.started().await;
    }
    remote.set(Line::Cut);
    stage.end_leases().await;
    // By then a beat is due in both queues, and after as many again there was another one.
    remote.called(60).await;
    remote.set(Line::Open);
    remote.called(60).await;
    stage.probe.gate().close();
    stop.send(()).unwrap();
    assert_eq!(ended(running).await, Tally { succeeded: 2, ..Tally::default() });
    for id in [here, elsewhere] {
        let job = stage.job(id).await;
        assert_eq!((job.state, job.attempt, job.crashes), (State::Succeeded, 1, 0));
    }
}

/// A claim was made and nobody heard of it, and the next turns failed too: what it took is given back.
pub async fn a_claim_whose_answer_was_lost_is_given_back<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness, Probe::default());
    let id = stage.enqueue(1, Act::Succeed).await;
    let remote = Remote::new(stage.source.clone());
    remote.set(Line::Failing);
    let others_failed = remote.called(4);
    let (stop, running) = spawn(stage.runner_over(remote.clone()).poll_interval(PACE));
    others_failed.await;
    assert_eq!(stage.job(id).await.state, State::Running);
    remote.set(Line::Open);
    stage.probe.started().await;
    stop.send(()).unwrap();
    assert_eq!(ended(running).await.succeeded, 1);
    let job = stage.job(id).await;
    assert_eq!((job.state, job.attempt, job.crashes), (State::Succeeded, 1, 0));
}

/// Whatever was on its way to the database when the one before it ended.
pub async fn the_next_job_of_a_key_starts_without_a_poll<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness, Probe::closed());
    let mut conn = stage.source.acquire().await.unwrap();
    let options = EnqueueOptions::default().ordered("account 7");
    for number in 0..2 {
        stage.jobs.enqueue_with(&mut conn, &Task { number, act: Act::Wait }, &options).await.unwrap();
    }
    drop(conn);
    let remote = Remote::new(stage.source.clone());
    let (stop, running) = spawn(stage.runner_over(remote.clone()));
    stage.probe.started().await;
    // A turn that looks for work, in vain, is held up; meanwhile the first one ends, and nobody can say so.
    remote.set(Line::Held);
    stage.jobs.wake();
    remote.holds().await;
    stage.probe.gate().close();
    let early = tokio::time::timeout(Duration::from_secs(1), stage.probe.started.notified()).await;
    assert!(early.is_err(), "the second one has started beside the first");
    remote.set(Line::Open);
    stage.probe.started().await;
    stop.send(()).unwrap();
    assert_eq!(ended(running).await.succeeded, 2);
}

/// As long as can be said is as good as for ever, not a panic.
pub async fn the_longest_settings_are_for_ever<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness, Probe::default());
    stage.enqueue(1, Act::Succeed).await;
    let runner = stage.runner().lease(Duration::MAX).poll_interval(Duration::MAX).grace(Duration::MAX);
    let (stop, running) = spawn(runner);
    stage.probe.started().await;
    stop.send(()).unwrap();
    assert_eq!(ended(running).await.succeeded, 1);
}

/// A handler that outlasts its lease many times over is not taken for lost: its runner beats.
pub async fn a_long_handler_keeps_its_claim<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness, Probe::closed());
    let id = stage.enqueue(1, Act::Wait).await;
    let lease = Duration::from_secs(2);
    let (stop, running) = spawn(stage.runner().lease(lease));
    stage.probe.started().await;
    // Other runners look for ended leases all the while, but not when something has held them up: as runners do.
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    let others = async {
        loop {
            if pace.tick().await.elapsed() > lease / 3 {
                continue;
            }
            let mut conn = stage.source.acquire().await.unwrap();
            assert_eq!(harness.store().rescue(&mut conn, 10, Orphans::Include).await.unwrap().failed, 0);
            drop(conn);
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(3), others).await.is_err());
    stage.probe.gate().add_permits(1);
    stop.send(()).unwrap();
    assert_eq!(ended(running).await.succeeded, 1);
    let job = stage.job(id).await;
    assert_eq!((job.attempt, job.crashes, stage.probe.count(1)), (1, 0, 1));
}

/// Who lost the claim is told, and its outcome counts for nothing.
pub async fn a_lost_claim_cancels_its_handler<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness, Probe::closed());
    stage.enqueue(1, Act::WaitForCancel).await;
    let (stop, running) = spawn(stage.runner());
    stage.probe.started().await;
    let claim = stage.probe.claims.lock().unwrap()[0];
    // The runner's own token ends the claim behind its back.
    let mut conn = stage.source.acquire().await.unwrap();
    let report = Report { claim, outcome: Outcome::Succeeded };
    let turned = harness.store().turn(&mut conn, &[report], None).await.unwrap();
    assert_eq!(turned.reported, [Reported::Now(State::Succeeded)]);
    drop(conn);
    let cancelled = async {
        while stage.probe.cancelled.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, cancelled).await.expect("the handler was not cancelled");
    stop.send(()).unwrap();
    let tally = ended(running).await;
    assert_eq!((tally.fenced, tally.succeeded), (1, 0));
}

/// Two handlers of one kind, no handler, a bad queue: typed errors before anything is claimed.
pub async fn a_misconfigured_runner_does_not_start<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness, Probe::default());
    stage.enqueue(1, Act::Succeed).await;
    let bare = Runner::new(stage.jobs.clone(), stage.source.clone(), stage.probe.clone());
    for (what, runner) in [
        ("runner", bare),
        ("kind", stage.runner().handle::<Misread>()),
        ("queue", stage.runner().queue("No Queue", 1)),
        ("concurrency", stage.runner().queue("default", 0)),
    ] {
        let drained = runner.drain().await;
        assert!(matches!(drained, Err(Error::Invalid { what: at, .. }) if at == what), "{what}: {drained:?}");
        assert!(runner.run_until(std::future::pending()).await.is_err());
    }
    assert_eq!(stage.probe.count(1), 0);
    // A queue that is served is the only one that is.
    assert_eq!(stage.runner().queue("other", 1).drain().await.unwrap(), Tally::default());
    let mut conn = stage.source.acquire().await.unwrap();
    let urgent = EnqueueOptions::default().priority(0).max_attempts(1);
    stage.jobs.enqueue_with(&mut conn, &Task { number: 2, act: Act::Succeed }, &urgent).await.unwrap();
    drop(conn);
    assert_eq!(stage.runner().drain().await.unwrap().succeeded, 2);
}
