//! Laws of limits: how many jobs run at once, and how many begin within a time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;

use super::queue::{Bench, Conn, claim, failed, hunt, ids, released, request};
use super::{HOUR, Harness, MAIL, new_job};
use crate::{
    ClaimRequest, Count, Due, EnqueueOptions, Enqueued, Error, Filter, Finding, Job, JobId, Jobs, Limit, LimitKey,
    NewJob, Outcome, Queue, Rate, Report, Rescued, Source, State, Store, Turned,
};

fn key(text: &str) -> LimitKey {
    LimitKey::new(text).unwrap()
}

fn keyed(key: &'static str) -> NewJob<'static> {
    NewJob { limit_key: Some(key), ..new_job() }
}

async fn enqueue_many<H: Harness>(bench: &Bench<H>, conn: &mut Conn<H>, job: &NewJob<'_>, count: usize) -> Vec<JobId> {
    let enqueued = bench.store.enqueue(conn, &vec![job.clone(); count]).await.unwrap();
    enqueued.iter().map(|new: &Enqueued| new.id).collect()
}

async fn turn<H: Harness>(bench: &Bench<H>, conn: &mut Conn<H>, limit: u32) -> Turned {
    bench.store.turn(conn, &[], Some(&ClaimRequest { limit, ..request() })).await.unwrap()
}

/// Each of its keys is counted by itself, an own limit goes before that of the name, and who has no limit is passed.
pub async fn a_key_runs_no_more_at_once_than_its_limit<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    bench.store.set_limit(&mut tx, &key("api"), &Limit::concurrency(2)).await.unwrap();
    bench.store.set_limit(&mut tx, &key("api:eve"), &Limit::concurrency(1)).await.unwrap();
    let ada = enqueue_many(&bench, &mut tx, &keyed("api:ada"), 4).await;
    let eve = enqueue_many(&bench, &mut tx, &keyed("api:eve"), 2).await;
    let bob = enqueue_many(&bench, &mut tx, &keyed("bob"), 2).await;
    let free = bench.enqueue(&mut tx, &new_job()).await;
    let claimed = bench.claim(&mut tx, 100, HOUR).await;
    assert_eq!(ids(&claimed), [ada[0], ada[1], eve[0], bob[0], bob[1], free]);
    assert!(claimed.iter().all(|job| job.is_awaited == (job.claim.id != free)));
    assert!(bench.claim(&mut tx, 100, HOUR).await.is_empty());
    bench.report(&mut tx, claimed[0].claim, Outcome::Succeeded).await;
    assert_eq!(ids(&bench.claim(&mut tx, 100, HOUR).await), [ada[2]]);
}

/// Whatever keys its jobs have; and a key's limit counts in all queues together.
pub async fn a_queue_runs_no_more_at_once_than_its_limit<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    let other = Queue::from_static("other");
    bench.store.set_limit(&mut tx, &LimitKey::queue(&MAIL), &Limit::concurrency(3)).await.unwrap();
    bench.store.set_limit(&mut tx, &key("api"), &Limit::concurrency(2)).await.unwrap();
    let first = enqueue_many(&bench, &mut tx, &keyed("api"), 1).await;
    let free = enqueue_many(&bench, &mut tx, &new_job(), 3).await;
    let elsewhere = enqueue_many(&bench, &mut tx, &NewJob { queue: &other, ..keyed("api") }, 3).await;
    let claimed = bench.claim(&mut tx, 100, HOUR).await;
    assert_eq!(ids(&claimed), [first[0], free[0], free[1]]);
    assert!(claimed.iter().all(|job| job.is_awaited));
    let of_other = hunt(&bench.store, &mut tx, ClaimRequest { queue: &other, ..request() }).await;
    assert_eq!(ids(&of_other), [elsewhere[0]]);
    bench.report(&mut tx, claimed[1].claim, Outcome::Succeeded).await;
    assert_eq!(ids(&bench.claim(&mut tx, 100, HOUR).await), [free[2]]);
}

/// Thousands of them, urgent and early, do not stand before a job that may run, nor before a key that has room.
pub async fn jobs_of_a_full_key_hold_nobody_up<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    bench.store.set_limit(&mut tx, &key("api"), &Limit::concurrency(1)).await.unwrap();
    let full = enqueue_many(&bench, &mut tx, &NewJob { priority: 0, ..keyed("api:ada") }, 3000).await;
    assert_eq!(ids(&bench.claim(&mut tx, 1, HOUR).await), full[..1]);
    let bob = bench.enqueue(&mut tx, &NewJob { priority: 9, ..keyed("api:bob") }).await;
    let free = bench.enqueue(&mut tx, &NewJob { priority: 9, ..new_job() }).await;
    assert_eq!(ids(&bench.claim(&mut tx, 1, HOUR).await), [bob]);
    assert_eq!(ids(&bench.claim(&mut tx, 1, HOUR).await), [free]);
    assert!(bench.claim(&mut tx, 1, HOUR).await.is_empty());
}

