//! Statements of the feed. What reads the newest of many groups differs between the databases.

use sqlx::{PgConnection, Result, SqliteConnection};

use super::Item;

/// The queries of the feed.
pub trait FeedSql: Send {
    /// Reads the newest posts before `before` of the groups, which are named by their kinds and ids.
    ///
    /// Of each group no more than `limit` entries of its index are read, however many posts there are.
    fn feed(
        &mut self,
        kinds: &[&str],
        ids: &[&str],
        before: &str,
        limit: i64,
    ) -> impl Future<Output = Result<Vec<Item>>> + Send;
}

impl FeedSql for PgConnection {
    async fn feed(&mut self, kinds: &[&str], ids: &[&str], before: &str, limit: i64) -> Result<Vec<Item>> {
        sqlx::query_as(
            r#"
            SELECT newest.id, newest.group_id, team.kind AS group_kind, newest.author_id, newest.title, newest.body,
                newest.created_at, newest.edited_at, team.name AS group_name,
                coalesce((SELECT name FROM campus_person WHERE id = newest.author_id), 'somebody') AS author_name
            FROM unnest($1::text[], $2::text[]) AS scope (kind, id)
            JOIN campus_group AS team ON team.id = scope.id AND team.kind = scope.kind
            CROSS JOIN LATERAL (
                SELECT *
                FROM campus_post AS post
                WHERE post.group_id = team.id AND post.id < $3
                ORDER BY post.id DESC
                LIMIT $4
            ) AS newest
            ORDER BY newest.id DESC
            LIMIT $4
            "#,
        )
        .bind(kinds)
        .bind(ids)
        .bind(before)
        .bind(limit)
        .fetch_all(self)
        .await
    }
}

impl FeedSql for SqliteConnection {
    async fn feed(&mut self, kinds: &[&str], ids: &[&str], before: &str, limit: i64) -> Result<Vec<Item>> {
        let scopes: Vec<_> = kinds.iter().zip(ids).collect();
        sqlx::query_as(
            // CROSS JOIN keeps the order: the groups first, then the newest posts of each.
            r#"
            SELECT post.id, post.group_id, team.kind AS group_kind, post.author_id, post.title, post.body,
                post.created_at, post.edited_at, team.name AS group_name,
                coalesce((SELECT name FROM campus_person WHERE id = post.author_id), 'somebody') AS author_name
            FROM json_each($1) AS scope
            CROSS JOIN campus_group AS team ON team.id = scope.value ->> 1 AND team.kind = scope.value ->> 0
            CROSS JOIN campus_post AS post ON post.id IN (
                SELECT inner_post.id
                FROM campus_post AS inner_post
                WHERE inner_post.group_id = team.id AND inner_post.id < $2
                ORDER BY inner_post.id DESC
                LIMIT $3
            )
            ORDER BY post.id DESC
            LIMIT $3
            "#,
        )
        .bind(serde_json::to_string(&scopes).map_err(|error| sqlx::Error::Encode(error.into()))?)
        .bind(before)
        .bind(limit)
        .fetch_all(self)
        .await
    }
}
