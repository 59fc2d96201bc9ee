//! Draining no-op jobs beside the raw statements of the same layout: a batched claim, a batched completion with history.

mod pickup;

use std::time::Instant;

use serde::{Deserialize, Serialize};
use sqlx::{Connection, PgConnection, PgPool};
use stoa_jobs_runner::{Context, Failure, Handler, Job, Jobs, Postgres, Runner, postgres};
use testkit::{Cluster, Durability};

use crate::case::Target;
use crate::timing::median;
use crate::{Case, Setup};

#[derive(Serialize, Deserialize)]
struct Nothing {}

impl Job for Nothing {
    const KIND: &'static str = "bench.nothing";
    const QUEUE: &'static str = "bench";
}

impl Handler<()> for Nothing {
    async fn run(self, _: &Context<()>) -> Result<(), Failure> {
        Ok(())
    }
}

/// Jobs that are claimed at once, and run at once.
const BATCH: u32 = 500;

/// Measures the job cases.
pub async fn compare(setup: &Setup) -> Vec<Case> {
    let jobs = setup.size(50_000, 2_000);
    let cluster = Cluster::start(Durability::Durable);
    let pool = PgPool::connect(&cluster.url("postgres")).await.expect("the server answers");
    postgres::MIGRATOR.run(&pool).await.expect("the schema is sound");
    let runner = Runner::new(Jobs::new(Postgres), pool.clone(), ()).handle::<Nothing>().queue("bench", BATCH);
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for round in 0..=setup.size(3, 1) {
        fill(&pool, jobs).await;
        let started = Instant::now();
        let tally = runner.drain().await.expect("the server answers");
        let rate = jobs as f64 / started.elapsed().as_secs_f64();
        assert_eq!(tally.succeeded, jobs as u64);
        fill(&pool, jobs).await;
        let raw_rate = drain_raw(&cluster, jobs).await;
        if round > 0 {
            ours.push(rate);
            raw.push(raw_rate);
        }
    }
    let mut cases = vec![
        Case::ratio(
            "jobs.drain_vs_raw",
            median(ours),
            "jobs/s",
            "raw claim + complete",
            median(raw),
            Target::AtLeast(0.6),
        )
        .note(format!("{jobs} no-op jobs, fsync on, history kept, {BATCH} at once")),
    ];
    cases.extend(pickup::compare(setup).await);
    cases
}

async fn fill(pool: &PgPool, jobs: usize) {
    sqlx::query("TRUNCATE jobs_queue_job, jobs_queue_history").execute(pool).await.expect("the tables are there");
    sqlx::query(
        r#"
        INSERT INTO jobs_queue_job
            (queue, kind, payload, state, priority, attempt, max_attempts, crashes, run_at, created_at)
        SELECT 'bench', 'bench.nothing', '{}', 'pending', 5, 0, 20, 0, now(), now()
        FROM generate_series(1, $1::bigint)
        "#,
    )
    .bind(jobs as i64)
    .execute(pool)
    .await
    .expect("the rows fit");
    sqlx::query("VACUUM ANALYZE jobs_queue_job, jobs_queue_history").execute(pool).await.expect("the tables are there");
}

/// Two connections that do nothing but the two statements, without fencing, leases or handlers.
async fn drain_raw(cluster: &Cluster, jobs: usize) -> f64 {
    let mut connections = Vec::new();
    for _ in 0..2 {
        connections.push(PgConnection::connect(&cluster.url("postgres")).await.expect("the server answers"));
    }
    let started = Instant::now();
    let mut drains = tokio::task::JoinSet::new();
    for conn in connections {
        drains.spawn(drain_one(conn));
    }
    let drained: u64 = drains.join_all().await.into_iter().sum();
    assert_eq!(drained, jobs as u64);
    jobs as f64 / started.elapsed().as_secs_f64()
}

async fn drain_one(mut conn: PgConnection) -> u64 {
    let mut drained = 0;
    loop {
        let ids: Vec<i64> = sqlx::query_scalar(
            r#"
            WITH due AS MATERIALIZED (
                SELECT id
                FROM jobs_queue_job
                WHERE queue = 'bench' AND state <> 'running' AND run_at <= statement_timestamp()
                ORDER BY priority, run_at, id
                LIMIT $1
                FOR UPDATE SKIP LOCKED
            )
            UPDATE jobs_queue_job AS job
            SET state = 'running', attempt = attempt + 1, token = 1, worker = 1, attempted_at = statement_timestamp()
            FROM due
            WHERE job.id = due.id
            RETURNING job.id
            "#,
        )
        .bind(i64::from(BATCH))
        .fetch_all(&mut conn)
        .await
        .expect("the server answers");
        if ids.is_empty() {
            return drained;
        }
        let done = sqlx::query(
            r#"
            WITH finished AS (
                DELETE FROM jobs_queue_job
                WHERE id = ANY($1)
                RETURNING *
            )
            INSERT INTO jobs_queue_history
                (id, queue, kind, payload, state, priority, attempt, max_attempts, crashes, last_error,
                run_at, created_at, attempted_at, finished_at)
            SELECT id, queue, kind, payload, 'succeeded', priority, attempt, max_attempts, crashes, last_error,
                run_at, created_at, attempted_at, statement_timestamp()
            FROM finished
            "#,
        )
        .bind(&ids)
        .execute(&mut conn)
        .await
        .expect("the server answers");
        drained += done.rows_affected();
    }
}
