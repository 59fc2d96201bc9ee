//! The physical limit: the statements of the same layout and nothing else.

use std::time::Instant;

use sqlx::{PgConnection, PgPool};
use tokio::task::JoinSet;

use super::BATCH;

/// Makes the queue hold just these jobs, and the server ready.
pub(super) async fn fill(pool: &PgPool, jobs: usize) {
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
    settle(pool).await;
}

/// Nobody shall pay for the garbage and the dirty pages of another.
pub(super) async fn settle(pool: &PgPool) {
    sqlx::query("VACUUM ANALYZE").execute(pool).await.expect("the server answers");
    sqlx::query("CHECKPOINT").execute(pool).await.expect("the server answers");
}

/// Seconds that two connections take which do nothing but the two statements, without fencing, leases or handlers.
pub(super) async fn drain(pool: &PgPool, jobs: usize) -> f64 {
    let mut connections = Vec::new();
    for _ in 0..2 {
        connections.push(pool.acquire().await.expect("the server answers"));
    }
    let started = Instant::now();
    let mut drains = JoinSet::new();
    for mut conn in connections {
        drains.spawn(async move { drain_one(&mut conn).await });
    }
    let drained: u64 = drains.join_all().await.into_iter().sum();
    assert_eq!(drained, jobs as u64);
    started.elapsed().as_secs_f64()
}

async fn drain_one(conn: &mut PgConnection) -> u64 {
    let mut drained = 0;
    loop {
        let ids: Vec<i64> = sqlx::query_scalar(
            r#"
            WITH due AS MATERIALIZED (
                SELECT id
                FROM jobs_queue_job
                WHERE queue = 'bench' AND limit_key IS NULL AND state <> 'running' AND run_at <= statement_timestamp()
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
        .fetch_all(&mut *conn)
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
        .execute(&mut *conn)
        .await
        .expect("the server answers");
        drained += done.rows_affected();
    }
}