/// What has a limit key is counted, found and reached like any other job, and keeps its key; a paused queue is a paused one.
pub async fn operators_reach_jobs_under_a_limit<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let store = &bench.store;
    let mut tx = bench.source.begin().await.unwrap();
    store.set_limit(&mut tx, &key("api"), &Limit::concurrency(1)).await.unwrap();
    let job = enqueue_many(&bench, &mut tx, &keyed("api"), 5).await;
    let later = bench.enqueue(&mut tx, &NewJob { due: Due::After(HOUR), ..keyed("api") }).await;
    store.pause(&mut tx, &MAIL).await.unwrap();
    assert!(bench.claim(&mut tx, 10, HOUR).await.is_empty());
    store.resume(&mut tx, &MAIL).await.unwrap();
    let first = bench.claim_one(&mut tx, HOUR).await;
    bench.report(&mut tx, first, failed(Some(HOUR))).await;
    let running = bench.claim_one(&mut tx, HOUR).await;
    let exactly = |value| Count { value, is_cut: false };
    let stats = store.stats(&mut tx, 10).await.unwrap();
    let [mail] = &stats.queues[..] else { panic!("{stats:?}") };
    assert_eq!([mail.ready, mail.running, mail.scheduled, mail.failed], [3, 1, 1, 1].map(exactly));
    assert!(mail.oldest.is_some());
    assert_eq!(store.stats(&mut tx, 2).await.unwrap().queues[0].ready, Count { value: 2, is_cut: true });
    bench.enqueue(&mut tx, &new_job()).await;
    assert_eq!(store.stats(&mut tx, 10).await.unwrap().queues[0].ready, exactly(4));
    let findings = Jobs::new(store.clone()).doctor(&mut tx).await.unwrap();
    assert!(findings.iter().any(|finding| matches!(finding, Finding::Waiting { .. })), "{findings:?}");

    assert!(store.discard(&mut tx, job[2], "no").await.unwrap());
    let due_later = Filter::default().id(later);
    assert_eq!(store.cancel_many(&mut tx, &due_later, 10).await.unwrap(), 1);
    for id in [job[2], later] {
        assert_eq!(bench.job(&mut tx, id).await.limit_key.as_deref(), Some("api"));
    }
    assert_eq!(store.retry(&mut tx, &Filter::default(), 10).await.unwrap(), 3);
    let ready = Filter::default().state(State::Pending);
    let waiting = store.list(&mut tx, &ready, None, 10).await.unwrap();
    assert_eq!(waiting.iter().filter(|job| job.limit_key.as_deref() == Some("api")).count(), 4);
    bench.report(&mut tx, running, Outcome::Succeeded).await;
    assert_eq!(store.prune(&mut tx, State::Succeeded, Duration::ZERO, 10).await.unwrap(), 1);
    assert_eq!(store.delete_many(&mut tx, &ready, 10).await.unwrap(), 5);
    // One is left: the one that failed, and was told to run at once.
    assert_eq!(bench.claim_one(&mut tx, HOUR).await.id, job[0]);
}

/// Success, failure, release, death, a crash, a claim whose answer was lost: nobody has to say that there is room.
pub async fn a_slot_is_free_however_its_job_ends<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    bench.store.set_limit(&mut tx, &key("api"), &Limit::concurrency(1)).await.unwrap();
    bench.store.set_limit(&mut tx, &LimitKey::queue(&MAIL), &Limit::concurrency(1)).await.unwrap();
    enqueue_many(&bench, &mut tx, &keyed("api"), 20).await;
    for outcome in [Outcome::Succeeded, failed(Some(HOUR)), failed(Some(Duration::ZERO)), released(), failed(None)] {
        let claim = bench.claim_one(&mut tx, HOUR).await;
        assert!(bench.claim(&mut tx, 10, HOUR).await.is_empty());
        bench.report(&mut tx, claim, outcome).await;
    }
    let cancelled = bench.claim_one(&mut tx, HOUR).await;
    bench.store.cancel(&mut tx, cancelled.id).await.unwrap();
    assert!(bench.claim(&mut tx, 10, HOUR).await.is_empty());
    bench.report(&mut tx, cancelled, released()).await;
    bench.claim_one(&mut tx, Duration::ZERO).await;
    assert_eq!(bench.rescue(&mut tx, 10).await, Rescued { failed: 1, ..Rescued::default() });
    let lost = ClaimRequest { limit: 10, ..request() };
    assert_eq!(hunt(&bench.store, &mut tx, lost.clone()).await.len(), 1);
    bench.store.abandon(&mut tx, lost.worker, &[lost.token]).await.unwrap();
    bench.claim_one(&mut tx, HOUR).await;
}

