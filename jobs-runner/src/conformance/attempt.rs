//! Laws of one attempt: what its handler may say and hear while it runs.

use std::future::pending;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::{HOUR, Harness};
use crate::{
    Backoff, Cancellation, Cancelled, Context, EnqueueOptions, Failure, Handler, Job, JobId, JobRecord, Jobs, Runner,
    Source, State, Store, Tally,
};

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Serialize, Deserialize)]
enum Trial {
    Snooze,
    Hang,
    Progress,
    /// Waits until it is to end, and says why.
    Listen,
    /// Ends its job in a transaction, and commits that on the second attempt only.
    Complete,
    Succeed,
}

impl Job for Trial {
    const KIND: &'static str = "trial";
    const MAX_ATTEMPTS: u16 = 2;
    const BACKOFF: Option<Backoff> = Some(Backoff::none());
}

/// What the handlers work with.
struct Lab<S, P> {
    jobs: Jobs<S>,
    source: P,
    heard: mpsc::UnboundedSender<Option<Cancellation>>,
}

impl<S: Store + Clone, P: Source<Connection = S::Connection>> Handler<Lab<S, P>> for Trial {
    async fn run(self, cx: &Context<Lab<S, P>>) -> Result<(), Failure> {
        let lab = cx.state();
        match self {
            Self::Snooze => return Err(Failure::snooze(HOUR)),
            Self::Hang => pending().await,
            Self::Progress => {
                cx.progress("half");
                cx.cancelled().await;
            }
            Self::Listen => {
                lab.heard.send(None)?;
                cx.cancelled().await;
                lab.heard.send(cx.cancellation())?;
                return Err(Failure::retry("stopped"));
            }
            Self::Complete => {
                let mut tx = lab.source.begin().await?;
                cx.complete_in(&lab.jobs, &mut tx).await?;
                lab.jobs.enqueue(&mut tx, &Self::Succeed).await?;
                if !cx.is_last_attempt() {
                    return Err(Failure::retry("not committed"));
                }
                lab.source.commit(tx).await?;
            }
            Self::Succeed => {}
        }
        Ok(())
    }
}

type LabRunner<S, P> = Runner<S, P, Lab<S, P>>;

struct Room<H: Harness> {
    jobs: Jobs<H::Store>,
    source: H::Source,
    heard: mpsc::UnboundedReceiver<Option<Cancellation>>,
    runner: LabRunner<H::Store, H::Source>,
}

impl<H: Harness> Room<H> {
    fn new(harness: &H) -> Self {
        let (sender, heard) = mpsc::unbounded_channel();
        let (jobs, source) = (Jobs::new(harness.store()), harness.source());
        let lab = Lab { jobs: jobs.clone(), source: source.clone(), heard: sender };
        let runner = Runner::new(jobs.clone(), source.clone(), lab).handle::<Trial>().poll_interval(HOUR);
        Self { jobs, source, heard, runner }
    }

    async fn enqueue(&self, trial: Trial, options: EnqueueOptions) -> JobId {
        let mut conn = self.source.acquire().await.unwrap();
        self.jobs.enqueue_with(&mut conn, &trial, &options).await.unwrap().id
    }

    async fn job(&self, id: JobId) -> JobRecord {
        let mut conn = self.source.acquire().await.unwrap();
        self.jobs.find(&mut conn, id).await.unwrap().unwrap()
    }
}

/// It waits as long as it said, and the attempt never was.
pub async fn a_snoozed_job_comes_back_later<H: Harness>(harness: &H) {
    let room = Room::<H>::new(harness);
    let id = room.enqueue(Trial::Snooze, EnqueueOptions::default()).await;
    assert_eq!(room.runner.drain().await.unwrap(), Tally { released: 1, ..Tally::default() });
    let job = room.job(id).await;
    assert_eq!((job.state, job.attempt, job.errors.len()), (State::Pending, 0, 0));
    assert!(job.run_at >= job.attempted_at.unwrap() + HOUR);
}

