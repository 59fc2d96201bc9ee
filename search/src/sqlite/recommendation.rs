//! Signals and candidates in SQLite.

use std::time::Duration;

use chrono::DateTime;
use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::{Sqlite, read_tags};
use crate::audience::Audience;
use crate::error::{Error, Result, corrupt};
use crate::id::{EntityId, Reason, SignalKey, SignalKind, Surface, UserId};
use crate::recommendation::{Candidate, Place, Recorded, Signal, Store};

impl Store for Sqlite {
    async fn record(&self, conn: &mut SqliteConnection, signals: &[&Signal]) -> Result<u64> {
        let signal = |signal: &&Signal| {
            let Signal { key, user_id, surface, entity_id, kind, weight } = signal;
            let ids = [key.as_str(), user_id.as_str(), surface.as_str(), entity_id.as_str(), kind.as_str()];
            json!([ids[0], ids[1], ids[2], ids[3], ids[4], f64::from(*weight)])
        };
        let done = sqlx::query(
            r#"
            INSERT INTO recommendation_signal (key, user_id, surface, entity_id, kind, weight, recorded_at)
            SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
                CAST(unixepoch('subsec') * 1000000 AS INTEGER)
            FROM json_each($1)
            WHERE true
            ORDER BY key
            ON CONFLICT (key) DO NOTHING
            "#,
        )
        .bind(signals.iter().map(signal).collect::<serde_json::Value>().to_string())
        .execute(conn)
        .await?;
        Ok(done.rows_affected())
    }

    async fn signals(&self, conn: &mut SqliteConnection, after: Place, limit: u32) -> Result<Vec<(Place, Recorded)>> {
        let rows = sqlx::query(
            r#"
            SELECT number, key, user_id, surface, entity_id, kind, weight, recorded_at
            FROM recommendation_signal
            WHERE number > $1
            ORDER BY number
            LIMIT $2
            "#,
        )
        .bind(after.number)
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?;
        rows.iter().map(recorded).collect()
    }

    async fn prune_signals(&self, conn: &mut SqliteConnection, age: Duration, limit: u32) -> Result<u64> {
        let done = sqlx::query(
            r#"
            DELETE FROM recommendation_signal
            WHERE number IN (SELECT number FROM recommendation_signal ORDER BY number LIMIT $2)
                AND recorded_at <= CAST(unixepoch('subsec') * 1000000 AS INTEGER) - $1
            "#,
        )
        .bind(i64::try_from(age.as_micros()).unwrap_or(i64::MAX))
        .bind(i64::from(limit))
        .execute(conn)
        .await?;
        Ok(done.rows_affected())
    }

    async fn replace_candidates(
        &self,
        conn: &mut SqliteConnection,
        user_id: &UserId,
        surface: &Surface,
        candidates: &[&Candidate],
    ) -> Result<()> {
        let candidate = |Candidate { entity_id, score, reason }: &&Candidate| {
            json!([entity_id.as_str(), f64::from(*score), reason.as_ref().map(Reason::as_str)])
        };
        sqlx::query(
            r#"
            INSERT INTO recommendation_candidate (user_id, surface, candidates, replaced_at)
            VALUES ($1, $2, $3, CAST(unixepoch('subsec') * 1000000 AS INTEGER))
            ON CONFLICT (user_id, surface) DO UPDATE
            SET candidates = excluded.candidates, replaced_at = excluded.replaced_at
            "#,
        )
        .bind(user_id.as_str())
        .bind(surface.as_str())
        .bind(candidates.iter().map(candidate).collect::<serde_json::Value>().to_string())
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn candidates(
        &self,
        conn: &mut SqliteConnection,
        user_id: &UserId,
        surface: &Surface,
        audience: &Audience,
    ) -> Result<Vec<Candidate>> {
        let rows = sqlx::query(
            r#"
            SELECT entity_id, CAST(candidate.value ->> 1 AS REAL), candidate.value ->> 2, audience_tags
            FROM recommendation_candidate
            CROSS JOIN json_each(candidates) AS candidate
            JOIN search_document
                ON search_document.surface = recommendation_candidate.surface AND entity_id = candidate.value ->> 0
            WHERE user_id = $1 AND recommendation_candidate.surface = $2
            ORDER BY candidate.key
            "#,
        )
        .bind(user_id.as_str())
        .bind(surface.as_str())
        .fetch_all(conn)
        .await?;
        let mut found = Vec::new();
        for row in &rows {
            if audience.sees(read_tags(row.try_get(3)?)?) {
                found.push(candidate(row)?);
            }
        }
        Ok(found)
    }
}

fn recorded(row: &SqliteRow) -> Result<(Place, Recorded)> {
    let number = row.try_get("number")?;
    let recorded_at = DateTime::from_timestamp_micros(row.try_get("recorded_at")?);
    let signal = Signal {
        key: corrupt("signal key", SignalKey::new(row.try_get::<&str, _>("key")?))?,
        user_id: corrupt("user id", UserId::new(row.try_get::<&str, _>("user_id")?))?,
        surface: corrupt("surface", Surface::new(row.try_get::<&str, _>("surface")?))?,
        entity_id: corrupt("entity id", EntityId::new(row.try_get::<&str, _>("entity_id")?))?,
        kind: corrupt("signal kind", SignalKind::new(row.try_get::<&str, _>("kind")?))?,
        weight: row.try_get("weight")?,
    };
    let place = Place { is_restored: false, xid: 0, number };
    let recorded_at = recorded_at.ok_or(Error::Corrupt { what: "time of a signal" })?;
    Ok((place, Recorded { number, signal, recorded_at }))
}

fn candidate(row: &SqliteRow) -> Result<Candidate> {
    let reason = row.try_get::<Option<&str>, _>(2)?.map(Reason::new);
    Ok(Candidate {
        entity_id: corrupt("entity id", EntityId::new(row.try_get::<&str, _>(0)?))?,
        score: row.try_get(1)?,
        reason: corrupt("reason", reason.transpose())?,
    })
}
