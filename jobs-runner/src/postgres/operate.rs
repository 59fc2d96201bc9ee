//! What operators do and see.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::leave;
use crate::handler::storable;
use crate::operate::stats::{LatestRow, QueueRow, WINDOW, queue_stats};
use crate::store::{corrupt, duration, micros};
use crate::{Count, Filter, Finding, Holder, JobId, Kind, Queue, Result, State, Stats, WorkerId, WorkerRecord};

pub(super) async fn discard(conn: &mut PgConnection, id: JobId, why: &str) -> Result<bool> {
    let filter = Filter::default().id(id);
    Ok(!leave(conn, "discarded", &filter, 1, Some(&storable(why))).await?.is_empty())
}

pub(super) async fn cancel_many(conn: &mut PgConnection, filter: &Filter, limit: u32) -> Result<u64> {
    Ok(leave(conn, "cancelled", filter, limit, None).await?.len() as u64)
}

pub(super) async fn delete_many(conn: &mut PgConnection, filter: &Filter, limit: u32) -> Result<u64> {
    let count: i64 = sqlx::query_scalar(include_str!("delete.sql"))
        .bind(filter.id.map(JobId::as_i64))
        .bind(filter.queue.as_ref().map(Queue::as_str))
        .bind(filter.kind.as_ref().map(Kind::as_str))
        .bind(filter.state.map(State::as_str))
        .bind(filter.after)
        .bind(filter.before)
        .bind(i64::from(limit))
        .fetch_one(conn)
        .await?;
    Ok(count.unsigned_abs())
}

