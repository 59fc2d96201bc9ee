//! What a worker process sees of other people's transactions.

use std::time::Duration;

use stoa_jobs_runner::{JobId, Source, State, Store};

use crate::desk::{Entry, Event};
use crate::stage::{Stage, on_both_databases, pause, until};
use crate::task::{Act, Task};
use crate::worker::Worker;

on_both_databases! {
    a_job_runs_after_its_commit_and_not_without
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
