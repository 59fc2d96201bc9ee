//! Laws of the store: what is queued, claimed, reported and kept.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::Barrier;

use super::{HOUR, Harness, MAIL, WELCOME, new_job};
use crate::store::CRASH;
use crate::{
    Claim, ClaimRequest, Claimed, DeadReason, Due, Durability, EnqueueOptions, Error, Filter, Heartbeat, Job, JobId,
    JobRecord, Jobs, Kind, NewJob, Orphans, Outcome, PageRequest, Queue, Report, Reported, Rescued, Signal, Source,
    State, Store, Token, Turned, WorkerId,
};

/// A store with the verbs in the short form that laws need.
pub(super) struct Bench<H: Harness> {
    pub(super) store: H::Store,
    pub(super) source: H::Source,
}

pub(super) type Conn<H> = <<H as Harness>::Store as Store>::Connection;

impl<H: Harness> Bench<H> {
    pub(super) fn new(harness: &H) -> Self {
        Self { store: harness.store(), source: harness.source() }
    }

    pub(super) async fn enqueue(&self, conn: &mut Conn<H>, job: &NewJob<'_>) -> JobId {
        self.store.enqueue(conn, std::slice::from_ref(job)).await.unwrap()[0].id
    }

    pub(super) async fn claim(&self, conn: &mut Conn<H>, limit: u32, lease: Duration) -> Vec<Claimed> {
        claim(&self.store, conn, limit, lease).await
    }

    /// Claims the one job that is due.
    pub(super) async fn claim_one(&self, conn: &mut Conn<H>, lease: Duration) -> Claim {
        let claimed = self.claim(conn, 10, lease).await;
        assert_eq!(claimed.len(), 1, "{claimed:?}");
        claimed[0].claim
    }

    pub(super) async fn report(&self, conn: &mut Conn<H>, claim: Claim, outcome: Outcome) -> Reported {
        self.store.turn(conn, &[Report { claim, outcome }], None).await.unwrap().reported[0]
    }

    pub(super) async fn rescue(&self, conn: &mut Conn<H>, limit: u32) -> Rescued {
        self.store.rescue(conn, limit, Orphans::Include).await.unwrap()
    }

    pub(super) async fn job(&self, conn: &mut Conn<H>, id: JobId) -> JobRecord {
        self.store.find(conn, id).await.unwrap().unwrap()
    }
}

/// Claims as a worker that has just come, with a lease.
pub(super) async fn claim<S: Store>(store: &S, conn: &mut S::Connection, limit: u32, lease: Duration) -> Vec<Claimed> {
    let worker = WorkerId::random();
    store.beat(conn, heartbeat(worker, lease)).await.unwrap();
    hunt(store, conn, ClaimRequest { limit, worker, ..request() }).await
}

pub(super) async fn hunt<S: Store>(store: &S, conn: &mut S::Connection, request: ClaimRequest<'_>) -> Vec<Claimed> {
    store.turn(conn, &[], Some(&request)).await.unwrap().claimed
}

/// Of a worker that serves the queue of [`request`].
pub(super) fn heartbeat(worker: WorkerId, lease: Duration) -> Heartbeat<'static> {
    Heartbeat { worker, queue: const { &MAIL }, process: "here:1", lease }
}

pub(super) fn request() -> ClaimRequest<'static> {
    ClaimRequest {
        queue: const { &MAIL },
        kinds: const { &[WELCOME] },
        limit: 10,
        token: Token::random(),
        worker: WorkerId::random(),
        since: None,
        durability: Durability::Durable,
    }
}

pub(super) fn ids(claimed: &[Claimed]) -> Vec<JobId> {
    claimed.iter().map(|job| job.claim.id).collect()
}

pub(super) fn failed(retry: Option<Duration>) -> Outcome {
    Outcome::Failed { error: "no route".to_owned(), retry, reason: DeadReason::Exhausted }
}

pub(super) fn released() -> Outcome {
    Outcome::Released { delay: Duration::ZERO }
}

/// A job enqueued in a transaction that did not commit is nowhere.
pub async fn a_rolled_back_job_never_existed<H: Harness>(harness: &H) {
    let bench = Bench::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    let id = bench.enqueue(&mut tx, &new_job()).await;
    assert_eq!(bench.job(&mut tx, id).await.state, State::Pending);
    drop(tx);
    let mut tx = bench.source.begin().await.unwrap();
    assert!(bench.claim(&mut tx, 10, HOUR).await.is_empty());
    assert_eq!(bench.store.find(&mut tx, id).await.unwrap(), None);
}

