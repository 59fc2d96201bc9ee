//! Laws of periodic loops: who leads, when a batch runs, and what a leader that was lost can still do.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::{Barrier, Semaphore, oneshot, watch};
use tokio::task::JoinHandle;

use super::{HOUR, Harness};
use crate::{Backoff, Batch, Cancellation, Failure, Jobs, Name, Runner, Source, Store, Token};

/// No law takes this long: what has not happened by then never will.
const PATIENCE: Duration = Duration::from_secs(20);
const PACE: Duration = Duration::from_millis(5);
const FEED: Name = Name::from_static("feed");

struct Stage<H: Harness> {
    store: H::Store,
    source: H::Source,
    probe: Arc<Probe>,
}

/// What batches saw, and what they wait for.
struct Probe {
    inside: AtomicU32,
    began: watch::Sender<u32>,
    tokens: Mutex<Vec<Token>>,
    cancellations: Mutex<Vec<Cancellation>>,
    gate: Semaphore,
}

impl<H: Harness> Stage<H> {
    fn new(harness: &H) -> Self {
        let probe = Probe {
            inside: AtomicU32::new(0),
            began: watch::Sender::new(0),
            tokens: Mutex::default(),
            cancellations: Mutex::default(),
            gate: Semaphore::new(0),
        };
        Self { store: harness.store(), source: harness.source(), probe: Arc::new(probe) }
    }

    async fn conn(&self) -> <H::Source as Source>::Guard {
        self.source.acquire().await.unwrap()
    }

    fn runner(&self) -> Runner<H::Store, H::Source, Arc<Probe>> {
        Runner::new(Jobs::new(self.store.clone()), self.source.clone(), self.probe.clone())
            .poll_interval(PACE)
            .lease(HOUR)
            .backoff(Backoff::none())
    }

    async fn take(&self, token: Token, lease: Duration) -> bool {
        self.store.take(&mut *self.conn().await, &FEED, token, lease).await.unwrap().is_some()
    }

    async fn renew(&self, token: Token, lease: Duration) -> bool {
        self.store.renew(&mut *self.conn().await, &FEED, token, lease).await.unwrap().is_some()
    }

    async fn leads(&self, token: Token) -> bool {
        self.store.leads(&mut *self.conn().await, &FEED, token).await.unwrap()
    }

    async fn resign(&self, token: Token) {
        self.store.resign(&mut *self.conn().await, &FEED, token).await.unwrap();
    }
}

impl Probe {
    fn count(&self) -> u32 {
        *self.began.borrow()
    }

    async fn began(&self, times: u32) {
        let mut began = self.began.subscribe();
        let enough = began.wait_for(|began| *began >= times);
        tokio::time::timeout(PATIENCE, enough).await.expect("no batch began").unwrap();
    }
}

/// Counts itself.
fn enter<S: Store>(batch: &Batch<S, Arc<Probe>>) -> u32 {
    let probe = batch.state();
    probe.tokens.lock().unwrap().push(batch.token());
    let mut count = 0;
    probe.began.send_modify(|began| {
        *began += 1;
        count = *began;
    });
    count
}

/// Runs until told to stop.
fn spawn<S: Store + Clone, P: Source<Connection = S::Connection>>(
    runner: Runner<S, P, Arc<Probe>>,
) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = oneshot::channel();
    let running = tokio::spawn(async move {
        runner.run_until(async { drop(stopped.await) }).await.unwrap();
    });
    (stop, running)
}

async fn ended((stop, running): (oneshot::Sender<()>, JoinHandle<()>)) {
    drop(stop);
    tokio::time::timeout(PATIENCE, running).await.expect("the runner did not stop").unwrap();
}

