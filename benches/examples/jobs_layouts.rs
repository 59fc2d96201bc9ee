//! Physical layouts for a job queue, as raw SQL: what a batched claim and a batched completion with history and fencing cost.
//!
//! `cargo run --release -p stoa-benches --example jobs_layouts`. Two connections drain 100,000 jobs in batches of 500, every
//! layout in turn, three rounds. Then one connection adds, claims and completes 100 jobs at a time under a snapshot that stays
//! open, 480,000 jobs in all: ten minutes at 800 a second. The figures and what followed from them: `DESIGN.md`.

#![allow(clippy::cast_precision_loss, clippy::cast_possible_wrap, reason = "counts of a bench are far below 2^52")]

use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection, Row};
use testkit::{Cluster, Durability};

const JOBS: i64 = 100_000;
const BATCH: i64 = 500;
const ROUNDS: usize = 3;
const PINNED_JOBS: i64 = 480_000;
const PINNED_BATCH: i64 = 100;

/// One way to lay a queue out. `claim` takes a limit and a token and returns ids; `complete` takes ids and the token.
struct Layout {
    name: &'static str,
    tables: &'static str,
    /// Adds so many jobs.
    fill: &'static str,
    claim: &'static str,
    complete: &'static str,
}

/// Everything a queued row has, whatever its layout.
const HISTORY: &str = r#"
    CREATE TABLE history (
        id bigint PRIMARY KEY, queue text COLLATE "C" NOT NULL, kind text COLLATE "C" NOT NULL, payload text NOT NULL,
        state text COLLATE "C" NOT NULL, priority smallint NOT NULL, attempt int NOT NULL, max_attempts int NOT NULL,
        run_at timestamptz NOT NULL, created_at timestamptz NOT NULL, attempted_at timestamptz,
        finished_at timestamptz NOT NULL);
"#;