/// Whoever claims meanwhile finds nothing, or waits and then finds nothing.
pub async fn an_uncommitted_job_is_never_claimed<H: Harness>(harness: &H) {
    let bench = Bench::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    bench.enqueue(&mut tx, &new_job()).await;
    let (store, source) = (bench.store.clone(), bench.source.clone());
    let mut claims = tokio::spawn(async move {
        let mut conn = source.begin().await.unwrap();
        claim(&store, &mut conn, 10, HOUR).await
    });
    // A backend with one writer at a time lets the claim wait for the end of the transaction.
    let early = tokio::time::timeout(Duration::from_millis(100), &mut claims).await;
    drop(tx);
    let claimed = match early {
        Ok(claimed) => claimed.unwrap(),
        Err(_) => claims.await.unwrap(),
    };
    assert!(claimed.is_empty());
}

/// After the commit another connection claims it, and then nobody else does.
pub async fn a_committed_job_is_claimed_once<H: Harness>(harness: &H) {
    let bench = Bench::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    let id = bench.enqueue(&mut tx, &NewJob { payload: r#"{"user": 7}"#.into(), ..new_job() }).await;
    bench.source.commit(tx).await.unwrap();

    let mut tx = bench.source.begin().await.unwrap();
    let claimed = bench.claim(&mut tx, 10, HOUR).await;
    assert_eq!(ids(&claimed), [id]);
    assert_eq!((claimed[0].payload.as_str(), &claimed[0].kind), (r#"{"user": 7}"#, &WELCOME));
    assert_eq!((claimed[0].attempt, claimed[0].max_attempts), (1, 3));
    assert!(bench.claim(&mut tx, 10, HOUR).await.is_empty());
    bench.source.commit(tx).await.unwrap();

    let mut tx = bench.source.begin().await.unwrap();
    assert!(bench.claim(&mut tx, 10, HOUR).await.is_empty());
    let job = bench.job(&mut tx, id).await;
    assert_eq!((job.state, job.attempt, job.finished_at), (State::Running, 1, None));
    assert!(job.attempted_at.is_some());
}

/// Also where many jobs are alike.
pub async fn a_claim_never_exceeds_its_limit<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    for _ in 0..30 {
        bench.enqueue(&mut tx, &new_job()).await;
    }
    let mut sizes = Vec::new();
    for limit in [0, 1, 7, 21, 5] {
        sizes.push(bench.claim(&mut tx, limit, HOUR).await.len());
    }
    assert_eq!(sizes, [0, 1, 7, 21, 1]);
}

/// Many claimers at once: together they get every job, no two of them the same one.
pub async fn concurrent_claimers_never_share_a_job<H: Harness>(harness: &H) {
    let bench = Bench::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    for _ in 0..100 {
        bench.enqueue(&mut tx, &new_job()).await;
    }
    bench.source.commit(tx).await.unwrap();

    let barrier = Arc::new(Barrier::new(4));
    let mut claimers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (store, source, barrier) = (bench.store.clone(), bench.source.clone(), barrier.clone());
        claimers.spawn(async move {
            let mut all = Vec::new();
            barrier.wait().await;
            // Rows that another claimer is about to take are skipped: one empty claim may come too early, so the
            // limits add up to more than there is.
            for _ in 0..15 {
                let mut tx = source.begin().await.unwrap();
                let claimed = claim(&store, &mut tx, 7, HOUR).await;
                source.commit(tx).await.unwrap();
                assert!(claimed.len() <= 7);
                all.extend(ids(&claimed));
            }
            all
        });
    }
    let claimed: Vec<JobId> = claimers.join_all().await.into_iter().flatten().collect();
    assert_eq!(claimed.len(), 100);
    assert_eq!(claimed.iter().collect::<HashSet<_>>().len(), 100);
}

/// The order of a claim is priority, then time, then id.
pub async fn urgent_jobs_come_first_then_early_ones_then_lower_ids<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    let early = Due::At("2020-01-01T00:00:00Z".parse().unwrap());
    let late = Due::At("2020-01-01T00:00:01Z".parse().unwrap());
    let mut enqueued = Vec::new();
    for (priority, due) in [(9, early), (5, late), (5, early), (0, late), (5, early), (5, late)] {
        enqueued.push(bench.enqueue(&mut tx, &NewJob { priority, due, ..new_job() }).await);
    }
    let mut claimed = ids(&bench.claim(&mut tx, 2, HOUR).await);
    claimed.extend(ids(&bench.claim(&mut tx, 10, HOUR).await));
    assert_eq!(claimed, [3, 2, 4, 1, 5, 0].map(|index: usize| enqueued[index]));
}

/// Neither delayed nor scheduled jobs, however urgent; past ones are due.
pub async fn future_jobs_are_not_claimed<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    let next_hour = Due::At(Utc::now() + TimeDelta::hours(1));
    bench.enqueue(&mut tx, &NewJob { priority: 0, due: Due::After(HOUR), ..new_job() }).await;
    bench.enqueue(&mut tx, &NewJob { priority: 0, due: next_hour, ..new_job() }).await;
    let past = Due::At(Utc::now() - TimeDelta::hours(1));
    let due = bench.enqueue(&mut tx, &NewJob { priority: 9, due: past, ..new_job() }).await;
    assert_eq!(ids(&bench.claim(&mut tx, 10, HOUR).await), [due]);
}

