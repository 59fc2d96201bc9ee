//! Laws of what a job may be told: keys, orders, ends, and who may change its mind.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;

use super::queue::{Bench, claim, failed, heartbeat, hunt, ids, released, request};
use super::{HOUR, Harness, MAIL, new_job};
use crate::{
    Cancelled, ClaimRequest, DeadReason, Due, Enqueued, Filter, NewJob, Orphans, Outcome, Report, Reported, Rescued,
    Signal, Source, State, Store, Token, Unique, WorkerId,
};

fn unique(key: &str) -> Unique<'_> {
    Unique { key, period: None }
}

/// While it waits and while it runs; a batch counts as one after the other, and who comes late learns who was first.
pub async fn a_unique_key_has_one_job_at_a_time<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    let job = |key| NewJob { unique: Some(unique(key)), ..new_job() };
    let batch = [job("a"), job("b"), job("a"), new_job()];
    let answers = bench.store.enqueue(&mut tx, &batch).await.unwrap();
    assert_eq!(answers.iter().map(|new| new.is_new).collect::<Vec<_>>(), [true, true, false, true]);
    assert_eq!(answers[2].id, answers[0].id);
    let claimed = bench.claim(&mut tx, 1, HOUR).await;
    let late = bench.store.enqueue(&mut tx, &[job("a")]).await.unwrap();
    assert_eq!(late, [Enqueued { id: answers[0].id, is_new: false }]);
    bench.report(&mut tx, claimed[0].claim, Outcome::Succeeded).await;
    let next = bench.store.enqueue(&mut tx, &[job("a")]).await.unwrap();
    assert!(next[0].is_new && next[0].id > answers[0].id);
    assert!(bench.store.delete(&mut tx, next[0].id).await.unwrap());
    assert!(bench.store.enqueue(&mut tx, &[job("a")]).await.unwrap()[0].is_new);
    // For a period the end of the job does not matter.
    let period = Some(Unique { key: "c", period: Some(HOUR) });
    let periodic = NewJob { priority: 0, unique: period, ..new_job() };
    let first = bench.store.enqueue(&mut tx, std::slice::from_ref(&periodic)).await.unwrap()[0];
    let claimed = bench.claim(&mut tx, 1, HOUR).await;
    assert_eq!(ids(&claimed), [first.id]);
    bench.report(&mut tx, claimed[0].claim, Outcome::Succeeded).await;
    assert_eq!(bench.store.enqueue(&mut tx, &[periodic]).await.unwrap(), [Enqueued { is_new: false, ..first }]);
}

/// Fifty at once, each in a transaction of its own: one is stored, and all learn which.
pub async fn a_unique_key_withstands_a_crowd<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let barrier = Arc::new(Barrier::new(50));
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (store, source, barrier) = (bench.store.clone(), bench.source.clone(), barrier.clone());
        crowd.spawn(async move {
            barrier.wait().await;
            let mut tx = source.begin().await.unwrap();
            let new = store.enqueue(&mut tx, &[NewJob { unique: Some(unique("one")), ..new_job() }]).await.unwrap()[0];
            source.commit(tx).await.unwrap();
            new
        });
    }
    let answers = crowd.join_all().await;
    assert_eq!(answers.iter().filter(|new| new.is_new).count(), 1);
    assert!(answers.iter().all(|new| new.id == answers[0].id));
}

/// One after the other, in the order of their ids: not beside one that runs, not before one that waits for its retry.
pub async fn jobs_of_one_key_run_one_after_the_other<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    let ordered = NewJob { order_key: Some("account 7"), ..new_job() };
    let first = bench.enqueue(&mut tx, &ordered).await;
    let second = bench.enqueue(&mut tx, &NewJob { priority: 0, ..ordered.clone() }).await;
    let free = bench.enqueue(&mut tx, &new_job()).await;
    assert_eq!(ids(&bench.claim(&mut tx, 10, Duration::ZERO).await), [first, free]);
    assert!(bench.claim(&mut tx, 10, HOUR).await.is_empty());
    assert_eq!(bench.rescue(&mut tx, 10).await.failed, 2);
    let claimed = bench.claim(&mut tx, 10, HOUR).await;
    assert!(claimed.iter().all(|job| job.is_awaited == (job.claim.id == first)));
    for job in &claimed {
        bench.report(&mut tx, job.claim, failed(Some(HOUR))).await;
    }
    assert!(bench.claim(&mut tx, 10, HOUR).await.is_empty(), "the first one waits for its retry");
    assert_eq!(bench.store.retry(&mut tx, &Filter::default().id(first), 10).await.unwrap(), 1);
    let again = bench.claim_one(&mut tx, HOUR).await;
    assert_eq!(again.id, first);
    bench.report(&mut tx, again, Outcome::Succeeded).await;
    assert_eq!(bench.claim_one(&mut tx, HOUR).await.id, second);
}

