//! Limits in PostgreSQL.

use std::time::Instant;

use chrono::DateTime;
use sqlx::{PgConnection, Row};

use super::{claimed, in_order, replan_if_slow};
use crate::limit::Stored;
use crate::store::{duration, micros};
use crate::{ClaimRequest, Kind, Limit, LimitKey, Result, Turned};

/// Claims where limits apply.
pub(super) async fn claim(conn: &mut PgConnection, request: &ClaimRequest<'_>) -> Result<Turned> {
    let kinds: Vec<&str> = request.kinds.iter().map(Kind::as_str).collect();
    let started = Instant::now();
    let rows = sqlx::query(include_str!("limited.sql"))
        .bind(request.queue.as_str())
        .bind(kinds)
        .bind(i64::from(request.limit))
        .bind(request.token.as_i64())
        .bind(request.worker.as_i64())
        .bind(request.since.unwrap_or([DateTime::UNIX_EPOCH; 10]).to_vec())
        .bind(DateTime::UNIX_EPOCH)
        .fetch_all(&mut *conn)
        .await?;
    replan_if_slow(conn, started.elapsed(), rows.len()).await;
    let (mut jobs, mut opens_in) = (Vec::new(), None);
    for row in &rows {
        match row.try_get::<Option<i64>, _>(0)? {
            Some(_) => jobs.push(claimed(row, request.token)?),
            None => opens_in = row.try_get::<Option<i64>, _>(6)?.map(duration),
        }
    }
    Ok(Turned { claimed: in_order(jobs), opens_in, ..Turned::default() })
}

pub(super) async fn set(conn: &mut PgConnection, key: &LimitKey, limit: &Limit) -> Result<()> {
    // What was claimed while there was no limit has no slot yet, nor what claimed while one was being set: said again, it is
    // counted. A job that ends meanwhile leaves a slot that means nothing.
    sqlx::query(
        r#"
        WITH stored AS (
            INSERT INTO jobs_queue_limit (key, concurrency, rate, period)
            VALUES ($1, $2, $3, $4)
            ON CONFLICT ON CONSTRAINT jobs_queue_limit_pkey DO UPDATE
                SET concurrency = excluded.concurrency, rate = excluded.rate, period = excluded.period
        )
        INSERT INTO jobs_queue_slot (key, job_id, token)
        SELECT CASE WHEN $1 = 'queue:' || queue THEN $1 ELSE limit_key END, id, token
        FROM jobs_queue_job
        WHERE state = 'running' AND $1 IN ('queue:' || queue, limit_key, split_part(limit_key, ':', 1))
        ON CONFLICT ON CONSTRAINT jobs_queue_slot_pkey DO NOTHING
        "#,
    )
    .bind(key.as_str())
    .bind(limit.concurrency.map(i64::from))
    .bind(limit.rate.map(|rate| i64::from(rate.count)))
    .bind(limit.rate.map(|rate| micros(rate.per)))
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn remove(conn: &mut PgConnection, key: &LimitKey) -> Result<bool> {
    let done = sqlx::query("DELETE FROM jobs_queue_limit WHERE key = $1").bind(key.as_str()).execute(conn).await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn all(conn: &mut PgConnection) -> Result<Vec<(LimitKey, Limit)>> {
    let rows: Vec<Stored> = sqlx::query_as(
        r#"
        SELECT key, concurrency::bigint, rate::bigint, period
        FROM jobs_queue_limit
        ORDER BY key
        "#,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Limit::stored).collect()
}