/// What nobody asked for keeps its attempts.
pub async fn other_kinds_and_queues_are_untouched<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    let (unknown, other) = (Kind::from_static("unknown"), Queue::from_static("other"));
    let of_unknown = bench.enqueue(&mut tx, &NewJob { kind: &unknown, ..new_job() }).await;
    let in_other = bench.enqueue(&mut tx, &NewJob { queue: &other, ..new_job() }).await;
    assert!(bench.claim(&mut tx, 10, HOUR).await.is_empty());
    assert!(hunt(&bench.store, &mut tx, ClaimRequest { kinds: &[], ..request() }).await.is_empty());
    for id in [of_unknown, in_other] {
        let job = bench.job(&mut tx, id).await;
        assert_eq!((job.state, job.attempt), (State::Pending, 0));
    }
    let both = ClaimRequest { kinds: &[WELCOME, unknown], ..request() };
    assert_eq!(ids(&hunt(&bench.store, &mut tx, both).await), [of_unknown]);
}

/// After another claim of the same job, the first one's holder can neither end nor extend it, and is told so.
pub async fn a_stale_token_changes_nothing<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    let id = bench.enqueue(&mut tx, &new_job()).await;
    let stale = bench.claim_one(&mut tx, Duration::ZERO).await;
    assert_eq!(bench.rescue(&mut tx, 10).await, Rescued { failed: 1, ..Rescued::default() });
    for holder in ["nobody", "another"] {
        let fresh = if holder == "another" { Some(bench.claim_one(&mut tx, HOUR).await) } else { None };
        let before = bench.job(&mut tx, id).await;
        for outcome in [Outcome::Succeeded, failed(Some(Duration::ZERO)), failed(None), released()] {
            assert_eq!(bench.report(&mut tx, stale, outcome).await, Reported::Fenced, "{holder}");
        }
        assert_eq!(bench.store.watch(&mut tx, &[stale]).await.unwrap(), [Signal::Lost(stale)]);
        assert!(!bench.store.progress(&mut tx, stale, "half").await.unwrap());
        assert_eq!(bench.rescue(&mut tx, 10).await, Rescued::default(), "the lease is the other's");
        assert_eq!(bench.job(&mut tx, id).await, before);
        if let Some(fresh) = fresh {
            assert!(bench.store.watch(&mut tx, &[fresh]).await.unwrap().is_empty());
            assert_eq!(bench.report(&mut tx, fresh, Outcome::Succeeded).await, Reported::Now(State::Succeeded));
        }
    }
    let unknown = Claim { id: JobId::from(i64::MAX), token: stale.token };
    assert_eq!(bench.report(&mut tx, unknown, Outcome::Succeeded).await, Reported::Fenced);
    assert_eq!(bench.store.watch(&mut tx, &[unknown]).await.unwrap(), [Signal::Lost(unknown)]);
}