const LAYOUTS: &[Layout] = &[
    Layout {
        name: "live table, partial claim index, lease index",
        tables: r#"
            CREATE TABLE job (
                id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, queue text COLLATE "C" NOT NULL,
                kind text COLLATE "C" NOT NULL, payload text NOT NULL, state text COLLATE "C" NOT NULL,
                priority smallint NOT NULL, attempt int NOT NULL, max_attempts int NOT NULL, token bigint,
                lease_until timestamptz, run_at timestamptz NOT NULL, created_at timestamptz NOT NULL,
                attempted_at timestamptz);
            CREATE INDEX ON job (queue, priority, run_at, id) WHERE state <> 'running';
            CREATE INDEX ON job (lease_until) WHERE state = 'running';
        "#,
        fill: FILL,
        claim: r#"
            WITH due AS MATERIALIZED (
                SELECT id FROM job WHERE queue = 'q' AND state <> 'running' AND run_at <= statement_timestamp()
                ORDER BY priority, run_at, id LIMIT $1 FOR UPDATE SKIP LOCKED)
            UPDATE job SET state = 'running', attempt = attempt + 1, token = $2, attempted_at = statement_timestamp(),
                lease_until = statement_timestamp() + interval '15 s'
            FROM due WHERE job.id = due.id RETURNING job.id, kind, payload, attempt
        "#,
        complete: DELETE,
    },
    Layout {
        name: "live table, partial claim index, worker index",
        tables: r#"
            CREATE TABLE job (
                id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, queue text COLLATE "C" NOT NULL,
                kind text COLLATE "C" NOT NULL, payload text NOT NULL, state text COLLATE "C" NOT NULL,
                priority smallint NOT NULL, attempt int NOT NULL, max_attempts int NOT NULL, token bigint, worker bigint,
                run_at timestamptz NOT NULL, created_at timestamptz NOT NULL, attempted_at timestamptz);
            CREATE INDEX ON job (queue, priority, run_at, id) WHERE state <> 'running';
            CREATE INDEX ON job (worker) WHERE state = 'running';
        "#,
        fill: FILL,
        claim: CLAIM_STATE,
        complete: DELETE,
    },
    Layout {
        name: "live table, partial claim index only",
        tables: r#"
            CREATE TABLE job (
                id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, queue text COLLATE "C" NOT NULL,
                kind text COLLATE "C" NOT NULL, payload text NOT NULL, state text COLLATE "C" NOT NULL,
                priority smallint NOT NULL, attempt int NOT NULL, max_attempts int NOT NULL, token bigint, worker bigint,
                run_at timestamptz NOT NULL, created_at timestamptz NOT NULL, attempted_at timestamptz);
            CREATE INDEX ON job (queue, priority, run_at, id) WHERE state <> 'running';
        "#,
        fill: FILL,
        claim: CLAIM_STATE,
        complete: DELETE,
    },
    Layout {
        name: "HOT claim, fillfactor 50",
        tables: r#"
            CREATE TABLE job (
                id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, queue text COLLATE "C" NOT NULL,
                kind text COLLATE "C" NOT NULL, payload text NOT NULL, state text COLLATE "C" NOT NULL,
                priority smallint NOT NULL, attempt int NOT NULL, max_attempts int NOT NULL, token bigint, worker bigint,
                run_at timestamptz NOT NULL, created_at timestamptz NOT NULL, attempted_at timestamptz)
                WITH (fillfactor = 50);
            CREATE INDEX ON job (queue, priority, run_at, id);
        "#,
        fill: FILL,
        claim: CLAIM_STATE,
        complete: DELETE,
    },
    Layout {
        name: "HOT claim, fillfactor 75",
        tables: r#"
            CREATE TABLE job (
                id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, queue text COLLATE "C" NOT NULL,
                kind text COLLATE "C" NOT NULL, payload text NOT NULL, state text COLLATE "C" NOT NULL,
                priority smallint NOT NULL, attempt int NOT NULL, max_attempts int NOT NULL, token bigint, worker bigint,
                run_at timestamptz NOT NULL, created_at timestamptz NOT NULL, attempted_at timestamptz)
                WITH (fillfactor = 75);
            CREATE INDEX ON job (queue, priority, run_at, id);
        "#,
        fill: FILL,
        claim: CLAIM_STATE,
        complete: DELETE,
    },
    Layout {
        name: "HOT claim and a table of running jobs",
        tables: r#"
            CREATE TABLE job (
                id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, queue text COLLATE "C" NOT NULL,
                kind text COLLATE "C" NOT NULL, payload text NOT NULL, state text COLLATE "C" NOT NULL,
                priority smallint NOT NULL, attempt int NOT NULL, max_attempts int NOT NULL, token bigint, worker bigint,
                run_at timestamptz NOT NULL, created_at timestamptz NOT NULL, attempted_at timestamptz)
                WITH (fillfactor = 50);
            CREATE INDEX ON job (queue, priority, run_at, id);
            CREATE TABLE running (worker bigint NOT NULL, id bigint NOT NULL, PRIMARY KEY (worker, id));
        "#,
        fill: FILL,
        claim: r#"
            WITH due AS MATERIALIZED (
                SELECT id FROM job WHERE queue = 'q' AND state <> 'running' AND run_at <= statement_timestamp()
                ORDER BY priority, run_at, id LIMIT $1 FOR UPDATE SKIP LOCKED),
            held AS (INSERT INTO running SELECT 1, id FROM due)
            UPDATE job SET state = 'running', attempt = attempt + 1, token = $2, worker = 1,
                attempted_at = statement_timestamp()
            FROM due WHERE job.id = due.id RETURNING job.id, kind, payload, attempt
        "#,
        complete: r#"
            WITH done AS (
                DELETE FROM job USING unnest($1::bigint[]) AS report (id) WHERE job.id = report.id AND token = $2 RETURNING job.*),
            freed AS (DELETE FROM running USING unnest($1::bigint[]) AS report (id) WHERE running.id = report.id AND worker = 1)
            INSERT INTO history SELECT id, queue, kind, payload, 'succeeded', priority, attempt, max_attempts, run_at, created_at,
                attempted_at, statement_timestamp() FROM done
        "#,
    },
    Layout {
        name: "split: ready and running beside a fixed row",
        tables: r#"
            CREATE TABLE job (
                id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, queue text COLLATE "C" NOT NULL,
                kind text COLLATE "C" NOT NULL, payload text NOT NULL, priority smallint NOT NULL, max_attempts int NOT NULL,
                run_at timestamptz NOT NULL, created_at timestamptz NOT NULL);
            CREATE TABLE ready (
                id bigint NOT NULL, queue text COLLATE "C" NOT NULL, priority smallint NOT NULL, run_at timestamptz NOT NULL,
                attempt int NOT NULL);
            CREATE INDEX ON ready (queue, priority, run_at, id);
            CREATE TABLE running (
                id bigint PRIMARY KEY, token bigint NOT NULL, worker bigint NOT NULL, attempt int NOT NULL,
                attempted_at timestamptz NOT NULL);
        "#,
        fill: r#"
            WITH added AS (
                INSERT INTO job (queue, kind, payload, priority, max_attempts, run_at, created_at)
                SELECT 'q', 'bench.nothing', repeat('x', 200), 5, 20, statement_timestamp(), statement_timestamp()
                FROM generate_series(1, $1) RETURNING id, queue, priority, run_at)
            INSERT INTO ready SELECT id, queue, priority, run_at, 0 FROM added
        "#,
        claim: r#"
            WITH due AS MATERIALIZED (
                SELECT ctid FROM ready WHERE queue = 'q' AND run_at <= statement_timestamp()
                ORDER BY priority, run_at, id LIMIT $1 FOR UPDATE SKIP LOCKED),
            taken AS (DELETE FROM ready WHERE ctid = ANY(ARRAY(SELECT ctid FROM due)) RETURNING id, attempt),
            held AS (INSERT INTO running SELECT id, $2, 1, attempt + 1, statement_timestamp() FROM taken RETURNING id, attempt)
            SELECT held.id, kind, payload, attempt FROM held JOIN job USING (id)
        "#,
        complete: r#"
            WITH freed AS (
                DELETE FROM running USING unnest($1::bigint[]) AS report (id) WHERE running.id = report.id AND token = $2
                RETURNING running.*),
            done AS (DELETE FROM job USING freed WHERE job.id = freed.id RETURNING job.*, attempt, attempted_at)
            INSERT INTO history SELECT id, queue, kind, payload, 'succeeded', priority, attempt, max_attempts, run_at, created_at,
                attempted_at, statement_timestamp() FROM done
        "#,
    },
    Layout {
        name: "split, the fixed row stays as history",
        tables: r#"
            CREATE TABLE job (
                id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, queue text COLLATE "C" NOT NULL,
                kind text COLLATE "C" NOT NULL, payload text NOT NULL, priority smallint NOT NULL, max_attempts int NOT NULL,
                run_at timestamptz NOT NULL, created_at timestamptz NOT NULL);
            CREATE TABLE ready (
                id bigint NOT NULL, queue text COLLATE "C" NOT NULL, priority smallint NOT NULL, run_at timestamptz NOT NULL,
                attempt int NOT NULL);
            CREATE INDEX ON ready (queue, priority, run_at, id);
            CREATE TABLE running (
                id bigint PRIMARY KEY, token bigint NOT NULL, worker bigint NOT NULL, attempt int NOT NULL,
                attempted_at timestamptz NOT NULL);
            CREATE TABLE done (
                id bigint PRIMARY KEY, state text COLLATE "C" NOT NULL, attempt int NOT NULL, attempted_at timestamptz,
                finished_at timestamptz NOT NULL);
        "#,
        fill: r#"
            WITH added AS (
                INSERT INTO job (queue, kind, payload, priority, max_attempts, run_at, created_at)
                SELECT 'q', 'bench.nothing', repeat('x', 200), 5, 20, statement_timestamp(), statement_timestamp()
                FROM generate_series(1, $1) RETURNING id, queue, priority, run_at)
            INSERT INTO ready SELECT id, queue, priority, run_at, 0 FROM added
        "#,
        claim: r#"
            WITH due AS MATERIALIZED (
                SELECT ctid FROM ready WHERE queue = 'q' AND run_at <= statement_timestamp()
                ORDER BY priority, run_at, id LIMIT $1 FOR UPDATE SKIP LOCKED),
            taken AS (DELETE FROM ready WHERE ctid = ANY(ARRAY(SELECT ctid FROM due)) RETURNING id, attempt),
            held AS (INSERT INTO running SELECT id, $2, 1, attempt + 1, statement_timestamp() FROM taken RETURNING id, attempt)
            SELECT held.id, kind, payload, attempt FROM held JOIN job USING (id)
        "#,
        complete: r#"
            WITH freed AS (
                DELETE FROM running USING unnest($1::bigint[]) AS report (id) WHERE running.id = report.id AND token = $2
                RETURNING running.*)
            INSERT INTO done SELECT id, 'succeeded', attempt, attempted_at, statement_timestamp() FROM freed
        "#,
    },
    Layout {
        name: "one table, finished rows stay",
        tables: r#"
            CREATE TABLE job (
                id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, queue text COLLATE "C" NOT NULL,
                kind text COLLATE "C" NOT NULL, payload text NOT NULL, state text COLLATE "C" NOT NULL,
                priority smallint NOT NULL, attempt int NOT NULL, max_attempts int NOT NULL, token bigint, worker bigint,
                run_at timestamptz NOT NULL, created_at timestamptz NOT NULL, attempted_at timestamptz,
                finished_at timestamptz) WITH (fillfactor = 50);
            CREATE INDEX ON job (queue, priority, run_at, id) WHERE finished_at IS NULL;
        "#,
        fill: FILL,
        claim: r#"
            WITH due AS MATERIALIZED (
                SELECT id FROM job
                WHERE queue = 'q' AND finished_at IS NULL AND state <> 'running' AND run_at <= statement_timestamp()
                ORDER BY priority, run_at, id LIMIT $1 FOR UPDATE SKIP LOCKED)
            UPDATE job SET state = 'running', attempt = attempt + 1, token = $2, worker = 1,
                attempted_at = statement_timestamp()
            FROM due WHERE job.id = due.id RETURNING job.id, kind, payload, attempt
        "#,
        complete: r#"
            UPDATE job SET state = 'succeeded', token = NULL, finished_at = statement_timestamp()
            FROM unnest($1::bigint[]) AS report (id) WHERE job.id = report.id AND token = $2
        "#,
    },
    Layout {
        name: "append-only log, claims are receipts",
        tables: r#"
            CREATE TABLE job (
                id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, queue text COLLATE "C" NOT NULL,
                kind text COLLATE "C" NOT NULL, payload text NOT NULL, priority smallint NOT NULL, max_attempts int NOT NULL,
                run_at timestamptz NOT NULL, created_at timestamptz NOT NULL);
            CREATE TABLE head (next bigint NOT NULL);
            INSERT INTO head VALUES (1);
            CREATE TABLE receipt (first bigint NOT NULL, last bigint NOT NULL, token bigint NOT NULL);
            CREATE TABLE done (id bigint PRIMARY KEY, token bigint NOT NULL, finished_at timestamptz NOT NULL);
        "#,
        fill: r#"
            INSERT INTO job (queue, kind, payload, priority, max_attempts, run_at, created_at)
            SELECT 'q', 'bench.nothing', repeat('x', 200), 5, 20, statement_timestamp(), statement_timestamp()
            FROM generate_series(1, $1)
        "#,
        claim: r#"
            WITH old AS (SELECT next FROM head FOR UPDATE),
            moved AS (
                UPDATE head SET next = LEAST(old.next + $1, (SELECT COALESCE(max(id), 0) + 1 FROM job)) FROM old
                RETURNING old.next AS first, head.next AS last),
            receipt AS (INSERT INTO receipt SELECT first, last, $2 FROM moved)
            SELECT id, kind, payload, 1 AS attempt FROM job, moved WHERE id >= first AND id < last
        "#,
        complete: r#"
            INSERT INTO done SELECT id, $2, statement_timestamp() FROM unnest($1::bigint[]) AS report (id)
            ON CONFLICT DO NOTHING
        "#,
    },
];

