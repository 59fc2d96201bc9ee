//! Deadlines, beats and cancellations, seen from another process.

use std::time::Duration;

use stoa_jobs_runner::{Cancelled, DeadReason, EnqueueOptions, Source, State, Store};

use crate::desk::{Event, micros_now};
use crate::stage::{Stage, on_both_databases, until};
use crate::task::{Act, Task};
use crate::worker::{Settings, Worker};

on_both_databases! {
    a_handler_that_hangs_is_cut_off_and_frees_its_slot
    a_long_handler_that_beats_is_never_rescued
    a_cancellation_reaches_a_running_job_within_a_second
}

async fn a_handler_that_hangs_is_cut_off_and_frees_its_slot<S, P>(stage: &Stage<S, P>)
where
    S: Store + Clone,
    P: Source<Connection = S::Connection>,
{
    let short = EnqueueOptions::default().timeout(Duration::from_millis(200)).max_attempts(2).priority(0);
    let hangs = stage.enqueue_with([(Task(Act::Hang), short)]).await[0];
    let waits = stage.enqueue([Act::Work(0)]).await[0];
    let worker = Worker::start(&Settings { slots: 1, ..stage.settings() }).await;
    stage.finished().await;
    let job = stage.job(hangs).await;
    assert_eq!((job.state, job.reason, job.crashes), (State::Dead, Some(DeadReason::Exhausted), 0));
    let errors: Vec<&str> = job.errors.iter().map(|error| error.error.as_str()).collect();
    assert_eq!(errors, ["timed out after 200ms"; 2]);
    assert_eq!(stage.job(waits).await.state, State::Succeeded);
    assert_eq!(stage.desk.count(|entry| entry.is(Event::Ended, hangs)), 0);
    worker.stop().await;
}

/// More than two leases long, while another worker looks for lost ones with every beat.
async fn a_long_handler_that_beats_is_never_rescued<S, P>(stage: &Stage<S, P>)
where
    S: Store + Clone,
    P: Source<Connection = S::Connection>,
{
    let settings = Settings { lease: Duration::from_secs(3), ..stage.settings() };
    let id = stage.enqueue([Act::Work(7_000)]).await[0];
    let workers = [Worker::start(&settings).await, Worker::start(&settings).await];
    stage.finished().await;
    let job = stage.job(id).await;
    assert_eq!((job.state, job.attempt, job.crashes), (State::Succeeded, 1, 0));
    for worker in workers {
        worker.stop().await;
    }
}

async fn a_cancellation_reaches_a_running_job_within_a_second<S, P>(stage: &Stage<S, P>)
where
    S: Store + Clone,
    P: Source<Connection = S::Connection>,
{
    let ids = stage.enqueue((0..5).map(|_| Act::Listen)).await;
    let worker = Worker::start(&stage.settings()).await;
    let count = async |event: Event| {
        let count = async || (stage.desk.count(|entry| entry.event == event) == ids.len()).then_some(());
        until("what all jobs do", count).await;
    };
    count(Event::Began).await;
    let mut delays = Vec::new();
    for id in &ids {
        let mut conn = stage.source.acquire().await.unwrap();
        let asked_at = micros_now();
        assert_eq!(stage.jobs.cancel(&mut conn, *id).await.unwrap(), Cancelled::Requested);
        drop(conn);
        let cancelled = async || stage.desk.entries().into_iter().find(|entry| entry.is(Event::Cancelled, *id));
        delays.push(until("hearing of the cancellation", cancelled).await.at - asked_at);
    }
    count(Event::Cancelled).await;
    for job in stage.finished().await {
        assert_eq!(job.state, State::Cancelled, "{job:?}");
    }
    worker.stop().await;
    delays.sort_unstable();
    println!("cancellations arrived after {delays:?} microseconds");
    assert!(delays[delays.len() / 2] < 1_000_000, "{delays:?}");
}