/// What was reported stands: the same token has no second say.
pub async fn a_claim_ends_once<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    for first in [Outcome::Succeeded, failed(Some(HOUR)), failed(None), Outcome::Released { delay: HOUR }] {
        let id = bench.enqueue(&mut tx, &new_job()).await;
        let claim = bench.claim_one(&mut tx, HOUR).await;
        assert!(matches!(bench.report(&mut tx, claim, first).await, Reported::Now(_)));
        let before = bench.job(&mut tx, id).await;
        for second in [Outcome::Succeeded, failed(None), released()] {
            assert_eq!(bench.report(&mut tx, claim, second).await, Reported::Fenced);
        }
        assert_eq!(bench.store.watch(&mut tx, &[claim]).await.unwrap(), [Signal::Lost(claim)]);
        assert_eq!(bench.job(&mut tx, id).await, before);
    }
}

/// Who renews in time, and even who renews late but before anybody noticed, keeps the job.
pub async fn a_renewed_lease_is_not_rescued<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    bench.enqueue(&mut tx, &new_job()).await;
    let worker = WorkerId::random();
    bench.store.beat(&mut tx, heartbeat(worker, Duration::ZERO)).await.unwrap();
    let claim = hunt(&bench.store, &mut tx, ClaimRequest { worker, ..request() }).await[0].claim;
    bench.store.beat(&mut tx, heartbeat(worker, HOUR)).await.unwrap();
    assert_eq!(bench.rescue(&mut tx, 10).await, Rescued::default());
    assert_eq!(bench.report(&mut tx, claim, Outcome::Succeeded).await, Reported::Now(State::Succeeded));
}

/// Anybody may claim it again then; the attempt is spent and the crash recorded.
pub async fn an_expired_lease_counts_as_a_crash<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    let id = bench.enqueue(&mut tx, &new_job()).await;
    bench.claim_one(&mut tx, Duration::ZERO).await;
    assert_eq!(bench.rescue(&mut tx, 10).await, Rescued { failed: 1, ..Rescued::default() });
    let job = bench.job(&mut tx, id).await;
    assert_eq!((job.state, job.attempt, job.crashes), (State::Failed, 1, 1));
    assert_eq!(job.last_error.as_deref(), Some(CRASH));
    let claimed = bench.claim(&mut tx, 10, HOUR).await;
    assert_eq!((ids(&claimed), claimed[0].attempt), (vec![id], 2));
}

/// Crash after crash it uses up its attempts.
pub async fn a_job_that_crashes_every_time_is_dead<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    let id = bench.enqueue(&mut tx, &new_job()).await;
    for attempt in 1..=3 {
        let claim = bench.claim_one(&mut tx, Duration::ZERO).await;
        let rescued = bench.rescue(&mut tx, 10).await;
        let dead = u32::from(attempt == 3);
        assert_eq!(rescued, Rescued { failed: 1 - dead, dead, ..Rescued::default() });
        assert_eq!(bench.report(&mut tx, claim, Outcome::Succeeded).await, Reported::Fenced);
    }
    assert!(bench.claim(&mut tx, 10, HOUR).await.is_empty());
    let job = bench.job(&mut tx, id).await;
    assert_eq!((job.state, job.reason), (State::Dead, Some(DeadReason::Crashed)));
    assert_eq!((job.attempt, job.crashes, job.last_error.as_deref()), (3, 3, Some(CRASH)));
    assert!(job.finished_at.is_some());
}

/// What it leaves, the next rescue takes.
pub async fn a_rescue_keeps_to_its_limit<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    for _ in 0..5 {
        bench.enqueue(&mut tx, &new_job()).await;
    }
    bench.claim(&mut tx, 10, Duration::ZERO).await;
    let mut counts = Vec::new();
    for _ in 0..4 {
        counts.push(bench.rescue(&mut tx, 2).await.failed);
    }
    assert_eq!(counts, [2, 2, 1, 0]);
}

/// Not claimable before, claimable after; the error stays until it is replaced.
pub async fn a_failed_job_waits_for_its_backoff<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    let id = bench.enqueue(&mut tx, &new_job()).await;
    let claim = bench.claim_one(&mut tx, HOUR).await;
    assert_eq!(bench.report(&mut tx, claim, failed(Some(Duration::ZERO))).await, Reported::Now(State::Failed));
    let claim = bench.claim_one(&mut tx, HOUR).await;
    assert_eq!(bench.report(&mut tx, claim, failed(Some(HOUR))).await, Reported::Now(State::Failed));
    assert!(bench.claim(&mut tx, 10, HOUR).await.is_empty());
    let job = bench.job(&mut tx, id).await;
    assert_eq!((job.state, job.attempt, job.crashes, job.reason), (State::Failed, 2, 0, None));
    assert_eq!(job.last_error.as_deref(), Some("no route"));
    let wait = job.run_at - job.attempted_at.unwrap();
    assert!(wait >= TimeDelta::hours(1) && wait < TimeDelta::hours(2), "{wait}");
}

