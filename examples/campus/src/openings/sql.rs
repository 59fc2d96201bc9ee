//! Statements of the jobs board. What reads the newest of many audiences differs between the databases.

use sqlx::{PgConnection, Result, SqliteConnection};

use super::{Opening, place_key};
use crate::sql::portable;

/// Which openings.
#[derive(Debug)]
pub struct Listing {
    /// For whom: their tags.
    pub audience: Vec<String>,
    /// With ids before this one.
    pub before: String,
    /// Open at this moment, in microseconds since 1970.
    pub now: i64,
    /// There, in lower case; empty: anywhere.
    pub place: String,
    /// Only those that can be done from anywhere.
    pub is_remote: bool,
    /// How many.
    pub limit: i64,
}

/// The query of the jobs board.
pub trait BoardSql: Send {
    /// Reads the newest openings. Of each audience only those that nobody has closed yet are looked at: their index holds no others.
    fn openings(&mut self, listing: &Listing) -> impl Future<Output = Result<Vec<Opening>>> + Send;
}

impl BoardSql for PgConnection {
    async fn openings(&mut self, listing: &Listing) -> Result<Vec<Opening>> {
        sqlx::query_as(
            r#"
            SELECT newest.*
            FROM unnest($1::text[]) AS scope (tag)
            CROSS JOIN LATERAL (
                SELECT id, author_id, audience, title, employer, place, is_remote, body, url, created_at, closes_at, closed_at
                FROM campus_opening
                WHERE audience = scope.tag
                    AND closed_at IS NULL
                    AND id < $2
                    AND closes_at > $3
                    AND ($4 = '' OR place_key = $4)
                    AND (is_remote OR NOT $5)
                ORDER BY id DESC
                LIMIT $6
            ) AS newest
            ORDER BY newest.id DESC
            LIMIT $6
            "#,
        )
        .bind(&listing.audience)
        .bind(&listing.before)
        .bind(listing.now)
        .bind(&listing.place)
        .bind(listing.is_remote)
        .bind(listing.limit)
        .fetch_all(self)
        .await
    }
}

impl BoardSql for SqliteConnection {
    async fn openings(&mut self, listing: &Listing) -> Result<Vec<Opening>> {
        sqlx::query_as(
            // CROSS JOIN keeps the order: the audiences first, then the newest openings of each.
            r#"
            SELECT opening.id, author_id, audience, title, employer, place, is_remote, body, url, created_at, closes_at, closed_at
            FROM json_each($1) AS scope
            CROSS JOIN campus_opening AS opening ON opening.id IN (
                SELECT id
                FROM campus_opening
                WHERE audience = scope.value
                    AND closed_at IS NULL
                    AND id < $2
                    AND closes_at > $3
                    AND ($4 = '' OR place_key = $4)
                    AND (is_remote OR NOT $5)
                ORDER BY id DESC
                LIMIT $6
            )
            ORDER BY opening.id DESC
            LIMIT $6
            "#,
        )
        .bind(serde_json::to_string(&listing.audience).map_err(|error| sqlx::Error::Encode(error.into()))?)
        .bind(&listing.before)
        .bind(listing.now)
        .bind(&listing.place)
        .bind(listing.is_remote)
        .bind(listing.limit)
        .fetch_all(self)
        .await
    }
}

portable! {
    /// The statements about one opening, and about those past their day.
    pub trait OpeningSql {
        /// Inserts an opening.
        async fn insert_opening(&mut self, opening: &Opening) -> Result<()> {
            sqlx::query(
                r#"
                INSERT INTO campus_opening (id, author_id, audience, title, employer, place, place_key, is_remote, body, url,
                    created_at, closes_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
                "#,
            )
            .bind(&opening.id)
            .bind(&opening.author_id)
            .bind(&opening.audience)
            .bind(&opening.title)
            .bind(&opening.employer)
            .bind(&opening.place)
            .bind(place_key(&opening.place))
            .bind(opening.is_remote)
            .bind(&opening.body)
            .bind(&opening.url)
            .bind(opening.created_at)
            .bind(opening.closes_at)
            .execute(self)
            .await?;
            Ok(())
        }

        /// Reads an opening.
        async fn opening(&mut self, id: &str) -> Result<Option<Opening>> {
            sqlx::query_as(
                r#"
                SELECT id, author_id, audience, title, employer, place, is_remote, body, url, created_at, closes_at, closed_at
                FROM campus_opening
                WHERE id = $1
                "#,
            )
            .bind(id)
            .fetch_optional(self)
            .await
        }

        /// Closes an opening; nothing if it is closed already.
        async fn close_opening(&mut self, id: &str, now: i64) -> Result<Option<Opening>> {
            sqlx::query_as(
                r#"
                UPDATE campus_opening
                SET closed_at = $2
                WHERE id = $1 AND closed_at IS NULL
                RETURNING id, author_id, audience, title, employer, place, is_remote, body, url, created_at, closes_at, closed_at
                "#,
            )
            .bind(id)
            .bind(now)
            .fetch_optional(self)
            .await
        }

        /// Reads the ids of openings that nobody has closed although they are past their day, the oldest first.
        async fn expired_openings(&mut self, now: i64, limit: i64) -> Result<Vec<String>> {
            sqlx::query_scalar(
                r#"
                SELECT id
                FROM campus_opening
                WHERE closed_at IS NULL AND closes_at <= $1
                ORDER BY closes_at, id
                LIMIT $2
                "#,
            )
            .bind(now)
            .bind(limit)
            .fetch_all(self)
            .await
        }
    }
}
