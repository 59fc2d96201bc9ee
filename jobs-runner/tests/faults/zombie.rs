//! A worker that stands still past its lease and goes on as if nothing had happened.

use std::time::Duration;

use stoa_jobs_runner::{JobId, Source, State, Store};

use crate::desk::Event;
use crate::stage::{Stage, on_both_databases, pause, until};
use crate::task::{Act, Report};
use crate::worker::{Settings, Worker};

const REPORTS: [Report; 7] = [
    Report::Success,
    Report::Failure,
    Report::Fatal,
    Report::Snooze,
    Report::Release,
    Report::Progress,
    Report::CompleteIn,
];

on_both_databases! {
    everything_a_zombie_reports_is_rejected
}

/// Half of its jobs are finished when it wakes up, the other half runs elsewhere.
async fn everything_a_zombie_reports_is_rejected<S, P>(stage: &Stage<S, P>)
where
    S: Store + Clone,
    P: Source<Connection = S::Connection>,
{
    let settings = Settings { slots: 100, ..stage.settings() };
    let finished = stage.enqueue(REPORTS.map(|report| Act::Outlive(report, None))).await;
    let held = stage.enqueue(REPORTS.map(|report| Act::Outlive(report, Some("second".to_owned())))).await;
    let count = finished.len() + held.len();
    let zombie = Worker::start(&settings).await;
    let began = async |process: u32, attempt: u16| {
        let is_so = |entry: &crate::desk::Entry| {
            entry.event == Event::Began && (entry.process, entry.attempt) == (process, attempt)
        };
        until("beginning all jobs", async || (stage.desk.count(is_so) == count).then_some(())).await;
    };
    began(zombie.id(), 1).await;
    zombie.freeze();

    let heir = Worker::start(&settings).await;
    // It may have been stopped with a lock in its hand, which nobody can take from it.
    while tokio::time::timeout(Duration::from_secs(10), began(heir.id(), 2)).await.is_err() {
        zombie.thaw();
        pause(Duration::from_millis(50)).await;
        zombie.freeze();
    }
    until("finishing half of the jobs", async || all_are(stage, &finished, State::Succeeded).await.then_some(())).await;
    stage.desk.open("first");
    zombie.thaw();
    let has_ended = |entry: &crate::desk::Entry| entry.event == Event::Ended && entry.process == zombie.id();
    until("the end of the zombie's handlers", async || (stage.desk.count(has_ended) == count).then_some(())).await;
    let tally = zombie.stop().await;
    assert_eq!((tally.fenced, tally.succeeded, tally.failed, tally.dead, tally.released), (count as u64, 0, 0, 0, 0));

    for id in &held {
        let job = stage.job(*id).await;
        assert_eq!((job.state, job.attempt, job.crashes, job.progress), (State::Running, 2, 1, None));
    }
    stage.desk.open("second");
    for job in stage.finished().await {
        assert_eq!((job.state, job.attempt, job.crashes, job.errors.len()), (State::Succeeded, 2, 1, 1), "{job:?}");
    }
    let tally = heir.stop().await;
    assert_eq!((tally.succeeded, tally.fenced), (count as u64, 0));
}

async fn all_are<S, P>(stage: &Stage<S, P>, ids: &[JobId], state: State) -> bool
where
    S: Store + Clone,
    P: Source<Connection = S::Connection>,
{
    for id in ids {
        if stage.job(*id).await.state != state {
            return false;
        }
    }
    true
}
