//! Sixteen writers, each committing record after record: beside bare INSERTs, and beside a hash chain.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use stoa_audit::Actor;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{BARE, Post, connect, insert, record};
use crate::case::Target;
use crate::timing::Turns;
use crate::{Case, Setup};

const WRITERS: usize = 16;

/// The tail is read under the lock, by a query that begins when the lock is held; so it sees what the writer before has
/// committed, and no two rows follow the same one. All of it is one statement: no chain holds its lock for less.
const CHAIN: &str = r#"
    INSERT INTO chain (
        id, at, action, actor_kind, actor_id, impersonator_id, on_behalf_of_id, outcome,
        entity_type, entity_id, scope_type, scope_id, request_id, trace_id, before, after, leaf_hash
    )
    SELECT
        $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15::json, $16::json,
        sha256(tail || $17 || convert_to($16, 'UTF8'))
    FROM chain_tail() AS tail
"#;

/// What a writer commits.
#[derive(Clone, Copy)]
enum Write {
    Record,
    RecordInTransaction,
    Bare,
    Chain,
    ChainInTransaction,
}

impl Write {
    async fn commit(self, conn: &mut PgConnection, actor: &Actor, id: usize, post: &Post, json: &str) {
        match self {
            Self::Record => record(conn, actor, id, post).await,
            Self::Bare => insert(conn, BARE, id, json).await,
            Self::Chain => insert(conn, CHAIN, id, json).await,
            Self::RecordInTransaction => {
                let mut tx = conn.begin().await.expect("the server answers");
                record(&mut tx, actor, id, post).await;
                tx.commit().await.expect("the server answers");
            }
            Self::ChainInTransaction => {
                let mut tx = conn.begin().await.expect("the server answers");
                insert(&mut tx, CHAIN, id, json).await;
                tx.commit().await.expect("the server answers");
            }
        }
    }
}

pub(super) async fn compare(setup: &Setup, url: &str) -> Vec<Case> {
    sqlx::raw_sql(
        r#"
        CREATE TABLE chain (LIKE audit_record INCLUDING ALL) PARTITION BY RANGE (at);
        CREATE TABLE chain_default PARTITION OF chain DEFAULT;
        CREATE FUNCTION chain_tail() RETURNS bytea LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_advisory_xact_lock(1);
            RETURN coalesce((SELECT leaf_hash FROM chain ORDER BY xid DESC LIMIT 1), '');
        END
        $$;
        "#,
    )
    .execute(&mut connect(url).await)
    .await
    .expect("the table is new");
    let mut connections = Vec::new();
    for _ in 0..WRITERS {
        connections.push(connect(url).await);
    }
    let time = Duration::from_millis(setup.size(250, 50) as u64);
    let (mut plain, mut alone, mut within) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..=setup.rounds() {
        plain.push(rates(&mut connections, Write::Record, Write::Bare, time).await);
        alone.push(rates(&mut connections, Write::Record, Write::Chain, time).await);
        within.push(rates(&mut connections, Write::RecordInTransaction, Write::ChainInTransaction, time).await);
    }
    assert_chain(&mut connections[0]).await;
    let (plain, alone, within) = (Turns::of(plain), Turns::of(alone), Turns::of(within));
    vec![
        Case::ratio("audit.record_pg_16_writers", plain.ours, "/s", "bare INSERT", plain.other, Target::AtLeast(0.9))
            .note(format!("{plain}; fsync on")),
        Case::ratio(
            "audit.record_vs_locked_chain",
            within.ours,
            "/s",
            "chain under an advisory lock",
            within.other,
            Target::AtLeast(10.0),
        )
        .note(format!(
            "{within}; 16 writers, BEGIN and COMMIT of their own; a statement alone {:.0} beside {:.0}/s, {alone}",
            alone.ours, alone.other
        )),
    ]
}

/// Ours, the other twice, and ours again: what only gets slower or faster favours neither.
async fn rates(connections: &mut Vec<PgConnection>, ours: Write, other: Write, time: Duration) -> (f64, f64) {
    let first = rate(connections, ours, time).await;
    let others = rate(connections, other, time).await + rate(connections, other, time).await;
    let second = rate(connections, ours, time).await;
    (f64::midpoint(first, second), others / 2.0)
}

/// How many writes a second the connections commit together.
async fn rate(connections: &mut Vec<PgConnection>, write: Write, time: Duration) -> f64 {
    let start = Arc::new(Barrier::new(connections.len()));
    let mut writers = JoinSet::new();
    for mut conn in connections.drain(..) {
        let start = start.clone();
        writers.spawn(async move {
            let (post, actor) = (Post::new(), Actor::user("user-1").expect("an id within the bounds"));
            let json = serde_json::to_string(&post).expect("it serialises");
            start.wait().await;
            let started = Instant::now();
            let mut writes = 0;
            while started.elapsed() < time {
                write.commit(&mut conn, &actor, writes, &post, &json).await;
                writes += 1;
            }
            (conn, writes as f64 / started.elapsed().as_secs_f64())
        });
    }
    let mut rate = 0.0;
    for (conn, one) in writers.join_all().await {
        connections.push(conn);
        rate += one;
    }
    rate
}

/// The baseline has to be what it is called: each row's hash is over the one before.
async fn assert_chain(conn: &mut PgConnection) {
    let broken: i64 = sqlx::query_scalar(
        r#"
        SELECT count(*)
        FROM (
            SELECT leaf_hash, after, lag(leaf_hash, 1, '') OVER (ORDER BY xid) AS tail
            FROM chain
        ) AS link
        WHERE leaf_hash <> sha256(tail || $1 || convert_to(after::text, 'UTF8'))
        "#,
    )
    .bind(&[7_u8; 32][..])
    .fetch_one(conn)
    .await
    .expect("the server answers");
    assert_eq!(broken, 0);
}