/// A retry that was promised is not given after the last attempt; the reason is the one that the report names.
pub async fn an_exhausted_job_is_dead<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    for reason in [DeadReason::Exhausted, DeadReason::Undecodable] {
        let id = bench.enqueue(&mut tx, &NewJob { max_attempts: 2, ..new_job() }).await;
        for expected in [State::Failed, State::Dead] {
            let claim = bench.claim_one(&mut tx, HOUR).await;
            let outcome = Outcome::Failed { error: expected.to_string(), retry: Some(Duration::ZERO), reason };
            assert_eq!(bench.report(&mut tx, claim, outcome).await, Reported::Now(expected));
        }
        let job = bench.job(&mut tx, id).await;
        assert_eq!((job.state, job.reason, job.attempt), (State::Dead, Some(reason), 2));
        assert_eq!(job.last_error.as_deref(), Some("dead"));
        assert!(job.finished_at.is_some());
    }
}

/// Whatever attempts are left.
pub async fn a_fatal_failure_is_dead_at_once<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    let id = bench.enqueue(&mut tx, &new_job()).await;
    let claim = bench.claim_one(&mut tx, HOUR).await;
    let outcome = Outcome::Failed { error: "no such user".to_owned(), retry: None, reason: DeadReason::Fatal };
    assert_eq!(bench.report(&mut tx, claim, outcome).await, Reported::Now(State::Dead));
    let job = bench.job(&mut tx, id).await;
    assert_eq!((job.reason, job.attempt), (Some(DeadReason::Fatal), 1));
    assert!(bench.claim(&mut tx, 10, HOUR).await.is_empty());
}

/// However often it is given back, the count does not grow.
pub async fn a_released_job_gets_its_attempt_back<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    let id = bench.enqueue(&mut tx, &NewJob { max_attempts: 1, ..new_job() }).await;
    for _ in 0..5 {
        let claim = bench.claim_one(&mut tx, HOUR).await;
        assert_eq!(bench.job(&mut tx, id).await.attempt, 1);
        assert_eq!(bench.report(&mut tx, claim, released()).await, Reported::Now(State::Pending));
        let job = bench.job(&mut tx, id).await;
        assert_eq!((job.state, job.attempt, job.last_error), (State::Pending, 0, None));
    }
    let claim = bench.claim_one(&mut tx, HOUR).await;
    bench.report(&mut tx, claim, Outcome::Released { delay: HOUR }).await;
    assert!(bench.claim(&mut tx, 10, HOUR).await.is_empty());
}

/// One call, every kind of outcome, a stale claim in between.
pub async fn a_batch_of_reports_is_answered_in_its_order<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    for _ in 0..5 {
        bench.enqueue(&mut tx, &new_job()).await;
    }
    let claimed = bench.claim(&mut tx, 10, HOUR).await;
    let outcomes = [failed(None), Outcome::Succeeded, Outcome::Succeeded, released(), failed(Some(HOUR))];
    let mut reports: Vec<Report> =
        claimed.iter().zip(outcomes).map(|(job, outcome)| Report { claim: job.claim, outcome }).collect();
    reports[2].claim.token = Token::random();
    reports.reverse();
    let mut reported = bench.store.turn(&mut tx, &reports, None).await.unwrap().reported;
    reported.reverse();
    let now = Reported::Now;
    let expected = [now(State::Dead), now(State::Succeeded), Reported::Fenced, now(State::Pending), now(State::Failed)];
    assert_eq!(reported, expected);
    assert_eq!(bench.store.turn(&mut tx, &[], None).await.unwrap(), Turned::default());
    assert!(bench.store.watch(&mut tx, &[]).await.unwrap().is_empty());
}

