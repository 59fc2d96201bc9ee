//! Cron entries in PostgreSQL.

use sqlx::{PgConnection, Row};

use super::text;
use crate::{CronEntry, CronRecord, Name, Result, Settlement, Timetable};

pub(super) async fn post(conn: &mut PgConnection, entries: &[CronEntry<'_>]) -> Result<()> {
    let (names, expressions, zones) = columns(entries);
    // In the order of the names, so that two of these statements do not wait for each other.
    sqlx::query(
        r#"
        INSERT INTO jobs_queue_cron (name, expression, zone, settled_at)
        SELECT entry.name, entry.expression, entry.zone, statement_timestamp()
        FROM unnest($1::text[], $2::text[], $3::text[]) AS entry (name, expression, zone)
        ORDER BY entry.name COLLATE "C"
        ON CONFLICT ON CONSTRAINT jobs_queue_cron_pkey DO UPDATE
            SET expression = excluded.expression, zone = excluded.zone
        "#,
    )
    .bind(names)
    .bind(expressions)
    .bind(zones)
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn timetable(conn: &mut PgConnection) -> Result<Timetable> {
    let rows = sqlx::query(
        r#"
        SELECT clock.now, name, expression, zone, settled_at, last_fire_at
        FROM (SELECT statement_timestamp() AS now) AS clock
        LEFT JOIN jobs_queue_cron ON true
        ORDER BY name
        "#,
    )
    .fetch_all(conn)
    .await?;
    let now = rows[0].try_get("now")?; // the clock is there without any entry
    let mut entries = Vec::with_capacity(rows.len());
    for row in &rows {
        if row.try_get::<Option<&str>, _>("name")?.is_some() {
            entries.push(CronRecord {
                name: text(row, "name")?,
                expression: row.try_get("expression")?,
                zone: row.try_get("zone")?,
                settled_at: row.try_get("settled_at")?,
                last_fire_at: row.try_get("last_fire_at")?,
            });
        }
    }
    Ok(Timetable { now, entries })
}

pub(super) async fn settle(conn: &mut PgConnection, settlements: &[Settlement<'_>]) -> Result<Vec<bool>> {
    let entries: Vec<CronEntry<'_>> = settlements.iter().map(|settlement| settlement.entry).collect();
    let (names, expressions, zones) = columns(&entries);
    // Locked in the order of the names, and looked at again where somebody was faster.
    let settled: Vec<String> = sqlx::query_scalar(
        r#"
        WITH wish AS MATERIALIZED (
            SELECT *
            FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[])
                AS wish (name, expression, zone, from_at, to_at, fired_at)
        ),
        standing AS MATERIALIZED (
            SELECT cron.name
            FROM jobs_queue_cron AS cron
            JOIN wish ON wish.name = cron.name
            WHERE cron.expression = wish.expression AND cron.zone = wish.zone AND cron.settled_at = wish.from_at
            ORDER BY cron.name
            FOR UPDATE OF cron
        )
        UPDATE jobs_queue_cron AS cron
        SET settled_at = wish.to_at, last_fire_at = COALESCE(wish.fired_at, cron.last_fire_at)
        FROM wish
        JOIN standing ON standing.name = wish.name
        WHERE cron.name = wish.name
        RETURNING cron.name
        "#,
    )
    .bind(names)
    .bind(expressions)
    .bind(zones)
    .bind(settlements.iter().map(|settlement| settlement.from).collect::<Vec<_>>())
    .bind(settlements.iter().map(|settlement| settlement.to).collect::<Vec<_>>())
    .bind(settlements.iter().map(|settlement| settlement.fired).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?;
    Ok(settlements.iter().map(|settlement| settled.iter().any(|name| name == settlement.entry.name.as_str())).collect())
}

pub(super) async fn withdraw(conn: &mut PgConnection, name: &Name) -> Result<bool> {
    let done = sqlx::query("DELETE FROM jobs_queue_cron WHERE name = $1").bind(name.as_str()).execute(conn).await?;
    Ok(done.rows_affected() > 0)
}

/// Entries by column, as `unnest` takes them.
fn columns<'a>(entries: &[CronEntry<'a>]) -> (Vec<&'a str>, Vec<&'a str>, Vec<&'a str>) {
    let mut columns = (Vec::new(), Vec::new(), Vec::new());
    for entry in entries {
        columns.0.push(entry.name.as_str());
        columns.1.push(entry.expression);
        columns.2.push(entry.zone);
    }
    columns
}