const FILL: &str = r#"
    INSERT INTO job (queue, kind, payload, state, priority, attempt, max_attempts, run_at, created_at)
    SELECT 'q', 'bench.nothing', repeat('x', 200), 'pending', 5, 0, 20, statement_timestamp(), statement_timestamp()
    FROM generate_series(1, $1)
"#;

const CLAIM_STATE: &str = r#"
    WITH due AS MATERIALIZED (
        SELECT id FROM job WHERE queue = 'q' AND state <> 'running' AND run_at <= statement_timestamp()
        ORDER BY priority, run_at, id LIMIT $1 FOR UPDATE SKIP LOCKED)
    UPDATE job SET state = 'running', attempt = attempt + 1, token = $2, worker = 1, attempted_at = statement_timestamp()
    FROM due WHERE job.id = due.id RETURNING job.id, kind, payload, attempt
"#;

const DELETE: &str = r#"
    WITH done AS (
        DELETE FROM job USING unnest($1::bigint[]) AS report (id) WHERE job.id = report.id AND token = $2 RETURNING job.*)
    INSERT INTO history SELECT id, queue, kind, payload, 'succeeded', priority, attempt, max_attempts, run_at, created_at,
        attempted_at, statement_timestamp() FROM done
"#;

#[tokio::main]
async fn main() {
    let only = std::env::args().nth(1);
    let cluster = Cluster::start(Durability::Durable);
    let url = cluster.url("postgres");
    let mut conn = PgConnection::connect(&url).await.expect("the server answers");
    let layouts =
        || LAYOUTS.iter().filter(|layout| only.as_ref().is_none_or(|only| layout.name.contains(only.as_str())));
    for round in 0..=ROUNDS {
        for layout in layouts() {
            let line = drain(&url, &mut conn, layout).await;
            if round > 0 {
                println!("drain  {:<48} {line}", layout.name);
            }
        }
    }
    for layout in layouts() {
        let line = pinned(&url, &mut conn, layout).await;
        println!("pinned {:<48} {line}", layout.name);
    }
}

