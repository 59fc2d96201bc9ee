//! Statements of WhatsApp.

use sqlx::Result;

use super::inbound::Inbound;
use super::opt_in::OptIn;
use super::outbound::{Outbound, Status};
use crate::sql::portable;

portable! {
    /// The queries of who opted in.
    pub trait OptInSql {
        /// Reads what somebody opted in with.
        async fn whatsapp_opt_in(&mut self, person_id: &str) -> Result<Option<OptIn>> {
            sqlx::query_as("SELECT person_id, phone, opted_in_at, stopped_at FROM campus_whatsapp_opt_in WHERE person_id = $1")
                .bind(person_id)
                .fetch_optional(self)
                .await
        }

        /// Reads who opted in with a telephone.
        async fn whatsapp_opt_in_of(&mut self, phone: &str) -> Result<Option<OptIn>> {
            sqlx::query_as("SELECT person_id, phone, opted_in_at, stopped_at FROM campus_whatsapp_opt_in WHERE phone = $1")
                .bind(phone)
                .fetch_optional(self)
                .await
        }

        /// Lets somebody opt in, with another telephone if they had one.
        async fn put_whatsapp_opt_in(&mut self, opt_in: &OptIn) -> Result<()> {
            sqlx::query(
                r#"
                INSERT INTO campus_whatsapp_opt_in (person_id, phone, opted_in_at, stopped_at)
                VALUES ($1, $2, $3, $4)
                ON CONFLICT (person_id) DO UPDATE
                SET phone = excluded.phone, opted_in_at = excluded.opted_in_at, stopped_at = excluded.stopped_at
                "#,
            )
            .bind(&opt_in.person_id)
            .bind(&opt_in.phone)
            .bind(opt_in.opted_in_at)
            .bind(opt_in.stopped_at)
            .execute(self)
            .await?;
            Ok(())
        }

        /// Forgets what somebody opted in with; says whether they had.
        async fn delete_whatsapp_opt_in(&mut self, person_id: &str) -> Result<bool> {
            let deleted = sqlx::query("DELETE FROM campus_whatsapp_opt_in WHERE person_id = $1")
                .bind(person_id)
                .execute(self)
                .await?;
            Ok(deleted.rows_affected() == 1)
        }

        /// Gives somebody a code instead of the one they had.
        async fn put_whatsapp_code(&mut self, person_id: &str, hash: &str, expires_at: i64) -> Result<()> {
            sqlx::query(
                r#"
                INSERT INTO campus_whatsapp_code (person_id, hash, expires_at)
                VALUES ($1, $2, $3)
                ON CONFLICT (person_id) DO UPDATE
                SET hash = excluded.hash, expires_at = excluded.expires_at
                "#,
            )
            .bind(person_id)
            .bind(hash)
            .bind(expires_at)
            .execute(self)
            .await?;
            Ok(())
        }

        /// Takes the code with this hash, if it is still good at `now`; returns whose it is.
        async fn take_whatsapp_code(&mut self, hash: &str, now: i64) -> Result<Option<String>> {
            sqlx::query_scalar("DELETE FROM campus_whatsapp_code WHERE hash = $1 AND expires_at > $2 RETURNING person_id")
                .bind(hash)
                .bind(now)
                .fetch_optional(self)
                .await
        }

        /// Takes away the code that somebody has; says whether they had one.
        async fn delete_whatsapp_code(&mut self, person_id: &str) -> Result<bool> {
            let deleted = sqlx::query("DELETE FROM campus_whatsapp_code WHERE person_id = $1").bind(person_id).execute(self).await?;
            Ok(deleted.rows_affected() == 1)
        }
    }
}

