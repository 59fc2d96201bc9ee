//! PostgreSQL is killed, or all its sessions are, while jobs come and go.

use std::time::Duration;

use sqlx::{Connection, PgConnection, PgPool};
use stoa_jobs_runner::{JobId, Postgres, Source, State, postgres};
use testkit::{Cluster, Durability};
use tokio::sync::watch;
use tokio::task::block_in_place;

use crate::desk::Event;
use crate::stage::{Stage, pause, random, scaled, until};
use crate::task::{Act, Task};
use crate::worker::{Settings, Worker};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_outlive_a_kill_of_postgres() {
    let cluster = Cluster::start(Durability::Fast);
    let stage = Stage::over(cluster.database(&[&postgres::MIGRATOR]).await);
    outlive(&stage, scaled(3, 10), async || {
        block_in_place(|| cluster.kill());
        pause(Duration::from_millis(random(1500))).await;
        block_in_place(|| cluster.restart());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_outlive_the_end_of_all_sessions() {
    let stage = Stage::postgres().await;
    outlive(&stage, scaled(12, 200), async || {
        let mut conn = PgConnection::connect(&stage.url).await.unwrap();
        sqlx::query(
            r#"
            SELECT pg_terminate_backend(pid)
            FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()
            "#,
        )
        .execute(&mut conn)
        .await
        .unwrap();
        pause(Duration::from_millis(random(100))).await;
    })
    .await;
}

/// Two workers go on by themselves, and every job whose commit was acknowledged is done.
async fn outlive(stage: &Stage<Postgres, PgPool>, rounds: usize, mut fault: impl AsyncFnMut()) {
    let settings = Settings { grace: Duration::from_secs(10), ..stage.settings() };
    let mut workers = [Worker::start(&settings).await, Worker::start(&settings).await];
    let (stop, stopped) = watch::channel(false);
    let done = || stage.desk.count(|entry| entry.event == Event::Ended);
    let faults = async {
        for _ in 0..rounds {
            let enough = done() + 50;
            until("going on", async || (done() >= enough).then_some(())).await;
            fault().await;
        }
        let enough = done() + 50;
        until("going on after the last fault", async || (done() >= enough).then_some(())).await;
        stop.send_replace(true);
    };
    let (acknowledged, ()) = tokio::join!(enqueue_until(stage, stopped), faults);

    let all = stage.finished().await;
    for job in &all {
        assert_eq!(job.state, State::Succeeded, "{job:?}");
        assert_eq!(job.attempt, job.crashes + 1, "an attempt is unaccounted for: {job:?}");
    }
    let ids: std::collections::HashSet<JobId> = all.iter().map(|job| job.id).collect();
    assert!(acknowledged.iter().all(|id| ids.contains(id)), "a committed job is lost");
    assert!(workers.iter_mut().all(Worker::is_alive));
    for worker in workers {
        worker.stop().await;
    }
}

/// Enqueues a few jobs after the other, and returns those whose commit was heard of.
async fn enqueue_until(stage: &Stage<Postgres, PgPool>, stopped: watch::Receiver<bool>) -> Vec<JobId> {
    let mut acknowledged = Vec::new();
    while !*stopped.borrow() {
        let batch: Vec<Task> = (0..10).map(|_| Task(Act::Work(random(20)))).collect();
        let attempt = async {
            let mut tx = Source::begin(&stage.source).await?;
            let enqueued = stage.jobs.enqueue_many(&mut tx, &batch).await?;
            Source::commit(&stage.source, tx).await?;
            Ok::<_, stoa_jobs_runner::Error>(enqueued)
        };
        // Not heard of: perhaps committed, perhaps not.
        acknowledged.extend(attempt.await.unwrap_or_default().iter().map(|enqueued| enqueued.id));
        pause(Duration::from_millis(20)).await;
    }
    acknowledged
}
