//! Who leads which loop, in PostgreSQL.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::store::micros;
use crate::{Lead, Name, Result, Token};

type Row = (DateTime<Utc>, Option<DateTime<Utc>>);

pub(super) async fn take(conn: &mut PgConnection, name: &Name, token: Token, lease: Duration) -> Result<Option<Lead>> {
    // Who does not get it writes nothing, and waits for nobody: not for a transaction that relies on `leads` either.
    let rows: Vec<Row> = sqlx::query_as(
        r#"
        WITH vacant AS MATERIALIZED (
            SELECT name
            FROM jobs_queue_leader
            WHERE name = $1 AND lease_until <= statement_timestamp()
            FOR UPDATE SKIP LOCKED
        ),
        taken AS (
            UPDATE jobs_queue_leader AS leader
            SET token = $2, lease_until = statement_timestamp() + $3 * interval '1 microsecond'
            FROM vacant
            WHERE leader.name = vacant.name
            RETURNING leader.ran_at
        ),
        entered AS (
            INSERT INTO jobs_queue_leader (name, token, lease_until)
            SELECT $1, $2, statement_timestamp() + $3 * interval '1 microsecond'
            WHERE NOT EXISTS (SELECT 1 FROM jobs_queue_leader WHERE name = $1)
            ON CONFLICT ON CONSTRAINT jobs_queue_leader_pkey DO NOTHING
            RETURNING ran_at
        )
        SELECT statement_timestamp(), ran_at
        FROM taken
        UNION ALL
        SELECT statement_timestamp(), ran_at
        FROM entered
        "#,
    )
    .bind(name.as_str())
    .bind(token.as_i64())
    .bind(micros(lease))
    .fetch_all(conn)
    .await?;
    Ok(lead(&rows))
}

pub(super) async fn renew(conn: &mut PgConnection, name: &Name, token: Token, lease: Duration) -> Result<Option<Lead>> {
    let rows: Vec<Row> = sqlx::query_as(
        r#"
        UPDATE jobs_queue_leader
        SET lease_until = statement_timestamp() + $3 * interval '1 microsecond'
        WHERE name = $1 AND token = $2
        RETURNING statement_timestamp(), ran_at
        "#,
    )
    .bind(name.as_str())
    .bind(token.as_i64())
    .bind(micros(lease))
    .fetch_all(conn)
    .await?;
    Ok(lead(&rows))
}

pub(super) async fn leads(conn: &mut PgConnection, name: &Name, token: Token) -> Result<bool> {
    // The weakest lock that a new token has to wait for: renewals go on beside it.
    let row: Option<(String,)> = sqlx::query_as(
        r#"
        SELECT name
        FROM jobs_queue_leader
        WHERE name = $1 AND token = $2
        FOR KEY SHARE
        "#,
    )
    .bind(name.as_str())
    .bind(token.as_i64())
    .fetch_optional(conn)
    .await?;
    Ok(row.is_some())
}

pub(super) async fn ran(conn: &mut PgConnection, name: &Name, token: Token, began_at: DateTime<Utc>) -> Result<bool> {
    let done = sqlx::query(
        r#"
        UPDATE jobs_queue_leader
        SET ran_at = $3
        WHERE name = $1 AND token = $2
        "#,
    )
    .bind(name.as_str())
    .bind(token.as_i64())
    .bind(began_at)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn resign(conn: &mut PgConnection, name: &Name, token: Token) -> Result<()> {
    sqlx::query(
        r#"
        UPDATE jobs_queue_leader
        SET token = NULL, lease_until = statement_timestamp()
        WHERE name = $1 AND token = $2
        "#,
    )
    .bind(name.as_str())
    .bind(token.as_i64())
    .execute(conn)
    .await?;
    Ok(())
}

fn lead(rows: &[Row]) -> Option<Lead> {
    rows.first().map(|&(now, ran_at)| Lead { now, ran_at })
}
