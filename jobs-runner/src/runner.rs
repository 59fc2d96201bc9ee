//! The runner: which queues and kinds a process serves, and how.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::future::pending;
use std::ops::AddAssign;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep};

#[cfg(feature = "cron")]
use crate::Cron;
#[cfg(feature = "cron")]
use crate::cron::Ticker;
use crate::handler::{Failed, Verdict};
use crate::operate::forget;
use crate::periodic::{Leader, Periodic};
use crate::store::MAX_DURATION;
use crate::worker::Worker;
use crate::{
    Backoff, Batch, Cancellation, Context, Error, Failure, Handler, Jobs, Kind, Name, Queue, Result, Retention, Source,
    Store,
};

/// How many jobs of a queue run at once where nothing else was said.
const CONCURRENCY: u32 = 10;
/// How long to wait after nothing could be heard, before it is tried again; twice as long after every try, up to the second.
const DEAF_TIME: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(10)];

/// Claims jobs and runs their handlers.
///
/// Serves the queues of its handlers, 10 jobs at once in each, unless [`queue`](Self::queue) names others. Every queue has a
/// loop of its own: a slow one does not hold up the others.
pub struct Runner<S, P, T = ()> {
    pub(crate) jobs: Jobs<S>,
    pub(crate) source: P,
    pub(crate) state: Arc<T>,
    pub(crate) registry: Arc<Registry<T>>,
    pub(crate) settings: Settings,
    handled: BTreeSet<Queue>,
    queues: BTreeMap<Queue, u32>,
    #[cfg(feature = "cron")]
    crons: Vec<Arc<Cron>>,
    periodic: Vec<Arc<Periodic<S, T>>>,
    listens: bool,
    misuse: Option<Misuse>,
}

/// The handlers by the kind of their jobs.
pub(crate) type Registry<T> = HashMap<Kind, Registered<T>>;

/// What a runner knows about one kind of job.
pub(crate) struct Registered<T> {
    pub(crate) run: Run<T>,
    pub(crate) backoff: Option<Backoff>,
}

/// Decodes a payload, runs its handler and says in words what went wrong: the only place where the type of a job is erased.
type Run<T> = fn(String, Context<T>, Attempt) -> Pin<Box<dyn Future<Output = Result<(), Failed>> + Send>>;

/// What may cut an attempt off.
pub(crate) struct Attempt {
    pub(crate) timeout: Option<Duration>,
    pub(crate) grace: Duration,
    pub(crate) cancelled: watch::Receiver<Option<Cancellation>>,
}

impl Attempt {
    /// Returns when the attempt has had its time, and says what is to be recorded.
    async fn over(mut self) -> Failed {
        let timeout = self.timeout;
        let timed_out = async {
            match timeout {
                Some(timeout) => sleep(timeout).await,
                None => pending().await,
            }
        };
        let cancelled = async {
            let requested = |cancellation: &Option<Cancellation>| *cancellation == Some(Cancellation::Requested);
            if self.cancelled.wait_for(requested).await.is_err() {
                pending::<()>().await;
            }
            sleep(self.grace).await;
        };
        tokio::select! {
            () = timed_out => {
                let error = format!("timed out after {:?}", timeout.unwrap_or_default());
                Failed { verdict: Verdict::Retry, error }
            }
            () = cancelled => Failed { verdict: Verdict::Retry, error: "cancelled".to_owned() },
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) poll_interval: Duration,
    pub(crate) lease: Duration,
    pub(crate) grace: Duration,
    pub(crate) backoff: Backoff,
    pub(crate) retention: Option<Retention>,
}

#[derive(Clone, Copy, Debug)]
struct Misuse {
    what: &'static str,
    problem: &'static str,
}

impl<S: Store + Clone, P: Source<Connection = S::Connection>, T: Send + Sync + 'static> Runner<S, P, T> {
    /// Runs jobs of a store with connections from a source; every handler sees the state.
    pub fn new(jobs: Jobs<S>, source: P, state: T) -> Self {
        let settings = Settings {
            poll_interval: Duration::from_secs(1),
            lease: Duration::from_secs(15),
            grace: Duration::from_secs(30),
            backoff: Backoff::default(),
            retention: None,
        };
        Self {
            jobs,
            source,
            state: Arc::new(state),
            registry: Arc::default(),
            settings,
            handled: BTreeSet::new(),
            queues: BTreeMap::new(),
            #[cfg(feature = "cron")]
            crons: Vec::new(),
            periodic: Vec::new(),
            listens: false,
            misuse: None,
        }
    }

    /// Runs jobs of this kind. Jobs of kinds without a handler are left alone.
    #[must_use]
    pub fn handle<J: Handler<T>>(mut self) -> Self {
        self.handled.insert(const { Queue::from_static(J::QUEUE) });
        // Nobody else holds the registry before the runner runs, and a runner that runs is only borrowed.
        let registry = Arc::get_mut(&mut self.registry).expect("the registry is not shared yet");
        let registered = Registered { run: run::<J, T>, backoff: J::BACKOFF };
        if registry.insert(const { Kind::from_static(J::KIND) }, registered).is_some() {
            self.misuse = Some(Misuse { what: "kind", problem: "must not have two handlers" });
        }
        self
    }