/// A limit counts what runs already; lowered, it waits; raised or removed, the next claim takes more.
pub async fn a_limit_may_change_while_jobs_run<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    let api = key("api");
    for limited in [api.clone(), LimitKey::queue(&MAIL)] {
        enqueue_many(&bench, &mut tx, &keyed("api:ada"), 12).await;
        let mut running = bench.claim(&mut tx, 3, HOUR).await;
        for (count, taken) in [(3, 0), (4, 1), (2, 0), (6, 2)] {
            bench.store.set_limit(&mut tx, &limited, &Limit::concurrency(count)).await.unwrap();
            let claimed = bench.claim(&mut tx, 100, HOUR).await;
            assert_eq!(claimed.len(), taken, "{limited} {count}");
            running.extend(claimed);
        }
        bench.store.set_limit(&mut tx, &limited, &Limit::concurrency(2)).await.unwrap();
        for left in (0..6).rev() {
            let ended = running.pop().unwrap();
            bench.report(&mut tx, ended.claim, Outcome::Succeeded).await;
            let claimed = turn(&bench, &mut tx, 100).await.claimed;
            assert_eq!(claimed.len(), usize::from(left < 2), "{left}");
            running.splice(0..0, claimed);
        }
        assert!(bench.store.remove_limit(&mut tx, &limited).await.unwrap());
        assert!(!bench.store.remove_limit(&mut tx, &limited).await.unwrap());
        running.extend(bench.claim(&mut tx, 2, HOUR).await);
        bench.store.set_limit(&mut tx, &limited, &Limit::concurrency(4)).await.unwrap();
        assert!(bench.claim(&mut tx, 100, HOUR).await.is_empty());
        bench.store.remove_limit(&mut tx, &limited).await.unwrap();
        running.extend(bench.claim(&mut tx, 100, HOUR).await);
        for job in running {
            bench.report(&mut tx, job.claim, Outcome::Succeeded).await;
        }
    }
}

/// It lets so many begin, and says when the next one may; what began counts whatever became of it.
pub async fn a_rate_lets_so_many_begin<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    let both = Limit { concurrency: Some(2), ..Limit::rate(3, HOUR) };
    for (limited, job) in [(key("api"), keyed("api:ada")), (LimitKey::queue(&MAIL), new_job())] {
        bench.store.set_limit(&mut tx, &limited, &both).await.unwrap();
        enqueue_many(&bench, &mut tx, &job, 8).await;
        let first = turn(&bench, &mut tx, 100).await;
        assert_eq!((first.claimed.len(), first.opens_in), (2, None));
        let reports: Vec<Report> =
            first.claimed.iter().map(|job| Report { claim: job.claim, outcome: released() }).collect();
        bench.store.turn(&mut tx, &reports, None).await.unwrap();
        let second = turn(&bench, &mut tx, 100).await;
        assert_eq!((second.claimed.len(), second.opens_in), (1, None));
        bench.report(&mut tx, second.claimed[0].claim, Outcome::Succeeded).await;
        let third = turn(&bench, &mut tx, 100).await;
        assert!(third.claimed.is_empty());
        assert!(third.opens_in.is_some_and(|wait| wait <= HOUR && wait > HOUR / 2), "{third:?}");
        bench.store.set_limit(&mut tx, &limited, &Limit::rate(5, HOUR)).await.unwrap();
        let mut rest = turn(&bench, &mut tx, 100).await.claimed;
        assert_eq!(rest.len(), 2);
        bench.store.remove_limit(&mut tx, &limited).await.unwrap();
        rest.extend(turn(&bench, &mut tx, 100).await.claimed);
        assert_eq!(rest.len(), 7);
        for job in rest {
            bench.report(&mut tx, job.claim, Outcome::Succeeded).await;
        }
    }
}

