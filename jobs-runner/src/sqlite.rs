//! The SQLite backend.

mod cron;
mod leader;
mod limit;
mod operate;
mod wake;

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection, Row, SqlStr, SqliteConnection, SqlitePool};

use crate::handler::storable;
use crate::record::attempt_errors;
use crate::store::{CRASH, corrupt, duration, micros, signals};
use crate::{
    Cancelled, Claim, ClaimRequest, Claimed, CronEntry, DeadReason, Due, Enqueued, Error, Filter, Finding, Heartbeat,
    JobId, JobRecord, Kind, Lead, Limit, LimitKey, Name, NewJob, Orphans, Outcome, Queue, Report, Reported, Rescued,
    Result, Settlement, Signal, Source, State, Stats, Store, Timetable, Token, Turned, Unique, WorkerId, WorkerRecord,
};

/// Keeps jobs in SQLite. A transaction that writes must begin with `BEGIN IMMEDIATE`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sqlite;

/// The schema of this crate, oldest change first. Released entries never change.
pub static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = Migrator::with_migrations(vec![
        migration(1, "initial", include_str!("../migrations/sqlite/0001_initial.sql")),
        migration(2, "schedule", include_str!("../migrations/sqlite/0002_schedule.sql")),
        migration(3, "limit", include_str!("../migrations/sqlite/0003_limit.sql")),
        migration(4, "operate", include_str!("../migrations/sqlite/0004_operate.sql")),
        migration(5, "trace", include_str!("../migrations/sqlite/0005_trace.sql")),
        migration(6, "room", include_str!("../migrations/sqlite/0006_room.sql")),
        migration(7, "worker", include_str!("../migrations/sqlite/0007_worker.sql")),
    ]);
    migrator.dangerous_set_table_name("_stoa_jobs_migrations"); // our own table: never the host's
    migrator
});

