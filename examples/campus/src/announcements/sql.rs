//! Statements of the announcements.

use sqlx::Result;

use super::Announcement;
use crate::sql::portable;

/// What every statement reads of an announcement.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT news.id, news.scope, news.author_id, news.title, news.body, news.state, news.publish_at, ",
            "news.created_at, news.updated_at ",
            $rest
        )
    };
}

/// What each database has to be told in its own words.
pub trait AnnouncementLockSql: Send {
    /// Reads an announcement, and keeps others from changing it until the transaction ends.
    fn lock_announcement(&mut self, id: &str) -> impl Future<Output = Result<Option<Announcement>>> + Send;

    /// Reads what is published in any of the scopes (a JSON list of texts), newest first, before a time and an id.
    fn published(
        &mut self,
        scopes: &str,
        before: (i64, &str),
        limit: i64,
    ) -> impl Future<Output = Result<Vec<Announcement>>> + Send;
}

impl AnnouncementLockSql for sqlx::PgConnection {
    async fn lock_announcement(&mut self, id: &str) -> Result<Option<Announcement>> {
        sqlx::query_as(select!("FROM campus_announcement AS news WHERE news.id = $1 FOR UPDATE"))
            .bind(id)
            .fetch_optional(self)
            .await
    }

    async fn published(&mut self, scopes: &str, before: (i64, &str), limit: i64) -> Result<Vec<Announcement>> {
        // One walk along the index for each scope: what is published elsewhere is never read.
        sqlx::query_as(select!(
            r"
            FROM jsonb_array_elements_text($1::jsonb) AS reader (scope)
            CROSS JOIN LATERAL (
                SELECT *
                FROM campus_announcement
                WHERE campus_announcement.scope = reader.scope
                    AND state = 'published'
                    AND (publish_at, id) < ($2, $3)
                ORDER BY publish_at DESC, id DESC
                LIMIT $4
            ) AS news
            ORDER BY news.publish_at DESC, news.id DESC
            LIMIT $4
            "
        ))
        .bind(scopes)
        .bind(before.0)
        .bind(before.1)
        .bind(limit)
        .fetch_all(self)
        .await
    }
}

impl AnnouncementLockSql for sqlx::SqliteConnection {
    async fn lock_announcement(&mut self, id: &str) -> Result<Option<Announcement>> {
        // Whoever writes began with BEGIN IMMEDIATE: there is no other.
        self.announcement(id).await
    }

    async fn published(&mut self, scopes: &str, before: (i64, &str), limit: i64) -> Result<Vec<Announcement>> {
        sqlx::query_as(select!(
            r"
            FROM campus_announcement AS news
            WHERE news.scope IN (SELECT value FROM json_each($1))
                AND news.state = 'published'
                AND (news.publish_at, news.id) < ($2, $3)
            ORDER BY news.publish_at DESC, news.id DESC
            LIMIT $4
            "
        ))
        .bind(scopes)
        .bind(before.0)
        .bind(before.1)
        .bind(limit)
        .fetch_all(self)
        .await
    }
}

portable! {
    /// The queries of announcements.
    pub trait AnnouncementSql {
        /// Inserts an announcement.
        async fn insert_announcement(&mut self, news: &Announcement) -> Result<()> {
            sqlx::query(
                r#"
                INSERT INTO campus_announcement (id, scope, author_id, title, body, state, publish_at, created_at, updated_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                "#,
            )
            .bind(&news.id)
            .bind(&news.scope)
            .bind(&news.author_id)
            .bind(&news.title)
            .bind(&news.body)
            .bind(&news.state)
            .bind(news.publish_at)
            .bind(news.created_at)
            .bind(news.updated_at)
            .execute(self)
            .await?;
            Ok(())
        }

        /// Stores what an announcement says, to whom, and where it stands.
        async fn update_announcement(&mut self, news: &Announcement) -> Result<()> {
            sqlx::query(
                r#"
                UPDATE campus_announcement
                SET scope = $2, title = $3, body = $4, state = $5, publish_at = $6, updated_at = $7
                WHERE id = $1
                "#,
            )
            .bind(&news.id)
            .bind(&news.scope)
            .bind(&news.title)
            .bind(&news.body)
            .bind(&news.state)
            .bind(news.publish_at)
            .bind(news.updated_at)
            .execute(self)
            .await?;
            Ok(())
        }

        /// Reads an announcement.
        async fn announcement(&mut self, id: &str) -> Result<Option<Announcement>> {
            sqlx::query_as(select!("FROM campus_announcement AS news WHERE news.id = $1"))
                .bind(id)
                .fetch_optional(self)
                .await
        }

        /// Reads all announcements before `before`, the last written first: ids grow with time.
        async fn announcements(&mut self, before: &str, limit: i64) -> Result<Vec<Announcement>> {
            sqlx::query_as(select!("FROM campus_announcement AS news WHERE news.id < $1 ORDER BY news.id DESC LIMIT $2"))
                .bind(before)
                .bind(limit)
                .fetch_all(self)
                .await
        }
    }
}
