//! What operators do and see.

use std::time::Duration;

use serde_json::json;
use sqlx::{Connection, SqliteConnection};

use super::time;
use crate::handler::storable;
use crate::operate::stats::{LatestRow, QueueRow, WINDOW, queue_stats};
use crate::store::{corrupt, micros};
use crate::{Count, Filter, Finding, JobId, Kind, Queue, Result, State, Stats, WorkerId, WorkerRecord};

pub(super) async fn discard(conn: &mut SqliteConnection, id: JobId, why: &str) -> Result<bool> {
    let ids: Vec<i64> = sqlx::query_scalar(
        r#"
        UPDATE jobs_queue_job
        SET state = 'dead', reason = 'fatal', last_error = $2,
            errors = json_insert(
                CASE WHEN json_array_length(errors) >= 20 THEN json_remove(errors, '$[0]') ELSE COALESCE(errors, '[]') END,
                '$[#]',
                json_object('attempt', attempt, 'error', $2, 'at', CAST(unixepoch('subsec') * 1000000 AS INTEGER)))
        WHERE id = $1 AND state <> 'running'
        RETURNING id
        "#,
    )
    .bind(id.as_i64())
    .bind(storable(why))
    .fetch_all(conn)
    .await?;
    Ok(!ids.is_empty())
}

pub(super) async fn cancel_many(conn: &mut SqliteConnection, filter: &Filter, limit: u32) -> Result<u64> {
    let ids: Vec<i64> = sqlx::query_scalar(
        r#"
        UPDATE jobs_queue_job
        SET is_cancelled = 1, state = CASE state WHEN 'running' THEN 'running' ELSE 'cancelled' END
        WHERE id IN (
            SELECT id
            FROM jobs_queue_job
            WHERE id BETWEEN COALESCE($1, 0) AND COALESCE($1, 9223372036854775807)
                AND ($2 IS NULL OR queue = $2) AND ($3 IS NULL OR kind = $3) AND ($4 IS NULL OR state = $4)
                AND ($5 IS NULL OR created_at >= $5) AND ($6 IS NULL OR created_at < $6)
            ORDER BY id
            LIMIT $7
        )
        RETURNING id
        "#,
    )
    .bind(filter.id.map(JobId::as_i64))
    .bind(filter.queue.as_ref().map(Queue::as_str))
    .bind(filter.kind.as_ref().map(Kind::as_str))
    .bind(filter.state.map(State::as_str))
    .bind(filter.after.map(|at| at.timestamp_micros()))
    .bind(filter.before.map(|at| at.timestamp_micros()))
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    Ok(ids.len() as u64)
}

pub(super) async fn delete_many(conn: &mut SqliteConnection, filter: &Filter, limit: u32) -> Result<u64> {
    // Two statements that may not see each other's work: what is chosen is chosen first.
    let mut tx = conn.begin().await?;
    let ids: Vec<i64> = sqlx::query_scalar(include_str!("chosen.sql"))
        .bind(filter.id.map(JobId::as_i64))
        .bind(filter.queue.as_ref().map(Queue::as_str))
        .bind(filter.kind.as_ref().map(Kind::as_str))
        .bind(filter.state.map(State::as_str))
        .bind(filter.after.map(|at| at.timestamp_micros()))
        .bind(filter.before.map(|at| at.timestamp_micros()))
        .bind(i64::from(limit))
        .fetch_all(&mut *tx)
        .await?;
    let ids = json!(ids).to_string();
    let waiting = sqlx::query("DELETE FROM jobs_queue_job WHERE id IN (SELECT value FROM json_each($1))")
        .bind(&ids)
        .execute(&mut *tx)
        .await?;
    let finished = sqlx::query("DELETE FROM jobs_queue_history WHERE id IN (SELECT value FROM json_each($1))")
        .bind(&ids)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(waiting.rows_affected() + finished.rows_affected())
}

