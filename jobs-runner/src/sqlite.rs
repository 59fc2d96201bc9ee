//! The SQLite backend.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqlStr, SqliteConnection, SqlitePool};

use crate::handler::storable;
use crate::store::{CRASH, corrupt, micros};
use crate::{
    Claim, ClaimRequest, Claimed, DeadReason, Due, Error, Filter, JobId, JobRecord, Kind, NewJob, Outcome, Queue,
    Report, Reported, Rescued, Result, Source, State, Store,
};

/// Keeps jobs in SQLite. A transaction that writes must begin with `BEGIN IMMEDIATE`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sqlite;

/// The schema of this crate, oldest change first. Released entries never change.
pub static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator =
        Migrator::with_migrations(vec![migration(1, "initial", include_str!("../migrations/sqlite/0001_initial.sql"))]);
    migrator.dangerous_set_table_name("_stoa_jobs_migrations"); // our own table: never the host's
    migrator
});

fn migration(version: i64, name: &'static str, sql: &'static str) -> Migration {
    Migration::new(version, name.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
}

impl Store for Sqlite {
    type Connection = SqliteConnection;

    async fn enqueue(&self, conn: &mut SqliteConnection, job: &NewJob<'_>) -> Result<JobId> {
        let (at, after) = match job.due {
            Due::At(at) => (Some(at.timestamp_micros()), 0),
            Due::After(delay) => (None, micros(delay)),
        };
        // Of a statement that writes every row is fetched, here and below: sqlx ends it after the first one otherwise, and does
        // not tell when the commit that comes with the end has failed.
        let ids: Vec<i64> = sqlx::query_scalar(
            r#"
            INSERT INTO jobs_queue_job
                (queue, kind, payload, state, priority, attempt, max_attempts, crashes, run_at, created_at)
            VALUES ($1, $2, $3, 'pending', $4, 0, $5, 0,
                COALESCE($6, CAST(unixepoch('subsec') * 1000000 AS INTEGER) + $7),
                CAST(unixepoch('subsec') * 1000000 AS INTEGER))
            RETURNING id
            "#,
        )
        .bind(job.queue.as_str())
        .bind(job.kind.as_str())
        .bind(job.payload)
        .bind(i64::from(job.priority))
        .bind(i64::from(job.max_attempts))
        .bind(at)
        .bind(after)
        .fetch_all(conn)
        .await?;
        ids.first().copied().map(JobId::from).ok_or_else(|| sqlx::Error::RowNotFound.into())
    }

    async fn claim(&self, conn: &mut SqliteConnection, request: &ClaimRequest<'_>) -> Result<Vec<Claimed>> {
        // One statement is alone on the database: nothing needs to be locked or skipped.
        let kinds: Vec<&str> = request.kinds.iter().map(Kind::as_str).collect();
        let rows = sqlx::query(
            r#"
            UPDATE jobs_queue_job
            SET state = 'running', attempt = attempt + 1, token = $4,
                lease_until = CAST(unixepoch('subsec') * 1000000 AS INTEGER) + $5,
                attempted_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER)
            WHERE id IN (
                SELECT id
                FROM jobs_queue_job
                WHERE queue = $1 AND kind IN (SELECT value FROM json_each($2)) AND state <> 'running'
                    AND run_at <= CAST(unixepoch('subsec') * 1000000 AS INTEGER)
                ORDER BY priority, run_at, id
                LIMIT $3
            )
            RETURNING id, kind, payload, attempt, max_attempts, priority, run_at
            "#,
        )
        .bind(request.queue.as_str())
        .bind(json!(kinds).to_string())
        .bind(i64::from(request.limit))
        .bind(request.token.as_i64())
        .bind(micros(request.lease))
        .fetch_all(conn)
        .await?;
        let mut jobs = rows.iter().map(|row| claimed(row, request)).collect::<Result<Vec<_>>>()?;
        // An UPDATE returns rows in any order.
        jobs.sort_by_key(|(order, _)| *order);
        Ok(jobs.into_iter().map(|(_, job)| job).collect())
    }

    async fn renew(&self, conn: &mut SqliteConnection, claims: &[Claim], lease: Duration) -> Result<Vec<Claim>> {
        let pairs: Vec<Value> =
            claims.iter().map(|claim| json!({ "id": claim.id.as_i64(), "token": claim.token.as_i64() })).collect();
        let renewed: Vec<i64> = sqlx::query_scalar(
            r#"
            UPDATE jobs_queue_job
            SET lease_until = CAST(unixepoch('subsec') * 1000000 AS INTEGER) + $2
            FROM (SELECT value ->> 'id' AS id, value ->> 'token' AS token FROM json_each($1)) AS claim
            WHERE jobs_queue_job.id = claim.id AND jobs_queue_job.token = claim.token
            RETURNING id
            "#,
        )
        .bind(Value::Array(pairs).to_string())
        .bind(micros(lease))
        .fetch_all(conn)
        .await?;
        let renewed: HashSet<i64> = renewed.into_iter().collect();
        Ok(claims.iter().copied().filter(|claim| !renewed.contains(&claim.id.as_i64())).collect())
    }

    async fn report(&self, conn: &mut SqliteConnection, reports: &[Report]) -> Result<Vec<Reported>> {
        let reports_json: Vec<Value> = reports.iter().map(object).collect();
        let rows: Vec<(i64, String)> = sqlx::query_as(include_str!("sqlite/report.sql"))
            .bind(Value::Array(reports_json).to_string())
            .fetch_all(conn)
            .await?;
        let states: HashMap<i64, String> = rows.into_iter().collect();
        reports.iter().map(|report| reported(states.get(&report.claim.id.as_i64()).map(String::as_str))).collect()
    }

    async fn rescue(&self, conn: &mut SqliteConnection, limit: u32) -> Result<Rescued> {
        let states: Vec<String> = sqlx::query_scalar(
            r#"
            UPDATE jobs_queue_job
            SET state = CASE WHEN attempt >= max_attempts THEN 'dead' ELSE 'failed' END, reason = 'crashed',
                crashes = crashes + 1, token = NULL, lease_until = NULL, last_error = $2,
                run_at = CASE
                    WHEN attempt >= max_attempts THEN run_at
                    ELSE CAST(unixepoch('subsec') * 1000000 AS INTEGER)
                END
            WHERE id IN (
                SELECT id
                FROM jobs_queue_job
                WHERE state = 'running' AND lease_until <= CAST(unixepoch('subsec') * 1000000 AS INTEGER)
                ORDER BY lease_until
                LIMIT $1
            )
            RETURNING state
            "#,
        )
        .bind(i64::from(limit))
        .bind(CRASH)
        .fetch_all(conn)
        .await?;
        Ok(rescued(&states))
    }

    async fn find(&self, conn: &mut SqliteConnection, id: JobId) -> Result<Option<JobRecord>> {
        sqlx::query(
            r#"
            SELECT id, queue, kind, payload, state, reason, priority, attempt, max_attempts, crashes, last_error,
                run_at, created_at, attempted_at, finished_at
            FROM jobs_queue_record
            WHERE id = $1
            "#,
        )
        .bind(id.as_i64())
        .fetch_optional(conn)
        .await?
        .map(|row| record(&row))
        .transpose()
    }

    async fn list(
        &self,
        conn: &mut SqliteConnection,
        filter: &Filter,
        before: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<JobRecord>> {
        sqlx::query(
            r#"
            SELECT id, queue, kind, payload, state, reason, priority, attempt, max_attempts, crashes, last_error,
                run_at, created_at, attempted_at, finished_at
            FROM jobs_queue_record
            WHERE id < $1 AND ($2 IS NULL OR queue = $2) AND ($3 IS NULL OR state = $3)
            ORDER BY id DESC
            LIMIT $4
            "#,
        )
        .bind(before.map_or(i64::MAX, JobId::as_i64))
        .bind(filter.queue.as_ref().map(Queue::as_str))
        .bind(filter.state.map(State::as_str))
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?
        .iter()
        .map(record)
        .collect()
    }
}

/// One report, as `json_each` takes it.
fn object(report: &Report) -> Value {
    let (state, delay, error, reason) = match &report.outcome {
        Outcome::Succeeded => (State::Succeeded, None, None, None),
        Outcome::Failed { error, retry, reason } => (State::Failed, *retry, Some(storable(error)), Some(*reason)),
        Outcome::Released { delay } => (State::Pending, Some(*delay), None, None),
    };
    json!({
        "id": report.claim.id.as_i64(),
        "token": report.claim.token.as_i64(),
        "state": state.as_str(),
        "delay": delay.map(micros),
        "error": error,
        "reason": reason.map(DeadReason::as_str),
    })
}

fn reported(state: Option<&str>) -> Result<Reported> {
    Ok(match state {
        Some(state) => Reported::Now(corrupt("state", State::try_from(state))?),
        None => Reported::Fenced,
    })
}

fn rescued(states: &[String]) -> Rescued {
    let count = |state: State| u32::try_from(states.iter().filter(|other| *other == state.as_str()).count());
    // No more rows come back than the limit, which is a u32.
    Rescued { failed: count(State::Failed).unwrap_or(u32::MAX), dead: count(State::Dead).unwrap_or(u32::MAX) }
}

/// The place of a claimed job among the others: priority, time and id.
type Place = (i64, i64, i64);

fn claimed(row: &SqliteRow, request: &ClaimRequest<'_>) -> Result<(Place, Claimed)> {
    let id: i64 = row.try_get("id")?;
    let job = Claimed {
        claim: Claim { id: JobId::from(id), token: request.token },
        kind: text(row, "kind")?,
        payload: row.try_get("payload")?,
        attempt: number(row, "attempt")?,
        max_attempts: number(row, "max_attempts")?,
    };
    Ok(((row.try_get("priority")?, row.try_get("run_at")?, id), job))
}

fn record(row: &SqliteRow) -> Result<JobRecord> {
    let priority: i64 = row.try_get("priority")?;
    Ok(JobRecord {
        id: JobId::from(row.try_get::<i64, _>("id")?),
        queue: text(row, "queue")?,
        kind: text(row, "kind")?,
        payload: row.try_get("payload")?,
        state: text(row, "state")?,
        reason: corrupt("reason", row.try_get::<Option<&str>, _>("reason")?.map(DeadReason::try_from).transpose())?,
        priority: u8::try_from(priority).map_err(|_| Error::Corrupt { what: "priority" })?,
        attempt: number(row, "attempt")?,
        max_attempts: number(row, "max_attempts")?,
        crashes: number(row, "crashes")?,
        last_error: row.try_get("last_error")?,
        run_at: time(row.try_get("run_at")?)?,
        created_at: time(row.try_get("created_at")?)?,
        attempted_at: row.try_get::<Option<i64>, _>("attempted_at")?.map(time).transpose()?,
        finished_at: row.try_get::<Option<i64>, _>("finished_at")?.map(time).transpose()?,
    })
}

fn text<T: for<'a> TryFrom<&'a str, Error = Error>>(row: &SqliteRow, column: &'static str) -> Result<T> {
    corrupt(column, T::try_from(row.try_get(column)?))
}

fn number(row: &SqliteRow, column: &'static str) -> Result<u16> {
    let number: i64 = row.try_get(column)?;
    u16::try_from(number).map_err(|_| Error::Corrupt { what: column })
}

fn time(micros: i64) -> Result<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros).ok_or(Error::Corrupt { what: "time" })
}

impl Source for SqlitePool {
    type Connection = SqliteConnection;
    type Guard = sqlx::pool::PoolConnection<sqlx::Sqlite>;
    type Transaction = sqlx::Transaction<'static, sqlx::Sqlite>;

    async fn acquire(&self) -> Result<Self::Guard> {
        Ok(sqlx::Pool::acquire(self).await?)
    }

    async fn begin(&self) -> Result<Self::Transaction> {
        Ok(self.begin_with("BEGIN IMMEDIATE").await?)
    }

    async fn begin_snapshot(&self) -> Result<Self::Transaction> {
        Ok(sqlx::Pool::begin(self).await?)
    }

    async fn commit(&self, tx: Self::Transaction) -> Result<()> {
        Ok(tx.commit().await?)
    }
}
