//! riverqueue as River's own benchmark runs it: many workers, a fetch every two milliseconds. It keeps finished jobs in the table
//! of all jobs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use riverqueue::migrate::PostgresMigrator;
use riverqueue::{BoxError, Client, Job, JobArgs, QueueConfig, WorkContext, WorkOutcome, Workers};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use testkit::Cluster;
use tokio::time::sleep;

use crate::jobs::raw;

#[derive(Clone, Debug, Serialize, Deserialize, JobArgs)]
#[river(kind = "nothing")]
struct Task {}

pub(super) struct Riverqueue {
    pool: PgPool,
}

impl Riverqueue {
    pub(super) async fn start(cluster: &Cluster) -> Self {
        cluster.named("river").await.close().await;
        let pool = PgPoolOptions::new().max_connections(50).connect(&cluster.url("river")).await;
        let pool = pool.expect("the server answers");
        PostgresMigrator::new(pool.clone()).migrate_up().await.expect("its schema is sound");
        Self { pool }
    }

    /// Seconds from the start of the client until every job is completed.
    pub(super) async fn drain(&self, jobs: usize) -> f64 {
        sqlx::query("TRUNCATE river_job").execute(&self.pool).await.expect("the table is there");
        sqlx::query(
            r#"
            INSERT INTO river_job (kind, args, max_attempts)
            SELECT 'nothing', '{}', 25
            FROM generate_series(1, $1::bigint)
            "#,
        )
        .bind(jobs as i64)
        .execute(&self.pool)
        .await
        .expect("the rows fit");
        raw::settle(&self.pool).await;
        let done = Arc::new(AtomicUsize::new(0));
        let mut workers = Workers::new();
        let counter = done.clone();
        workers
            .add_fn(move |_: WorkContext, _: Job<Task>| {
                counter.fetch_add(1, Ordering::Relaxed);
                async { Ok::<_, BoxError>(WorkOutcome::Complete) }
            })
            .expect("the only worker of its kind");
        let queue = QueueConfig::new(500).with_fetch_poll_interval(Duration::from_millis(20));
        let client = Client::builder(self.pool.clone())
            .workers(workers)
            .fetch_cooldown(Duration::from_millis(2))
            .queue("default", queue)
            .build()
            .expect("the settings are sound");
        let started = Instant::now();
        let mut run = client.start().expect("it starts");
        while done.load(Ordering::Relaxed) < jobs || self.has_jobs().await {
            sleep(Duration::from_millis(2)).await;
        }
        let seconds = started.elapsed().as_secs_f64();
        run.stop().await.expect("it stops");
        seconds
    }

    async fn has_jobs(&self) -> bool {
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM river_job WHERE state IN ('available', 'running'))")
            .fetch_one(&self.pool)
            .await
            .expect("the server answers")
    }
}
