//! Cron entries in SQLite.

use serde_json::{Value, json};
use sqlx::{Row, SqliteConnection};

use super::{text, time};
use crate::{CronEntry, CronRecord, Name, Result, Settlement, Timetable};

pub(super) async fn post(conn: &mut SqliteConnection, entries: &[CronEntry<'_>]) -> Result<()> {
    let entries = entries.iter().map(object).collect();
    sqlx::query(
        r#"
        INSERT INTO jobs_queue_cron (name, expression, zone, settled_at)
        SELECT value ->> 'name', value ->> 'expression', value ->> 'zone', CAST(unixepoch('subsec') * 1000000 AS INTEGER)
        FROM json_each($1)
        WHERE true
        ON CONFLICT (name) DO UPDATE SET expression = excluded.expression, zone = excluded.zone
        "#,
    )
    .bind(Value::Array(entries).to_string())
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn timetable(conn: &mut SqliteConnection) -> Result<Timetable> {
    let rows = sqlx::query(
        r#"
        SELECT clock.now, name, expression, zone, settled_at, last_fire_at
        FROM (SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS now) AS clock
        LEFT JOIN jobs_queue_cron ON true
        ORDER BY name
        "#,
    )
    .fetch_all(conn)
    .await?;
    let now = time(rows[0].try_get("now")?)?; // the clock is there without any entry
    let mut entries = Vec::with_capacity(rows.len());
    for row in &rows {
        if row.try_get::<Option<&str>, _>("name")?.is_some() {
            entries.push(CronRecord {
                name: text(row, "name")?,
                expression: row.try_get("expression")?,
                zone: row.try_get("zone")?,
                settled_at: time(row.try_get("settled_at")?)?,
                last_fire_at: row.try_get::<Option<i64>, _>("last_fire_at")?.map(time).transpose()?,
            });
        }
    }
    Ok(Timetable { now, entries })
}

pub(super) async fn settle(conn: &mut SqliteConnection, settlements: &[Settlement<'_>]) -> Result<Vec<bool>> {
    let objects = settlements.iter().map(|settlement| {
        let mut object = object(&settlement.entry);
        object["from"] = settlement.from.timestamp_micros().into();
        object["to"] = settlement.to.timestamp_micros().into();
        object["fired"] = settlement.fired.map(|fired| fired.timestamp_micros()).into();
        object
    });
    let names: Vec<String> = sqlx::query_scalar(
        r#"
        UPDATE jobs_queue_cron
        SET settled_at = wish.value ->> 'to', last_fire_at = COALESCE(wish.value ->> 'fired', last_fire_at)
        FROM json_each($1) AS wish
        WHERE name = wish.value ->> 'name' AND expression = wish.value ->> 'expression' AND zone = wish.value ->> 'zone'
            AND settled_at = wish.value ->> 'from'
        RETURNING name
        "#,
    )
    .bind(Value::Array(objects.collect()).to_string())
    .fetch_all(conn)
    .await?;
    Ok(settlements.iter().map(|settlement| names.iter().any(|name| name == settlement.entry.name.as_str())).collect())
}

pub(super) async fn withdraw(conn: &mut SqliteConnection, name: &Name) -> Result<bool> {
    let done = sqlx::query("DELETE FROM jobs_queue_cron WHERE name = $1").bind(name.as_str()).execute(conn).await?;
    Ok(done.rows_affected() > 0)
}

/// One entry, as `json_each` takes it.
fn object(entry: &CronEntry<'_>) -> Value {
    json!({ "name": entry.name.as_str(), "expression": entry.expression, "zone": entry.zone })
}
