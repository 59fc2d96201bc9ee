//! Laws of what operators do and see.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::queue::{Bench, failed, heartbeat};
use super::{HOUR, Harness, MAIL, new_job};
use crate::{
    Cancelled, Context, Count, DeadReason, Due, Failure, Filter, Handler, Heartbeat, Job, JobId, Jobs, Kind, NewJob,
    Outcome, Queue, Retention, Runner, Source, State, Store, WorkerId, WorkerRecord,
};

const NEWS: Queue = Queue::from_static("news");

/// It keeps its errors, and a retry brings it back; a running job is left to its runner.
pub async fn a_discarded_job_is_dead_and_says_why<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    let id = bench.enqueue(&mut tx, &new_job()).await;
    let running = bench.claim_one(&mut tx, HOUR).await;
    assert!(!bench.store.discard(&mut tx, id, "no").await.unwrap());
    bench.report(&mut tx, running, failed(Some(HOUR))).await;
    assert!(bench.store.discard(&mut tx, id, "the account is\0closed").await.unwrap());
    assert!(!bench.store.discard(&mut tx, id, "twice").await.unwrap());
    let job = bench.job(&mut tx, id).await;
    assert_eq!((job.state, job.reason, job.errors.len()), (State::Dead, Some(DeadReason::Fatal), 2));
    assert_eq!(job.last_error.as_deref(), Some("the account is\u{fffd}closed"));
    assert_eq!(job.errors[1].error, "the account is\u{fffd}closed");
    assert_eq!(bench.store.retry(&mut tx, &Filter::default().id(id), 10).await.unwrap(), 1);
    assert!(!bench.store.discard(&mut tx, JobId::from(0), "unknown").await.unwrap());
}

/// Those that wait are cancelled, workers of running ones are asked, finished and other ones are untouched; the limit holds.
pub async fn many_jobs_are_cancelled_at_once<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    let other = bench.enqueue(&mut tx, &NewJob { queue: &NEWS, ..new_job() }).await;
    let running = bench.enqueue(&mut tx, &new_job()).await;
    bench.claim_one(&mut tx, HOUR).await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(bench.enqueue(&mut tx, &new_job()).await);
    }
    let filter = Filter::default().queue(MAIL);
    assert_eq!(bench.store.cancel_many(&mut tx, &filter, 3).await.unwrap(), 3);
    assert_eq!(bench.job(&mut tx, running).await.state, State::Running);
    assert_eq!(bench.job(&mut tx, waiting[1]).await.state, State::Cancelled);
    assert_eq!(bench.job(&mut tx, waiting[2]).await.state, State::Pending);
    let pending = filter.state(State::Pending);
    assert_eq!(bench.store.cancel_many(&mut tx, &pending, 3).await.unwrap(), 1);
    assert_eq!(bench.job(&mut tx, other).await.state, State::Pending);
    let all = Filter::default().state(State::Cancelled);
    assert_eq!(bench.store.cancel_many(&mut tx, &all, 3).await.unwrap(), 0);
    assert_eq!(bench.store.cancel(&mut tx, running).await.unwrap(), Cancelled::Requested);
}

/// Waiting and finished, never running ones; a unique key is free again.
pub async fn many_jobs_are_deleted_at_once<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    let running = bench.enqueue(&mut tx, &new_job()).await;
    bench.claim_one(&mut tx, HOUR).await;
    for _ in 0..3 {
        let id = bench.enqueue(&mut tx, &new_job()).await;
        bench.store.cancel(&mut tx, id).await.unwrap();
    }
    let unique = Some(crate::Unique { key: "k", period: None });
    bench.enqueue(&mut tx, &NewJob { unique, ..new_job() }).await;
    let cancelled = Filter::default().state(State::Cancelled);
    assert_eq!(bench.store.delete_many(&mut tx, &cancelled, 2).await.unwrap(), 2);
    assert_eq!(bench.store.delete_many(&mut tx, &Filter::default(), 10).await.unwrap(), 2);
    let left = bench.store.list(&mut tx, &Filter::default(), None, 10).await.unwrap();
    assert_eq!(left.iter().map(|job| job.id).collect::<Vec<_>>(), [running]);
    let again = bench.store.enqueue(&mut tx, &[NewJob { unique, ..new_job() }]).await.unwrap();
    assert!(again[0].is_new);
}

