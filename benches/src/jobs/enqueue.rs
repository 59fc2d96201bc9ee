//! Storing many jobs.

use std::time::Instant;

use sqlx::{Connection, PgPool};
use stoa_jobs_runner::{Jobs, Postgres, postgres};
use testkit::Cluster;

use super::{Nothing, database, raw};
use crate::case::Target;
use crate::timing::Turns;
use crate::{Case, Setup};

/// Jobs of one transaction.
const CHUNK: usize = 10_000;

pub(super) async fn compare(setup: &Setup, cluster: &Cluster) -> Case {
    let jobs = setup.size(200_000, 20_000);
    let pool = database(cluster, "enqueue", &postgres::MIGRATOR).await;
    let mut figures = Vec::new();
    for _ in 0..=setup.size(5, 1) {
        let ours = ours(&pool, jobs).await;
        figures.push((ours, bare(&pool, jobs).await));
    }
    let turns = Turns::of(figures);
    Case::absolute("jobs.enqueue_many_rows_s", turns.ours, "/s", Target::AtLeast(100_000.0))
        .beside("INSERT … SELECT unnest", turns.other)
        .note(format!("{jobs} jobs, {CHUNK} a transaction, fsync on; {turns}"))
}

async fn ours(pool: &PgPool, jobs: usize) -> f64 {
    raw::fill(pool, 0).await;
    let queue = Jobs::new(Postgres);
    let chunk: Vec<Nothing> = (0..CHUNK).map(|_| Nothing {}).collect();
    let mut conn = pool.acquire().await.expect("the server answers");
    let started = Instant::now();
    for _ in 0..jobs / CHUNK {
        let mut tx = conn.begin().await.expect("the server answers");
        let enqueued = queue.enqueue_many(&mut tx, &chunk).await.expect("the jobs are sound");
        assert_eq!(enqueued.len(), CHUNK);
        tx.commit().await.expect("the server answers");
    }
    jobs as f64 / started.elapsed().as_secs_f64()
}

/// The same rows from arrays of what differs in ours, and their ids.
async fn bare(pool: &PgPool, jobs: usize) -> f64 {
    raw::fill(pool, 0).await;
    let mut conn = pool.acquire().await.expect("the server answers");
    let started = Instant::now();
    for _ in 0..jobs / CHUNK {
        let mut tx = conn.begin().await.expect("the server answers");
        let ids: Vec<i64> = sqlx::query_scalar(
            r#"
            INSERT INTO jobs_queue_job
                (queue, kind, payload, state, priority, attempt, max_attempts, crashes, run_at, created_at)
            SELECT queue, kind, payload, 'pending', 5, 0, 20, 0, statement_timestamp(), statement_timestamp()
            FROM unnest($1::text[], $2::text[], $3::text[]) AS job (queue, kind, payload)
            RETURNING id
            "#,
        )
        .bind(vec!["bench"; CHUNK])
        .bind(vec!["bench.nothing"; CHUNK])
        .bind(vec!["{}"; CHUNK])
        .fetch_all(&mut *tx)
        .await
        .expect("the rows fit");
        assert_eq!(ids.len(), CHUNK);
        tx.commit().await.expect("the server answers");
    }
    jobs as f64 / started.elapsed().as_secs_f64()
}