async fn reset(conn: &mut PgConnection, layout: &Layout) {
    for sql in ["DROP SCHEMA public CASCADE; CREATE SCHEMA public", HISTORY, layout.tables, "CHECKPOINT"] {
        sqlx::raw_sql(sql).execute(&mut *conn).await.expect("the layout is sound");
    }
}

async fn drain(url: &str, conn: &mut PgConnection, layout: &'static Layout) -> String {
    reset(conn, layout).await;
    sqlx::query(layout.fill).bind(JOBS).execute(&mut *conn).await.expect("the rows fit");
    sqlx::raw_sql("VACUUM ANALYZE").execute(&mut *conn).await.expect("the server answers");
    let before = wal(conn).await;
    let started = Instant::now();
    let mut drains = tokio::task::JoinSet::new();
    for token in 1..=2 {
        let mut conn = PgConnection::connect(url).await.expect("the server answers");
        drains.spawn(async move {
            let mut times = Vec::new();
            let mut drained = 0;
            loop {
                let started = Instant::now();
                let done = cycle(&mut conn, layout, BATCH, token).await;
                times.push(started.elapsed());
                drained += done;
                if done == 0 {
                    return (drained, times);
                }
            }
        });
    }
    let (mut drained, mut times) = (0, Vec::new());
    for (count, more) in drains.join_all().await {
        drained += count;
        times.extend(more);
    }
    assert_eq!(drained, JOBS, "{}", layout.name);
    let rate = JOBS as f64 / started.elapsed().as_secs_f64();
    let wal_per_job = (wal(conn).await - before) / JOBS;
    format!(
        "{rate:>8.0} jobs/s  p99 of a batch {:>6.1} ms  {wal_per_job:>5} B of WAL a job",
        percentile(&mut times, 99)
    )
}

