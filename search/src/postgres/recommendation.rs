//! Signals and candidates in PostgreSQL.

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::{BETWEEN_TAGS, Postgres};
use crate::audience::Audience;
use crate::error::{Result, corrupt};
use crate::id::{EntityId, Reason, SignalKey, SignalKind, Surface, UserId};
use crate::recommendation::{Candidate, Place, Recorded, Signal, Store};

impl Store for Postgres {
    async fn record(&self, conn: &mut PgConnection, signals: &[&Signal]) -> Result<u64> {
        let done = sqlx::query(
            r#"
            INSERT INTO recommendation_signal (key, user_id, surface, entity_id, kind, weight)
            SELECT key, user_id, surface, entity_id, kind, weight
            FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::real[])
                WITH ORDINALITY AS given (key, user_id, surface, entity_id, kind, weight, place)
            ORDER BY place
            ON CONFLICT (key) DO NOTHING
            "#,
        )
        .bind(signals.iter().map(|signal| signal.key.as_str()).collect::<Vec<_>>())
        .bind(signals.iter().map(|signal| signal.user_id.as_str()).collect::<Vec<_>>())
        .bind(signals.iter().map(|signal| signal.surface.as_str()).collect::<Vec<_>>())
        .bind(signals.iter().map(|signal| signal.entity_id.as_str()).collect::<Vec<_>>())
        .bind(signals.iter().map(|signal| signal.kind.as_str()).collect::<Vec<_>>())
        .bind(signals.iter().map(|signal| signal.weight).collect::<Vec<_>>())
        .execute(conn)
        .await?;
        Ok(done.rows_affected())
    }

    async fn signals(&self, conn: &mut PgConnection, after: Place, limit: u32) -> Result<Vec<(Place, Recorded)>> {
        // What is below the oldest open transaction can get no younger sibling. A row of a transaction that this server has not begun yet was
        // restored from another; after them come those of this one, and who has read further than it has come begins anew.
        let rows = sqlx::query(
            r#"
            WITH now AS MATERIALIZED (
                SELECT pg_snapshot_xmin(snapshot)::text::bigint AS oldest, pg_snapshot_xmax(snapshot)::text::bigint AS next,
                    coalesce(pg_current_xact_id_if_assigned()::text::bigint, 0) AS own
                FROM pg_current_snapshot() AS snapshot
            ),
            begin AS MATERIALIZED (
                SELECT
                    CASE WHEN $1 THEN $2 WHEN $2 >= next THEN 0 ELSE 9223372036854775807 END AS restored_xid,
                    CASE WHEN $1 THEN $3 ELSE 0 END AS restored_number,
                    CASE WHEN NOT $1 AND $2 < next THEN $2 ELSE 0 END AS xid,
                    CASE WHEN NOT $1 AND $2 < next THEN $3 ELSE 0 END AS number
                FROM now
            )
            (
                SELECT true AS is_restored, xid, number, key, user_id, surface, entity_id, kind, weight, recorded_at
                FROM recommendation_signal
                WHERE (xid, number) > ((SELECT restored_xid FROM begin), (SELECT restored_number FROM begin))
                    AND xid >= (SELECT next FROM now) AND xid <> (SELECT own FROM now)
                ORDER BY xid, number
                LIMIT $4
            )
            UNION ALL
            (
                SELECT false, xid, number, key, user_id, surface, entity_id, kind, weight, recorded_at
                FROM recommendation_signal
                WHERE (xid, number) > ((SELECT xid FROM begin), (SELECT number FROM begin))
                    AND xid < (SELECT oldest FROM now)
                ORDER BY xid, number
                LIMIT $4
            )
            ORDER BY is_restored DESC, xid, number
            LIMIT $4
            "#,
        )
        .bind(after.is_restored)
        .bind(after.xid)
        .bind(after.number)
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?;
        rows.iter().map(recorded).collect()
    }

    async fn prune_signals(&self, conn: &mut PgConnection, age: Duration, limit: u32) -> Result<u64> {
        let done = sqlx::query(
            r#"
            DELETE FROM recommendation_signal
            WHERE number IN (SELECT number FROM recommendation_signal ORDER BY number LIMIT $2)
                AND recorded_at <= statement_timestamp() - make_interval(secs => $1)
            "#,
        )
        .bind(age.as_secs_f64())
        .bind(i64::from(limit))
        .execute(conn)
        .await?;
        Ok(done.rows_affected())
    }

    async fn replace_candidates(
        &self,
        conn: &mut PgConnection,
        user_id: &UserId,
        surface: &Surface,
        candidates: &[&Candidate],
    ) -> Result<()> {
        sqlx::query(
            r#"
            INSERT INTO recommendation_candidate (user_id, surface, entity_ids, scores, reasons, replaced_at)
            VALUES ($1, $2, $3, $4, $5, statement_timestamp())
            ON CONFLICT (user_id, surface) DO UPDATE
            SET entity_ids = excluded.entity_ids, scores = excluded.scores, reasons = excluded.reasons,
                replaced_at = excluded.replaced_at
            "#,
        )
        .bind(user_id.as_str())
        .bind(surface.as_str())
        .bind(candidates.iter().map(|candidate| candidate.entity_id.as_str()).collect::<Vec<_>>())
        .bind(candidates.iter().map(|candidate| candidate.score).collect::<Vec<_>>())
        .bind(candidates.iter().map(|candidate| candidate.reason.as_ref().map(Reason::as_str)).collect::<Vec<_>>())
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn candidates(
        &self,
        conn: &mut PgConnection,
        user_id: &UserId,
        surface: &Surface,
        audience: &Audience,
    ) -> Result<Vec<Candidate>> {
        let rows = sqlx::query(
            r#"
            SELECT candidate.entity_id, score, reason, array_to_string(audience_tags, $3)
            FROM recommendation_candidate
            CROSS JOIN unnest(entity_ids, scores, reasons) WITH ORDINALITY AS candidate (entity_id, score, reason, place)
            JOIN search_document
                ON search_document.surface = recommendation_candidate.surface
                AND search_document.entity_id = candidate.entity_id
            WHERE user_id = $1 AND recommendation_candidate.surface = $2
            ORDER BY place
            "#,
        )
        .bind(user_id.as_str())
        .bind(surface.as_str())
        .bind(BETWEEN_TAGS)
        .fetch_all(conn)
        .await?;
        let mut found = Vec::new();
        for row in &rows {
            if audience.sees(row.try_get::<&str, _>(3)?.split(BETWEEN_TAGS)) {
                found.push(candidate(row)?);
            }
        }
        Ok(found)
    }
}

