//! The host's own SQL, written once for both databases.
//!
//! The statements of a host are plain enough to read the same everywhere as long as times are integers; what is not (locks,
//! upserts with a twist, search) lives in the crates. So `portable!` takes one body for each query and emits it for
//! `PgConnection` and for `SqliteConnection`, where sqlx checks the types of each.

use sqlx::Result;

use crate::model::{Document, Group, Person, Post};

/// Emits a trait, and one implementation of it for each database from the same bodies.
macro_rules! portable {
    (
        $(#[$trait_doc:meta])*
        pub trait $name:ident {
            $( $(#[$doc:meta])* async fn $function:ident(&mut $self:ident $(, $argument:ident: $type:ty)*) -> $output:ty $body:block )*
        }
    ) => {
        $(#[$trait_doc])*
        pub trait $name: Send {
            $( $(#[$doc])* fn $function(&mut self $(, $argument: $type)*) -> impl Future<Output = $output> + Send; )*
        }
        impl $name for sqlx::PgConnection {
            $( async fn $function(&mut $self $(, $argument: $type)*) -> $output $body )*
        }
        impl $name for sqlx::SqliteConnection {
            $( async fn $function(&mut $self $(, $argument: $type)*) -> $output $body )*
        }
    };
}

portable! {
    /// The queries of campus.
    pub trait Sql {
        /// Inserts a person.
        async fn insert_person(&mut self, person: &Person) -> Result<()> {
            sqlx::query("INSERT INTO campus_person (id, name, headline) VALUES ($1, $2, $3)")
                .bind(&person.id)
                .bind(&person.name)
                .bind(&person.headline)
                .execute(self)
                .await?;
            Ok(())
        }

        /// Reads a person.
        async fn person(&mut self, id: &str) -> Result<Option<Person>> {
            sqlx::query_as("SELECT id, name, headline FROM campus_person WHERE id = $1").bind(id).fetch_optional(self).await
        }

        /// Reads the first people by name.
        async fn people(&mut self, limit: i64) -> Result<Vec<Person>> {
            sqlx::query_as("SELECT id, name, headline FROM campus_person ORDER BY name, id LIMIT $1")
                .bind(limit)
                .fetch_all(self)
                .await
        }

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

        /// Inserts an imported document, or replaces it.
        async fn upsert_document(&mut self, document: &Document) -> Result<()> {
            sqlx::query(
                r#"
                INSERT INTO campus_document (surface, id, title, body)
                VALUES ($1, $2, $3, $4)
                ON CONFLICT (surface, id) DO UPDATE
                SET title = excluded.title, body = excluded.body
                "#,
            )
            .bind(&document.surface)
            .bind(&document.id)
            .bind(&document.title)
            .bind(&document.body)
            .execute(self)
            .await?;
            Ok(())
        }

        /// Reads an imported document.
        async fn document(&mut self, surface: &str, id: &str) -> Result<Option<Document>> {
            sqlx::query_as("SELECT surface, id, title, body FROM campus_document WHERE surface = $1 AND id = $2")
                .bind(surface)
                .bind(id)
                .fetch_optional(self)
                .await
        }

        /// Records a fact about this database, unless it is known; says whether it was not.
        async fn insert_meta(&mut self, name: &str, value: &str) -> Result<bool> {
            let inserted = sqlx::query("INSERT INTO campus_meta (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                .bind(name)
                .bind(value)
                .execute(self)
                .await?;
            Ok(inserted.rows_affected() == 1)
        }

        /// Says whether there is neither anything of campus nor a membership of anything.
        async fn is_empty(&mut self) -> Result<bool> {
            sqlx::query_scalar(
                r#"
                SELECT NOT EXISTS (SELECT 1 FROM campus_person)
                    AND NOT EXISTS (SELECT 1 FROM campus_group)
                    AND NOT EXISTS (SELECT 1 FROM campus_document)
                    AND NOT EXISTS (SELECT 1 FROM memberships_membership)
                "#,
            )
            .fetch_one(self)
            .await
        }

        /// Reads a fact about this database.
        async fn meta(&mut self, name: &str) -> Result<Option<String>> {
            sqlx::query_scalar("SELECT value FROM campus_meta WHERE name = $1").bind(name).fetch_optional(self).await
        }
    }
}