    /// Serves this queue, so many jobs at once, instead of all the queues of the handlers.
    #[must_use]
    pub fn queue(mut self, name: &str, concurrency: u32) -> Self {
        match Queue::new(name) {
            Ok(queue) if concurrency > 0 => {
                self.queues.insert(queue, concurrency);
            }
            Ok(_) => self.misuse = Some(Misuse { what: "concurrency", problem: "must be at least 1" }),
            Err(_) => self.misuse = Some(Misuse { what: "queue", problem: "is not a valid name" }),
        }
        self
    }

    /// Enqueues a job at every tick of this entry, once among all runners that have an entry of this name.
    #[cfg(feature = "cron")]
    #[must_use]
    pub fn cron(mut self, entry: Cron) -> Self {
        if self.crons.iter().any(|known| known.name() == entry.name()) {
            self.misuse = Some(Misuse { what: "cron entry", problem: "must have a name of its own" });
        }
        self.crons.push(Arc::new(entry));
        self
    }

    /// Runs a batch every `interval`, in one runner among all that have a loop of this name: the first one at once, the next
    /// when so long has passed since the last that succeeded began, in whatever process.
    ///
    /// Its leader renews the [`lease`](Self::lease); when it is lost the next one takes over after that, and at once when it stops.
    /// A batch that fails or panics is tried again after the [`backoff`](Self::backoff), at the latest after the interval.
    /// [`Batch::still_leads`] keeps one that has been overtaken from writing.
    #[must_use]
    pub fn every<F, B>(mut self, name: &str, interval: Duration, batch: F) -> Self
    where
        F: Fn(Batch<S, T>) -> B + Send + Sync + 'static,
        B: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let batch = Arc::new(batch);
        let run = move |cx| -> Pin<Box<dyn Future<Output = Result<(), Failed>> + Send>> {
            let batch = batch.clone();
            Box::pin(async move { batch(cx).await.map_err(Failure::into_failed) })
        };
        match Name::new(name) {
            Ok(name) if self.periodic.iter().any(|known| known.name == name) => {
                self.misuse = Some(Misuse { what: "loop", problem: "must have a name of its own" });
            }
            Ok(_) if interval.as_millis() == 0 => {
                self.misuse = Some(Misuse { what: "interval", problem: "must be at least 1 millisecond" });
            }
            Ok(name) => self.periodic.push(Arc::new(Periodic { name, interval, run: Box::new(run) })),
            Err(_) => self.misuse = Some(Misuse { what: "loop", problem: "is not a valid name" }),
        }
        self
    }

    /// Looks for new work at least this often. Default: 1 second. Right after there was some it does so 64 times as often, and
    /// half as often after every time there was none. [`Jobs::wake`] does not wait for it, nor does a freed slot while there is
    /// more work than slots, nor a job that is known to become due.
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.settings.poll_interval = interval.clamp(Duration::from_millis(1), MAX_DURATION);
        self
    }

    /// Looks for new work also when another process may have committed some. It costs one connection outside of the pool.
    ///
    /// On PostgreSQL it listens for [`Jobs::notify`]. On SQLite, where a process need not say anything, it looks every 20
    /// milliseconds whether the file has changed, and half as often while that is so. What goes wrong with it is repaired, and
    /// polls go on meanwhile.
    #[must_use]
    pub fn listen(mut self) -> Self {
        self.listens = true;
        self
    }

    /// Lets others take a job this long after its worker was last heard of. Default: 15 seconds; renewed every third of it.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease.clamp(Duration::from_millis(3), MAX_DURATION);
        self
    }

    /// Gives running work this long to finish after the shutdown, then gives it back. Default: 30 seconds.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.settings.grace = grace.min(MAX_DURATION);
        self
    }

    /// Lets a failed job wait this long. Default: 2 seconds, doubled with every attempt up to 6 hours.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.settings.backoff = backoff;
        self
    }

    /// Forgets finished jobs that are older than this, every minute while it runs. Default: they are kept for ever.
    #[must_use]
    pub fn retention(mut self, retention: Retention) -> Self {
        self.settings.retention = Some(retention);
        self
    }

    /// Runs jobs until the shutdown completes, then stops gracefully and says what was done.
    ///
    /// From the shutdown on nothing is claimed and every handler's [`Context::cancelled`] returns; running work has the grace
    /// period to finish, and what is left is given back without costing an attempt. A handler that blocks its thread cannot be
    /// ended: its job is left to its lease. A failing database is logged and tried again, while stopping a few times and not
    /// for long. Dropping the future aborts the handlers, whose jobs come back when their leases end.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the runner is misconfigured.
    pub async fn run_until(&self, shutdown: impl Future<Output = ()>) -> Result<Tally> {
        self.check()?;
        let (stop, stopping) = watch::channel(None);
        let mut workers = JoinSet::new();
        for (queue, concurrency) in self.served() {
            workers.spawn(Worker::new(self, queue, concurrency).run(stopping.clone()));
        }
        #[cfg(feature = "cron")]
        if let Some(ticker) = self.ticker() {
            let ticker = ticker.run(stopping.clone());
            workers.spawn(async {
                ticker.await;
                Tally::default()
            });
        }
        for periodic in &self.periodic {
            let leader = Leader::new(self, periodic.clone()).run(stopping.clone());
            workers.spawn(async {
                leader.await;
                Tally::default()
            });
        }
        let mut pruning = JoinSet::new();
        if let Some(retention) = self.settings.retention {
            // Ends with the set, in the middle of a transaction or not: that is rolled back.
            pruning.spawn(forget(self.jobs.clone(), self.source.clone(), retention));
        }
        let mut tally = Tally::default();
        tokio::select! {
            () = shutdown => {}
            // A worker ends before the shutdown only by a panic, which goes on here.
            Some(ended) = workers.join_next() => tally += finished(ended),
            never = self.hear() => match never {},
        }
        pruning.shutdown().await;
        stop.send_replace(Some(Instant::now() + self.settings.grace));
        while let Some(ended) = workers.join_next().await {
            tally += finished(ended);
        }
        Ok(tally)
    }

    /// Runs everything that is due, ticks and batches first, and what that makes due at once, then returns and says what was done.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the runner is misconfigured; [`Error::Backend`] if the database failed: running handlers are
    /// aborted then, and their jobs come back when their leases end.
    pub async fn drain(&self) -> Result<Tally> {
        self.check()?;
        #[cfg(feature = "cron")]
        if let Some(mut ticker) = self.ticker() {
            ticker.pass().await?;
        }
        for periodic in &self.periodic {
            Leader::new(self, periodic.clone()).drain().await?;
        }
        let mut tally = Tally::default();
        loop {
            let before = tally.decided();
            for (queue, concurrency) in self.served() {
                tally += Worker::new(self, queue, concurrency).drain().await?;
            }
            if tally.decided() == before {
                return Ok(tally);
            }
        }
    }

    /// Wakes the workers when there is something to hear.
    async fn hear(&self) -> Infallible {
        if !self.listens {
            return pending().await;
        }
        let [mut pause, longest] = DEAF_TIME;
        loop {
            let started = Instant::now();
            if let Err(error) = self.source.listen(|| self.jobs.wake()).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "cannot hear other processes; trying again");
            }
            if started.elapsed() > longest {
                [pause, _] = DEAF_TIME;
            }
            sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    fn check(&self) -> Result<()> {
        match self.misuse {
            Some(Misuse { what, problem }) => Err(Error::Invalid { what, problem }),
            None if self.is_idle() => Err(Error::Invalid { what: "runner", problem: "must have at least one handler" }),
            None => Ok(()),
        }
    }

    /// Whether there is nothing to do at all.
    fn is_idle(&self) -> bool {
        #[cfg(feature = "cron")]
        if !self.crons.is_empty() {
            return false;
        }
        self.registry.is_empty() && self.periodic.is_empty()
    }

    #[cfg(feature = "cron")]
    pub(crate) fn ticker(&self) -> Option<Ticker<S, P>> {
        let ticker = || Ticker::new(self.jobs.clone(), self.source.clone(), self.crons.clone(), self.settings);
        (!self.crons.is_empty()).then(ticker)
    }

    fn served(&self) -> BTreeMap<Queue, u32> {
        if self.queues.is_empty() {
            self.handled.iter().map(|queue| (queue.clone(), CONCURRENCY)).collect()
        } else {
            self.queues.clone()
        }
    }
}