pub(super) async fn prune(conn: &mut PgConnection, state: State, older_than: Duration, limit: u32) -> Result<u64> {
    let done = sqlx::query(
        r#"
        DELETE FROM jobs_queue_history
        WHERE id = ANY(ARRAY(
            SELECT id
            FROM jobs_queue_history
            WHERE $1 = 'succeeded' AND state = 'succeeded'
                AND finished_at <= statement_timestamp() - $2 * interval '1 microsecond'
            ORDER BY finished_at
            LIMIT $3
            FOR UPDATE SKIP LOCKED
        ) || ARRAY(
            SELECT id
            FROM jobs_queue_history
            WHERE state <> 'succeeded' AND state = $1
                AND finished_at <= statement_timestamp() - $2 * interval '1 microsecond'
            ORDER BY finished_at
            LIMIT $3
            FOR UPDATE SKIP LOCKED
        ))
        "#,
    )
    .bind(state.as_str())
    .bind(micros(older_than))
    .bind(i64::from(limit))
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

pub(super) async fn stats(conn: &mut PgConnection, bound: u32) -> Result<Stats> {
    let names: Vec<String> = sqlx::query_scalar(
        r#"
        WITH RECURSIVE named AS (
            SELECT LEAST(
                    (SELECT min(queue) FROM jobs_queue_job WHERE limit_key IS NULL),
                    (SELECT min(queue) FROM jobs_queue_job WHERE limit_key IS NOT NULL)
                ) AS queue
            UNION ALL
            SELECT LEAST(
                    (SELECT min(queue) FROM jobs_queue_job WHERE limit_key IS NULL AND queue > named.queue),
                    (SELECT min(queue) FROM jobs_queue_job WHERE limit_key IS NOT NULL AND queue > named.queue)
                )
            FROM named
            WHERE queue IS NOT NULL
        )
        SELECT queue
        FROM named
        WHERE queue IS NOT NULL
        UNION
        SELECT queue
        FROM jobs_queue_pause
        "#,
    )
    .fetch_all(&mut *conn)
    .await?;
    let queues: Vec<QueueRow> =
        sqlx::query_as(include_str!("queues.sql")).bind(i64::from(bound)).bind(names).fetch_all(&mut *conn).await?;
    let latest: Vec<LatestRow> = sqlx::query_as(include_str!("finished.sql"))
        .bind(i64::from(bound))
        .bind(micros(WINDOW))
        .fetch_all(&mut *conn)
        .await?;
    let (dead, cancelled, kept): (i64, i64, i64) = sqlx::query_as(
        r#"
        SELECT (SELECT count(*) FROM (SELECT FROM jobs_queue_history WHERE state = 'dead' LIMIT $1 + 1) AS dead),
            (SELECT count(*) FROM (SELECT FROM jobs_queue_history WHERE state = 'cancelled' LIMIT $1 + 1) AS cancelled),
            pg_stat_get_live_tuples(to_regclass('jobs_queue_history'))
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

pub(super) async fn workers(conn: &mut PgConnection) -> Result<Vec<WorkerRecord>> {
    type Row = (i64, Option<String>, Option<String>, DateTime<Utc>, DateTime<Utc>, bool);
    let rows: Vec<Row> = sqlx::query_as(
        r#"
        SELECT id, queue, process, started_at, lease_until, lease_until <= statement_timestamp() AS is_lost
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
            started_at,
            lease_until,
            is_lost,
        })
    };
    rows.into_iter().map(worker).collect()
}

pub(super) async fn doctor(conn: &mut PgConnection) -> Result<Vec<Finding>> {
    let mut findings = held_horizon(conn).await?;
    let rows: Vec<(String, i64, i64, Option<Vec<String>>)> = sqlx::query_as(
        r#"
        SELECT name, pg_stat_get_live_tuples(class.oid), pg_stat_get_dead_tuples(class.oid), class.reloptions
        FROM unnest(ARRAY['jobs_queue_job', 'jobs_queue_history', 'jobs_queue_worker', 'jobs_queue_unique',
            'jobs_queue_order', 'jobs_queue_cron', 'jobs_queue_leader', 'jobs_queue_gate', 'jobs_queue_slot']) AS name
        JOIN pg_class AS class ON class.oid = to_regclass(name)
        "#,
    )
    .fetch_all(&mut *conn)
    .await?;
    for (table, live, dead, options) in rows {
        let options = options.unwrap_or_default();
        let is_off = |option: &String| matches!(option.as_str(), "autovacuum_enabled=false" | "autovacuum_enabled=off");
        if options.iter().any(is_off) {
            findings.push(Finding::VacuumOff { table: Some(table.clone()) });
        }
        if table == "jobs_queue_job" {
            for parameter in STORAGE.iter().filter(|parameter| !options.iter().any(|option| option == *parameter)) {
                findings.push(Finding::Overridden { table: table.clone(), parameter: (*parameter).to_owned() });
            }
        }
        findings.push(Finding::Rows { table, live: live.unsigned_abs(), dead: dead.unsigned_abs() });
    }
    let indexes: Vec<(String, i64, Option<i64>)> = sqlx::query_as(
        r#"
        SELECT class.relname::text, pg_relation_size(class.oid),
            (pg_relation_size(class.oid) / NULLIF(GREATEST(class.reltuples, 0), 0))::bigint
        FROM unnest(ARRAY['jobs_queue_job', 'jobs_queue_history']) AS name
        JOIN pg_index AS index ON index.indrelid = to_regclass(name)
        JOIN pg_class AS class ON class.oid = index.indexrelid
        ORDER BY name DESC, class.relname
        "#,
    )
    .fetch_all(&mut *conn)
    .await?;
    findings.extend(indexes.into_iter().map(|(index, bytes, bytes_per_entry)| Finding::Index {
        index,
        bytes: bytes.unsigned_abs(),
        bytes_per_entry: bytes_per_entry.map(i64::unsigned_abs),
    }));
    let is_on: bool = sqlx::query_scalar("SELECT current_setting('autovacuum')::boolean").fetch_one(conn).await?;
    if !is_on {
        findings.push(Finding::VacuumOff { table: None });
    }
    Ok(findings)
}

/// What the migration set for the table of jobs.
const STORAGE: [&str; 5] = [
    "fillfactor=44",
    "autovacuum_vacuum_scale_factor=0",
    "autovacuum_vacuum_threshold=5000",
    "autovacuum_vacuum_cost_delay=0",
    "vacuum_truncate=off",
];

/// What it is, its name, its process and what that is doing, how long it holds its snapshot, how many transactions began since.
type HolderRow = (String, String, i32, String, Option<i64>, i64);

/// The oldest snapshot of each sort.
async fn held_horizon(conn: &mut PgConnection) -> Result<Vec<Finding>> {
    let rows: Vec<HolderRow> = sqlx::query_as(
        r#"
        (
            SELECT 'session' AS kind, COALESCE(application_name, '') AS name, pid, COALESCE(state, backend_type, '') AS state,
                (extract(epoch FROM statement_timestamp() - xact_start) * 1000000)::bigint AS held,
                age(backend_xmin)::bigint AS transactions
            FROM pg_stat_activity
            WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid() AND backend_type <> 'autovacuum worker'
                AND (datname = current_database() OR backend_type = 'walsender')
            ORDER BY transactions DESC, held DESC NULLS LAST
            LIMIT 1
        )
        UNION ALL
        (
            SELECT 'prepared', gid, 0, '', (extract(epoch FROM statement_timestamp() - prepared) * 1000000)::bigint,
                age(transaction)::bigint AS transactions
            FROM pg_prepared_xacts
            WHERE database = current_database()
            ORDER BY transactions DESC
            LIMIT 1
        )
        UNION ALL
        (
            SELECT 'slot', slot_name::text, 0, '', NULL, age(xmin)::bigint AS transactions
            FROM pg_replication_slots
            WHERE xmin IS NOT NULL
            ORDER BY transactions DESC
            LIMIT 1
        )
        "#,
    )
    .fetch_all(conn)
    .await?;
    let finding = |(what, name, pid, state, held, transactions): HolderRow| Finding::HeldHorizon {
        holder: match what.as_str() {
            "session" => Holder::Session { pid, application: name, state },
            "prepared" => Holder::Prepared { gid: name },
            _ => Holder::Slot { name },
        },
        held: held.map(duration),
        transactions: transactions.unsigned_abs(),
    };
    Ok(rows.into_iter().map(finding).collect())
}
