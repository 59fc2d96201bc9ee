//! The PostgreSQL backend.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row, SqlStr};

use crate::handler::storable;
use crate::store::{CRASH, corrupt, micros};
use crate::{
    Claim, ClaimRequest, Claimed, DeadReason, Due, Error, Filter, JobId, JobRecord, Kind, NewJob, Outcome, Queue,
    Report, Reported, Rescued, Result, Source, State, Store,
};

/// Keeps jobs in PostgreSQL 15 or later.
#[derive(Clone, Copy, Debug, Default)]
pub struct Postgres;

/// The schema of this crate, oldest change first. Released entries never change.
pub static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = Migrator::with_migrations(vec![migration(
        1,
        "initial",
        include_str!("../migrations/postgres/0001_initial.sql"),
    )]);
    migrator.dangerous_set_table_name("_stoa_jobs_migrations"); // our own table: never the host's
    migrator
});

fn migration(version: i64, name: &'static str, sql: &'static str) -> Migration {
    Migration::new(version, name.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
}

impl Store for Postgres {
    type Connection = PgConnection;

    async fn enqueue(&self, conn: &mut PgConnection, job: &NewJob<'_>) -> Result<JobId> {
        let (at, after) = match job.due {
            Due::At(at) => (Some(at), 0),
            Due::After(delay) => (None, micros(delay)),
        };
        let id: i64 = sqlx::query_scalar(
            r#"
            INSERT INTO jobs_queue_job
                (queue, kind, payload, state, priority, attempt, max_attempts, crashes, run_at, created_at)
            VALUES ($1, $2, $3, 'pending', $4, 0, $5, 0,
                COALESCE($6, statement_timestamp() + $7 * interval '1 microsecond'), statement_timestamp())
            RETURNING id
            "#,
        )
        .bind(job.queue.as_str())
        .bind(job.kind.as_str())
        .bind(job.payload)
        .bind(i16::from(job.priority))
        .bind(i32::from(job.max_attempts))
        .bind(at)
        .bind(after)
        .fetch_one(conn)
        .await?;
        Ok(JobId::from(id))
    }

    async fn claim(&self, conn: &mut PgConnection, request: &ClaimRequest<'_>) -> Result<Vec<Claimed>> {
        // Materialised, the locking query runs once: joined or repeated, it would lock and claim more than its limit.
        // The filter of kinds is written so that the planner does not take it for selective: a runner knows most kinds, and
        // before the first ANALYZE `kind = ANY` made every claim read and sort the whole queue.
        let kinds: Vec<&str> = request.kinds.iter().map(Kind::as_str).collect();
        let rows = sqlx::query(
            r#"
            WITH due AS MATERIALIZED (
                SELECT id
                FROM jobs_queue_job
                WHERE queue = $1 AND array_position($2, kind) IS NOT NULL AND state <> 'running' AND run_at <= statement_timestamp()
                ORDER BY priority, run_at, id
                LIMIT $3
                FOR UPDATE SKIP LOCKED
            )
            UPDATE jobs_queue_job AS job
            SET state = 'running', attempt = attempt + 1, token = $4,
                lease_until = statement_timestamp() + $5 * interval '1 microsecond',
                attempted_at = statement_timestamp()
            FROM due
            WHERE job.id = due.id
            RETURNING job.id, kind, payload, attempt, max_attempts, priority, run_at
            "#,
        )
        .bind(request.queue.as_str())
        .bind(kinds)
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

    async fn renew(&self, conn: &mut PgConnection, claims: &[Claim], lease: Duration) -> Result<Vec<Claim>> {
        let ids: Vec<i64> = claims.iter().map(|claim| claim.id.as_i64()).collect();
        let tokens: Vec<i64> = claims.iter().map(|claim| claim.token.as_i64()).collect();
        let renewed: Vec<i64> = sqlx::query_scalar(
            r#"
            UPDATE jobs_queue_job AS job
            SET lease_until = statement_timestamp() + $3 * interval '1 microsecond'
            FROM unnest($1::bigint[], $2::bigint[]) AS claim (id, token)
            WHERE job.id = claim.id AND job.token = claim.token
            RETURNING job.id
            "#,
        )
        .bind(ids)
        .bind(tokens)
        .bind(micros(lease))
        .fetch_all(conn)
        .await?;
        let renewed: HashSet<i64> = renewed.into_iter().collect();
        Ok(claims.iter().copied().filter(|claim| !renewed.contains(&claim.id.as_i64())).collect())
    }

    async fn report(&self, conn: &mut PgConnection, reports: &[Report]) -> Result<Vec<Reported>> {
        let mut columns = Columns::default();
        for report in reports {
            columns.push(report);
        }
        let rows: Vec<(i64, String)> = sqlx::query_as(include_str!("postgres/report.sql"))
            .bind(columns.ids)
            .bind(columns.tokens)
            .bind(columns.states)
            .bind(columns.delays)
            .bind(columns.errors)
            .bind(columns.reasons)
            .fetch_all(conn)
            .await?;
        let states: HashMap<i64, String> = rows.into_iter().collect();
        reports.iter().map(|report| reported(states.get(&report.claim.id.as_i64()).map(String::as_str))).collect()
    }

    async fn rescue(&self, conn: &mut PgConnection, limit: u32) -> Result<Rescued> {
        let states: Vec<String> = sqlx::query_scalar(include_str!("postgres/rescue.sql"))
            .bind(i64::from(limit))
            .bind(CRASH)
            .fetch_all(conn)
            .await?;
        Ok(rescued(&states))
    }

    async fn find(&self, conn: &mut PgConnection, id: JobId) -> Result<Option<JobRecord>> {
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
        conn: &mut PgConnection,
        filter: &Filter,
        before: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<JobRecord>> {
        sqlx::query(
            r#"
            SELECT id, queue, kind, payload, state, reason, priority, attempt, max_attempts, crashes, last_error,
                run_at, created_at, attempted_at, finished_at
            FROM jobs_queue_record
            WHERE id < $1 AND ($2::text IS NULL OR queue = $2) AND ($3::text IS NULL OR state = $3)
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

/// Reports by column, as `unnest` takes them.
#[derive(Default)]
struct Columns {
    ids: Vec<i64>,
    tokens: Vec<i64>,
    states: Vec<&'static str>,
    delays: Vec<Option<i64>>,
    errors: Vec<Option<String>>,
    reasons: Vec<Option<&'static str>>,
}

impl Columns {
    fn push(&mut self, report: &Report) {
        let (state, delay, error, reason) = match &report.outcome {
            Outcome::Succeeded => (State::Succeeded, None, None, None),
            Outcome::Failed { error, retry, reason } => (State::Failed, *retry, Some(storable(error)), Some(*reason)),
            Outcome::Released { delay } => (State::Pending, Some(*delay), None, None),
        };
        self.ids.push(report.claim.id.as_i64());
        self.tokens.push(report.claim.token.as_i64());
        self.states.push(state.as_str());
        self.delays.push(delay.map(micros));
        self.errors.push(error);
        self.reasons.push(reason.map(DeadReason::as_str));
    }
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
type Place = (i16, DateTime<Utc>, i64);

fn claimed(row: &PgRow, request: &ClaimRequest<'_>) -> Result<(Place, Claimed)> {
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

fn record(row: &PgRow) -> Result<JobRecord> {
    let priority: i16 = row.try_get("priority")?;
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
        run_at: row.try_get("run_at")?,
        created_at: row.try_get("created_at")?,
        attempted_at: row.try_get("attempted_at")?,
        finished_at: row.try_get("finished_at")?,
    })
}

fn text<T: for<'a> TryFrom<&'a str, Error = Error>>(row: &PgRow, column: &'static str) -> Result<T> {
    corrupt(column, T::try_from(row.try_get(column)?))
}

fn number(row: &PgRow, column: &'static str) -> Result<u16> {
    let number: i32 = row.try_get(column)?;
    u16::try_from(number).map_err(|_| Error::Corrupt { what: column })
}

impl Source for PgPool {
    type Connection = PgConnection;
    type Guard = sqlx::pool::PoolConnection<sqlx::Postgres>;
    type Transaction = sqlx::Transaction<'static, sqlx::Postgres>;

    async fn acquire(&self) -> Result<Self::Guard> {
        Ok(sqlx::Pool::acquire(self).await?)
    }

    async fn begin(&self) -> Result<Self::Transaction> {
        // Whatever the database's default is: above it, skipping what somebody else has claimed would be an error.
        Ok(self.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?)
    }

    async fn begin_snapshot(&self) -> Result<Self::Transaction> {
        Ok(self.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
    }

    async fn commit(&self, tx: Self::Transaction) -> Result<()> {
        Ok(tx.commit().await?)
    }
}