/// It is cut off at its deadline, which costs the attempt and frees the slot.
pub async fn a_handler_that_hangs_is_cut_off<H: Harness>(harness: &H) {
    let room = Room::<H>::new(harness);
    let options = EnqueueOptions::default().timeout(Duration::from_millis(30)).priority(0);
    let hangs = room.enqueue(Trial::Hang, options).await;
    let next = room.enqueue(Trial::Succeed, EnqueueOptions::default()).await;
    let runner = room.runner.queue("default", 1);
    let tally = timeout(PATIENCE, runner.drain()).await.expect("the slot is not freed").unwrap();
    assert_eq!(tally, Tally { succeeded: 1, failed: 1, dead: 1, ..Tally::default() });
    let mut conn = room.source.acquire().await.unwrap();
    let job = room.jobs.find(&mut conn, hangs).await.unwrap().unwrap();
    assert_eq!(job.last_error.as_deref(), Some("timed out after 30ms"));
    assert_eq!(room.jobs.find(&mut conn, next).await.unwrap().unwrap().state, State::Succeeded);
}

/// By way of the database alone, as in another process: within a second.
pub async fn a_cancellation_reaches_a_running_handler<H: Harness>(harness: &H) {
    let mut room = Room::<H>::new(harness);
    let id = room.enqueue(Trial::Listen, EnqueueOptions::default()).await;
    let (stop, stopped) = oneshot::channel::<()>();
    let runner = room.runner;
    let running = tokio::spawn(async move { runner.run_until(async { drop(stopped.await) }).await.unwrap() });
    assert_eq!(timeout(PATIENCE, room.heard.recv()).await.unwrap(), Some(None));
    let elsewhere = Jobs::new(harness.store());
    let mut conn = room.source.acquire().await.unwrap();
    assert_eq!(elsewhere.cancel(&mut conn, id).await.unwrap(), Cancelled::Requested);
    drop(conn);
    let heard = timeout(PATIENCE, room.heard.recv()).await.unwrap();
    assert_eq!(heard, Some(Some(Cancellation::Requested)));
    stop.send(()).unwrap();
    assert_eq!(running.await.unwrap(), Tally { cancelled: 1, ..Tally::default() });
    let mut conn = room.source.acquire().await.unwrap();
    assert_eq!(elsewhere.find(&mut conn, id).await.unwrap().unwrap().state, State::Cancelled);
}

/// What a handler writes in the transaction that ends its job is there once: not from an attempt that did not commit.
pub async fn a_job_completed_in_a_transaction_takes_effect_once<H: Harness>(harness: &H) {
    let room = Room::<H>::new(harness);
    let id = room.enqueue(Trial::Complete, EnqueueOptions::default()).await;
    let tally = room.runner.drain().await.unwrap();
    // The job itself, and the one that its second attempt enqueued.
    assert_eq!(tally, Tally { succeeded: 2, failed: 1, ..Tally::default() });
    let job = room.job(id).await;
    assert_eq!((job.state, job.attempt, job.errors.len()), (State::Succeeded, 2, 1));
}

/// While the handler runs.
pub async fn progress_is_seen_from_outside<H: Harness>(harness: &H) {
    let room = Room::<H>::new(harness);
    let id = room.enqueue(Trial::Progress, EnqueueOptions::default()).await;
    let (stop, stopped) = oneshot::channel::<()>();
    let (runner, source, jobs) = (room.runner, room.source, room.jobs);
    let running = tokio::spawn(async move { runner.run_until(async { drop(stopped.await) }).await.unwrap() });
    let seen = async {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        loop {
            pace.tick().await;
            let mut conn = source.acquire().await.unwrap();
            if jobs.find(&mut conn, id).await.unwrap().unwrap().progress.as_deref() == Some("half") {
                break;
            }
        }
    };
    timeout(PATIENCE, seen).await.expect("no progress is seen");
    stop.send(()).unwrap();
    assert_eq!(running.await.unwrap().succeeded, 1);
}