fn recorded(row: &PgRow) -> Result<(Place, Recorded)> {
    let number = row.try_get("number")?;
    let signal = Signal {
        key: corrupt("signal key", SignalKey::new(row.try_get::<&str, _>("key")?))?,
        user_id: corrupt("user id", UserId::new(row.try_get::<&str, _>("user_id")?))?,
        surface: corrupt("surface", Surface::new(row.try_get::<&str, _>("surface")?))?,
        entity_id: corrupt("entity id", EntityId::new(row.try_get::<&str, _>("entity_id")?))?,
        kind: corrupt("signal kind", SignalKind::new(row.try_get::<&str, _>("kind")?))?,
        weight: row.try_get("weight")?,
    };
    let place = Place { is_restored: row.try_get("is_restored")?, xid: row.try_get("xid")?, number };
    Ok((place, Recorded { number, signal, recorded_at: row.try_get("recorded_at")? }))
}

fn candidate(row: &PgRow) -> Result<Candidate> {
    let reason = row.try_get::<Option<&str>, _>(2)?.map(Reason::new);
    Ok(Candidate {
        entity_id: corrupt("entity id", EntityId::new(row.try_get::<&str, _>(0)?))?,
        score: row.try_get(1)?,
        reason: corrupt("reason", reason.transpose())?,
    })
}