fn migration(version: i64, name: &'static str, sql: &'static str) -> Migration {
    Migration::new(version, name.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
}

impl Store for Sqlite {
    type Connection = SqliteConnection;

    const LANES: usize = 1;

    async fn enqueue(&self, conn: &mut SqliteConnection, jobs: &[NewJob<'_>]) -> Result<Vec<Enqueued>> {
        if let [job] = jobs
            && job.unique.is_none()
        {
            return Ok(vec![Enqueued { id: insert(conn, job).await?, is_new: true }]);
        }
        let mut tx = conn.begin().await?;
        let mut enqueued = Vec::with_capacity(jobs.len());
        for job in jobs {
            enqueued.push(match job.unique {
                Some(unique) => insert_unique(&mut tx, job, unique).await?,
                None => Enqueued { id: insert(&mut tx, job).await?, is_new: true },
            });
        }
        tx.commit().await?;
        Ok(enqueued)
    }

    async fn turn(
        &self,
        conn: &mut SqliteConnection,
        reports: &[Report],
        request: Option<&ClaimRequest<'_>>,
    ) -> Result<Turned> {
        let Some(request) = request else {
            return Ok(Turned { reported: report(conn, reports).await?, ..Turned::default() });
        };
        if reports.is_empty() {
            return claim(conn, request).await;
        }
        let mut tx = conn.begin().await?;
        let reported = report(&mut tx, reports).await?;
        let turned = claim(&mut tx, request).await?;
        tx.commit().await?;
        Ok(Turned { reported, ..turned })
    }

    async fn next_due(&self, conn: &mut SqliteConnection, queue: &Queue, kinds: &[Kind]) -> Result<Option<Duration>> {
        let kinds: Vec<&str> = kinds.iter().map(Kind::as_str).collect();
        let micros: Option<i64> = sqlx::query_scalar(
            r#"
            WITH RECURSIVE asked (key) AS (
                SELECT min(limit_key)
                FROM jobs_queue_job
                WHERE queue = $1 AND state <> 'running' AND limit_key IS NOT NULL
                UNION ALL
                SELECT (
                        SELECT min(limit_key)
                        FROM jobs_queue_job
                        WHERE queue = $1 AND state <> 'running' AND limit_key > asked.key
                    )
                FROM asked
                WHERE key IS NOT NULL
            )
            SELECT min(run_at) - CAST(unixepoch('subsec') * 1000000 AS INTEGER)
            FROM (
                SELECT (
                        SELECT run_at
                        FROM jobs_queue_job
                        WHERE queue = $1 AND limit_key IS NULL AND priority = level.value AND state <> 'running'
                            AND run_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER)
                            AND kind IN (SELECT value FROM json_each($2))
                        ORDER BY run_at, id
                        LIMIT 1
                    ) AS run_at
                FROM json_each('[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]') AS level
                UNION ALL
                SELECT (
                        SELECT run_at
                        FROM jobs_queue_job
                        WHERE queue = $1 AND limit_key = asked.key AND priority = level.value AND state <> 'running'
                            AND run_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER)
                            AND kind IN (SELECT value FROM json_each($2))
                        ORDER BY run_at, id
                        LIMIT 1
                    )
                FROM asked, json_each('[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]') AS level
            )
            "#,
        )
        .bind(queue.as_str())
        .bind(json!(kinds).to_string())
        .fetch_one(conn)
        .await?;
        Ok(micros.map(duration))
    }

    async fn beat(&self, conn: &mut SqliteConnection, beat: Heartbeat<'_>) -> Result<()> {
        sqlx::query(
            r#"
            INSERT INTO jobs_queue_worker (id, lease_until, started_at, queue, process)
            VALUES ($1, CAST(unixepoch('subsec') * 1000000 AS INTEGER) + $2,
                CAST(unixepoch('subsec') * 1000000 AS INTEGER), $3, $4)
            ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until
            "#,
        )
        .bind(beat.worker.as_i64())
        .bind(micros(beat.lease))
        .bind(beat.queue.as_str())
        .bind(beat.process)
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn retire(&self, conn: &mut SqliteConnection, worker: WorkerId) -> Result<()> {
        sqlx::query("DELETE FROM jobs_queue_worker WHERE id = $1").bind(worker.as_i64()).execute(conn).await?;
        Ok(())
    }

    async fn watch(&self, conn: &mut SqliteConnection, claims: &[Claim]) -> Result<Vec<Signal>> {
        let ids: Vec<i64> = claims.iter().map(|claim| claim.id.as_i64()).collect();
        let rows: Vec<(i64, i64, bool)> = sqlx::query_as(
            r#"
            SELECT id, token, is_cancelled
            FROM jobs_queue_job
            WHERE id IN (SELECT value FROM json_each($1)) AND token IS NOT NULL
            "#,
        )
        .bind(json!(ids).to_string())
        .fetch_all(conn)
        .await?;
        Ok(signals(claims, rows))
    }

    async fn abandon(&self, conn: &mut SqliteConnection, worker: WorkerId, tokens: &[Token]) -> Result<()> {
        let tokens: Vec<i64> = tokens.iter().map(|token| token.as_i64()).collect();
        sqlx::query(
            r#"
            UPDATE jobs_queue_job
            SET state = 'pending', attempt = attempt - 1, token = NULL, worker = NULL
            WHERE state = 'running' AND worker = $1 AND token IN (SELECT value FROM json_each($2))
            "#,
        )
        .bind(worker.as_i64())
        .bind(json!(tokens).to_string())
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn rescue(&self, conn: &mut SqliteConnection, limit: u32, orphans: Orphans) -> Result<Rescued> {
        let states: Vec<String> = sqlx::query_scalar(include_str!("sqlite/rescue.sql"))
            .bind(i64::from(limit))
            .bind(CRASH)
            .bind(orphans == Orphans::Include)
            .fetch_all(&mut *conn)
            .await?;
        let rescued = rescued(&states)?;
        // By itself it only tidies up: who holds nothing any more need not be known.
        sqlx::query(
            r#"
            DELETE FROM jobs_queue_worker
            WHERE lease_until <= CAST(unixepoch('subsec') * 1000000 AS INTEGER)
                AND NOT EXISTS (
                    SELECT 1
                    FROM jobs_queue_job AS job
                    WHERE job.worker = jobs_queue_worker.id AND job.state = 'running'
                )
            "#,
        )
        .execute(conn)
        .await?;
        Ok(rescued)
    }

    async fn expire(&self, conn: &mut SqliteConnection, limit: u32) -> Result<u32> {
        let ids: Vec<i64> = sqlx::query_scalar(
            r#"
            UPDATE jobs_queue_job
            SET state = 'dead', reason = 'expired'
            WHERE id IN (
                SELECT id
                FROM jobs_queue_job
                WHERE expires_at <= CAST(unixepoch('subsec') * 1000000 AS INTEGER) AND state <> 'running'
                LIMIT $1
            )
            RETURNING id
            "#,
        )
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?;
        Ok(ids.len().try_into().unwrap_or(limit))
    }

    async fn progress(&self, conn: &mut SqliteConnection, claim: Claim, progress: &str) -> Result<bool> {
        let done = sqlx::query(
            r#"
            UPDATE jobs_queue_job
            SET progress = $3
            WHERE id = $1 AND token = $2
            "#,
        )
        .bind(claim.id.as_i64())
        .bind(claim.token.as_i64())
        .bind(storable(progress))
        .execute(conn)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    async fn cancel(&self, conn: &mut SqliteConnection, id: JobId) -> Result<Cancelled> {
        let states: Vec<String> = sqlx::query_scalar(
            r#"
            UPDATE jobs_queue_job
            SET is_cancelled = 1, state = CASE state WHEN 'running' THEN 'running' ELSE 'cancelled' END
            WHERE id = $1
            RETURNING state
            "#,
        )
        .bind(id.as_i64())
        .fetch_all(conn)
        .await?;
        Ok(match states.first().map(String::as_str) {
            None => Cancelled::NotFound,
            Some("running") => Cancelled::Requested,
            Some(_) => Cancelled::Now,
        })
    }

    async fn retry(&self, conn: &mut SqliteConnection, filter: &Filter, limit: u32) -> Result<u64> {
        let id = filter.id.map(JobId::as_i64);
        let queue = filter.queue.as_ref().map(Queue::as_str);
        let kind = filter.kind.as_ref().map(Kind::as_str);
        let state = filter.state.map(State::as_str);
        let after = filter.after.map(|at| at.timestamp_micros());
        let before = filter.before.map(|at| at.timestamp_micros());
        let mut tx = conn.begin().await?;
        let waiting = sqlx::query(
            r#"
            UPDATE jobs_queue_job
            SET run_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER)
            WHERE id IN (
                SELECT id
                FROM jobs_queue_job
                WHERE state = 'failed' AND run_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER)
                    AND ($1 IS NULL OR id = $1) AND ($2 IS NULL OR queue = $2) AND ($3 IS NULL OR kind = $3)
                    AND ($4 IS NULL OR state = $4)
                    AND ($6 IS NULL OR created_at >= $6) AND ($7 IS NULL OR created_at < $7)
                ORDER BY id
                LIMIT $5
            )
            "#,
        )
        .bind(id)
        .bind(queue)
        .bind(kind)
        .bind(state)
        .bind(i64::from(limit))
        .bind(after)
        .bind(before)
        .execute(&mut *tx)
        .await?;
        let revived: Vec<i64> = sqlx::query_scalar(
            r#"
            INSERT INTO jobs_queue_job
                (id, queue, kind, payload, state, priority, attempt, max_attempts, crashes, timeout, order_key, limit_key,
                trace, last_error, errors, run_at, created_at)
            SELECT id, queue, kind, payload, 'pending', priority, 0, max_attempts, 0, timeout, order_key, limit_key, trace, last_error,
                errors, CAST(unixepoch('subsec') * 1000000 AS INTEGER), created_at
            FROM jobs_queue_history
            WHERE state <> 'succeeded' AND ($1 IS NULL OR id = $1) AND ($2 IS NULL OR queue = $2)
                AND ($3 IS NULL OR kind = $3) AND ($4 IS NULL OR state = $4)
                AND ($6 IS NULL OR created_at >= $6) AND ($7 IS NULL OR created_at < $7)
            ORDER BY id
            LIMIT $5
            RETURNING id
            "#,
        )
        .bind(id)
        .bind(queue)
        .bind(kind)
        .bind(state)
        .bind(i64::from(limit))
        .bind(after)
        .bind(before)
        .fetch_all(&mut *tx)
        .await?;
        sqlx::query("DELETE FROM jobs_queue_history WHERE id IN (SELECT value FROM json_each($1))")
            .bind(json!(revived).to_string())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(waiting.rows_affected() + revived.len() as u64)
    }

    async fn delete(&self, conn: &mut SqliteConnection, id: JobId) -> Result<bool> {
        let mut tx = conn.begin().await?;
        let waiting = sqlx::query("DELETE FROM jobs_queue_job WHERE id = $1 AND state <> 'running'")
            .bind(id.as_i64())
            .execute(&mut *tx)
            .await?;
        let finished =
            sqlx::query("DELETE FROM jobs_queue_history WHERE id = $1").bind(id.as_i64()).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(waiting.rows_affected() + finished.rows_affected() > 0)
    }

    async fn pause(&self, conn: &mut SqliteConnection, queue: &Queue) -> Result<()> {
        sqlx::query(
            r#"
            INSERT INTO jobs_queue_pause (queue, paused_at)
            VALUES ($1, CAST(unixepoch('subsec') * 1000000 AS INTEGER))
            ON CONFLICT (queue) DO NOTHING
            "#,
        )
        .bind(queue.as_str())
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn resume(&self, conn: &mut SqliteConnection, queue: &Queue) -> Result<()> {
        sqlx::query("DELETE FROM jobs_queue_pause WHERE queue = $1").bind(queue.as_str()).execute(conn).await?;
        Ok(())
    }

    async fn set_limit(&self, conn: &mut SqliteConnection, key: &LimitKey, limit: &Limit) -> Result<()> {
        limit::set(conn, key, limit).await
    }

    async fn remove_limit(&self, conn: &mut SqliteConnection, key: &LimitKey) -> Result<bool> {
        limit::remove(conn, key).await
    }

    async fn limits(&self, conn: &mut SqliteConnection) -> Result<Vec<(LimitKey, Limit)>> {
        limit::all(conn).await
    }

    async fn find(&self, conn: &mut SqliteConnection, id: JobId) -> Result<Option<JobRecord>> {
        sqlx::query(
            r#"
            SELECT id, queue, kind, payload, state, reason, priority, attempt, max_attempts, crashes, timeout, unique_key, order_key,
                limit_key, trace, progress, last_error, errors, run_at, expires_at, created_at, attempted_at, finished_at
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
        sqlx::query(include_str!("sqlite/list.sql"))
            .bind(before.map_or(i64::MAX, |before| before.as_i64().saturating_sub(1)))
            .bind(filter.id.map(JobId::as_i64))
            .bind(filter.queue.as_ref().map(Queue::as_str))
            .bind(filter.kind.as_ref().map(Kind::as_str))
            .bind(filter.state.map(State::as_str))
            .bind(filter.after.map(|at| at.timestamp_micros()))
            .bind(filter.before.map(|at| at.timestamp_micros()))
            .bind(i64::from(limit))
            .fetch_all(conn)
            .await?
            .iter()
            .map(record)
            .collect()
    }

    async fn discard(&self, conn: &mut SqliteConnection, id: JobId, why: &str) -> Result<bool> {
        operate::discard(conn, id, why).await
    }

    async fn cancel_many(&self, conn: &mut SqliteConnection, filter: &Filter, limit: u32) -> Result<u64> {
        operate::cancel_many(conn, filter, limit).await
    }

    async fn delete_many(&self, conn: &mut SqliteConnection, filter: &Filter, limit: u32) -> Result<u64> {
        operate::delete_many(conn, filter, limit).await
    }

    async fn prune(&self, conn: &mut SqliteConnection, state: State, older_than: Duration, limit: u32) -> Result<u64> {
        operate::prune(conn, state, older_than, limit).await
    }

    async fn stats(&self, conn: &mut SqliteConnection, bound: u32) -> Result<Stats> {
        operate::stats(conn, bound).await
    }

    async fn workers(&self, conn: &mut SqliteConnection) -> Result<Vec<WorkerRecord>> {
        operate::workers(conn).await
    }

    async fn doctor(&self, conn: &mut SqliteConnection) -> Result<Vec<Finding>> {
        operate::doctor(conn).await
    }

    async fn post(&self, conn: &mut SqliteConnection, entries: &[CronEntry<'_>]) -> Result<()> {
        cron::post(conn, entries).await
    }

    async fn timetable(&self, conn: &mut SqliteConnection) -> Result<Timetable> {
        cron::timetable(conn).await
    }

    async fn settle(&self, conn: &mut SqliteConnection, settlements: &[Settlement<'_>]) -> Result<Vec<bool>> {
        cron::settle(conn, settlements).await
    }

    async fn withdraw(&self, conn: &mut SqliteConnection, name: &Name) -> Result<bool> {
        cron::withdraw(conn, name).await
    }

    async fn take(
        &self,
        conn: &mut SqliteConnection,
        name: &Name,
        token: Token,
        lease: Duration,
    ) -> Result<Option<Lead>> {
        leader::take(conn, name, token, lease).await
    }

    async fn renew(
        &self,
        conn: &mut SqliteConnection,
        name: &Name,
        token: Token,
        lease: Duration,
    ) -> Result<Option<Lead>> {
        leader::renew(conn, name, token, lease).await
    }

    async fn leads(&self, conn: &mut SqliteConnection, name: &Name, token: Token) -> Result<bool> {
        leader::leads(conn, name, token).await
    }

    async fn ran(
        &self,
        conn: &mut SqliteConnection,
        name: &Name,
        token: Token,
        began_at: DateTime<Utc>,
    ) -> Result<bool> {
        leader::ran(conn, name, token, began_at).await
    }

    async fn resign(&self, conn: &mut SqliteConnection, name: &Name, token: Token) -> Result<()> {
        leader::resign(conn, name, token).await
    }
}

async fn insert(conn: &mut SqliteConnection, job: &NewJob<'_>) -> Result<JobId> {
    // Of a statement that writes every row is fetched, here and elsewhere: sqlx ends it after the first one otherwise, and does
    // not tell when the commit that comes with the end has failed.
    let ids: Vec<i64> = sqlx::query_scalar(
        r#"
        INSERT INTO jobs_queue_job
            (queue, kind, payload, state, priority, attempt, max_attempts, crashes, timeout, unique_key, order_key, run_at,
            expires_at, created_at, limit_key, trace)
        VALUES ($1, $2, $3, 'pending', $4, 0, $5, 0, $6, $7, $8,
            COALESCE($9, CAST(unixepoch('subsec') * 1000000 AS INTEGER) + $10),
            COALESCE($11, CAST(unixepoch('subsec') * 1000000 AS INTEGER) + $12),
            CAST(unixepoch('subsec') * 1000000 AS INTEGER), $13, $14)
        RETURNING id
        "#,
    )
    .bind(job.queue.as_str())
    .bind(job.kind.as_str())
    .bind(&*job.payload)
    .bind(i64::from(job.priority))
    .bind(i64::from(job.max_attempts))
    .bind(job.timeout.map(micros))
    .bind(job.unique.map(|unique| unique.key))
    .bind(job.order_key)
    .bind(job.due.at().map(|at| at.timestamp_micros()))
    .bind(job.due.after().map(micros))
    .bind(job.expires.and_then(Due::at).map(|at| at.timestamp_micros()))
    .bind(job.expires.and_then(Due::after).map(micros))
    .bind(job.limit_key)
    .bind(job.trace)
    .fetch_all(conn)
    .await?;
    ids.first().copied().map(JobId::from).ok_or_else(|| sqlx::Error::RowNotFound.into())
}

async fn insert_unique(conn: &mut SqliteConnection, job: &NewJob<'_>, unique: Unique<'_>) -> Result<Enqueued> {
    // A write comes first, even if it finds nothing: a transaction that began with a read could not go on to write.
    sqlx::query(
        r#"
        DELETE FROM jobs_queue_unique
        WHERE key = $1 AND until <= CAST(unixepoch('subsec') * 1000000 AS INTEGER)
        "#,
    )
    .bind(unique.key)
    .execute(&mut *conn)
    .await?;
    let holder: Option<i64> = sqlx::query_scalar("SELECT job_id FROM jobs_queue_unique WHERE key = $1")
        .bind(unique.key)
        .fetch_optional(&mut *conn)
        .await?;
    if let Some(id) = holder {
        return Ok(Enqueued { id: JobId::from(id), is_new: false });
    }
    let id = insert(conn, job).await?;
    sqlx::query(
        r#"
        INSERT INTO jobs_queue_unique (key, job_id, until)
        VALUES ($1, $2, CAST(unixepoch('subsec') * 1000000 AS INTEGER) + $3)
        "#,
    )
    .bind(unique.key)
    .bind(id.as_i64())
    .bind(unique.period.map(micros))
    .execute(conn)
    .await?;
    Ok(Enqueued { id, is_new: true })
}

async fn report(conn: &mut SqliteConnection, reports: &[Report]) -> Result<Vec<Reported>> {
    if reports.is_empty() {
        return Ok(Vec::new());
    }
    let reports_json: Vec<Value> = reports.iter().map(object).collect();
    let rows: Vec<(i64, String)> = sqlx::query_as(include_str!("sqlite/report.sql"))
        .bind(Value::Array(reports_json).to_string())
        .fetch_all(conn)
        .await?;
    let states: HashMap<i64, String> = rows.into_iter().collect();
    reports.iter().map(|report| reported(states.get(&report.claim.id.as_i64()).map(String::as_str))).collect()
}

async fn claim(conn: &mut SqliteConnection, request: &ClaimRequest<'_>) -> Result<Turned> {
    // `since` helps where finished jobs leave something behind, which they do not here.
    let kinds: Vec<&str> = request.kinds.iter().map(Kind::as_str).collect();
    let rows = sqlx::query(include_str!("sqlite/claim.sql"))
        .bind(request.queue.as_str())
        .bind(json!(kinds).to_string())
        .bind(i64::from(request.limit))
        .bind(request.token.as_i64())
        .bind(request.worker.as_i64())
        .fetch_all(&mut *conn)
        .await?;
    // Where limits apply this finds nothing.
    if rows.is_empty() && limit::applies(conn, request.queue).await? {
        return limit::claim(conn, request).await;
    }
    Ok(Turned { claimed: in_order(&rows, request)?, ..Turned::default() })
}

/// An UPDATE returns rows in any order.
fn in_order(rows: &[SqliteRow], request: &ClaimRequest<'_>) -> Result<Vec<Claimed>> {
    let mut jobs = rows.iter().map(|row| claimed(row, request)).collect::<Result<Vec<_>>>()?;
    jobs.sort_unstable_by_key(|(order, _)| *order);
    Ok(jobs.into_iter().map(|(_, job)| job).collect())
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

fn rescued(states: &[String]) -> Result<Rescued> {
    let mut rescued = Rescued::default();
    for state in states {
        rescued.count(corrupt("state", State::try_from(state.as_str()))?);
    }
    Ok(rescued)
}

/// The place of a claimed job among the others: priority, time and id.
type Place = (i64, i64, i64);

fn claimed(row: &SqliteRow, request: &ClaimRequest<'_>) -> Result<(Place, Claimed)> {
    let priority: i64 = row.try_get("priority")?;
    let id: i64 = row.try_get("id")?;
    let job = Claimed {
        claim: Claim { id: JobId::from(id), token: request.token },
        kind: text(row, "kind")?,
        payload: row.try_get("payload")?,
        attempt: number(row, "attempt")?,
        max_attempts: number(row, "max_attempts")?,
        timeout: row.try_get::<Option<i64>, _>("timeout")?.map(duration),
        run_at: time(row.try_get("run_at")?)?,
        priority: u8::try_from(priority).map_err(|_| Error::Corrupt { what: "priority" })?,
        is_awaited: row.try_get("is_awaited")?,
        trace: row.try_get("trace")?,
        claimed_at: time(row.try_get("attempted_at")?)?,
    };
    Ok(((priority, row.try_get("run_at")?, id), job))
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
        timeout: row.try_get::<Option<i64>, _>("timeout")?.map(duration),
        unique_key: row.try_get("unique_key")?,
        order_key: row.try_get("order_key")?,
        limit_key: row.try_get("limit_key")?,
        trace: row.try_get("trace")?,
        progress: row.try_get("progress")?,
        last_error: row.try_get("last_error")?,
        errors: attempt_errors(row.try_get("errors")?)?,
        run_at: time(row.try_get("run_at")?)?,
        expires_at: row.try_get::<Option<i64>, _>("expires_at")?.map(time).transpose()?,
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

    async fn listen(&self, heard: impl Fn() + Send + Sync) -> Result<()> {
        wake::listen(self, heard).await
    }
}
