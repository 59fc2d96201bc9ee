//! SIGTERM, and runners that start and stop all the time.

use std::collections::HashSet;
use std::future::{pending, ready};
use std::time::Duration;

use stoa_jobs_runner::{JobId, Runner, Source, State, Store};
use tokio::runtime::Handle;

use crate::desk::{Entry, Event};
use crate::stage::{Stage, on_both_databases, pause, random, until};
use crate::task::{Act, Host, Task};
use crate::worker::{Settings, Worker};

const SLOTS: usize = 4;
const CYCLES: usize = 500;

on_both_databases! {
    a_worker_that_is_told_to_stop_returns_finishes_and_releases
}

/// What was claimed ahead goes back at once; of what runs, half finishes within the grace period, the other half is released.
async fn a_worker_that_is_told_to_stop_returns_finishes_and_releases<S, P>(stage: &Stage<S, P>)
where
    S: Store + Clone,
    P: Source<Connection = S::Connection>,
{
    // Short jobs first: at their rate the others are claimed ahead.
    stage.enqueue((0..2000).map(|_| Act::Work(0))).await;
    let held = stage.enqueue((0..40).map(|number| Act::Hold(format!("gate-{number}")))).await;
    let grace = Duration::from_secs(8);
    let worker =
        Worker::start(&Settings { slots: SLOTS.try_into().unwrap(), lease: 10 * grace, grace, ..stage.settings() })
            .await;
    let running = async || -> HashSet<JobId> { stage.in_state(State::Running).await.into_iter().collect() };
    let begun: HashSet<JobId> = until("filling all slots", async || {
        let begun: HashSet<JobId> =
            stage.desk.unended(worker.id()).iter().map(|entry| JobId::from(entry.job)).collect();
        let is_full = begun.len() == SLOTS && begun.iter().all(|id| held.contains(id));
        (is_full && running().await.len() > SLOTS).then_some(begun)
    })
    .await;

    worker.ask_to_stop();
    until("returning what was not begun", async || (running().await == begun).then_some(())).await;
    stage.enqueue((0..SLOTS).map(|_| Act::Work(0))).await;
    let begun: Vec<JobId> = begun.into_iter().collect();
    let (fast, slow) = begun.split_at(SLOTS / 2);
    for id in fast {
        stage.desk.open(&format!("gate-{}", held.iter().position(|held| held == id).unwrap()));
    }
    let tally = worker.tally().await;
    assert!(tally.succeeded >= fast.len() as u64 && tally.released > slow.len() as u64, "{tally:?}");
    assert_eq!((tally.failed, tally.dead, tally.fenced), (0, 0, 0), "{tally:?}");
    for job in stage.all().await {
        if stage.desk.count(|entry| entry.is(Event::Ended, job.id)) > 0 {
            assert_eq!((job.state, job.attempt), (State::Succeeded, 1), "{job:?}");
        } else {
            assert_eq!((job.state, job.attempt, job.crashes), (State::Pending, 0, 0), "{job:?}");
        }
    }
    for id in fast {
        assert_eq!(stage.job(*id).await.state, State::Succeeded);
    }
    // Whatever was released had not been refused: another worker does it.
    for number in 0..held.len() {
        stage.desk.open(&format!("gate-{number}"));
    }
    let worker = Worker::start(&stage.settings()).await;
    let all = stage.finished().await;
    assert!(all.iter().all(|job| (job.state, job.attempt, job.crashes) == (State::Succeeded, 1, 0)));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_starts_and_stops_leak_nothing_on_sqlite() {
    let stage = Stage::sqlite().await;
    let pool = stage.source.clone();
    start_and_stop(&stage, || pool.size() as usize - pool.num_idle()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_starts_and_stops_leak_nothing_on_postgres() {
    let stage = Stage::postgres().await;
    let pool = stage.source.clone();
    start_and_stop(&stage, || pool.size() as usize - pool.num_idle()).await;
    let query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()";
    until("closing what connections were dropped", async || {
        let connections: i64 = sqlx::query_scalar(query).fetch_one(&pool).await.unwrap();
        (connections <= i64::from(pool.size())).then_some(())
    })
    .await;
}

/// Stops before anything, after a job, in the middle of one, and by being dropped: nothing is left but jobs to do.
async fn start_and_stop<S, P>(stage: &Stage<S, P>, lent: impl Fn() -> usize)
where
    S: Store + Clone,
    P: Source<Connection = S::Connection>,
{
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let runner = || {
        let host = Host { jobs: stage.jobs.clone(), source: stage.source.clone(), desk: stage.desk.clone() };
        Runner::new(stage.jobs.clone(), stage.source.clone(), host)
            .handle::<Task>()
            .lease(Duration::from_millis(300))
            .grace(Duration::ZERO)
            .poll_interval(Duration::from_millis(20))
    };
    let count = async |is_counted: &dyn Fn(&Entry) -> bool, enough: usize| {
        until("what jobs do", async || (stage.desk.count(is_counted) >= enough).then_some(())).await;
    };
    let before = tasks();
    for cycle in 0..CYCLES {
        let runner = runner();
        match cycle % 10 {
            0 => {
                let done = stage.desk.count(|entry| entry.event == Event::Ended);
                stage.enqueue([Act::Work(0)]).await;
                let shutdown = count(&|entry| entry.event == Event::Ended, done + 1);
                runner.run_until(shutdown).await.unwrap();
            }
            5 => {
                let begun = stage.desk.count(|entry| entry.event == Event::Began);
                stage.enqueue([Act::Work(50)]).await;
                let shutdown = count(&|entry| entry.event == Event::Began, begun + 1);
                runner.run_until(shutdown).await.unwrap();
            }
            3 | 6 => {
                stage.enqueue([Act::Work(1)]).await;
                let dropped = pause(Duration::from_millis(random(10)));
                tokio::select! {
                    ended = runner.run_until(pending()) => drop(ended.unwrap()),
                    () = dropped => {}
                }
            }
            _ => drop(runner.run_until(ready(())).await.unwrap()),
        }
    }
    until("the end of all tasks", async || (tasks() <= before).then_some(())).await;
    until("the return of all connections", async || (lent() == 0).then_some(())).await;

    let shutdown = async { drop(stage.finished().await) };
    runner().run_until(shutdown).await.unwrap();
    assert!(stage.all().await.iter().all(|job| job.state == State::Succeeded));
}
