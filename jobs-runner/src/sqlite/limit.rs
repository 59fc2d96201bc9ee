//! Limits in SQLite: nobody claims meanwhile, so who runs is counted where it stands, and what has room is taken key by key.

use std::collections::HashMap;

use serde_json::json;
use sqlx::{Connection, SqliteConnection};

use super::{Place, in_order};
use crate::limit::{Began, Door, Stored};
use crate::store::{duration, micros};
use crate::{ClaimRequest, Error, Kind, Limit, LimitKey, Queue, Rate, Result, Turned};

pub(super) async fn set(conn: &mut SqliteConnection, key: &LimitKey, limit: &Limit) -> Result<()> {
    sqlx::query(
        r#"
        INSERT INTO jobs_queue_limit (key, concurrency, rate, period)
        VALUES ($1, $2, $3, $4)
        ON CONFLICT (key) DO UPDATE
            SET concurrency = excluded.concurrency, rate = excluded.rate, period = excluded.period
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

pub(super) async fn remove(conn: &mut SqliteConnection, key: &LimitKey) -> Result<bool> {
    let done = sqlx::query("DELETE FROM jobs_queue_limit WHERE key = $1").bind(key.as_str()).execute(conn).await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn all(conn: &mut SqliteConnection) -> Result<Vec<(LimitKey, Limit)>> {
    let rows: Vec<Stored> = sqlx::query_as(
        r#"
        SELECT key, concurrency, rate, period
        FROM jobs_queue_limit
        ORDER BY key
        "#,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Limit::stored).collect()
}

/// Whether anything in the queue may be limited.
pub(super) async fn applies(conn: &mut SqliteConnection, queue: &Queue) -> Result<bool> {
    let applies: bool = sqlx::query_scalar(
        r#"
        SELECT EXISTS (SELECT 1 FROM jobs_queue_limit WHERE key = 'queue:' || $1)
            OR EXISTS (
                SELECT 1
                FROM jobs_queue_job
                WHERE queue = $1 AND state <> 'running' AND limit_key IS NOT NULL
            )
        "#,
    )
    .bind(queue.as_str())
    .fetch_one(conn)
    .await?;
    Ok(applies)
}

/// A job that may be claimed: its place, and its key.
type Candidate<'a> = (Place, Option<&'a str>);

/// A key, what is allowed, how many run, and what began.
type Row = (String, Option<i64>, Option<i64>, Option<i64>, i64, Option<String>);

pub(super) async fn claim(conn: &mut SqliteConnection, request: &ClaimRequest<'_>) -> Result<Turned> {
    let mut tx = conn.begin().await?;
    // A write comes first, even if it finds nothing: a transaction that began with a read could not go on to write.
    sqlx::query("DELETE FROM jobs_queue_gate WHERE idle_at <= CAST(unixepoch('subsec') * 1000000 AS INTEGER)")
        .execute(&mut *tx)
        .await?;
    let now: i64 =
        sqlx::query_scalar("SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER)").fetch_one(&mut *tx).await?;
    let rows: Vec<Row> =
        sqlx::query_as(include_str!("doors.sql")).bind(request.queue.as_str()).fetch_all(&mut *tx).await?;
    let gates = rows.into_iter().map(|row| Gate::new(row, now)).collect::<Result<Vec<_>>>()?;
    let quota = |gate: &Gate| usize::try_from(gate.door.room.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);

    // The gate of the queue stands for jobs without a key.
    let queue_key = LimitKey::queue(request.queue);
    let (of_queue, of_keys): (Vec<&Gate>, Vec<&Gate>) = gates.iter().partition(|gate| gate.key == queue_key.as_str());
    let limit = of_queue.iter().map(|gate| quota(gate)).fold(request.limit as usize, usize::min);
    let mut candidates = candidates(&mut tx, request, None, limit).await?;
    for gate in of_keys {
        candidates.extend(self::candidates(&mut tx, request, Some(&gate.key), limit.min(quota(gate))).await?);
    }
    candidates.sort_unstable();
    candidates.truncate(limit);

    let ids: Vec<i64> = candidates.iter().map(|((_, _, id), _)| *id).collect();
    let is_limited = of_queue.iter().any(|gate| gate.limit.is_some());
    let rows = sqlx::query(
        r#"
        UPDATE jobs_queue_job
        SET state = 'running', attempt = attempt + 1, token = $2, worker = $3, attempted_at = $4
        WHERE id IN (SELECT value FROM json_each($1))
        RETURNING id, kind, payload, attempt, max_attempts, timeout, priority, run_at,
            order_key IS NOT NULL OR limit_key IS NOT NULL OR $5 AS is_awaited, trace, attempted_at
        "#,
    )
    .bind(json!(ids).to_string())
    .bind(request.token.as_i64())
    .bind(request.worker.as_i64())
    .bind(now)
    .bind(is_limited)
    .fetch_all(&mut *tx)
    .await?;
    let mut counts: HashMap<&str, u32> = HashMap::new();
    for (_, key) in &candidates {
        for key in [Some(queue_key.as_str()), *key].into_iter().flatten() {
            *counts.entry(key).or_default() += 1;
        }
    }
    for gate in &gates {
        if let (Some(rate), Some(count)) = (gate.limit.and_then(|limit| limit.rate), counts.get(gate.key.as_str())) {
            gate.begin(&mut tx, rate, now, *count).await?;
        }
    }
    tx.commit().await?;
    let opens_at = gates.iter().filter_map(|gate| gate.door.opens_at).min();
    Ok(Turned {
        claimed: in_order(&rows, request)?,
        opens_in: opens_at.map(|at| duration(at - now)),
        ..Turned::default()
    })
}

/// The first due jobs of a key, or of those without one.
async fn candidates<'a>(
    conn: &mut SqliteConnection,
    request: &ClaimRequest<'_>,
    key: Option<&'a str>,
    limit: usize,
) -> Result<Vec<Candidate<'a>>> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let kinds: Vec<&str> = request.kinds.iter().map(Kind::as_str).collect();
    let query = match key {
        Some(_) => sqlx::query_as(include_str!("keyed.sql")),
        None => sqlx::query_as(include_str!("free.sql")),
    };
    let query = query
        .bind(request.queue.as_str())
        .bind(json!(kinds).to_string())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let query = if key.is_some() { query.bind(key) } else { query };
    let places: Vec<Place> = query.fetch_all(conn).await?;
    Ok(places.into_iter().map(|place| (place, key)).collect())
}

struct Gate {
    key: String,
    limit: Option<Limit>,
    began: Began,
    door: Door,
}

impl Gate {
    fn new((key, concurrency, rate, period, running, began): Row, now: i64) -> Result<Self> {
        let corrupt = Error::Corrupt { what: "limit" };
        let Ok(began) = serde_json::from_str::<Began>(began.as_deref().unwrap_or("[]")) else { return Err(corrupt) };
        let (_, limit) = Limit::stored((key.clone(), concurrency, rate, period))?;
        let limit = Some(limit).filter(|limit| *limit != Limit::default());
        let running = u64::try_from(running).unwrap_or_default();
        let door = limit.map(|limit| Door::new(&limit, running, &began, now)).unwrap_or_default();
        Ok(Self { key, limit, began, door })
    }

    async fn begin(&self, conn: &mut SqliteConnection, rate: Rate, now: i64, count: u32) -> Result<()> {
        let mut began = self.began.clone();
        began.begin(micros(rate.per), now, count);
        sqlx::query(
            r#"
            INSERT INTO jobs_queue_gate (key, began, idle_at)
            VALUES ($1, $2, $3)
            ON CONFLICT (key) DO UPDATE SET began = excluded.began, idle_at = excluded.idle_at
            "#,
        )
        .bind(&self.key)
        .bind(json!(began).to_string())
        .bind(now + micros(rate.per))
        .execute(conn)
        .await?;
        Ok(())
    }
}