/// Finished and queued jobs in one listing, the latest first, by queue and by state, page by page.
pub async fn a_listing_walks_back_through_every_state<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let jobs = Jobs::new(bench.store.clone());
    let mut tx = bench.source.begin().await.unwrap();
    let other = Queue::from_static("other");
    let outcomes = [None, Some(Outcome::Succeeded), Some(failed(Some(HOUR))), Some(failed(None))];
    let mut expected = Vec::new();
    for outcome in outcomes {
        let id = bench.enqueue(&mut tx, &new_job()).await;
        let claim = bench.claim_one(&mut tx, HOUR).await;
        if let Some(outcome) = outcome {
            bench.report(&mut tx, claim, outcome).await;
        }
        expected.push((id, bench.job(&mut tx, id).await.state));
    }
    let in_other = bench.enqueue(&mut tx, &NewJob { queue: &other, ..new_job() }).await;
    expected.push((in_other, State::Pending));
    expected.reverse();

    for limit in [1, 2, 3, 5, 1000] {
        let (mut walked, mut pages) = (Vec::new(), 0);
        let mut page = Some(PageRequest::first(limit));
        while let Some(request) = page {
            let answer = jobs.list(&mut tx, &Filter::default(), &request).await.unwrap();
            walked.extend(answer.items.iter().map(|job| (job.id, job.state)));
            page = answer.next.map(|id| PageRequest::first(limit).after(id));
            pages += 1;
        }
        assert_eq!(walked, expected, "limit {limit}");
        assert_eq!(pages, 5_u32.div_ceil(limit), "no page is empty");
    }
    for (id, state) in expected {
        let queue = if id == in_other { other.clone() } else { MAIL };
        let filter = Filter::default().state(state).queue(queue);
        let page = jobs.list(&mut tx, &filter, &PageRequest::first(10)).await.unwrap().items;
        assert_eq!(page.iter().map(|job| job.id).collect::<Vec<_>>(), [id]);
        assert_eq!(jobs.find(&mut tx, id).await.unwrap().as_ref(), page.first());
    }
    let none = Filter::default().queue(other).state(State::Dead);
    let page = jobs.list(&mut tx, &none, &PageRequest::first(10)).await.unwrap();
    assert_eq!((page.items.len(), page.next), (0, None));
}

/// The facade refuses with a typed error, and the transaction goes on.
pub async fn bad_input_is_refused_before_anything_is_written<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let jobs = Jobs::new(bench.store.clone());
    let mut tx = bench.source.begin().await.unwrap();
    let options = EnqueueOptions::default;
    let note = |text: &str| Note { text: text.to_owned() };
    let fine = note("fine");
    let far = "+10000-01-01T00:00:00Z".parse().unwrap();
    for (what, refused) in [
        ("payload", jobs.enqueue(&mut tx, &note(&"x".repeat(1 << 20))).await),
        ("payload", jobs.enqueue(&mut tx, &note("a\0b")).await),
        ("priority", jobs.enqueue_with(&mut tx, &fine, &options().priority(10)).await.map(|new| new.id)),
        ("max_attempts", jobs.enqueue_with(&mut tx, &fine, &options().max_attempts(0)).await.map(|new| new.id)),
        ("delay", jobs.enqueue_with(&mut tx, &fine, &options().delay(Duration::MAX)).await.map(|new| new.id)),
        (
            "run_at",
            jobs.enqueue_with(&mut tx, &fine, &options().run_at(chrono::DateTime::<Utc>::MIN_UTC))
                .await
                .map(|new| new.id),
        ),
        ("timeout", jobs.enqueue_with(&mut tx, &fine, &options().timeout(Duration::ZERO)).await.map(|new| new.id)),
        ("unique_key", jobs.enqueue_with(&mut tx, &fine, &options().unique("")).await.map(|new| new.id)),
        ("order_key", jobs.enqueue_with(&mut tx, &fine, &options().ordered("a\0b")).await.map(|new| new.id)),
        (
            "expires_after",
            jobs.enqueue_with(&mut tx, &fine, &options().expires_after(Duration::MAX)).await.map(|new| new.id),
        ),
        ("run_at", jobs.enqueue_with(&mut tx, &fine, &options().run_at(far)).await.map(|new| new.id)),
    ] {
        assert!(matches!(refused, Err(Error::Invalid { what: at, .. }) if at == what), "{what}: {refused:?}");
    }
    assert!(matches!(jobs.enqueue(&mut tx, &Unserialisable).await, Err(Error::Unserialisable(_))));
    let id = jobs.enqueue(&mut tx, &fine).await.unwrap();
    bench.source.commit(tx).await.unwrap();
    let mut conn = bench.source.acquire().await.unwrap();
    let all = jobs.list(&mut conn, &Filter::default(), &PageRequest::first(10)).await.unwrap().items;
    assert_eq!(all.iter().map(|job| job.id).collect::<Vec<_>>(), [id]);
}