/// Many claimers, one key: no two of its jobs run at the same time.
pub async fn concurrent_claimers_keep_the_order<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    for _ in 0..12 {
        bench.enqueue(&mut tx, &NewJob { order_key: Some("one"), ..new_job() }).await;
    }
    bench.source.commit(tx).await.unwrap();
    let barrier = Arc::new(Barrier::new(4));
    for _ in 0..12 {
        let mut claimers = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (store, source, barrier) = (bench.store.clone(), bench.source.clone(), barrier.clone());
            claimers.spawn(async move {
                barrier.wait().await;
                let mut tx = source.begin().await.unwrap();
                let claimed = claim(&store, &mut tx, 7, HOUR).await;
                source.commit(tx).await.unwrap();
                claimed
            });
        }
        let claimed: Vec<_> = claimers.join_all().await.into_iter().flatten().collect();
        assert_eq!(claimed.len(), 1, "{claimed:?}");
        let mut conn = bench.source.acquire().await.unwrap();
        bench.report(&mut conn, claimed[0].claim, Outcome::Succeeded).await;
    }
}

/// A waiting job at once, a running one when its worker gives up on it; its success stands all the same.
pub async fn a_cancelled_job_does_not_run_again<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    let waiting = bench.enqueue(&mut tx, &new_job()).await;
    assert_eq!(bench.store.cancel(&mut tx, waiting).await.unwrap(), Cancelled::Now);
    assert_eq!(bench.store.cancel(&mut tx, waiting).await.unwrap(), Cancelled::NotFound);
    assert_eq!(bench.job(&mut tx, waiting).await.state, State::Cancelled);
    for (outcome, state) in
        [(failed(Some(HOUR)), State::Cancelled), (released(), State::Cancelled), (Outcome::Succeeded, State::Succeeded)]
    {
        let id = bench.enqueue(&mut tx, &new_job()).await;
        let claim = bench.claim_one(&mut tx, HOUR).await;
        assert!(bench.store.watch(&mut tx, &[claim]).await.unwrap().is_empty());
        assert_eq!(bench.store.cancel(&mut tx, id).await.unwrap(), Cancelled::Requested);
        assert!(!bench.store.delete(&mut tx, id).await.unwrap(), "what runs is not deleted");
        assert_eq!(bench.store.watch(&mut tx, &[claim]).await.unwrap(), [Signal::Cancel(claim)]);
        assert_eq!(bench.report(&mut tx, claim, outcome).await, Reported::Now(state));
        assert!(bench.job(&mut tx, id).await.finished_at.is_some());
    }
    let lost = bench.enqueue(&mut tx, &new_job()).await;
    bench.claim_one(&mut tx, Duration::ZERO).await;
    bench.store.cancel(&mut tx, lost).await.unwrap();
    assert_eq!(bench.rescue(&mut tx, 10).await, Rescued { cancelled: 1, ..Rescued::default() });
    assert!(bench.claim(&mut tx, 10, HOUR).await.is_empty());
}

/// Dead and cancelled jobs with all their attempts, failed ones at once; the errors of before stay.
pub async fn a_retried_job_has_its_attempts_again<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    for outcome in [failed(None), failed(Some(HOUR)), Outcome::Succeeded] {
        bench.enqueue(&mut tx, &new_job()).await;
        let claim = bench.claim_one(&mut tx, HOUR).await;
        bench.report(&mut tx, claim, outcome).await;
    }
    let only_dead = Filter::default().state(State::Dead).queue(MAIL);
    assert_eq!(bench.store.retry(&mut tx, &only_dead, 0).await.unwrap(), 0);
    assert_eq!(bench.store.retry(&mut tx, &Filter::default(), 10).await.unwrap(), 2);
    assert_eq!(bench.store.retry(&mut tx, &Filter::default(), 10).await.unwrap(), 0);
    let mut claimed = bench.claim(&mut tx, 10, HOUR).await;
    // Both are due since about now.
    claimed.sort_by_key(|job| job.claim.id);
    assert_eq!(claimed.iter().map(|job| job.attempt).collect::<Vec<_>>(), [1, 2]);
    let job = bench.job(&mut tx, claimed[0].claim.id).await;
    assert_eq!((job.errors.len(), job.errors[0].attempt, job.errors[0].error.as_str()), (1, 1, "no route"));
}

/// The last twenty, the latest last.
pub async fn the_error_of_every_attempt_is_kept<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    let id = bench.enqueue(&mut tx, &NewJob { max_attempts: 100, ..new_job() }).await;
    for number in 1..=22 {
        let claim = bench.claim_one(&mut tx, HOUR).await;
        let error = format!("\"error\" {number}");
        let outcome = Outcome::Failed { error, retry: Some(Duration::ZERO), reason: DeadReason::Exhausted };
        bench.report(&mut tx, claim, outcome).await;
    }
    let errors = bench.job(&mut tx, id).await.errors;
    assert_eq!(errors.iter().map(|error| error.attempt).collect::<Vec<_>>(), (3..=22).collect::<Vec<_>>());
    assert_eq!(errors[19].error, "\"error\" 22");
}

