//! Statements of the notifications.

use chrono::Utc;
use serde::Serialize;
use sqlx::{FromRow, PgConnection, Result, SqliteConnection};

use super::Span;
use super::delivery::Deliver;
use crate::bulk::Bulk;
use crate::sql::portable;

/// Where somebody departs from the default.
#[derive(Debug, FromRow)]
pub struct Choice {
    /// Of what.
    pub kind: String,
    /// By which way.
    pub channel: String,
    /// Whether they want it.
    pub is_wanted: bool,
}

/// The rest of what somebody chose, and where their digest stands.
#[derive(Debug, FromRow)]
pub struct Setting {
    /// Who.
    pub person_id: String,
    /// An IANA name.
    pub time_zone: String,
    /// Minutes since midnight.
    pub quiet_from: Option<i64>,
    /// Likewise.
    pub quiet_until: Option<i64>,
    /// How often.
    pub digest: String,
    /// The next one tells what came after.
    pub digest_since: i64,
    /// The next one is due.
    pub digest_due_at: Option<i64>,
}

/// A choice as a statement for many takes it.
#[derive(Serialize)]
pub(super) struct ChoiceRow<'a> {
    pub(super) person_id: &'a str,
    pub(super) kind: &'a str,
    pub(super) channel: &'a str,
    pub(super) is_wanted: bool,
}

/// Writes what somebody chose.
pub(super) const CHOICES: Bulk = Bulk {
    postgres: r#"
        INSERT INTO campus_notification_choice (person_id, kind, channel, is_wanted)
        SELECT person_id, kind, channel, is_wanted
        FROM json_to_recordset($1::json) AS row (person_id text, kind text, channel text, is_wanted boolean)
    "#,
    sqlite: r#"
        INSERT INTO campus_notification_choice (person_id, kind, channel, is_wanted)
        SELECT value ->> 'person_id', value ->> 'kind', value ->> 'channel', value ->> 'is_wanted'
        FROM json_each($1)
    "#,
};

/// Somebody who is told, as a statement for many takes it: `choice` is what they may have chosen, `kind` what the notice is called.
#[derive(Serialize)]
pub(super) struct DeliveryRow<'a> {
    pub(super) person_id: &'a str,
    pub(super) choice: &'a str,
    pub(super) kind: &'a str,
    pub(super) entity: &'a str,
    pub(super) channel: &'a str,
    pub(super) created_at: i64,
}

/// Of those who are told, writes down a delivery for each who wants this kind on this channel, and says for whom it had not been yet.
/// Who never chose costs one look into an index.
pub(super) const DELIVERIES: Bulk = Bulk {
    postgres: r#"
        INSERT INTO campus_delivery (person_id, kind, entity, channel, state, reason, created_at)
        SELECT told.person_id, told.kind, told.entity, told.channel, 'waiting', '', told.created_at
        FROM json_to_recordset($1::json)
            AS told (person_id text, choice text, kind text, entity text, channel text, created_at bigint)
        JOIN campus_notification_choice AS choice
            ON choice.person_id = told.person_id AND choice.kind = told.choice AND choice.channel = told.channel
        WHERE choice.is_wanted
        ON CONFLICT DO NOTHING
        RETURNING person_id
    "#,
    // A cross join is what keeps the planner from walking through all choices.
    sqlite: r#"
        INSERT INTO campus_delivery (person_id, kind, entity, channel, state, reason, created_at)
        SELECT choice.person_id, told.value ->> 'kind', told.value ->> 'entity', choice.channel, 'waiting', '',
            told.value ->> 'created_at'
        FROM json_each($1) AS told
        CROSS JOIN campus_notification_choice AS choice
            ON choice.person_id = told.value ->> 'person_id' AND choice.kind = told.value ->> 'choice'
                AND choice.channel = told.value ->> 'channel'
        WHERE choice.is_wanted
        ON CONFLICT DO NOTHING
        RETURNING person_id
    "#,
};