/// By kind and time, in every verb that takes a filter.
pub async fn a_filter_is_the_same_in_every_verb<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    let rare = Kind::from_static("rare");
    let id = bench.enqueue(&mut tx, &NewJob { kind: &rare, ..new_job() }).await;
    bench.enqueue(&mut tx, &new_job()).await;
    let at = bench.job(&mut tx, id).await.created_at;
    let kind = Filter::default().kind(rare.clone());
    for (filter, number) in [
        (kind.clone(), 1),
        (kind.clone().created_after(at), 1),
        (kind.clone().created_before(at), 0),
        (kind.clone().created_after(at + HOUR), 0),
        (kind.clone().created_before(at + HOUR), 1),
    ] {
        assert_eq!(bench.store.list(&mut tx, &filter, None, 10).await.unwrap().len() as u64, number, "{filter:?}");
        assert_eq!(bench.store.cancel_many(&mut tx, &filter, 10).await.unwrap(), number, "{filter:?}");
        assert_eq!(bench.store.retry(&mut tx, &filter, 10).await.unwrap(), number, "{filter:?}");
    }
    assert_eq!(bench.store.delete_many(&mut tx, &kind.clone().created_before(at), 10).await.unwrap(), 0);
    assert_eq!(bench.store.delete_many(&mut tx, &kind.created_after(at), 10).await.unwrap(), 1);
}

/// By state and age, the oldest first, so many at most; what is queued is no history.
pub async fn history_is_pruned_by_state_and_age<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    for outcome in [Outcome::Succeeded, failed(None), Outcome::Succeeded, Outcome::Succeeded] {
        bench.enqueue(&mut tx, &new_job()).await;
        let claim = bench.claim_one(&mut tx, HOUR).await;
        bench.report(&mut tx, claim, outcome).await;
    }
    bench.enqueue(&mut tx, &new_job()).await;
    assert_eq!(bench.store.prune(&mut tx, State::Succeeded, HOUR, 10).await.unwrap(), 0);
    assert_eq!(bench.store.prune(&mut tx, State::Succeeded, Duration::ZERO, 2).await.unwrap(), 2);
    let left = bench.store.list(&mut tx, &Filter::default(), None, 10).await.unwrap();
    let left: Vec<State> = left.iter().map(|job| job.state).collect();
    assert_eq!(left, [State::Pending, State::Succeeded, State::Dead]);
    bench.source.commit(tx).await.unwrap();

    let jobs = Jobs::new(bench.store.clone());
    let nothing = jobs.prune_within(&bench.source, &Retention::default(), HOUR).await.unwrap();
    assert_eq!((nothing.succeeded, nothing.dead, nothing.is_cut), (0, 0, false));
    let retention = Retention { succeeded: Duration::ZERO, dead: Duration::ZERO, ..Retention::default() };
    let pruned = jobs.prune_within(&bench.source, &retention, HOUR).await.unwrap();
    assert_eq!((pruned.succeeded, pruned.dead, pruned.is_cut), (1, 1, false));
}

/// While it runs, by itself.
pub async fn a_runner_forgets_old_history<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut conn = bench.source.acquire().await.unwrap();
    let (old, waiting) = (bench.enqueue(&mut conn, &new_job()).await, bench.enqueue(&mut conn, &new_job()).await);
    bench.store.cancel(&mut conn, old).await.unwrap();
    drop(conn);
    let retention = Retention { cancelled: Duration::ZERO, ..Retention::default() };
    let runner =
        Runner::new(Jobs::new(bench.store.clone()), bench.source.clone(), ()).handle::<Idle>().retention(retention);
    let gone = async {
        while bench.store.find(&mut *bench.source.acquire().await.unwrap(), old).await.unwrap().is_some() {
            tokio::task::yield_now().await;
        }
    };
    runner.run_until(gone).await.unwrap();
    let mut conn = bench.source.acquire().await.unwrap();
    assert_eq!(bench.job(&mut conn, waiting).await.state, State::Pending);
}

/// A job of another queue than the others here.
#[derive(Serialize, Deserialize)]
struct Idle;

impl Job for Idle {
    const KIND: &'static str = "idle";
}

impl Handler<()> for Idle {
    async fn run(self, _: &Context<()>) -> Result<(), Failure> {
        Ok(())
    }
}