portable! {
    /// The queries of what comes in and goes out.
    pub trait WhatsAppSql {
        /// Stores a message, unless it is there already; says whether it was not.
        async fn insert_whatsapp_inbound(&mut self, message: &Inbound) -> Result<bool> {
            let inserted = sqlx::query(
                r#"
                INSERT INTO campus_whatsapp_inbound (id, phone, kind, body, received_at)
                VALUES ($1, $2, $3, $4, $5)
                ON CONFLICT DO NOTHING
                "#,
            )
            .bind(&message.id)
            .bind(&message.phone)
            .bind(&message.kind)
            .bind(&message.body)
            .bind(message.received_at)
            .execute(self)
            .await?;
            Ok(inserted.rows_affected() == 1)
        }

        /// Reads a message that is not handled yet.
        async fn whatsapp_inbound(&mut self, id: &str) -> Result<Option<Inbound>> {
            sqlx::query_as(
                "SELECT id, phone, kind, body, received_at FROM campus_whatsapp_inbound WHERE id = $1 AND handled_at IS NULL",
            )
            .bind(id)
            .fetch_optional(self)
            .await
        }

        /// Marks a message as handled and forgets what it said; says whether nobody was faster.
        async fn handle_whatsapp_inbound(&mut self, id: &str, now: i64) -> Result<bool> {
            let updated = sqlx::query(
                "UPDATE campus_whatsapp_inbound SET handled_at = $2, body = '' WHERE id = $1 AND handled_at IS NULL",
            )
            .bind(id)
            .bind(now)
            .execute(self)
            .await?;
            Ok(updated.rows_affected() == 1)
        }

        /// Reads when the newest message came from a telephone.
        async fn last_whatsapp_inbound(&mut self, phone: &str) -> Result<Option<i64>> {
            sqlx::query_scalar(
                "SELECT received_at FROM campus_whatsapp_inbound WHERE phone = $1 ORDER BY received_at DESC LIMIT 1",
            )
            .bind(phone)
            .fetch_optional(self)
            .await
        }

        /// Stores a message to be sent, unless what it replies to has its reply; says whether it had not.
        async fn insert_whatsapp_outbound(&mut self, message: &Outbound) -> Result<bool> {
            let inserted = sqlx::query(
                r#"
                INSERT INTO campus_whatsapp_outbound
                    (id, inbound_id, person_id, phone, kind, body, url, state, created_at, changed_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7, 'waiting', $8, $8)
                ON CONFLICT DO NOTHING
                "#,
            )
            .bind(&message.id)
            .bind(&message.inbound_id)
            .bind(&message.person_id)
            .bind(&message.phone)
            .bind(&message.kind)
            .bind(&message.body)
            .bind(&message.url)
            .bind(message.created_at)
            .execute(self)
            .await?;
            Ok(inserted.rows_affected() == 1)
        }

        /// Reads a message that waits to be sent.
        async fn whatsapp_outbound(&mut self, id: &str) -> Result<Option<Outbound>> {
            sqlx::query_as(
                r#"
                SELECT id, inbound_id, person_id, phone, kind, body, url, created_at
                FROM campus_whatsapp_outbound
                WHERE id = $1 AND state = 'waiting'
                "#,
            )
            .bind(id)
            .fetch_optional(self)
            .await
        }

        /// Notes what became of a message that waited to be sent, and forgets what it says.
        async fn finish_whatsapp_outbound(
            &mut self,
            id: &str,
            state: &str,
            provider_id: Option<&str>,
            problem: Option<&str>,
            now: i64
        ) -> Result<()> {
            sqlx::query(
                r#"
                UPDATE campus_whatsapp_outbound
                SET state = $2, provider_id = $3, problem = $4, changed_at = $5, body = ''
                WHERE id = $1 AND state = 'waiting'
                "#,
            )
            .bind(id)
            .bind(state)
            .bind(provider_id)
            .bind(problem)
            .bind(now)
            .execute(self)
            .await?;
            Ok(())
        }

        /// Notes how far a message has come, as the provider tells it: never back.
        async fn advance_whatsapp_outbound(&mut self, status: &Status, now: i64) -> Result<()> {
            sqlx::query(
                r#"
                UPDATE campus_whatsapp_outbound
                SET state = $3, provider_id = $1, changed_at = $4, body = ''
                WHERE (provider_id = $1 OR id = $2 AND provider_id IS NULL)
                    AND (
                        state = 'waiting'
                        OR state = 'sent' AND $3 IN ('delivered', 'read', 'failed')
                        OR state = 'delivered' AND $3 = 'read'
                    )
                "#,
            )
            .bind(&status.provider_id)
            .bind(&status.own_id)
            .bind(status.state)
            .bind(now)
            .execute(self)
            .await?;
            Ok(())
        }

        /// Forgets up to so many messages from before then; returns how many there were.
        async fn forget_whatsapp_inbound(&mut self, before: i64, limit: i64) -> Result<u64> {
            let deleted = sqlx::query(
                r#"
                DELETE FROM campus_whatsapp_inbound
                WHERE id IN (SELECT id FROM campus_whatsapp_inbound WHERE received_at < $1 LIMIT $2)
                "#,
            )
            .bind(before)
            .bind(limit)
            .execute(self)
            .await?;
            Ok(deleted.rows_affected())
        }

        /// As [`forget_whatsapp_inbound`](Self::forget_whatsapp_inbound), of what went out.
        async fn forget_whatsapp_outbound(&mut self, before: i64, limit: i64) -> Result<u64> {
            let deleted = sqlx::query(
                r#"
                DELETE FROM campus_whatsapp_outbound
                WHERE id IN (SELECT id FROM campus_whatsapp_outbound WHERE created_at < $1 LIMIT $2)
                "#,
            )
            .bind(before)
            .bind(limit)
            .execute(self)
            .await?;
            Ok(deleted.rows_affected())
        }
    }
}