/// Payloads and errors come back byte for byte.
pub async fn texts_survive_as_they_are<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let jobs = Jobs::new(bench.store.clone());
    let mut tx = bench.source.begin().await.unwrap();
    for text in ["", "'; DROP TABLE jobs_queue_job; --", "\\", r"\u0000", "$1 \"é\" e\u{301} \u{1f600}\t\n", "null"] {
        let note = Note { text: text.to_owned() };
        let id = jobs.enqueue(&mut tx, &note).await.unwrap();
        let note_request = ClaimRequest {
            queue: &Queue::from_static(Note::QUEUE),
            kinds: &[Kind::from_static(Note::KIND)],
            token: Token::from(i64::MIN),
            ..request()
        };
        let claimed = hunt(&bench.store, &mut tx, note_request).await;
        assert_eq!(serde_json::from_str::<Note>(&claimed[0].payload).unwrap(), note);
        let outcome = Outcome::Failed { error: text.to_owned(), retry: None, reason: DeadReason::Fatal };
        bench.report(&mut tx, claimed[0].claim, outcome).await;
        assert_eq!(bench.job(&mut tx, id).await.last_error.as_deref(), Some(text));
    }
}

/// Whoever reports: NULs, which PostgreSQL refuses, and endless texts do not reach the database; the transaction goes on.
pub async fn an_error_of_any_text_is_storable<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    for (error, stored) in [("a\0b".to_owned(), "a\u{fffd}b".to_owned()), ("é".repeat(4096), "é".repeat(2048))] {
        let id = bench.enqueue(&mut tx, &new_job()).await;
        let claim = bench.claim_one(&mut tx, HOUR).await;
        let outcome = Outcome::Failed { error, retry: None, reason: DeadReason::Fatal };
        assert_eq!(bench.report(&mut tx, claim, outcome).await, Reported::Now(State::Dead));
        assert_eq!(bench.job(&mut tx, id).await.last_error, Some(stored));
    }
}

/// Without a transaction each call commits by itself.
pub async fn on_a_bare_connection_every_verb_stands_alone<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut conn = bench.source.acquire().await.unwrap();
    let mut reader = bench.source.acquire().await.unwrap();
    let id = bench.enqueue(&mut conn, &new_job()).await;
    assert_eq!(bench.job(&mut reader, id).await.state, State::Pending);
    bench.claim_one(&mut conn, Duration::ZERO).await;
    assert_eq!(bench.job(&mut reader, id).await.state, State::Running);
    bench.rescue(&mut conn, 10).await;
    assert_eq!(bench.job(&mut reader, id).await.state, State::Failed);
    let claim = bench.claim_one(&mut conn, HOUR).await;
    bench.report(&mut conn, claim, Outcome::Succeeded).await;
    assert_eq!(bench.job(&mut reader, id).await.state, State::Succeeded);
}

/// A duration beyond every bound is as good as for ever, not an error.
pub async fn the_longest_durations_are_storable<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    bench.enqueue(&mut tx, &new_job()).await;
    let claim = bench.claim_one(&mut tx, Duration::MAX).await;
    assert_eq!(bench.rescue(&mut tx, 10).await, Rescued::default());
    assert_eq!(bench.report(&mut tx, claim, failed(Some(Duration::MAX))).await, Reported::Now(State::Failed));
    bench.enqueue(&mut tx, &NewJob { due: Due::After(Duration::MAX), ..new_job() }).await;
    assert!(bench.claim(&mut tx, 10, HOUR).await.is_empty());
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Note {
    text: String,
}

impl Job for Note {
    const KIND: &'static str = "note";
}

#[derive(Deserialize)]
struct Unserialisable;

impl Job for Unserialisable {
    const KIND: &'static str = "unserialisable";
}

impl Serialize for Unserialisable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("no"))
    }
}