portable! {
    /// The queries of preferences, of what people were told, and of what is on its way to them.
    pub trait NotificationSql {
        /// Reads where somebody departs from the default.
        async fn notification_choices(&mut self, person_id: &str) -> Result<Vec<Choice>> {
            sqlx::query_as("SELECT kind, channel, is_wanted FROM campus_notification_choice WHERE person_id = $1")
                .bind(person_id)
                .fetch_all(self)
                .await
        }

        /// Forgets where somebody departs from the default.
        async fn delete_notification_choices(&mut self, person_id: &str) -> Result<()> {
            sqlx::query("DELETE FROM campus_notification_choice WHERE person_id = $1").bind(person_id).execute(self).await?;
            Ok(())
        }

        /// Reads the rest of what somebody chose.
        async fn notification_setting(&mut self, person_id: &str) -> Result<Option<Setting>> {
            sqlx::query_as(
                r#"
                SELECT person_id, time_zone, quiet_from, quiet_until, digest, digest_since, digest_due_at
                FROM campus_notification_setting
                WHERE person_id = $1
                "#,
            )
            .bind(person_id)
            .fetch_optional(self)
            .await
        }

        /// Writes the rest of what somebody chose.
        async fn put_notification_setting(&mut self, setting: &Setting) -> Result<()> {
            sqlx::query(
                r#"
                INSERT INTO campus_notification_setting
                    (person_id, time_zone, quiet_from, quiet_until, digest, digest_since, digest_due_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7)
                ON CONFLICT (person_id) DO UPDATE
                SET time_zone = excluded.time_zone, quiet_from = excluded.quiet_from, quiet_until = excluded.quiet_until,
                    digest = excluded.digest, digest_since = excluded.digest_since, digest_due_at = excluded.digest_due_at
                "#,
            )
            .bind(&setting.person_id)
            .bind(&setting.time_zone)
            .bind(setting.quiet_from)
            .bind(setting.quiet_until)
            .bind(&setting.digest)
            .bind(setting.digest_since)
            .bind(setting.digest_due_at)
            .execute(self)
            .await?;
            Ok(())
        }

        /// Reads those whose digest is due at that moment.
        async fn due_digests(&mut self, now: i64, limit: i64) -> Result<Vec<Setting>> {
            sqlx::query_as(
                r#"
                SELECT person_id, time_zone, quiet_from, quiet_until, digest, digest_since, digest_due_at
                FROM campus_notification_setting
                WHERE digest_due_at <= $1
                ORDER BY digest_due_at, person_id
                LIMIT $2
                "#,
            )
            .bind(now)
            .bind(limit)
            .fetch_all(self)
            .await
        }

        /// Moves somebody's digest on, unless somebody else has; says whether it was still due.
        async fn move_digest(&mut self, before: &Setting, since: i64, due_at: i64) -> Result<bool> {
            let moved = sqlx::query(
                r#"
                UPDATE campus_notification_setting
                SET digest_since = $3, digest_due_at = $4
                WHERE person_id = $1 AND digest_due_at = $2
                "#,
            )
            .bind(&before.person_id)
            .bind(before.digest_due_at)
            .bind(since)
            .bind(due_at)
            .execute(self)
            .await?;
            Ok(moved.rows_affected() == 1)
        }

        /// Writes down one delivery; says whether it was not yet.
        async fn insert_delivery(&mut self, delivery: &Deliver, created_at: i64) -> Result<bool> {
            let inserted = sqlx::query(
                r#"
                INSERT INTO campus_delivery (person_id, kind, entity, channel, state, reason, created_at)
                VALUES ($1, $2, $3, $4, 'waiting', '', $5)
                ON CONFLICT DO NOTHING
                "#,
            )
            .bind(&delivery.person_id)
            .bind(&delivery.kind)
            .bind(&delivery.entity)
            .bind(delivery.channel.as_str())
            .bind(created_at)
            .execute(self)
            .await?;
            Ok(inserted.rows_affected() == 1)
        }

        /// Says whether a delivery is still to be made.
        async fn is_delivery_waiting(&mut self, delivery: &Deliver) -> Result<bool> {
            let state: Option<String> = sqlx::query_scalar(
                "SELECT state FROM campus_delivery WHERE person_id = $1 AND kind = $2 AND entity = $3 AND channel = $4",
            )
            .bind(&delivery.person_id)
            .bind(&delivery.kind)
            .bind(&delivery.entity)
            .bind(delivery.channel.as_str())
            .fetch_optional(self)
            .await?;
            Ok(state.is_some_and(|state| state == "waiting"))
        }

        /// Forgets what was settled before a moment; says how many.
        async fn forget_deliveries(&mut self, before: i64, limit: i64) -> Result<u64> {
            let forgotten = sqlx::query(
                r#"
                DELETE FROM campus_delivery
                WHERE (person_id, kind, entity, channel) IN (
                    SELECT person_id, kind, entity, channel
                    FROM campus_delivery
                    WHERE settled_at < $1
                    ORDER BY settled_at
                    LIMIT $2
                )
                "#,
            )
            .bind(before)
            .bind(limit)
            .execute(self)
            .await?;
            Ok(forgotten.rows_affected())
        }

        /// Says what became of a delivery, for good.
        async fn settle_delivery(&mut self, delivery: &Deliver, state: &str, reason: &str) -> Result<()> {
            sqlx::query(
                r#"
                UPDATE campus_delivery
                SET state = $5, reason = $6, settled_at = $7
                WHERE person_id = $1 AND kind = $2 AND entity = $3 AND channel = $4 AND state = 'waiting'
                "#,
            )
            .bind(&delivery.person_id)
            .bind(&delivery.kind)
            .bind(&delivery.entity)
            .bind(delivery.channel.as_str())
            .bind(state)
            .bind(reason)
            .bind(Utc::now().timestamp_micros())
            .execute(self)
            .await?;
            Ok(())
        }
    }
}

/// Who was told of which post. A statement that is given posts is written for each database.
pub trait ToldSql: Send {
    /// Reads of which of these posts somebody was told in that time, and when.
    fn told_of(
        &mut self,
        person_id: &str,
        posts: &[&str],
        span: Span,
    ) -> impl Future<Output = Result<Vec<(String, i64)>>> + Send;
}

impl ToldSql for PgConnection {
    async fn told_of(&mut self, person_id: &str, posts: &[&str], span: Span) -> Result<Vec<(String, i64)>> {
        sqlx::query_as(
            r#"
            SELECT post_id, created_at
            FROM campus_notification
            WHERE post_id = ANY ($1) AND person_id = $2 AND created_at > $3 AND created_at <= $4
            "#,
        )
        .bind(posts)
        .bind(person_id)
        .bind(span.after)
        .bind(span.until)
        .fetch_all(self)
        .await
    }
}

impl ToldSql for SqliteConnection {
    async fn told_of(&mut self, person_id: &str, posts: &[&str], span: Span) -> Result<Vec<(String, i64)>> {
        sqlx::query_as(
            r#"
            SELECT post_id, created_at
            FROM campus_notification
            WHERE post_id IN (SELECT value FROM json_each($1)) AND person_id = $2 AND created_at > $3 AND created_at <= $4
            "#,
        )
        .bind(serde_json::to_string(posts).map_err(|error| sqlx::Error::Encode(error.into()))?)
        .bind(person_id)
        .bind(span.after)
        .bind(span.until)
        .fetch_all(self)
        .await
    }
}