/// It is not claimed any more, and found dead by whoever looks.
pub async fn an_expired_job_does_not_run<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    let late = NewJob { expires: Some(Due::After(Duration::ZERO)), ..new_job() };
    let late = bench.enqueue(&mut tx, &late).await;
    let early = bench.enqueue(&mut tx, &NewJob { expires: Some(Due::After(HOUR)), ..new_job() }).await;
    assert_eq!(ids(&bench.claim(&mut tx, 10, HOUR).await), [early]);
    assert_eq!(bench.store.expire(&mut tx, 10).await.unwrap(), 1);
    let job = bench.job(&mut tx, late).await;
    assert_eq!((job.state, job.reason, job.attempt), (State::Dead, Some(DeadReason::Expired), 0));
    assert_eq!(bench.store.expire(&mut tx, 10).await.unwrap(), 0);
}

/// What runs goes on; what waits waits.
pub async fn a_paused_queue_is_not_claimed_from<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    bench.enqueue(&mut tx, &new_job()).await;
    let claim = bench.claim_one(&mut tx, HOUR).await;
    let id = bench.enqueue(&mut tx, &new_job()).await;
    for _ in 0..2 {
        bench.store.pause(&mut tx, &MAIL).await.unwrap();
        assert!(bench.claim(&mut tx, 10, HOUR).await.is_empty());
    }
    assert_eq!(bench.report(&mut tx, claim, Outcome::Succeeded).await, Reported::Now(State::Succeeded));
    bench.store.resume(&mut tx, &MAIL).await.unwrap();
    assert_eq!(bench.claim_one(&mut tx, HOUR).await.id, id);
}

/// Reports and claims in one call: both happen, and what was reported is not claimed twice.
pub async fn a_turn_ends_and_begins<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    bench.enqueue(&mut tx, &new_job()).await;
    let claim = bench.claim_one(&mut tx, HOUR).await;
    let next = bench.enqueue(&mut tx, &new_job()).await;
    let report = Report { claim, outcome: Outcome::Succeeded };
    let turned = bench.store.turn(&mut tx, &[report], Some(&request())).await.unwrap();
    assert_eq!((turned.reported, ids(&turned.claimed)), (vec![Reported::Now(State::Succeeded)], vec![next]));
}

/// Somebody deletes its row, or it never beat: its jobs are found by whoever looks for orphans, and a claim that nobody heard of
/// is given back.
pub async fn a_job_of_an_unknown_worker_is_found<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    let id = bench.enqueue(&mut tx, &new_job()).await;
    let worker = WorkerId::random();
    bench.store.beat(&mut tx, heartbeat(worker, HOUR)).await.unwrap();
    assert_eq!(hunt(&bench.store, &mut tx, ClaimRequest { worker, ..request() }).await.len(), 1);
    bench.store.retire(&mut tx, worker).await.unwrap();
    assert_eq!(bench.store.rescue(&mut tx, 10, Orphans::Skip).await.unwrap(), Rescued::default());
    assert_eq!(bench.store.rescue(&mut tx, 10, Orphans::Include).await.unwrap().failed, 1);
    let unheard = request();
    let (worker, token) = (unheard.worker, unheard.token);
    hunt(&bench.store, &mut tx, unheard).await;
    bench.store.abandon(&mut tx, WorkerId::random(), &[token]).await.unwrap();
    assert_eq!(bench.job(&mut tx, id).await.state, State::Running);
    bench.store.abandon(&mut tx, worker, &[Token::random(), token]).await.unwrap();
    let job = bench.job(&mut tx, id).await;
    assert_eq!((job.state, job.attempt), (State::Pending, 1));
}

/// The time to the next job that is not due yet.
pub async fn an_empty_queue_says_when_to_come_back<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    let kinds = [crate::Kind::from_static("welcome")];
    bench.enqueue(&mut tx, &new_job()).await;
    assert_eq!(bench.store.next_due(&mut tx, &MAIL, &kinds).await.unwrap(), None);
    bench.enqueue(&mut tx, &NewJob { due: Due::After(2 * HOUR), priority: 0, ..new_job() }).await;
    bench.enqueue(&mut tx, &NewJob { due: Due::After(HOUR), priority: 9, ..new_job() }).await;
    let wait = bench.store.next_due(&mut tx, &MAIL, &kinds).await.unwrap().unwrap();
    assert!(wait <= HOUR && wait > HOUR / 2, "{wait:?}");
    assert_eq!(bench.store.next_due(&mut tx, &MAIL, &[]).await.unwrap(), None);
}