fn run<J: Handler<T>, T: Send + Sync + 'static>(
    payload: String,
    cx: Context<T>,
    attempt: Attempt,
) -> Pin<Box<dyn Future<Output = Result<(), Failed>> + Send>> {
    Box::pin(async move {
        let decoded = serde_json::from_str::<J>(&payload).map_err(Failure::undecodable);
        drop(payload);
        let ended = match decoded {
            Ok(job) => tokio::select! {
                biased;
                ended = job.run(&cx) => ended,
                failed = attempt.over() => return Err(failed),
            },
            Err(failure) => Err(failure),
        };
        // Here and not in the worker, for an error may run anybody's code to say what it is.
        ended.map_err(Failure::into_failed)
    })
}

fn finished(ended: Result<Tally, JoinError>) -> Tally {
    // Nobody aborts a worker: what is no result is a panic.
    ended.unwrap_or_else(|error| resume_unwind(error.into_panic()))
}

/// How many attempts ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Done.
    pub succeeded: u64,
    /// Failed, to be tried again.
    pub failed: u64,
    /// Failed for good, or found to have crashed for the last time.
    pub dead: u64,
    /// Given back.
    pub released: u64,
    /// Taken out of the queue by somebody.
    pub cancelled: u64,
    /// Ended after the claim had been lost: the outcome was discarded.
    pub fenced: u64,
}

impl Tally {
    /// The attempts that decided something; a job that is given back again and again is no progress.
    fn decided(&self) -> u64 {
        self.succeeded + self.failed + self.dead + self.cancelled + self.fenced
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.dead += other.dead;
        self.released += other.released;
        self.cancelled += other.cancelled;
        self.fenced += other.fenced;
    }
}