/// Of a crowd one, and while its lease lasts nobody else.
pub async fn one_leads_at_a_time<H: Harness>(harness: &H) {
    let stage = Arc::new(Stage::<H>::new(harness));
    for _ in 0..3 {
        let barrier = Arc::new(Barrier::new(12));
        let mut crowd = tokio::task::JoinSet::new();
        for _ in 0..12 {
            let (store, source, barrier) = (stage.store.clone(), stage.source.clone(), barrier.clone());
            crowd.spawn(async move {
                let token = Token::random();
                barrier.wait().await;
                let mut conn = source.acquire().await.unwrap();
                store.take(&mut conn, &FEED, token, HOUR).await.unwrap().map(|_| token)
            });
        }
        let leaders: Vec<Token> = crowd.join_all().await.into_iter().flatten().collect();
        assert_eq!(leaders.len(), 1);
        assert!(!stage.take(Token::random(), HOUR).await);
        assert!(stage.renew(leaders[0], HOUR).await && stage.leads(leaders[0]).await);
        stage.resign(Token::random()).await;
        assert!(stage.leads(leaders[0]).await);
        stage.resign(leaders[0]).await;
        assert!(!stage.renew(leaders[0], HOUR).await && !stage.leads(leaders[0]).await);
    }
    // Another loop has a leader of its own.
    let (token, other) = (Token::random(), Name::from_static("other"));
    assert!(stage.take(token, HOUR).await);
    let mut conn = stage.conn().await;
    assert!(!stage.store.leads(&mut conn, &other, token).await.unwrap());
    assert!(stage.store.take(&mut conn, &other, Token::random(), HOUR).await.unwrap().is_some());
}

/// A lease that has ended is nobody's loss until somebody takes over; then nothing brings the lead back.
pub async fn a_lead_that_was_lost_never_comes_back<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness);
    let (lost, taken) = (Token::random(), Token::random());
    assert!(stage.take(lost, Duration::ZERO).await);
    assert!(stage.leads(lost).await && stage.renew(lost, Duration::ZERO).await);
    let mut conn = stage.conn().await;
    let began_at = stage.store.renew(&mut conn, &FEED, lost, Duration::ZERO).await.unwrap().unwrap().now;
    assert!(stage.store.ran(&mut conn, &FEED, lost, began_at).await.unwrap());
    let lead = stage.store.take(&mut conn, &FEED, taken, Duration::ZERO).await.unwrap().unwrap();
    assert_eq!(lead.ran_at, Some(began_at));
    assert!(!stage.store.ran(&mut conn, &FEED, lost, lead.now).await.unwrap());
    drop(conn);
    stage.resign(lost).await;
    assert!(!stage.leads(lost).await && !stage.renew(lost, HOUR).await);
    assert!(stage.leads(taken).await);
    stage.resign(taken).await;
    assert!(!stage.leads(lost).await && !stage.renew(lost, HOUR).await);
}

/// The answer of `leads` holds until the transaction ends, even if the lease does not last so long.
pub async fn nobody_takes_the_lead_while_a_transaction_relies_on_it<H: Harness>(harness: &H) {
    let stage = Arc::new(Stage::<H>::new(harness));
    let (leader, other) = (Token::random(), Token::random());
    assert!(stage.take(leader, Duration::ZERO).await);
    let mut tx = stage.source.begin().await.unwrap();
    assert!(stage.store.leads(&mut tx, &FEED, leader).await.unwrap());
    let taking = {
        let (store, source) = (stage.store.clone(), stage.source.clone());
        tokio::spawn(async move {
            let mut conn = source.acquire().await.unwrap();
            store.take(&mut conn, &FEED, other, HOUR).await.unwrap().is_some()
        })
    };
    for _ in 0..20 {
        tokio::task::yield_now().await;
        assert!(stage.store.leads(&mut tx, &FEED, leader).await.unwrap());
    }
    stage.source.commit(tx).await.unwrap();
    // Who came meanwhile has waited, or was refused; who comes now is not.
    assert!(taking.await.unwrap() || stage.take(other, HOUR).await);
    assert!(!stage.leads(leader).await);
}

