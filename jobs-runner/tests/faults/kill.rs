//! `kill -9` of a worker process.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use stoa_jobs_runner::{DeadReason, EnqueueOptions, JobId, JobRecord, Source, State, Store};

use crate::desk::{Desk, Entry, Event, micros_now};
use crate::stage::{Stage, on_both_databases, pause, random, scaled, until};
use crate::task::{Act, Task};
use crate::worker::{Settings, Worker};

const JOBS_A_ROUND: usize = 20;
const LEASE: Duration = Duration::from_millis(300);
/// How long after its lease a lost worker is found by one that beats: it looks with every beat.
const SCAN: Duration = Duration::from_millis(100);
/// What the machine may add to the usual case.
const NOISE: Duration = Duration::from_millis(700);

on_both_databases! {
    no_job_is_lost_when_workers_are_killed
    a_job_that_kills_its_process_every_time_ends_dead
}

/// Every round kills a worker with twenty jobs in its hands, at a random moment of them, while the next one has begun to beat.
async fn no_job_is_lost_when_workers_are_killed<S, P>(stage: &Stage<S, P>)
where
    S: Store + Clone,
    P: Source<Connection = S::Connection>,
{
    let settings = Settings { slots: 100, lease: LEASE, ..stage.settings() };
    let rounds = scaled(20, 200);
    let mut acts = HashMap::new();
    let (mut killed, mut slowest) = (0, Vec::new());
    let mut worker = Worker::start(&settings).await;
    for _ in 0..rounds {
        let mut next = Worker::prepare(&settings).await;
        let batch: Vec<Act> = (0..JOBS_A_ROUND).map(act).collect();
        let ids = stage.enqueue(batch.clone()).await;
        acts.extend(ids.iter().copied().zip(batch));
        let is_ours = |entry: &Entry| entry.event == Event::Began && entry.job >= ids[0].as_i64();
        until("beginning the jobs of a round", async || (stage.desk.count(is_ours) >= JOBS_A_ROUND).then_some(()))
            .await;
        next.go();
        pause(Duration::from_millis(random(300))).await;

        let (victim, killed_at) = (worker.id(), micros_now());
        worker.kill();
        let interrupted = stage.desk.unended(victim);
        killed += interrupted.len();
        slowest.extend(reruns(&stage.desk, &interrupted, killed_at).await);
        worker = next;
    }
    let all = stage.finished().await;
    assert!(killed > rounds, "only {killed} jobs were running when their worker was killed");
    assert_eq!(all.len(), acts.len(), "a job is lost");
    check(&all, &acts, &stage.desk.entries());
    slowest.sort_unstable();
    let median = slowest[slowest.len() / 2];
    println!(
        "{killed} jobs interrupted; rerun after {median:?} (median of the rounds' last), {:?} at most",
        slowest.last()
    );
    assert!(median <= LEASE + SCAN + NOISE, "a rerun starts {median:?} after the kill");
}

/// Durations that end before, during and after what `kill` hits.
fn act(number: usize) -> Act {
    let millis = 100 + random(400);
    match number % 5 {
        0 => Act::Refuse(millis),
        1 => Act::Stumble(millis),
        _ => Act::Work(millis),
    }
}

/// Waits until all of them have begun again, and returns how long after the kill the last one did.
async fn reruns(desk: &Desk, interrupted: &[Entry], killed_at: i64) -> Option<Duration> {
    let lost: HashMap<(i64, u16), i64> =
        interrupted.iter().map(|lost| ((lost.job, lost.attempt + 1), lost.at)).collect();
    let last = until("beginning the interrupted jobs again", async || {
        let began = desk.entries().into_iter().filter(|entry| entry.event == Event::Began);
        let again: Vec<i64> =
            began.filter(|entry| lost.contains_key(&(entry.job, entry.attempt))).map(|entry| entry.at).collect();
        (again.len() == lost.len()).then(|| again.into_iter().max())
    })
    .await?;
    Some(Duration::from_micros(u64::try_from(last - killed_at).unwrap_or_default()))
}

/// Every job ended as its handler said, in the attempt that held the claim, and every attempt is accounted for.
fn check(all: &[JobRecord], acts: &HashMap<JobId, Act>, entries: &[Entry]) {
    let mut attempts = HashSet::new();
    for entry in entries.iter().filter(|entry| entry.event == Event::Began) {
        assert!(attempts.insert((entry.job, entry.attempt)), "{entry:?}: an attempt was begun twice");
    }
    let ended: HashSet<(i64, u16)> =
        entries.iter().filter(|entry| entry.event == Event::Ended).map(|entry| (entry.job, entry.attempt)).collect();
    for job in all {
        let (state, reason, own_failures) = match acts[&job.id] {
            Act::Refuse(_) => (State::Dead, Some(DeadReason::Fatal), 1..=1),
            Act::Stumble(_) => (State::Succeeded, None, 0..=1),
            _ => (State::Succeeded, None, 0..=0),
        };
        assert_eq!((job.state, job.reason), (state, reason), "{job:?}");
        let failures = job.attempt - job.crashes - u16::from(job.state == State::Succeeded);
        assert!(own_failures.contains(&failures), "an attempt is unaccounted for: {job:?}");
        // The last twenty are kept.
        let errors = usize::from(job.crashes + failures).min(20);
        assert_eq!(job.errors.len(), errors, "{job:?}");
        let id = job.id.as_i64();
        assert!(ended.contains(&(id, job.attempt)), "not ended by the attempt that held the claim: {job:?}");
        assert!(!attempts.contains(&(id, job.attempt + 1)), "ended by a stale token: {job:?}");
    }
}

/// Three attempts, three processes; what ran beside it is not blamed.
async fn a_job_that_kills_its_process_every_time_ends_dead<S, P>(stage: &Stage<S, P>)
where
    S: Store + Clone,
    P: Source<Connection = S::Connection>,
{
    let settings = Settings { lease: LEASE, ..stage.settings() };
    let once = EnqueueOptions::default().max_attempts(3);
    let bomb = stage.enqueue_with([(Task(Act::Explode), once)]).await[0];
    let bystander = stage.enqueue([Act::Hold("open".to_owned())]).await[0];
    for attempt in 1..=3 {
        // The first worker finds the job, every other one the lease of the one before.
        let mut worker = Worker::start(&settings).await;
        assert!(!worker.ended().await.success());
        assert_eq!(stage.job(bomb).await.attempt, attempt);
    }
    let worker = Worker::start(&settings).await;
    let job =
        until("giving the job up", async || Some(stage.job(bomb).await).filter(|job| job.state == State::Dead)).await;
    assert_eq!((job.reason, job.attempt, job.crashes, job.errors.len()), (Some(DeadReason::Crashed), 3, 3, 3));
    stage.desk.open("open");
    stage.finished().await;
    assert_eq!(stage.job(bystander).await.state, State::Succeeded);
    assert_eq!(worker.stop().await.dead, 1);
}