async fn pinned(url: &str, conn: &mut PgConnection, layout: &'static Layout) -> String {
    reset(conn, layout).await;
    let mut pin = PgConnection::connect(url).await.expect("the server answers");
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM history")
        .execute(&mut pin)
        .await
        .expect("pins");
    sqlx::query(layout.fill).bind(PINNED_BATCH).execute(&mut *conn).await.expect("the rows fit");
    sqlx::raw_sql("ANALYZE").execute(&mut *conn).await.expect("the server answers");
    let (mut first, mut last) = (Vec::new(), Vec::new());
    let (mut done, started) = (0, Instant::now());
    // What cannot keep up any more is not waited for.
    while done < PINNED_JOBS && started.elapsed() < Duration::from_mins(1) {
        sqlx::query(layout.fill).bind(PINNED_BATCH).execute(&mut *conn).await.expect("the rows fit");
        let started = Instant::now();
        done += cycle(conn, layout, PINNED_BATCH, 1).await;
        let times = if done <= PINNED_JOBS / 10 { &mut first } else { &mut last };
        times.push(started.elapsed());
    }
    let keep = last.len().min(400);
    let mut tail = last.split_off(last.len() - keep);
    format!(
        "{done} jobs, a batch of {PINNED_BATCH} took {:.1} ms at first, {:.1} ms at the end",
        percentile(&mut first, 50),
        percentile(&mut tail, 50)
    )
}

async fn cycle(conn: &mut PgConnection, layout: &Layout, batch: i64, token: i64) -> i64 {
    let rows =
        sqlx::query(layout.claim).bind(batch).bind(token).fetch_all(&mut *conn).await.expect("the server answers");
    let ids: Vec<i64> = rows.iter().map(|row| row.get("id")).collect();
    if !ids.is_empty() {
        sqlx::query(layout.complete).bind(&ids).bind(token).execute(&mut *conn).await.expect("the server answers");
    }
    ids.len() as i64
}

async fn wal(conn: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint")
        .fetch_one(conn)
        .await
        .expect("a position")
}

fn percentile(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    times
        .get((times.len() * percent / 100).min(times.len().saturating_sub(1)))
        .map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}
