//! Statements of the recommender.

use sqlx::{PgConnection, Result, SqliteConnection};

use crate::sql::portable;

portable! {
    /// The queries of the recommender.
    pub trait RecommenderSql {
        /// Notes that somebody did something with a document; the last time counts.
        async fn upsert_taste(&mut self, person_id: &str, surface: &str, entity_id: &str, acted_at: i64) -> Result<()> {
            sqlx::query(
                r#"
                INSERT INTO campus_taste AS taste (person_id, surface, entity_id, acted_at)
                VALUES ($1, $2, $3, $4)
                ON CONFLICT (person_id, surface, entity_id) DO UPDATE
                SET acted_at = excluded.acted_at
                WHERE taste.acted_at < excluded.acted_at
                "#,
            )
            .bind(person_id)
            .bind(surface)
            .bind(entity_id)
            .bind(acted_at)
            .execute(self)
            .await?;
            Ok(())
        }

        /// Reads what somebody did something with lately, the last first.
        async fn tastes(&mut self, person_id: &str, limit: i64) -> Result<Vec<(String, String)>> {
            sqlx::query_as(
                r#"
                SELECT surface, entity_id
                FROM campus_taste
                WHERE person_id = $1
                ORDER BY acted_at DESC, surface, entity_id
                LIMIT $2
                "#,
            )
            .bind(person_id)
            .bind(limit)
            .fetch_all(self)
            .await
        }

        /// Reads what the last `peers` who did something with a document also did something with, and how many of them.
        async fn neighbours(&mut self, surface: &str, entity_id: &str, peers: i64, limit: i64) -> Result<Vec<(String, String, i64)>> {
            sqlx::query_as(
                r#"
                SELECT theirs.surface, theirs.entity_id, count(*)
                FROM (
                    SELECT person_id
                    FROM campus_taste
                    WHERE surface = $1 AND entity_id = $2
                    ORDER BY acted_at DESC, person_id DESC
                    LIMIT $3
                ) AS peer
                JOIN campus_taste AS theirs ON theirs.person_id = peer.person_id
                WHERE theirs.surface <> $1 OR theirs.entity_id <> $2
                GROUP BY theirs.surface, theirs.entity_id
                ORDER BY 3 DESC, 1, 2
                LIMIT $4
                "#,
            )
            .bind(surface)
            .bind(entity_id)
            .bind(peers)
            .bind(limit)
            .fetch_all(self)
            .await
        }

        /// Reads people above `above` who did something since.
        async fn active_people(&mut self, above: &str, since: i64, limit: i64) -> Result<Vec<String>> {
            sqlx::query_scalar(
                r#"
                SELECT DISTINCT person_id
                FROM campus_taste
                WHERE person_id > $1 AND acted_at > $2
                ORDER BY person_id
                LIMIT $3
                "#,
            )
            .bind(above)
            .bind(since)
            .bind(limit)
            .fetch_all(self)
            .await
        }

        /// Forgets up to `limit` of what people did before, and says how much.
        async fn forget_tastes(&mut self, before: i64, limit: i64) -> Result<u64> {
            let forgotten = sqlx::query(
                r#"
                DELETE FROM campus_taste
                WHERE (person_id, surface, entity_id) IN (
                    SELECT person_id, surface, entity_id
                    FROM campus_taste
                    WHERE acted_at < $1
                    ORDER BY acted_at
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

        /// Reads whose turn it is, above `above`.
        async fn due(&mut self, above: &str, limit: i64) -> Result<Vec<String>> {
            sqlx::query_scalar("SELECT person_id FROM campus_recommend_due WHERE person_id > $1 ORDER BY person_id LIMIT $2")
                .bind(above)
                .bind(limit)
                .fetch_all(self)
                .await
        }

        /// Notes that somebody's candidates were made.
        async fn delete_due(&mut self, person_id: &str) -> Result<()> {
            sqlx::query("DELETE FROM campus_recommend_due WHERE person_id = $1").bind(person_id).execute(self).await?;
            Ok(())
        }

        /// Reads the title and the address of a document. The search crate hands them out with hits only; whoever asks has checked
        /// that the viewer may see it.
        async fn titled(&mut self, surface: &str, entity_id: &str) -> Result<Option<(String, Option<String>)>> {
            sqlx::query_as("SELECT title, url FROM search_document WHERE surface = $1 AND entity_id = $2")
                .bind(surface)
                .bind(entity_id)
                .fetch_optional(self)
                .await
        }

        /// Records a fact about this database that changes.
        async fn put_meta(&mut self, name: &str, value: &str) -> Result<()> {
            sqlx::query(
                "INSERT INTO campus_meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            )
            .bind(name)
            .bind(value)
            .execute(self)
            .await?;
            Ok(())
        }
    }
}

/// The one query that the databases write differently.
pub trait DueSql: Send {
    /// Notes that it is these people's turn.
    fn insert_due(&mut self, people: &[String]) -> impl Future<Output = Result<()>> + Send;
}

impl DueSql for PgConnection {
    async fn insert_due(&mut self, people: &[String]) -> Result<()> {
        sqlx::query("INSERT INTO campus_recommend_due (person_id) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING")
            .bind(people)
            .execute(self)
            .await?;
        Ok(())
    }
}

impl DueSql for SqliteConnection {
    async fn insert_due(&mut self, people: &[String]) -> Result<()> {
        let people = serde_json::Value::from(people).to_string();
        // Without the WHERE, SQLite takes ON for that of a join.
        sqlx::query("INSERT INTO campus_recommend_due (person_id) SELECT value FROM json_each($1) WHERE true ON CONFLICT DO NOTHING")
            .bind(people)
            .execute(self)
            .await?;
        Ok(())
    }
}
