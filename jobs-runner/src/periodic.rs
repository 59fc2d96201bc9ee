//! Batches that one process at a time runs, at an interval.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use crate::handler::{Failed, Verdict};
use crate::runner::Settings;
use crate::worker::deadline;
use crate::{Cancellation, Jobs, Name, Result, Runner, Source, Store, Token};

/// The longest pause after the database failed.
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// How long an aborted batch has to notice, and the database to hear of a resignation.
const LAST_TIME: Duration = Duration::from_secs(1);

/// What leadership of a loop came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lead {
    /// What the database's clock showed.
    pub now: DateTime<Utc>,
    /// When the last batch that was finished began.
    pub ran_at: Option<DateTime<Utc>>,
}

/// What a batch knows about itself. [`Runner::every`] runs it.
#[derive(Debug)]
pub struct Batch<S, T> {
    name: Name,
    token: Token,
    lead: Lead,
    store: S,
    state: Arc<T>,
    cancelled: watch::Receiver<Option<Cancellation>>,
}

impl<S: Store, T> Batch<S, T> {
    /// Returns the name of its loop.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Returns what the host gave to the runner.
    pub fn state(&self) -> &T {
        &self.state
    }

    /// Returns the token of its leader, drawn when that took the lead, for whatever else shall tell leaders apart.
    pub fn token(&self) -> Token {
        self.token
    }

    /// Returns when it began, by the database's clock.
    pub fn began_at(&self) -> DateTime<Utc> {
        self.lead.now
    }

    /// Returns when the last batch that was finished began: what has changed since is not dealt with yet.
    pub fn last_began_at(&self) -> Option<DateTime<Utc>> {
        self.lead.ran_at
    }

    /// Says whether this batch may still write: nobody else has taken the lead, and nobody will before the transaction ends.
    ///
    /// Ask it in every transaction that writes, which has to be one that may, and roll back if the answer is no.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the database failed.
    pub async fn still_leads(&self, tx: &mut S::Connection) -> Result<bool> {
        self.store.leads(tx, &self.name, self.token).await
    }

    /// Waits until going on is pointless: the runner is stopping, or the lead was lost. A batch that goes on has the runner's grace
    /// period, and is cut off then.
    pub async fn cancelled(&self) {
        // The sender lives as long as the batch: an error means that it is over.
        let _ = self.cancelled.clone().wait_for(Option::is_some).await;
    }

    /// Says whether [`cancelled`](Self::cancelled) would return at once.
    pub fn is_cancelled(&self) -> bool {
        self.cancellation().is_some()
    }

    /// Says why the batch should end, if it should.
    pub fn cancellation(&self) -> Option<Cancellation> {
        *self.cancelled.borrow()
    }
}

type Run<S, T> = dyn Fn(Batch<S, T>) -> Pin<Box<dyn Future<Output = Result<(), Failed>> + Send>> + Send + Sync;

/// A batch function and when it runs.
pub(crate) struct Periodic<S, T> {
    pub(crate) name: Name,
    pub(crate) interval: Duration,
    pub(crate) run: Box<Run<S, T>>,
}

/// Serves one loop, as its leader or waiting to be.
pub(crate) struct Leader<S, P, T> {
    jobs: Jobs<S>,
    source: P,
    state: Arc<T>,
    periodic: Arc<Periodic<S, T>>,
    settings: Settings,
    /// Of the lead that was taken last, whether or not it is held still.
    token: Token,
    /// Whether it may be: the answer may have been lost.
    may_lead: bool,
    failures: u16,
    /// When a batch that failed is tried again.
    retry_at: Option<Instant>,
}

/// How a batch ended.
enum Ended {
    Done(Result<(), Failed>),
    /// It panicked, or was cut off.
    Aborted,
}

