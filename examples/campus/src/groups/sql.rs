//! Statements of the groups.

use sqlx::Result;

use super::Group;
use super::posts::Post;
use crate::sql::portable;

portable! {
    /// The queries of groups, their posts, and what people were told of.
    pub trait GroupSql {
        /// Inserts a group.
        async fn insert_group(&mut self, group: &Group) -> Result<()> {
            sqlx::query("INSERT INTO campus_group (id, name, description) VALUES ($1, $2, $3)")
                .bind(&group.id)
                .bind(&group.name)
                .bind(&group.description)
                .execute(self)
                .await?;
            Ok(())
        }

        /// Reads a group.
        async fn group(&mut self, id: &str) -> Result<Option<Group>> {
            sqlx::query_as("SELECT id, name, description FROM campus_group WHERE id = $1").bind(id).fetch_optional(self).await
        }

        /// Reads the groups by name.
        async fn groups(&mut self) -> Result<Vec<Group>> {
            sqlx::query_as("SELECT id, name, description FROM campus_group ORDER BY name, id").fetch_all(self).await
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

        /// Reads a post.
        async fn post(&mut self, id: &str) -> Result<Option<Post>> {
            sqlx::query_as("SELECT id, group_id, author_id, title, body, created_at FROM campus_post WHERE id = $1")
                .bind(id)
                .fetch_optional(self)
                .await
        }

        /// Reads the newest posts of a group before `before`: ids grow with time.
        async fn posts(&mut self, group_id: &str, before: Option<&str>, limit: i64) -> Result<Vec<Post>> {
            sqlx::query_as(
                r#"
                SELECT id, group_id, author_id, title, body, created_at
                FROM campus_post
                WHERE group_id = $1 AND id < $2
                ORDER BY id DESC
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

        /// Tells somebody of a post; telling again changes nothing.
        async fn insert_notification(&mut self, person_id: &str, post_id: &str, created_at: i64) -> Result<()> {
            sqlx::query(
                r#"
                INSERT INTO campus_notification (person_id, post_id, created_at)
                VALUES ($1, $2, $3)
                ON CONFLICT DO NOTHING
                "#,
            )
            .bind(person_id)
            .bind(post_id)
            .bind(created_at)
            .execute(self)
            .await?;
            Ok(())
        }

        /// Reads the newest posts somebody was told of.
        async fn notified_posts(&mut self, person_id: &str, limit: i64) -> Result<Vec<Post>> {
            sqlx::query_as(
                r#"
                SELECT post.id, post.group_id, post.author_id, post.title, post.body, post.created_at
                FROM campus_notification AS notification
                JOIN campus_post AS post ON post.id = notification.post_id
                WHERE notification.person_id = $1
                ORDER BY notification.post_id DESC
                LIMIT $2
                "#,
            )
            .bind(person_id)
            .bind(limit)
            .fetch_all(self)
            .await
        }
    }
}
