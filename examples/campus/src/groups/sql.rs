//! Statements of the groups.

use serde::Serialize;
use sqlx::Result;

use super::Group;
use super::posts::Post;
use crate::bulk::Bulk;
use crate::sql::portable;

/// Somebody who is told of a post, as a statement for many takes it.
#[derive(Serialize)]
pub(super) struct Notification<'a> {
    pub(super) person_id: &'a str,
    pub(super) post_id: &'a str,
    pub(super) created_at: i64,
}

/// Tells people of a post; telling again changes nothing.
pub(super) const NOTIFICATIONS: Bulk = Bulk {
    postgres: r#"
        INSERT INTO campus_notification (person_id, post_id, created_at)
        SELECT person_id, post_id, created_at
        FROM json_to_recordset($1::json) AS row (person_id text, post_id text, created_at bigint)
        ON CONFLICT DO NOTHING
    "#,
    sqlite: r#"
        INSERT INTO campus_notification (person_id, post_id, created_at)
        SELECT value ->> 'person_id', value ->> 'post_id', value ->> 'created_at'
        FROM json_each($1)
        WHERE true
        ON CONFLICT DO NOTHING
    "#,
};

portable! {
    /// The queries of groups and their posts.
    pub trait GroupSql {
        /// Inserts a group; says whether its id was free.
        async fn insert_group(&mut self, group: &Group) -> Result<bool> {
            let inserted = sqlx::query(
                r#"
                INSERT INTO campus_group (id, kind, name, description, place)
                VALUES ($1, $2, $3, $4, $5)
                ON CONFLICT DO NOTHING
                "#,
            )
            .bind(&group.id)
            .bind(group.kind.as_str())
            .bind(&group.name)
            .bind(&group.description)
            .bind(&group.place)
            .execute(self)
            .await?;
            Ok(inserted.rows_affected() == 1)
        }

        /// Changes what a group says about itself.
        async fn update_group(&mut self, group: &Group) -> Result<()> {
            sqlx::query("UPDATE campus_group SET name = $2, description = $3, place = $4 WHERE id = $1")
                .bind(&group.id)
                .bind(&group.name)
                .bind(&group.description)
                .bind(&group.place)
                .execute(self)
                .await?;
            Ok(())
        }

        /// Reads a group and holds its row, so that nobody changes it before the transaction ends.
        async fn lock_group(&mut self, id: &str) -> Result<Option<Group>> {
            sqlx::query_as("UPDATE campus_group SET name = name WHERE id = $1 RETURNING id, kind, name, description, place")
                .bind(id)
                .fetch_optional(self)
                .await
        }

        /// Reads a group.
        async fn group(&mut self, id: &str) -> Result<Option<Group>> {
            sqlx::query_as("SELECT id, kind, name, description, place FROM campus_group WHERE id = $1")
                .bind(id)
                .fetch_optional(self)
                .await
        }

        /// Reads the groups by name, after this name and id.
        async fn groups(&mut self, name: &str, id: &str, limit: i64) -> Result<Vec<Group>> {
            sqlx::query_as(
                r#"
                SELECT id, kind, name, description, place
                FROM campus_group
                WHERE (name, id) > ($1, $2)
                ORDER BY name, id
                LIMIT $3
                "#,
            )
            .bind(name)
            .bind(id)
            .bind(limit)
            .fetch_all(self)
            .await
        }

        /// Reads the groups of a kind by name, after this name and id.
        async fn groups_of_kind(&mut self, kind: &str, name: &str, id: &str, limit: i64) -> Result<Vec<Group>> {
            sqlx::query_as(
                r#"
                SELECT id, kind, name, description, place
                FROM campus_group
                WHERE kind = $1 AND (name, id) > ($2, $3)
                ORDER BY name, id
                LIMIT $4
                "#,
            )
            .bind(kind)
            .bind(name)
            .bind(id)
            .bind(limit)
            .fetch_all(self)
            .await
        }

        /// Inserts a post.
        async fn insert_post(&mut self, post: &Post) -> Result<()> {
            sqlx::query(
                r#"
                INSERT INTO campus_post (id, group_id, author_id, title, body, created_at)
                VALUES ($1, $2, $3, $4, $5, $6)
                "#,
            )
            .bind(&post.id)
            .bind(&post.group_id)
            .bind(&post.author_id)
            .bind(&post.title)
            .bind(&post.body)
            .bind(post.created_at)
            .execute(self)
            .await?;
            Ok(())
        }

        /// Changes what a post says.
        async fn update_post(&mut self, post: &Post) -> Result<()> {
            sqlx::query("UPDATE campus_post SET title = $2, body = $3, edited_at = $4 WHERE id = $1")
                .bind(&post.id)
                .bind(&post.title)
                .bind(&post.body)
                .bind(post.edited_at)
                .execute(self)
                .await?;
            Ok(())
        }

        /// Deletes a post; says whether there was one. What people were told of it stays, and leads nowhere.
        async fn delete_post(&mut self, id: &str) -> Result<bool> {
            let deleted = sqlx::query("DELETE FROM campus_post WHERE id = $1").bind(id).execute(self).await?;
            Ok(deleted.rows_affected() == 1)
        }

        /// Reads a post.
        async fn post(&mut self, id: &str) -> Result<Option<Post>> {
            sqlx::query_as(
                r#"
                SELECT post.id, post.group_id, team.kind AS group_kind, post.author_id,
                    post.title, post.body, post.created_at, post.edited_at
                FROM campus_post AS post
                JOIN campus_group AS team ON team.id = post.group_id
                WHERE post.id = $1
                "#,
            )
            .bind(id)
            .fetch_optional(self)
            .await
        }

        /// Reads a post and holds its row, so that nobody changes it before the transaction ends.
        async fn lock_post(&mut self, id: &str) -> Result<Option<Post>> {
            sqlx::query_as(
                r#"
                UPDATE campus_post
                SET title = title
                WHERE id = $1
                RETURNING id, group_id,
                    (SELECT kind FROM campus_group WHERE campus_group.id = campus_post.group_id) AS group_kind, author_id,
                    title, body, created_at, edited_at
                "#,
            )
            .bind(id)
            .fetch_optional(self)
            .await
        }

        /// Reads the newest posts of a group before `before`: ids grow with time.
        async fn posts(&mut self, group_id: &str, before: Option<&str>, limit: i64) -> Result<Vec<Post>> {
            sqlx::query_as(
                r#"
                SELECT post.id, post.group_id, team.kind AS group_kind, post.author_id,
                    post.title, post.body, post.created_at, post.edited_at
                FROM campus_post AS post
                JOIN campus_group AS team ON team.id = post.group_id
                WHERE post.group_id = $1 AND post.id < $2
                ORDER BY post.id DESC
                LIMIT $3
                "#,
            )
            .bind(group_id)
            // Every id is made of digits, letters and hyphens, all of them less than a tilde.
            .bind(before.unwrap_or("~"))
            .bind(limit)
            .fetch_all(self)
            .await
        }
    }
}