impl<S, P, T> Leader<S, P, T>
where
    S: Store + Clone,
    P: Source<Connection = S::Connection>,
    T: Send + Sync + 'static,
{
    pub(crate) fn new(runner: &Runner<S, P, T>, periodic: Arc<Periodic<S, T>>) -> Self {
        Self {
            jobs: runner.jobs.clone(),
            source: runner.source.clone(),
            state: runner.state.clone(),
            periodic,
            settings: runner.settings,
            token: Token::random(),
            may_lead: false,
            failures: 0,
            retry_at: None,
        }
    }

    /// Serves the loop until there is a deadline, and hands it over then.
    pub(crate) async fn run(mut self, mut stopping: watch::Receiver<Option<Instant>>) {
        let mut is_stopping = false;
        while !is_stopping {
            let asked = Instant::now();
            let led = tokio::select! {
                biased;
                _ = deadline(&mut stopping) => break,
                led = self.lead() => led,
            };
            let pause = match led {
                Ok(Some(lead)) => match self.due_in(&lead) {
                    Duration::ZERO => {
                        is_stopping = self.batch(lead, asked, Some(&mut stopping)).await;
                        continue;
                    }
                    due => due.min(self.settings.lease / 3),
                },
                Ok(None) => self.settings.poll_interval,
                Err(error) => {
                    let name = self.periodic.name.as_str();
                    tracing::warn!(error = &error as &dyn std::error::Error, name, "nobody could be asked who leads");
                    self.settings.poll_interval.min(MAX_PAUSE)
                }
            };
            tokio::select! {
                biased;
                _ = deadline(&mut stopping) => break,
                () = sleep(pause) => {}
            }
        }
        if self.may_lead {
            // Who is not heard is left to the lease.
            let _ = timeout(LAST_TIME, self.resign()).await;
        }
    }

    /// Runs one batch if it is due and nobody else leads.
    pub(crate) async fn drain(mut self) -> Result<()> {
        let asked = Instant::now();
        let Some(lead) = self.lead().await? else { return Ok(()) };
        if self.due_in(&lead).is_zero() {
            self.batch(lead, asked, None).await;
        }
        self.resign().await
    }

    /// Keeps the lead, or takes it.
    async fn lead(&mut self) -> Result<Option<Lead>> {
        if self.may_lead
            && let Some(lead) = self.renew().await?
        {
            return Ok(Some(lead));
        }
        // Never again under the old one: what began under it has been overtaken.
        self.token = Token::random();
        let mut conn = self.source.acquire().await?;
        self.may_lead = true;
        let lead = self.jobs.store.take(&mut conn, &self.periodic.name, self.token, self.settings.lease).await?;
        self.may_lead = lead.is_some();
        Ok(lead)
    }

    async fn renew(&self) -> Result<Option<Lead>> {
        let mut conn = self.source.acquire().await?;
        self.jobs.store.renew(&mut conn, &self.periodic.name, self.token, self.settings.lease).await
    }

    async fn resign(&self) -> Result<()> {
        let mut conn = self.source.acquire().await?;
        self.jobs.store.resign(&mut conn, &self.periodic.name, self.token).await
    }

    fn due_in(&self, lead: &Lead) -> Duration {
        // Somebody else may have done what failed here.
        let retry_in = self.retry_at.map(|at| at.saturating_duration_since(Instant::now())).unwrap_or_default();
        let Some(ran_at) = lead.ran_at else { return retry_in };
        let interval = TimeDelta::from_std(self.periodic.interval).unwrap_or(TimeDelta::MAX);
        // Never longer than the interval, should the clock have been set back.
        let due_in = interval - (lead.now - ran_at).max(TimeDelta::zero());
        due_in.to_std().unwrap_or_default().max(retry_in)
    }

    /// Runs a batch, keeping the lead meanwhile; says whether the runner is stopping.
    async fn batch(
        &mut self,
        lead: Lead,
        asked: Instant,
        mut stopping: Option<&mut watch::Receiver<Option<Instant>>>,
    ) -> bool {
        let (cancel, cancelled) = watch::channel(None);
        let batch = Batch {
            name: self.periodic.name.clone(),
            token: self.token,
            lead,
            store: self.jobs.store.clone(),
            state: self.state.clone(),
            cancelled,
        };
        let mut task = JoinSet::new();
        task.spawn((self.periodic.run)(batch));
        let (mut is_stopping, mut is_lost) = (false, false);
        let mut cut_at = None;
        let ended = {
            let lost = self.until_lost(asked + self.settings.lease);
            tokio::pin!(lost);
            loop {
                let stop = async {
                    match &mut stopping {
                        Some(stopping) => deadline(stopping).await,
                        None => std::future::pending().await,
                    }
                };
                let cut = async {
                    match cut_at {
                        Some(at) => sleep_until(at).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    ended = task.join_next() => break match ended {
                        Some(Ok(ended)) => Ended::Done(ended),
                        _ => Ended::Aborted,
                    },
                    at = stop, if !is_stopping => {
                        is_stopping = true;
                        cut_at = Some(cut_at.map_or(at, |cut: Instant| cut.min(at)));
                        cancel.send_if_modified(|cancel| cancel.is_none() && cancel.replace(Cancellation::Stopping).is_none());
                    }
                    () = &mut lost, if !is_lost => {
                        is_lost = true;
                        let at = Instant::now() + self.settings.grace;
                        cut_at = Some(cut_at.map_or(at, |cut: Instant| cut.min(at)));
                        cancel.send_replace(Some(Cancellation::Lost));
                    }
                    () = cut => {
                        let _ = timeout(LAST_TIME, task.shutdown()).await;
                        break Ended::Aborted;
                    }
                }
            }
        };
        self.conclude(ended, lead.now, is_stopping).await;
        is_stopping
    }

    /// Renews the lead until that fails, or cannot be known any more.
    async fn until_lost(&self, mut until: Instant) {
        while Instant::now() < until {
            let asked = Instant::now() + self.settings.lease / 3;
            sleep_until(asked.min(until)).await;
            match timeout_at(until, self.renew()).await {
                Ok(Ok(Some(_))) => until = asked + self.settings.lease,
                Ok(Ok(None)) | Err(_) => return,
                Ok(Err(error)) => {
                    let name = self.periodic.name.as_str();
                    tracing::warn!(error = &error as &dyn std::error::Error, name, "the lead could not be renewed");
                }
            }
        }
    }

    async fn conclude(&mut self, ended: Ended, began_at: DateTime<Utc>, is_stopping: bool) {
        let (name, interval) = (self.periodic.name.as_str(), self.periodic.interval);
        let retry = match ended {
            Ended::Done(Ok(())) => {
                let patience = if is_stopping { LAST_TIME } else { self.settings.lease };
                let ran = timeout(patience, self.ran(began_at)).await;
                if !matches!(ran, Ok(Ok(true))) {
                    tracing::warn!(name, "a batch is finished and could not be noted: it runs again");
                }
                None
            }
            Ended::Done(Err(Failed { verdict: Verdict::Release(None), .. })) if is_stopping => None,
            Ended::Done(Err(failed)) => {
                tracing::error!(name, error = failed.error, "a batch failed");
                Some(match failed.verdict {
                    Verdict::RetryAfter(delay) | Verdict::Release(Some(delay)) => delay,
                    Verdict::Fatal => interval,
                    _ => self.settings.backoff.delay(self.failures.saturating_add(1)).min(interval),
                })
            }
            Ended::Aborted => {
                tracing::error!(name, "a batch panicked, or was cut off");
                Some(self.settings.backoff.delay(self.failures.saturating_add(1)).min(interval))
            }
        };
        self.failures = retry.map_or(0, |_| self.failures.saturating_add(1));
        // Further ahead than the clock goes is for ever.
        self.retry_at = retry.and_then(|delay| Instant::now().checked_add(delay.min(crate::store::MAX_DURATION)));
    }

    async fn ran(&self, began_at: DateTime<Utc>) -> Result<bool> {
        let mut conn = self.source.acquire().await?;
        self.jobs.store.ran(&mut conn, &self.periodic.name, self.token, began_at).await
    }
}

impl<S, T> fmt::Debug for Periodic<S, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Periodic({}, {:?})", self.name, self.interval)
    }
}
