//! Statements of the marketplace.

use sqlx::{PgConnection, Result, SqliteConnection};

use super::Partner;
use super::deals::Deal;
use super::redemption::Redemption;
use crate::sql::portable;

portable! {
    /// The queries of partners, deals and redemptions.
    pub trait MarketplaceSql {
        /// Inserts a partner.
        async fn insert_partner(&mut self, partner: &Partner) -> Result<()> {
            sqlx::query("INSERT INTO campus_partner (id, name, description, created_at) VALUES ($1, $2, $3, $4)")
                .bind(&partner.id)
                .bind(&partner.name)
                .bind(&partner.description)
                .bind(partner.created_at)
                .execute(self)
                .await?;
            Ok(())
        }

        /// Reads a partner.
        async fn partner(&mut self, id: &str) -> Result<Option<Partner>> {
            sqlx::query_as("SELECT id, name, description, created_at FROM campus_partner WHERE id = $1")
                .bind(id)
                .fetch_optional(self)
                .await
        }

        /// Reads the newest partners before `before`.
        async fn partners(&mut self, before: Option<&str>, limit: i64) -> Result<Vec<Partner>> {
            sqlx::query_as(
                "SELECT id, name, description, created_at FROM campus_partner WHERE id < $1 ORDER BY id DESC LIMIT $2",
            )
            // Every id is made of digits, letters and hyphens, all of them less than a tilde.
            .bind(before.unwrap_or("~"))
            .bind(limit)
            .fetch_all(self)
            .await
        }

        /// Inserts a deal.
        async fn insert_deal(&mut self, deal: &Deal) -> Result<()> {
            sqlx::query(
                r#"
                INSERT INTO campus_deal
                    (id, partner_id, title, body, audience, state, starts_at, ends_at, redemption_limit, redeemed, created_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
                "#,
            )
            .bind(&deal.id)
            .bind(&deal.partner_id)
            .bind(&deal.title)
            .bind(&deal.body)
            .bind(&deal.audience)
            .bind(&deal.state)
            .bind(deal.starts_at)
            .bind(deal.ends_at)
            .bind(deal.redemption_limit)
            .bind(deal.redeemed)
            .bind(deal.created_at)
            .execute(self)
            .await?;
            Ok(())
        }

        /// Reads a deal.
        async fn deal(&mut self, id: &str) -> Result<Option<Deal>> {
            sqlx::query_as(
                r#"
                SELECT id, partner_id, title, body, audience, state, starts_at, ends_at, redemption_limit, redeemed, created_at
                FROM campus_deal
                WHERE id = $1
                "#,
            )
            .bind(id)
            .fetch_optional(self)
            .await
        }

        /// Moves a deal on, if it is still in that state; says whether it was.
        async fn move_deal(&mut self, id: &str, from: &str, to: &str) -> Result<bool> {
            let updated = sqlx::query("UPDATE campus_deal SET state = $3 WHERE id = $1 AND state = $2")
                .bind(id)
                .bind(from)
                .bind(to)
                .execute(self)
                .await?;
            Ok(updated.rows_affected() == 1)
        }

        /// Lists a deal for an audience.
        async fn list_deal(&mut self, tag: &str, id: &str) -> Result<()> {
            sqlx::query("INSERT INTO campus_deal_listing (tag, deal_id) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                .bind(tag)
                .bind(id)
                .execute(self)
                .await?;
            Ok(())
        }

        /// Takes a deal off every list.
        async fn unlist_deal(&mut self, id: &str) -> Result<()> {
            sqlx::query("DELETE FROM campus_deal_listing WHERE deal_id = $1").bind(id).execute(self).await?;
            Ok(())
        }

        /// Reads the newest published deals before `before` for an audience that are not over at `now`.
        async fn deals_for(&mut self, tag: &str, before: Option<&str>, now: i64, limit: i64) -> Result<Vec<Deal>> {
            sqlx::query_as(
                r#"
                SELECT deal.id, deal.partner_id, deal.title, deal.body, deal.audience, deal.state, deal.starts_at, deal.ends_at,
                    deal.redemption_limit, deal.redeemed, deal.created_at
                FROM campus_deal_listing AS listing
                JOIN campus_deal AS deal ON deal.id = listing.deal_id
                WHERE listing.tag = $1 AND listing.deal_id < $2 AND deal.ends_at > $3
                ORDER BY listing.deal_id DESC
                LIMIT $4
                "#,
            )
            .bind(tag)
            .bind(before.unwrap_or("~"))
            .bind(now)
            .bind(limit)
            .fetch_all(self)
            .await
        }

        /// Reads the newest deals of a partner before `before`.
        async fn deals_of(&mut self, partner_id: &str, before: Option<&str>, limit: i64) -> Result<Vec<Deal>> {
            sqlx::query_as(
                r#"
                SELECT id, partner_id, title, body, audience, state, starts_at, ends_at, redemption_limit, redeemed, created_at
                FROM campus_deal
                WHERE partner_id = $1 AND id < $2
                ORDER BY id DESC
                LIMIT $3
                "#,
            )
            .bind(partner_id)
            .bind(before.unwrap_or("~"))
            .bind(limit)
            .fetch_all(self)
            .await
        }

        /// Expires up to `limit` published deals that are over at `now`, and returns them.
        ///
        /// Two at once find the same deals; the second waits, sees that they are no longer published, and passes over them.
        async fn expire_deals(&mut self, now: i64, limit: i64) -> Result<Vec<Deal>> {
            sqlx::query_as(
                r#"
                UPDATE campus_deal
                SET state = 'expired'
                WHERE state = 'published' AND id IN (
                    SELECT id
                    FROM campus_deal
                    WHERE state = 'published' AND ends_at <= $1
                    ORDER BY ends_at, id
                    LIMIT $2
                )
                RETURNING id, partner_id, title, body, audience, state, starts_at, ends_at, redemption_limit, redeemed, created_at
                "#,
            )
            .bind(now)
            .bind(limit)
            .fetch_all(self)
            .await
        }

        /// Says whether there is a published deal that is over at `now`.
        async fn is_any_due(&mut self, now: i64) -> Result<bool> {
            sqlx::query_scalar(
                "SELECT EXISTS (SELECT 1 FROM campus_deal WHERE state = 'published' AND ends_at <= $1)",
            )
            .bind(now)
            .fetch_one(self)
            .await
        }

        /// Inserts a redemption, unless the person has one of this deal, or the code exists; says whether it did.
        async fn insert_redemption(&mut self, redemption: &Redemption) -> Result<bool> {
            let inserted = sqlx::query(
                r#"
                INSERT INTO campus_redemption (code, deal_id, person_id, redeemed_at)
                VALUES ($1, $2, $3, $4)
                ON CONFLICT DO NOTHING
                "#,
            )
            .bind(&redemption.code)
            .bind(&redemption.deal_id)
            .bind(&redemption.person_id)
            .bind(redemption.redeemed_at)
            .execute(self)
            .await?;
            Ok(inserted.rows_affected() == 1)
        }

        /// Counts a redemption of a published deal in its time, unless none is left; says whether it did.
        async fn count_redemption(&mut self, id: &str, now: i64) -> Result<bool> {
            let updated = sqlx::query(
                r#"
                UPDATE campus_deal
                SET redeemed = redeemed + 1
                WHERE id = $1 AND state = 'published' AND starts_at <= $2 AND ends_at > $2 AND redeemed < redemption_limit
                "#,
            )
            .bind(id)
            .bind(now)
            .execute(self)
            .await?;
            Ok(updated.rows_affected() == 1)
        }

        /// Reads somebody's redemption of a deal.
        async fn redemption_of(&mut self, person_id: &str, deal_id: &str) -> Result<Option<Redemption>> {
            sqlx::query_as(
                r#"
                SELECT code, deal_id, person_id, redeemed_at, verified_at
                FROM campus_redemption
                WHERE person_id = $1 AND deal_id = $2
                "#,
            )
            .bind(person_id)
            .bind(deal_id)
            .fetch_optional(self)
            .await
        }

        /// Reads somebody's redemptions, of the newest deals before `before`.
        async fn redemptions_of(&mut self, person_id: &str, before: Option<&str>, limit: i64) -> Result<Vec<Redemption>> {
            sqlx::query_as(
                r#"
                SELECT code, deal_id, person_id, redeemed_at, verified_at
                FROM campus_redemption
                WHERE person_id = $1 AND deal_id < $2
                ORDER BY deal_id DESC
                LIMIT $3
                "#,
            )
            .bind(person_id)
            .bind(before.unwrap_or("~"))
            .bind(limit)
            .fetch_all(self)
            .await
        }

        /// Reads a redemption of a partner's deal by its code.
        async fn redemption(&mut self, code: &str, partner_id: &str) -> Result<Option<Redemption>> {
            sqlx::query_as(
                r#"
                SELECT redemption.code, redemption.deal_id, redemption.person_id, redemption.redeemed_at, redemption.verified_at
                FROM campus_redemption AS redemption
                JOIN campus_deal AS deal ON deal.id = redemption.deal_id
                WHERE redemption.code = $1 AND deal.partner_id = $2
                "#,
            )
            .bind(code)
            .bind(partner_id)
            .fetch_optional(self)
            .await
        }

        /// Takes a code; says whether it was not taken before.
        async fn verify_redemption(&mut self, code: &str, verified_at: i64) -> Result<bool> {
            let updated = sqlx::query(
                "UPDATE campus_redemption SET verified_at = $2 WHERE code = $1 AND verified_at IS NULL",
            )
            .bind(code)
            .bind(verified_at)
            .execute(self)
            .await?;
            Ok(updated.rows_affected() == 1)
        }
    }
}

/// What takes a list, and so a statement for each database.
pub trait UnlistSql: Send {
    /// Takes deals off every list.
    fn unlist_deals(&mut self, ids: &[&str]) -> impl Future<Output = Result<()>> + Send;
}

impl UnlistSql for PgConnection {
    async fn unlist_deals(&mut self, ids: &[&str]) -> Result<()> {
        sqlx::query("DELETE FROM campus_deal_listing WHERE deal_id = ANY ($1)").bind(ids).execute(self).await?;
        Ok(())
    }
}

impl UnlistSql for SqliteConnection {
    async fn unlist_deals(&mut self, ids: &[&str]) -> Result<()> {
        sqlx::query("DELETE FROM campus_deal_listing WHERE deal_id IN (SELECT value FROM json_each($1))")
            .bind(serde_json::json!(ids).to_string())
            .execute(self)
            .await?;
        Ok(())
    }
}
