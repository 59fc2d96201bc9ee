//! The PostgreSQL backend.

mod begin;
mod cron;
mod leader;
mod limit;
mod operate;
mod pooled;
mod wake;

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection, PgPool, Row, SqlStr};

use crate::handler::storable;
use crate::record::attempt_errors;
use crate::store::{CRASH, corrupt, duration, micros, signals};
use crate::{
    Cancelled, Claim, ClaimRequest, Claimed, CronEntry, DeadReason, Due, Durability, Enqueued, Error, Filter, Finding,
    Heartbeat, JobId, JobRecord, Kind, Lead, Limit, LimitKey, Name, NewJob, Orphans, Outcome, Queue, Report, Reported,
    Rescued, Result, Settlement, Signal, Source, State, Stats, Store, Timetable, Token, Turned, WorkerId, WorkerRecord,
};

pub use pooled::Pooled;

/// A statement that takes longer has a bad plan, or the time to make another one.
const SLOW: Duration = Duration::from_millis(30);
/// What each job may add to that.
const SLOW_JOB: Duration = Duration::from_micros(100);

/// Keeps jobs in PostgreSQL 15 or later.
#[derive(Clone, Copy, Debug, Default)]
pub struct Postgres;

/// The schema of this crate, oldest change first. Released entries never change.
pub static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = Migrator::with_migrations(vec![
        migration(1, "initial", include_str!("../migrations/postgres/0001_initial.sql")),
        migration(2, "schedule", include_str!("../migrations/postgres/0002_schedule.sql")),
        migration(3, "limit", include_str!("../migrations/postgres/0003_limit.sql")),
        migration(4, "operate", include_str!("../migrations/postgres/0004_operate.sql")),
        migration(5, "trace", include_str!("../migrations/postgres/0005_trace.sql")),
        migration(6, "room", include_str!("../migrations/postgres/0006_room.sql")),
        migration(7, "worker", include_str!("../migrations/postgres/0007_worker.sql")),
    ]);
    migrator.dangerous_set_table_name("_stoa_jobs_migrations"); // our own table: never the host's
    migrator
});