/// Whoever comes next, in whatever process, sees when the last one began.
pub async fn a_batch_runs_at_once_and_then_at_its_interval<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness);
    let runner = || {
        stage.runner().every("feed", HOUR, |batch| async move {
            let is_first = enter(&batch) == 1;
            assert_eq!(batch.last_began_at().is_none(), is_first);
            assert_eq!(batch.name(), &FEED);
            Ok(())
        })
    };
    for _ in 0..3 {
        runner().drain().await.unwrap();
        assert_eq!(stage.probe.count(), 1);
    }
    // An hour passes.
    let (mut conn, token) = (stage.conn().await, Token::random());
    let lead = stage.store.take(&mut conn, &FEED, token, HOUR).await.unwrap().unwrap();
    let an_hour_ago = lead.now - TimeDelta::hours(1);
    assert!(lead.ran_at.is_some_and(|ran_at| ran_at > an_hour_ago));
    assert!(stage.store.ran(&mut conn, &FEED, token, an_hour_ago).await.unwrap());
    runner().drain().await.unwrap();
    assert_eq!(stage.probe.count(), 1, "somebody else leads");
    stage.store.resign(&mut conn, &FEED, token).await.unwrap();
    drop(conn);
    for _ in 0..2 {
        runner().drain().await.unwrap();
        assert_eq!(stage.probe.count(), 2);
    }
}

/// Errors and panics wait for the backoff and not for the interval.
pub async fn a_batch_that_fails_is_tried_again<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness);
    let runner = stage.runner().every("feed", HOUR, |batch| async move {
        match enter(&batch) {
            1 => Err(Failure::retry("no candidates")),
            2 => panic!("no luck"),
            3 => Err(Failure::retry_after(PACE, "later")),
            _ => Ok(()),
        }
    });
    let running = spawn(runner);
    stage.probe.began(4).await;
    ended(running).await;
    assert_eq!(stage.probe.count(), 4);
    let next = stage.store.take(&mut *stage.conn().await, &FEED, Token::random(), HOUR).await.unwrap().unwrap();
    assert!(next.ran_at.is_some());
}

/// They fail, which is to be tried again at once, and leaders come and go.
pub async fn batches_of_many_runners_never_overlap<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness);
    let start = || {
        spawn(stage.runner().every("feed", HOUR, |batch| async move {
            assert_eq!(batch.state().inside.fetch_add(1, Ordering::SeqCst), 0, "two batches at once");
            enter(&batch);
            tokio::task::yield_now().await;
            batch.state().inside.fetch_sub(1, Ordering::SeqCst);
            Err(Failure::retry("not done yet"))
        }))
    };
    let mut running: std::collections::VecDeque<_> = (0..3).map(|_| start()).collect();
    for round in 1..=6 {
        let seen = stage.probe.count();
        stage.probe.began(seen + 5).await;
        if let Some(leaving) = running.pop_front() {
            ended(leaving).await;
        }
        if round <= 3 {
            running.push_back(start());
        }
        if running.is_empty() {
            break;
        }
    }
    for leaving in running {
        ended(leaving).await;
    }
    assert_eq!(stage.probe.inside.load(Ordering::SeqCst), 0);
    let leaders: std::collections::HashSet<Token> = stage.probe.tokens.lock().unwrap().iter().copied().collect();
    assert!(leaders.len() > 1, "there was one leader only");
}

/// Its lease would last an hour.
pub async fn a_stopping_leader_hands_over_at_once<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness);
    let start = || {
        spawn(stage.runner().every("feed", HOUR, |batch| async move {
            enter(&batch);
            Err(Failure::retry_after(PACE, "not done yet"))
        }))
    };
    let first = start();
    stage.probe.began(1).await;
    let second = start();
    ended(first).await;
    let seen = stage.probe.count();
    stage.probe.began(seen + 2).await;
    ended(second).await;
    let tokens = stage.probe.tokens.lock().unwrap();
    assert_ne!(tokens.first(), tokens.last());
}