/// Every queue by state, none counted beyond the bound; paused queues are seen without a job.
pub async fn stats_are_bounded<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    bench.store.pause(&mut tx, &NEWS).await.unwrap();
    for _ in 0..2 {
        bench.enqueue(&mut tx, &new_job()).await;
    }
    let claimed = bench.claim(&mut tx, 2, HOUR).await;
    bench.report(&mut tx, claimed[0].claim, failed(None)).await;
    for _ in 0..3 {
        bench.enqueue(&mut tx, &new_job()).await;
    }
    bench.enqueue(&mut tx, &NewJob { due: Due::After(HOUR), ..new_job() }).await;
    let exactly = |value| Count { value, is_cut: false };
    let stats = bench.store.stats(&mut tx, 10).await.unwrap();
    let [mail, news] = &stats.queues[..] else { panic!("{stats:?}") };
    assert_eq!((&mail.queue, mail.is_paused, &news.queue, news.is_paused), (&MAIL, false, &NEWS, true));
    let counts = [mail.ready, mail.running, mail.scheduled, mail.failed, stats.dead, stats.cancelled];
    assert_eq!(counts, [3, 1, 1, 0, 1, 0].map(exactly));
    assert!(mail.oldest.is_some() && news.oldest.is_none());
    assert_eq!((mail.finished.succeeded, mail.finished.dead), (0, 1));
    assert_eq!((news.ready, news.finished.window), (exactly(0), Duration::from_mins(5)));

    let cut = bench.store.stats(&mut tx, 2).await.unwrap();
    assert_eq!(cut.queues[0].ready, Count { value: 2, is_cut: true });
    assert_eq!(cut.queues[0].ready.to_string(), "2+");
    bench.report(&mut tx, claimed[1].claim, failed(Some(HOUR))).await;
    let stats = bench.store.stats(&mut tx, 10).await.unwrap();
    assert_eq!((stats.queues[0].failed, stats.queues[0].running), (exactly(1), exactly(0)));
}

/// Who beats, for what and where, and who does no more.
pub async fn workers_are_listed<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let mut tx = bench.source.begin().await.unwrap();
    let (living, lost) = (WorkerId::random(), WorkerId::random());
    let beat = heartbeat(living, HOUR);
    bench.store.beat(&mut tx, Heartbeat { queue: &NEWS, process: "there:2", ..beat }).await.unwrap();
    bench.store.beat(&mut tx, heartbeat(lost, Duration::ZERO)).await.unwrap();
    let workers = bench.store.workers(&mut tx).await.unwrap();
    let of = |id| workers.iter().find(|worker| worker.id == id).unwrap();
    let is = |worker: &WorkerRecord| (worker.queue.clone(), worker.process.clone(), worker.is_lost);
    assert_eq!(is(of(living)), (Some(NEWS), Some("there:2".to_owned()), false));
    assert_eq!(is(of(lost)), (Some(MAIL), Some("here:1".to_owned()), true));
    assert_eq!(workers.len(), 2);
}

/// Its queue and its process, until it is stopped.
pub async fn a_worker_says_what_it_serves<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let runner = Runner::new(Jobs::new(bench.store.clone()), bench.source.clone(), ()).handle::<Idle>();
    let mut workers = Vec::new();
    let listed = async {
        while workers.is_empty() {
            tokio::task::yield_now().await;
            let mut conn = bench.source.acquire().await.unwrap();
            workers = bench.store.workers(&mut conn).await.unwrap();
        }
    };
    runner.run_until(listed).await.unwrap();
    assert_eq!(workers[0].queue, Some(Queue::from_static(Idle::QUEUE)));
    let (host, process) = workers[0].process.as_deref().unwrap().rsplit_once(':').unwrap();
    assert!(!host.is_empty() && process == std::process::id().to_string(), "{workers:?}");
    let mut conn = bench.source.acquire().await.unwrap();
    assert_eq!(bench.store.workers(&mut conn).await.unwrap(), []);
}

/// What is ready and served by nobody, paused queues, lost workers: whatever the database.
pub async fn the_doctor_looks_at_the_queues<H: Harness>(harness: &H) {
    let bench = Bench::<H>::new(harness);
    let jobs = Jobs::new(bench.store.clone());
    let mut conn = bench.source.acquire().await.unwrap();
    bench.enqueue(&mut conn, &new_job()).await;
    jobs.pause(&mut conn, &NEWS).await.unwrap();
    let names = |findings: &[crate::Finding]| findings.iter().map(crate::Finding::name).collect::<Vec<_>>();
    let findings = jobs.doctor(&mut conn).await.unwrap();
    assert_eq!(findings[0], crate::Finding::Unserved { queue: MAIL }, "{findings:?}");
    assert!(["waiting", "paused"].iter().all(|name| names(&findings).contains(name)), "{findings:?}");
    // That others are served is no comfort.
    let elsewhere = Heartbeat { queue: &NEWS, ..heartbeat(WorkerId::random(), HOUR) };
    bench.store.beat(&mut conn, elsewhere).await.unwrap();
    assert!(names(&jobs.doctor(&mut conn).await.unwrap()).contains(&"unserved"));
    bench.store.beat(&mut conn, heartbeat(WorkerId::random(), HOUR)).await.unwrap();
    bench.store.beat(&mut conn, heartbeat(WorkerId::random(), Duration::ZERO)).await.unwrap();
    let findings = jobs.doctor(&mut conn).await.unwrap();
    assert_eq!(findings[0], crate::Finding::LostWorkers { count: 1 }, "{findings:?}");
    assert!(!names(&findings).contains(&"unserved"));
}
