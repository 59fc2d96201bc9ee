//! What a worker process sees of other people's transactions.

use std::time::Duration;

use stoa_jobs_runner::{JobId, Runner, Source, State, Store};

use crate::desk::{Entry, Event, micros_now};
use crate::stage::{Stage, on_both_databases, pause, until};
use crate::task::{Act, Host, Task};
use crate::worker::Worker;

on_both_databases! {
    a_job_runs_after_its_commit_and_not_without
    a_job_starts_soon_after_its_commit
}

async fn a_job_runs_after_its_commit_and_not_without<S, P>(stage: &Stage<S, P>)
where
    S: Store + Clone,
    P: Source<Connection = S::Connection>,
{
    let worker = Worker::start(&stage.settings()).await;
    let has_run = async |id: JobId| stage.desk.count(|entry| entry.is(Event::Ended, id)) > 0;
    let marker = async || {
        let id = stage.enqueue([Act::Work(0)]).await[0];
        until("running a committed job", async || has_run(id).await.then_some(())).await;
    };
    marker().await;
    let mut begun: Vec<Entry> = stage.desk.entries();

    let mut tx = stage.source.begin().await.unwrap();
    let never = stage.jobs.enqueue(&mut tx, &Task(Act::Work(0))).await.unwrap();
    // For many polls of the worker.
    pause(Duration::from_millis(300)).await;
    assert_eq!(stage.desk.entries(), begun, "an uncommitted job was run");
    drop(tx);
    marker().await;

    let mut tx = stage.source.begin().await.unwrap();
    let late = stage.jobs.enqueue(&mut tx, &Task(Act::Work(0))).await.unwrap();
    begun = stage.desk.entries();
    pause(Duration::from_millis(300)).await;
    assert_eq!(stage.desk.entries(), begun, "an uncommitted job was run");
    stage.source.commit(tx).await.unwrap();
    until("running a job after its commit", async || has_run(late).await.then_some(())).await;

    let all = stage.finished().await;
    assert!(all.iter().all(|job| job.state == State::Succeeded && job.attempt == 1), "{all:?}");
    // SQLite gives the id of a job that never existed to the next one.
    assert!(all.len() == 3 && stage.desk.count(|entry| entry.event == Event::Began) == 3, "{never}: {all:?}");
    assert_eq!(worker.stop().await.succeeded, 3);
}

/// In the process that wakes its runner, which would look for work by itself in an hour.
async fn a_job_starts_soon_after_its_commit<S, P>(stage: &Stage<S, P>)
where
    S: Store + Clone,
    P: Source<Connection = S::Connection>,
{
    let host = Host { jobs: stage.jobs.clone(), source: stage.source.clone(), desk: stage.desk.clone() };
    let runner = Runner::new(stage.jobs.clone(), stage.source.clone(), host)
        .handle::<Task>()
        .poll_interval(Duration::from_hours(1));
    let mut delays = Vec::new();
    let measured = async {
        for _ in 0..20 {
            let id = stage.enqueue([Act::Work(0)]).await[0];
            let committed_at = micros_now();
            stage.jobs.wake();
            let began = async || stage.desk.entries().into_iter().find(|entry| entry.is(Event::Began, id));
            delays.push(until("beginning a job", began).await.at - committed_at);
        }
    };
    runner.run_until(measured).await.unwrap();
    delays.sort_unstable();
    println!("jobs began after {delays:?} microseconds");
    assert!(delays[delays.len() / 2] < 100_000, "{delays:?}");
}