/// Eight of them, over and over: no more than the limits allow ever run, and everything is done at last.
pub async fn concurrent_claimers_keep_to_limits<H: Harness>(harness: &H) {
    const JOBS: usize = 60;
    let bench = Bench::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    bench.store.set_limit(&mut tx, &key("api"), &Limit::concurrency(2)).await.unwrap();
    bench.store.set_limit(&mut tx, &LimitKey::queue(&MAIL), &Limit::concurrency(5)).await.unwrap();
    for job in [keyed("api:ada"), keyed("api:bob"), new_job()] {
        enqueue_many(&bench, &mut tx, &job, JOBS / 3).await;
    }
    bench.source.commit(tx).await.unwrap();

    let barrier = Arc::new(Barrier::new(8));
    let mut claimers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (store, source, barrier) = (bench.store.clone(), bench.source.clone(), barrier.clone());
        claimers.spawn(async move {
            let filter = Filter::default().state(State::Running);
            let mut done = HashSet::new();
            barrier.wait().await;
            loop {
                let mut conn = source.acquire().await.unwrap();
                let claimed = claim(&store, &mut conn, 4, HOUR).await;
                let running = store.list(&mut conn, &filter, None, 100).await.unwrap();
                assert!(running.len() <= 5, "{running:?}");
                for key in ["api:ada", "api:bob"] {
                    let of_key = running.iter().filter(|job| job.limit_key.as_deref() == Some(key)).count();
                    assert!(of_key <= 2, "{running:?}");
                }
                let reports: Vec<Report> =
                    claimed.iter().map(|job| Report { claim: job.claim, outcome: Outcome::Succeeded }).collect();
                store.turn(&mut conn, &reports, None).await.unwrap();
                done.extend(ids(&claimed));
                let all = store.list(&mut conn, &Filter::default().state(State::Succeeded), None, 1000).await.unwrap();
                if all.len() == JOBS {
                    return done;
                }
                drop(conn);
                tokio::task::yield_now().await;
            }
        });
    }
    let done: Vec<JobId> = claimers.join_all().await.into_iter().flatten().collect();
    assert_eq!((done.len(), done.iter().collect::<HashSet<_>>().len()), (JOBS, JOBS));
}

/// Limits that allow nothing, limit nothing or have no bounds, and keys that are none: typed errors, nothing written.
pub async fn a_limit_is_checked_and_listed<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let jobs = Jobs::new(bench.store.clone());
    let mut tx = bench.source.begin().await.unwrap();
    for (limit, at) in [
        (Limit::default(), "limit"),
        (Limit::concurrency(0), "concurrency"),
        (Limit::concurrency(u32::MAX), "concurrency"),
        (Limit::rate(0, HOUR), "rate"),
        (Limit::rate(1, Duration::ZERO), "rate"),
        (Limit::rate(1, Duration::MAX), "rate"),
    ] {
        let refused = jobs.set_limit(&mut tx, &key("api"), &limit).await;
        assert!(matches!(refused, Err(Error::Invalid { what, .. }) if what == at), "{refused:?}");
    }
    for bad in ["", "queue:mail", "a\0b"] {
        let options = EnqueueOptions::default().limited(bad);
        let refused = jobs.enqueue_with(&mut tx, &Called, &options).await;
        assert!(matches!(refused, Err(Error::Invalid { what: "limit_key", .. })), "{refused:?}");
    }
    assert!(jobs.limits(&mut tx).await.unwrap().is_empty());

    let most =
        Limit { concurrency: Some(1_000_000), rate: Some(Rate { count: 1_000_000, per: HOUR * 24 * 365 * 100 }) };
    let limits = [
        (key("api"), Limit::rate(7, Duration::from_millis(1))),
        (key("api:'é'"), most),
        (LimitKey::queue(&MAIL), Limit::concurrency(1)),
    ];
    for (key, limit) in &limits {
        jobs.set_limit(&mut tx, key, &Limit::concurrency(5)).await.unwrap();
        jobs.set_limit(&mut tx, key, limit).await.unwrap();
    }
    assert_eq!(jobs.limits(&mut tx).await.unwrap(), limits);
    let options = EnqueueOptions::default().limited("api:'é'");
    let id = jobs.enqueue_with(&mut tx, &Called, &options).await.unwrap().id;
    assert_eq!(bench.job(&mut tx, id).await.limit_key.as_deref(), Some("api:'é'"));
    assert_eq!(turn(&bench, &mut tx, 10).await.claimed.len(), 1);
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Called;

impl Job for Called {
    const KIND: &'static str = "welcome";
    const QUEUE: &'static str = "mail";
}