pub(super) async fn prune(conn: &mut SqliteConnection, state: State, older_than: Duration, limit: u32) -> Result<u64> {
    let done = sqlx::query(
        r#"
        DELETE FROM jobs_queue_history
        WHERE id IN (
            SELECT id
            FROM jobs_queue_history
            WHERE state = $1 AND finished_at <= CAST(unixepoch('subsec') * 1000000 AS INTEGER) - $2
            ORDER BY finished_at
            LIMIT $3
        )
        "#,
    )
    .bind(state.as_str())
    .bind(micros(older_than))
    .bind(i64::from(limit))
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

pub(super) async fn stats(conn: &mut SqliteConnection, bound: u32) -> Result<Stats> {
    let queues: Vec<QueueRow> =
        sqlx::query_as(include_str!("queues.sql")).bind(i64::from(bound)).fetch_all(&mut *conn).await?;
    let latest: Vec<LatestRow> = sqlx::query_as(include_str!("finished.sql"))
        .bind(i64::from(bound))
        .bind(micros(WINDOW))
        .fetch_all(&mut *conn)
        .await?;
    let (dead, cancelled, kept): (i64, i64, i64) = sqlx::query_as(
        r#"
        SELECT (SELECT count(*) FROM (SELECT 1 FROM jobs_queue_history WHERE state = 'dead' LIMIT $1 + 1)),
            (SELECT count(*) FROM (SELECT 1 FROM jobs_queue_history WHERE state = 'cancelled' LIMIT $1 + 1)),
            COALESCE((SELECT max(id) FROM jobs_queue_history) - (SELECT min(id) FROM jobs_queue_history) + 1, 0)
        "#,
    )
    .bind(i64::from(bound))
    .fetch_one(conn)
    .await?;
    Ok(Stats {
        queues: queue_stats(queues, latest, bound)?,
        dead: Count::bounded(dead, bound),
        cancelled: Count::bounded(cancelled, bound),
        kept: kept.unsigned_abs(),
    })
}

pub(super) async fn workers(conn: &mut SqliteConnection) -> Result<Vec<WorkerRecord>> {
    type Row = (i64, Option<String>, Option<String>, i64, i64, bool);
    let rows: Vec<Row> = sqlx::query_as(
        r#"
        SELECT id, queue, process, started_at, lease_until,
            lease_until <= CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS is_lost
        FROM jobs_queue_worker
        ORDER BY started_at DESC, id
        LIMIT 1000
        "#,
    )
    .fetch_all(conn)
    .await?;
    let worker = |(id, queue, process, started_at, lease_until, is_lost): Row| {
        Ok(WorkerRecord {
            id: WorkerId::from(id),
            queue: corrupt("queue", queue.map(Queue::new).transpose())?,
            process,
            started_at: time(started_at)?,
            lease_until: time(lease_until)?,
            is_lost,
        })
    };
    rows.into_iter().map(worker).collect()
}

pub(super) async fn doctor(conn: &mut SqliteConnection) -> Result<Vec<Finding>> {
    let (mode, free, pages, file): (String, i64, i64, Option<String>) = sqlx::query_as(
        r#"
        SELECT (SELECT journal_mode FROM pragma_journal_mode), (SELECT freelist_count FROM pragma_freelist_count),
            (SELECT page_count FROM pragma_page_count), (SELECT file FROM pragma_database_list WHERE name = 'main')
        "#,
    )
    .fetch_one(conn)
    .await?;
    let mut findings = vec![Finding::JournalMode { mode }];
    // No statement tells the size of the log without working on it; the file system does.
    if let Some(file) = file.filter(|file| !file.is_empty())
        && let Ok(log) = std::fs::metadata(format!("{file}-wal"))
    {
        findings.push(Finding::Wal { bytes: log.len() });
    }
    findings.push(Finding::FreePages { free: free.unsigned_abs(), pages: pages.unsigned_abs() });
    Ok(findings)
}