/// A process that vanished says nothing: its lease has to end.
pub async fn a_lost_leader_is_replaced_after_its_lease<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness);
    let start = || {
        spawn(stage.runner().every("feed", HOUR, |batch| async move {
            enter(&batch);
            drop(batch.state().gate.acquire().await);
            Ok(())
        }))
    };
    let (_stop, first) = start();
    stage.probe.began(1).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    stage.runner().every("feed", HOUR, |_| async { unreachable!("the lease has not ended") }).drain().await.unwrap();
    let token = stage.probe.tokens.lock().unwrap()[0];
    let second = start();
    assert!(stage.renew(token, Duration::ZERO).await);
    stage.probe.began(2).await;
    stage.probe.gate.close();
    ended(second).await;
    assert!(!stage.leads(token).await);
}

/// Somebody else has taken over while it was held up: it hears of it, and its transaction learns that it must not commit.
pub async fn a_batch_that_was_overtaken_is_told_and_cannot_write<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness);
    let source = stage.source.clone();
    let runner = |lease| {
        let source = source.clone();
        stage.runner().lease(lease).every("feed", HOUR, move |batch| {
            let source = source.clone();
            async move {
                if enter(&batch) > 1 {
                    let mut tx = source.begin().await?;
                    assert!(batch.still_leads(&mut tx).await?);
                    return Ok(source.commit(tx).await?);
                }
                batch.cancelled().await;
                // On a busy machine it may have given up before the other one came.
                while batch.still_leads(&mut *source.begin().await?).await? {
                    tokio::task::yield_now().await;
                }
                batch.state().cancellations.lock().unwrap().extend(batch.cancellation());
                drop(batch.state().gate.acquire().await);
                Ok(())
            }
        })
    };
    let slow = spawn(runner(Duration::from_millis(300)));
    stage.probe.began(1).await;
    let token = stage.probe.tokens.lock().unwrap()[0];
    let fast = spawn(runner(HOUR));
    // Until the other one is faster than the renewal.
    while stage.probe.count() < 2 {
        stage.renew(token, Duration::ZERO).await;
        tokio::task::yield_now().await;
    }
    while stage.probe.cancellations.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(*stage.probe.cancellations.lock().unwrap(), [Cancellation::Lost]);
    stage.probe.gate.close();
    ended(fast).await;
    ended(slow).await;
    // What the slow one finished does not count: the next batch is due an hour after the fast one's.
    assert_eq!(stage.probe.count(), 2);
}

/// Told that the runner stops, it has the grace period and no more; it has not run then, and the lead is free.
pub async fn a_batch_that_does_not_listen_is_cut_off<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness);
    let runner = stage.runner().grace(Duration::from_millis(500)).every("feed", HOUR, |batch| async move {
        enter(&batch);
        batch.cancelled().await;
        batch.state().cancellations.lock().unwrap().extend(batch.cancellation());
        drop(batch.state().gate.acquire().await);
        Ok(())
    });
    let running = spawn(runner);
    stage.probe.began(1).await;
    ended(running).await;
    assert_eq!(*stage.probe.cancellations.lock().unwrap(), [Cancellation::Stopping]);
    let next = stage.store.take(&mut *stage.conn().await, &FEED, Token::random(), HOUR).await.unwrap();
    assert_eq!(next.unwrap().ran_at, None);
    let refused =
        |runner: Runner<H::Store, H::Source, Arc<Probe>>| async move { runner.drain().await.unwrap_err().to_string() };
    let idle = || stage.runner().every("feed", HOUR, |_| async { Ok(()) });
    assert_eq!(refused(idle().every("feed", HOUR, |_| async { Ok(()) })).await, "loop must have a name of its own");
    assert_eq!(refused(idle().every("Feed", HOUR, |_| async { Ok(()) })).await, "loop is not a valid name");
    let hasty = idle().every("hasty", Duration::ZERO, |_| async { Ok(()) });
    assert_eq!(refused(hasty).await, "interval must be at least 1 millisecond");
}