fn migration(version: i64, name: &'static str, sql: &'static str) -> Migration {
    Migration::new(version, name.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
}

impl Store for Postgres {
    type Connection = PgConnection;

    const LANES: usize = 2;

    async fn enqueue(&self, conn: &mut PgConnection, jobs: &[NewJob<'_>]) -> Result<Vec<Enqueued>> {
        let mut columns = NewColumns::default();
        for job in jobs {
            columns.push(job);
        }
        let rows: Vec<(i64, bool)> = sqlx::query_as(include_str!("postgres/enqueue.sql"))
            .bind(columns.queues)
            .bind(columns.kinds)
            .bind(columns.payloads)
            .bind(columns.priorities)
            .bind(columns.max_attempts)
            .bind(columns.ats)
            .bind(columns.delays)
            .bind(columns.expire_ats)
            .bind(columns.expire_delays)
            .bind(columns.timeouts)
            .bind(columns.unique_keys)
            .bind(columns.unique_periods)
            .bind(columns.order_keys)
            .bind(columns.limit_keys)
            .bind(columns.traces)
            .fetch_all(conn)
            .await?;
        Ok(rows.into_iter().map(|(id, is_new)| Enqueued { id: JobId::from(id), is_new }).collect())
    }

    async fn turn(
        &self,
        conn: &mut PgConnection,
        reports: &[Report],
        request: Option<&ClaimRequest<'_>>,
    ) -> Result<Turned> {
        if let Some(turned) = turn(conn, reports, request).await? {
            return Ok(turned);
        }
        let Some(request) = request else { return Ok(Turned::default()) }; // limits are for claims
        if reports.is_empty() {
            return limit::claim(conn, request).await;
        }
        let mut tx = conn.begin().await?;
        let ended = turn(&mut tx, reports, None).await?.unwrap_or_default();
        let begun = limit::claim(&mut tx, request).await?;
        tx.commit().await?;
        Ok(Turned { reported: ended.reported, ..begun })
    }

    async fn next_due(&self, conn: &mut PgConnection, queue: &Queue, kinds: &[Kind]) -> Result<Option<Duration>> {
        let kinds: Vec<&str> = kinds.iter().map(Kind::as_str).collect();
        let micros: Option<i64> = sqlx::query_scalar(include_str!("postgres/next_due.sql"))
            .bind(queue.as_str())
            .bind(kinds)
            .fetch_one(conn)
            .await?;
        Ok(micros.map(duration))
    }

    async fn beat(&self, conn: &mut PgConnection, beat: Heartbeat<'_>) -> Result<()> {
        sqlx::query(
            r#"
            INSERT INTO jobs_queue_worker (id, lease_until, started_at, queue, process)
            VALUES ($1, statement_timestamp() + $2 * interval '1 microsecond', statement_timestamp(), $3, $4)
            ON CONFLICT ON CONSTRAINT jobs_queue_worker_pkey DO UPDATE
                SET lease_until = excluded.lease_until, rescued_at = NULL
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

    async fn retire(&self, conn: &mut PgConnection, worker: WorkerId) -> Result<()> {
        sqlx::query("DELETE FROM jobs_queue_worker WHERE id = $1").bind(worker.as_i64()).execute(conn).await?;
        Ok(())
    }

    async fn watch(&self, conn: &mut PgConnection, claims: &[Claim]) -> Result<Vec<Signal>> {
        let ids: Vec<i64> = claims.iter().map(|claim| claim.id.as_i64()).collect();
        let started = Instant::now();
        let rows: Vec<(i64, i64, bool)> = sqlx::query_as(
            r#"
            SELECT id, token, is_cancelled
            FROM jobs_queue_job
            WHERE id = ANY($1) AND token IS NOT NULL
            "#,
        )
        .bind(ids)
        .fetch_all(&mut *conn)
        .await?;
        replan_if_slow(conn, started.elapsed(), claims.len()).await;
        Ok(signals(claims, rows))
    }

    async fn abandon(&self, conn: &mut PgConnection, worker: WorkerId, tokens: &[Token]) -> Result<()> {
        let tokens: Vec<i64> = tokens.iter().map(|token| token.as_i64()).collect();
        sqlx::query(
            r#"
            WITH freed AS (
                UPDATE jobs_queue_job
                SET state = 'pending', attempt = attempt - 1, token = NULL, worker = NULL
                WHERE state = 'running' AND worker = $1 AND token = ANY($2)
                RETURNING id, order_key
            )
            DELETE FROM jobs_queue_order AS turn
            USING freed
            WHERE turn.key = freed.order_key AND turn.job_id = freed.id
            "#,
        )
        .bind(worker.as_i64())
        .bind(tokens)
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn rescue(&self, conn: &mut PgConnection, limit: u32, orphans: Orphans) -> Result<Rescued> {
        let states: Vec<String> = sqlx::query_scalar(include_str!("postgres/rescue.sql"))
            .bind(i64::from(limit))
            .bind(orphans == Orphans::Include)
            .bind(CRASH)
            .fetch_all(conn)
            .await?;
        rescued(&states)
    }

    async fn expire(&self, conn: &mut PgConnection, limit: u32) -> Result<u32> {
        Ok(leave(conn, "expired", &Filter::default(), limit, None).await?.len().try_into().unwrap_or(limit))
    }

    async fn progress(&self, conn: &mut PgConnection, claim: Claim, progress: &str) -> Result<bool> {
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

    async fn cancel(&self, conn: &mut PgConnection, id: JobId) -> Result<Cancelled> {
        let states = leave(conn, "cancelled", &Filter::default().id(id), 1, None).await?;
        Ok(match states.first().map(String::as_str) {
            None => Cancelled::NotFound,
            Some("running") => Cancelled::Requested,
            Some(_) => Cancelled::Now,
        })
    }

    async fn retry(&self, conn: &mut PgConnection, filter: &Filter, limit: u32) -> Result<u64> {
        let count: i64 = sqlx::query_scalar(include_str!("postgres/retry.sql"))
            .bind(filter.id.map(JobId::as_i64))
            .bind(filter.queue.as_ref().map(Queue::as_str))
            .bind(filter.kind.as_ref().map(Kind::as_str))
            .bind(filter.state.map(State::as_str))
            .bind(i64::from(limit))
            .bind(filter.after)
            .bind(filter.before)
            .fetch_one(conn)
            .await?;
        Ok(count.unsigned_abs())
    }

    async fn delete(&self, conn: &mut PgConnection, id: JobId) -> Result<bool> {
        let count: i64 = sqlx::query_scalar(
            r#"
            WITH finished AS (
                DELETE FROM jobs_queue_history
                WHERE id = $1
                RETURNING id
            ),
            waiting AS (
                DELETE FROM jobs_queue_job
                WHERE id = $1 AND state <> 'running'
                RETURNING id, unique_key
            ),
            left_key AS (
                DELETE FROM jobs_queue_unique AS held
                USING waiting
                WHERE held.key = waiting.unique_key AND held.job_id = waiting.id AND held.until IS NULL
            )
            SELECT (SELECT count(*) FROM finished) + (SELECT count(*) FROM waiting)
            "#,
        )
        .bind(id.as_i64())
        .fetch_one(conn)
        .await?;
        Ok(count > 0)
    }

    async fn pause(&self, conn: &mut PgConnection, queue: &Queue) -> Result<()> {
        sqlx::query(
            r#"
            INSERT INTO jobs_queue_pause (queue, paused_at)
            VALUES ($1, statement_timestamp())
            ON CONFLICT ON CONSTRAINT jobs_queue_pause_pkey DO NOTHING
            "#,
        )
        .bind(queue.as_str())
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn resume(&self, conn: &mut PgConnection, queue: &Queue) -> Result<()> {
        sqlx::query("DELETE FROM jobs_queue_pause WHERE queue = $1").bind(queue.as_str()).execute(conn).await?;
        Ok(())
    }

    async fn set_limit(&self, conn: &mut PgConnection, key: &LimitKey, limit: &Limit) -> Result<()> {
        limit::set(conn, key, limit).await
    }

    async fn remove_limit(&self, conn: &mut PgConnection, key: &LimitKey) -> Result<bool> {
        limit::remove(conn, key).await
    }

    async fn limits(&self, conn: &mut PgConnection) -> Result<Vec<(LimitKey, Limit)>> {
        limit::all(conn).await
    }

    async fn find(&self, conn: &mut PgConnection, id: JobId) -> Result<Option<JobRecord>> {
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
        conn: &mut PgConnection,
        filter: &Filter,
        before: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<JobRecord>> {
        sqlx::query(include_str!("postgres/list.sql"))
            .bind(before.map_or(i64::MAX, |before| before.as_i64().saturating_sub(1)))
            .bind(filter.id.map(JobId::as_i64))
            .bind(filter.queue.as_ref().map(Queue::as_str))
            .bind(filter.kind.as_ref().map(Kind::as_str))
            .bind(filter.state.map(State::as_str))
            .bind(filter.after)
            .bind(filter.before)
            .bind(i64::from(limit))
            .fetch_all(conn)
            .await?
            .iter()
            .map(record)
            .collect()
    }

    async fn discard(&self, conn: &mut PgConnection, id: JobId, why: &str) -> Result<bool> {
        operate::discard(conn, id, why).await
    }

    async fn cancel_many(&self, conn: &mut PgConnection, filter: &Filter, limit: u32) -> Result<u64> {
        operate::cancel_many(conn, filter, limit).await
    }

    async fn delete_many(&self, conn: &mut PgConnection, filter: &Filter, limit: u32) -> Result<u64> {
        operate::delete_many(conn, filter, limit).await
    }

    async fn prune(&self, conn: &mut PgConnection, state: State, older_than: Duration, limit: u32) -> Result<u64> {
        operate::prune(conn, state, older_than, limit).await
    }

    async fn stats(&self, conn: &mut PgConnection, bound: u32) -> Result<Stats> {
        operate::stats(conn, bound).await
    }

    async fn workers(&self, conn: &mut PgConnection) -> Result<Vec<WorkerRecord>> {
        operate::workers(conn).await
    }

    async fn doctor(&self, conn: &mut PgConnection) -> Result<Vec<Finding>> {
        operate::doctor(conn).await
    }

    async fn post(&self, conn: &mut PgConnection, entries: &[CronEntry<'_>]) -> Result<()> {
        cron::post(conn, entries).await
    }

    async fn timetable(&self, conn: &mut PgConnection) -> Result<Timetable> {
        cron::timetable(conn).await
    }

    async fn settle(&self, conn: &mut PgConnection, settlements: &[Settlement<'_>]) -> Result<Vec<bool>> {
        cron::settle(conn, settlements).await
    }

    async fn withdraw(&self, conn: &mut PgConnection, name: &Name) -> Result<bool> {
        cron::withdraw(conn, name).await
    }

    async fn take(&self, conn: &mut PgConnection, name: &Name, token: Token, lease: Duration) -> Result<Option<Lead>> {
        leader::take(conn, name, token, lease).await
    }

    async fn renew(&self, conn: &mut PgConnection, name: &Name, token: Token, lease: Duration) -> Result<Option<Lead>> {
        leader::renew(conn, name, token, lease).await
    }

    async fn leads(&self, conn: &mut PgConnection, name: &Name, token: Token) -> Result<bool> {
        leader::leads(conn, name, token).await
    }

    async fn ran(&self, conn: &mut PgConnection, name: &Name, token: Token, began_at: DateTime<Utc>) -> Result<bool> {
        leader::ran(conn, name, token, began_at).await
    }

    async fn resign(&self, conn: &mut PgConnection, name: &Name, token: Token) -> Result<()> {
        leader::resign(conn, name, token).await
    }
}

/// Ends claims and makes new ones; where limits apply it does neither and answers `None`.
async fn turn(
    conn: &mut PgConnection,
    reports: &[Report],
    request: Option<&ClaimRequest<'_>>,
) -> Result<Option<Turned>> {
    let mut columns = Columns::default();
    for report in reports {
        columns.push(report);
    }
    let kinds: Vec<&str> = request.map_or(&[][..], |request| request.kinds).iter().map(Kind::as_str).collect();
    let started = Instant::now();
    let rows = sqlx::query(include_str!("postgres/turn.sql"))
        .bind(columns.ids)
        .bind(columns.tokens)
        .bind(columns.states)
        .bind(columns.delays)
        .bind(columns.errors)
        .bind(columns.reasons)
        .bind(request.map_or("", |request| request.queue.as_str()))
        .bind(kinds)
        .bind(request.map_or(0, |request| i64::from(request.limit)))
        .bind(request.map_or(0, |request| request.token.as_i64()))
        .bind(request.and_then(|request| request.since).unwrap_or([DateTime::UNIX_EPOCH; 10]).to_vec())
        .bind(request.map_or(0, |request| request.worker.as_i64()))
        .bind(request.is_some_and(|request| request.durability == Durability::Volatile))
        .fetch_all(&mut *conn)
        .await?;
    replan_if_slow(conn, started.elapsed(), reports.len() + rows.len()).await;
    let (mut states, mut jobs) = (HashMap::new(), Vec::new());
    for row in &rows {
        match (row.try_get::<Option<i64>, _>(0)?, row.try_get::<Option<&str>, _>(1)?, request) {
            (Some(_), None, Some(request)) => jobs.push(claimed(row, request.token)?),
            (Some(id), state, _) => drop(states.insert(id, state)),
            (None, state, _) => match row.try_get::<Option<Vec<i64>>, _>(12)? {
                Some(ids) => states.extend(ids.into_iter().map(|id| (id, state))),
                None => return Ok(None),
            },
        }
    }
    let reported = reports.iter().map(|report| reported(states.get(&report.claim.id.as_i64()).copied().flatten()));
    Ok(Some(Turned { reported: reported.collect::<Result<_>>()?, claimed: in_order(jobs), opens_in: None }))
}

/// An UPDATE returns rows in any order.
fn in_order(mut jobs: Vec<(Place, Claimed)>) -> Vec<Claimed> {
    jobs.sort_unstable_by_key(|(order, _)| *order);
    jobs.into_iter().map(|(_, job)| job).collect()
}

/// Forgets the plans of this connection if a statement took longer than it should.
///
/// A plan that was made for a small table and kept reads all of it; when the table has grown since, that goes on until
/// somebody analyses it.
async fn replan_if_slow(conn: &mut PgConnection, took: Duration, jobs: usize) {
    let jobs = u32::try_from(jobs).unwrap_or(u32::MAX);
    if took > SLOW.saturating_add(SLOW_JOB.saturating_mul(jobs)) {
        // The answer is here: a connection that breaks now says so when it is used again.
        let _ = conn.clear_cached_statements().await;
    }
}

/// Ends waiting jobs as `cancelled`, `discarded` or `expired`, and says what they are then.
async fn leave(
    conn: &mut PgConnection,
    verb: &str,
    filter: &Filter,
    limit: u32,
    error: Option<&str>,
) -> Result<Vec<String>> {
    let states = sqlx::query_scalar(include_str!("postgres/leave.sql"))
        .bind(filter.id.map(JobId::as_i64))
        .bind(verb)
        .bind(i64::from(limit))
        .bind(filter.queue.as_ref().map(Queue::as_str))
        .bind(filter.kind.as_ref().map(Kind::as_str))
        .bind(filter.state.map(State::as_str))
        .bind(filter.after)
        .bind(filter.before)
        .bind(error)
        .fetch_all(conn)
        .await?;
    Ok(states)
}

/// New jobs by column, as `unnest` takes them.
#[derive(Default)]
struct NewColumns<'a> {
    queues: Vec<&'a str>,
    kinds: Vec<&'a str>,
    payloads: Vec<&'a str>,
    priorities: Vec<i16>,
    max_attempts: Vec<i32>,
    ats: Vec<Option<DateTime<Utc>>>,
    delays: Vec<Option<i64>>,
    expire_ats: Vec<Option<DateTime<Utc>>>,
    expire_delays: Vec<Option<i64>>,
    timeouts: Vec<Option<i64>>,
    unique_keys: Vec<Option<&'a str>>,
    unique_periods: Vec<Option<i64>>,
    order_keys: Vec<Option<&'a str>>,
    limit_keys: Vec<Option<&'a str>>,
    traces: Vec<Option<&'a str>>,
}

impl<'a> NewColumns<'a> {
    fn push(&mut self, job: &'a NewJob<'_>) {
        self.queues.push(job.queue.as_str());
        self.kinds.push(job.kind.as_str());
        self.payloads.push(&job.payload);
        self.priorities.push(i16::from(job.priority));
        self.max_attempts.push(i32::from(job.max_attempts));
        self.ats.push(job.due.at());
        self.delays.push(job.due.after().map(micros));
        self.expire_ats.push(job.expires.and_then(Due::at));
        self.expire_delays.push(job.expires.and_then(Due::after).map(micros));
        self.timeouts.push(job.timeout.map(micros));
        self.unique_keys.push(job.unique.map(|unique| unique.key));
        self.unique_periods.push(job.unique.and_then(|unique| unique.period).map(micros));
        self.order_keys.push(job.order_key);
        self.limit_keys.push(job.limit_key);
        self.traces.push(job.trace);
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

fn rescued(states: &[String]) -> Result<Rescued> {
    let mut rescued = Rescued::default();
    for state in states {
        rescued.count(corrupt("state", State::try_from(state.as_str()))?);
    }
    Ok(rescued)
}

/// The place of a claimed job among the others: priority, time and id.
type Place = (i16, DateTime<Utc>, i64);

fn claimed(row: &PgRow, token: Token) -> Result<(Place, Claimed)> {
    // By place: looked up by name, six columns of every job take a tenth of a drain.
    let id: i64 = row.try_get(0)?;
    let run_at: DateTime<Utc> = row.try_get(8)?;
    let priority: i16 = row.try_get(7)?;
    let job = Claimed {
        claim: Claim { id: JobId::from(id), token },
        kind: corrupt("kind", Kind::try_from(row.try_get::<&str, _>(2)?))?,
        payload: row.try_get(3)?,
        attempt: u16::try_from(row.try_get::<i32, _>(4)?).map_err(|_| Error::Corrupt { what: "attempt" })?,
        max_attempts: u16::try_from(row.try_get::<i32, _>(5)?).map_err(|_| Error::Corrupt { what: "max_attempts" })?,
        timeout: row.try_get::<Option<i64>, _>(6)?.map(duration),
        run_at,
        priority: u8::try_from(priority).map_err(|_| Error::Corrupt { what: "priority" })?,
        is_awaited: row.try_get(9)?,
        trace: row.try_get(10)?,
        claimed_at: row.try_get(11)?,
    };
    Ok(((priority, run_at, id), job))
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
        timeout: row.try_get::<Option<i64>, _>("timeout")?.map(duration),
        unique_key: row.try_get("unique_key")?,
        order_key: row.try_get("order_key")?,
        limit_key: row.try_get("limit_key")?,
        trace: row.try_get("trace")?,
        progress: row.try_get("progress")?,
        last_error: row.try_get("last_error")?,
        errors: attempt_errors(row.try_get("errors")?)?,
        run_at: row.try_get("run_at")?,
        expires_at: row.try_get("expires_at")?,
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
        Ok(begin::begin(self, "BEGIN ISOLATION LEVEL READ COMMITTED").await?)
    }

    async fn begin_snapshot(&self) -> Result<Self::Transaction> {
        Ok(begin::begin(self, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
    }

    async fn commit(&self, tx: Self::Transaction) -> Result<()> {
        Ok(tx.commit().await?)
    }

    async fn notify(&self) -> Result<()> {
        wake::notify(&mut *sqlx::Pool::acquire(self).await?).await
    }

    async fn listen(&self, heard: impl Fn() + Send + Sync) -> Result<()> {
        wake::listen(self, heard).await
    }
}
