//! Statements of the staff's pages.

use sqlx::{PgConnection, Result, SqliteConnection};

/// One statement for both. It reads the search crate's table, which has no verb for it: one descent for the name, and a bounded walk.
macro_rules! documents_above {
    ($conn:expr, $above:expr, $bound:expr) => {
        sqlx::query_as(
            r#"
            SELECT
                surface,
                (
                    SELECT count(*)
                    FROM (
                        SELECT 1
                        FROM search_document AS one
                        WHERE one.surface = next.surface
                        LIMIT $2
                    ) AS bounded
                )
            FROM (
                SELECT surface
                FROM search_document
                WHERE surface > $1
                ORDER BY surface
                LIMIT 1
            ) AS next
            "#,
        )
        .bind($above)
        .bind($bound)
        .fetch_optional($conn)
        .await
    };
}

/// The queries of the staff's pages.
pub trait AdminSql: Send {
    /// A number that another one follows when the open transaction writes.
    fn written(&mut self) -> impl Future<Output = Result<i64>> + Send;

    /// The smallest surface above `above` that has documents, and how many it has, counted up to `bound`.
    fn documents_above(
        &mut self,
        above: &str,
        bound: i64,
    ) -> impl Future<Output = Result<Option<(String, i64)>>> + Send;
}

impl AdminSql for PgConnection {
    async fn written(&mut self) -> Result<i64> {
        // A transaction has a number from its first write on.
        sqlx::query_scalar("SELECT CASE WHEN pg_current_xact_id_if_assigned() IS NULL THEN 0 ELSE 1 END::bigint")
            .fetch_one(self)
            .await
    }

    async fn documents_above(&mut self, above: &str, bound: i64) -> Result<Option<(String, i64)>> {
        documents_above!(self, above, bound)
    }
}

impl AdminSql for SqliteConnection {
    async fn written(&mut self) -> Result<i64> {
        sqlx::query_scalar("SELECT total_changes()").fetch_one(self).await
    }

    async fn documents_above(&mut self, above: &str, bound: i64) -> Result<Option<(String, i64)>> {
        documents_above!(self, above, bound)
    }
}
