//! `graphile_worker` in its fastest mode: a local queue and batched completion. It deletes finished jobs and keeps no history.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, RawJobSpec, TaskHandler, WorkerContext, WorkerOptions,
};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use testkit::Cluster;
use tokio::time::sleep;

use crate::jobs::raw;

#[derive(Serialize, Deserialize)]
struct Task {}

#[derive(Clone, Debug)]
struct Done(Arc<AtomicUsize>);

impl TaskHandler for Task {
    const IDENTIFIER: &'static str = "nothing";

    async fn run(self, cx: WorkerContext) -> impl IntoTaskHandlerResult {
        if let Some(done) = cx.get_ext::<Done>() {
            done.0.fetch_add(1, Ordering::Relaxed);
        }
        Ok::<(), String>(())
    }
}

pub(super) struct GraphileWorker {
    pool: PgPool,
}

impl GraphileWorker {
    pub(super) async fn start(cluster: &Cluster) -> Self {
        cluster.named("graphile").await.close().await;
        let pool = PgPoolOptions::new().max_connections(100).connect(&cluster.url("graphile")).await;
        Self { pool: pool.expect("the server answers") }
    }

    /// Seconds from the start of the worker until no job is left.
    pub(super) async fn drain(&self, jobs: usize) -> f64 {
        let done = Done(Arc::default());
        let worker = WorkerOptions::default()
            .pg_pool(self.pool.clone())
            .concurrency(24)
            .poll_interval(Duration::from_millis(5))
            .complete_job_batch_delay(Duration::from_millis(5))
            .local_queue(LocalQueueConfig::default().with_size(5000))
            .add_extension(done.clone())
            .define_job::<Task>()
            .init()
            .await
            .expect("its schema is sound");
        let new = RawJobSpec {
            identifier: Task::IDENTIFIER.to_owned(),
            payload: serde_json::json!({}),
            spec: JobSpec::default(),
        };
        let utils = worker.create_utils();
        for batch in (0..jobs).step_by(10_000) {
            let batch = vec![new.clone(); (jobs - batch).min(10_000)];
            utils.add_raw_jobs(&batch).await.expect("the rows fit");
        }
        raw::settle(&self.pool).await;
        let worker = Arc::new(worker);
        let started = Instant::now();
        let running = tokio::spawn({
            let worker = worker.clone();
            async move { worker.run().await }
        });
        while done.0.load(Ordering::Relaxed) < jobs || self.has_jobs().await {
            sleep(Duration::from_millis(2)).await;
        }
        let seconds = started.elapsed().as_secs_f64();
        worker.request_shutdown();
        running.await.expect("it does not panic").expect("it stops");
        seconds
    }

    async fn has_jobs(&self) -> bool {
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM graphile_worker._private_jobs)")
            .fetch_one(&self.pool)
            .await
            .expect("the server answers")
    }
}
