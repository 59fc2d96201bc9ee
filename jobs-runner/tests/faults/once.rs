//! Many workers and no fault.

use std::collections::HashMap;
use std::time::Duration;

use stoa_jobs_runner::{Source, State, Store};

use crate::desk::Event;
use crate::stage::{Stage, on_both_databases, scaled};
use crate::task::Act;
use crate::worker::{Settings, Worker};

const WORKERS: usize = 16;

on_both_databases! {
    without_faults_every_handler_runs_exactly_once
}

async fn without_faults_every_handler_runs_exactly_once<S, P>(stage: &Stage<S, P>)
where
    S: Store + Clone,
    P: Source<Connection = S::Connection>,
{
    let count = scaled(10_000, 100_000);
    // No machine is so busy that a worker is taken for lost.
    let settings = Settings { lease: Duration::from_mins(10), grace: Duration::from_mins(1), ..stage.settings() };
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(Worker::prepare(&settings).await);
    }
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.extend(stage.enqueue((0..count / 10).map(|_| Act::Work(0))).await);
    }
    for worker in &mut workers {
        worker.go();
    }
    let all = stage.finished().await;
    let mut shares = Vec::new();
    for worker in workers {
        let tally = worker.stop().await;
        assert_eq!((tally.failed, tally.dead, tally.fenced), (0, 0, 0), "{tally:?}");
        shares.push(tally.succeeded);
    }
    assert_eq!(shares.iter().sum::<u64>(), count as u64, "{shares:?}");

    assert_eq!(all.len(), count);
    for job in &all {
        assert_eq!((job.state, job.attempt, job.crashes), (State::Succeeded, 1, 0), "{job:?}");
    }
    let mut runs: HashMap<i64, u32> = HashMap::new();
    for entry in stage.desk.entries().iter().filter(|entry| entry.event == Event::Began) {
        *runs.entry(entry.job).or_default() += 1;
    }
    assert!(ids.iter().all(|id| runs.get(&id.as_i64()) == Some(&1)), "a handler ran twice, or not at all");
    assert_eq!(runs.len(), count);
}
