//! Who leads which loop, in SQLite.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::SqliteConnection;

use super::time;
use crate::store::micros;
use crate::{Lead, Name, Result, Token};

pub(super) async fn take(
    conn: &mut SqliteConnection,
    name: &Name,
    token: Token,
    lease: Duration,
) -> Result<Option<Lead>> {
    // All of it, so that the end of the statement is waited for, and its commit.
    let rows: Vec<(i64, Option<i64>)> = sqlx::query_as(
        r#"
        INSERT INTO jobs_queue_leader (name, token, lease_until)
        VALUES ($1, $2, CAST(unixepoch('subsec') * 1000000 AS INTEGER) + $3)
        ON CONFLICT (name) DO UPDATE SET token = excluded.token, lease_until = excluded.lease_until
            WHERE lease_until <= CAST(unixepoch('subsec') * 1000000 AS INTEGER)
        RETURNING CAST(unixepoch('subsec') * 1000000 AS INTEGER), ran_at
        "#,
    )
    .bind(name.as_str())
    .bind(token.as_i64())
    .bind(micros(lease))
    .fetch_all(conn)
    .await?;
    lead(&rows)
}

pub(super) async fn renew(
    conn: &mut SqliteConnection,
    name: &Name,
    token: Token,
    lease: Duration,
) -> Result<Option<Lead>> {
    let rows: Vec<(i64, Option<i64>)> = sqlx::query_as(
        r#"
        UPDATE jobs_queue_leader
        SET lease_until = CAST(unixepoch('subsec') * 1000000 AS INTEGER) + $3
        WHERE name = $1 AND token = $2
        RETURNING CAST(unixepoch('subsec') * 1000000 AS INTEGER), ran_at
        "#,
    )
    .bind(name.as_str())
    .bind(token.as_i64())
    .bind(micros(lease))
    .fetch_all(conn)
    .await?;
    lead(&rows)
}

pub(super) async fn leads(conn: &mut SqliteConnection, name: &Name, token: Token) -> Result<bool> {
    // Who may write is alone in doing so: nobody can take the lead meanwhile.
    let leads = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM jobs_queue_leader WHERE name = $1 AND token = $2)");
    Ok(leads.bind(name.as_str()).bind(token.as_i64()).fetch_one(conn).await?)
}

pub(super) async fn ran(
    conn: &mut SqliteConnection,
    name: &Name,
    token: Token,
    began_at: DateTime<Utc>,
) -> Result<bool> {
    let done = sqlx::query(
        r#"
        UPDATE jobs_queue_leader
        SET ran_at = $3
        WHERE name = $1 AND token = $2
        "#,
    )
    .bind(name.as_str())
    .bind(token.as_i64())
    .bind(began_at.timestamp_micros())
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn resign(conn: &mut SqliteConnection, name: &Name, token: Token) -> Result<()> {
    sqlx::query(
        r#"
        UPDATE jobs_queue_leader
        SET token = NULL, lease_until = CAST(unixepoch('subsec') * 1000000 AS INTEGER)
        WHERE name = $1 AND token = $2
        "#,
    )
    .bind(name.as_str())
    .bind(token.as_i64())
    .execute(conn)
    .await?;
    Ok(())
}

fn lead(rows: &[(i64, Option<i64>)]) -> Result<Option<Lead>> {
    let lead =
        |(now, ran_at): &(i64, Option<i64>)| Ok(Lead { now: time(*now)?, ran_at: ran_at.map(time).transpose()? });
    rows.first().map(lead).transpose()
}
