//! Statements of the directory.

use sqlx::Result;

use super::Person;
use super::profile::Profile;
use crate::sql::portable;

/// Whom to list: all that the statements need, each of them some of it.
#[derive(Debug)]
pub struct Listing {
    /// People after this name…
    pub name: String,
    /// …and this id.
    pub id: String,
    /// Of this city, in lower case; empty: anywhere.
    pub city: String,
    /// Of this batch.
    pub batch: Option<i64>,
    /// The years of the viewer's batches, between commas.
    pub batches: String,
    /// How many.
    pub limit: i64,
}

portable! {
    /// The queries of the directory.
    pub trait DirectorySql {
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

        /// Reads everything about somebody.
        async fn profile(&mut self, id: &str) -> Result<Option<Profile>> {
            sqlx::query_as(
                r#"
                SELECT id, name, headline, city, employer, batch_year, bio, email, phone, city_audience, employer_audience,
                    batch_audience, bio_audience, email_audience, phone_audience
                FROM campus_person
                WHERE id = $1
                "#,
            )
            .bind(id)
            .fetch_optional(self)
            .await
        }

        /// Reads everything about somebody and holds the row, so that nobody changes it before the transaction ends.
        async fn lock_profile(&mut self, id: &str) -> Result<Option<Profile>> {
            sqlx::query_as(
                r#"
                UPDATE campus_person
                SET name = name
                WHERE id = $1
                RETURNING id, name, headline, city, employer, batch_year, bio, email, phone, city_audience, employer_audience,
                    batch_audience, bio_audience, email_audience, phone_audience
                "#,
            )
            .bind(id)
            .fetch_optional(self)
            .await
        }

        /// Changes everything about somebody.
        async fn update_profile(&mut self, profile: &Profile) -> Result<()> {
            sqlx::query(
                r#"
                UPDATE campus_person
                SET name = $2, headline = $3, city = $4, city_key = $5, employer = $6, batch_year = $7, bio = $8, email = $9,
                    phone = $10, city_audience = $11, employer_audience = $12, batch_audience = $13, bio_audience = $14,
                    email_audience = $15, phone_audience = $16
                WHERE id = $1
                "#,
            )
            .bind(&profile.id)
            .bind(&profile.name)
            .bind(&profile.headline)
            .bind(&profile.city)
            .bind(profile.city_key())
            .bind(&profile.employer)
            .bind(profile.batch_year)
            .bind(&profile.bio)
            .bind(&profile.email)
            .bind(&profile.phone)
            .bind(profile.city_audience.as_str())
            .bind(profile.employer_audience.as_str())
            .bind(profile.batch_audience.as_str())
            .bind(profile.bio_audience.as_str())
            .bind(profile.email_audience.as_str())
            .bind(profile.phone_audience.as_str())
            .execute(self)
            .await?;
            Ok(())
        }

        /// Reads people by name.
        async fn profiles(&mut self, listing: &Listing) -> Result<Vec<Profile>> {
            sqlx::query_as(
                r#"
                SELECT id, name, headline, city, employer, batch_year, bio, email, phone, city_audience, employer_audience,
                    batch_audience, bio_audience, email_audience, phone_audience
                FROM campus_person
                WHERE (name, id) > ($1, $2)
                ORDER BY name, id
                LIMIT $3
                "#,
            )
            .bind(&listing.name)
            .bind(&listing.id)
            .bind(listing.limit)
            .fetch_all(self)
            .await
        }

        /// Reads by name the people of a batch of whom the viewer may know it.
        async fn people_of_batch(&mut self, listing: &Listing) -> Result<Vec<Profile>> {
            sqlx::query_as(
                r#"
                SELECT id, name, headline, city, employer, batch_year, bio, email, phone, city_audience, employer_audience,
                    batch_audience, bio_audience, email_audience, phone_audience
                FROM campus_person
                WHERE batch_year = $1
                    AND batch_audience IN ('everyone', 'batch')
                    AND (batch_audience = 'everyone' OR $2 LIKE '%,' || CAST(batch_year AS text) || ',%')
                    AND (name, id) > ($3, $4)
                ORDER BY name, id
                LIMIT $5
                "#,
            )
            .bind(listing.batch)
            .bind(&listing.batches)
            .bind(&listing.name)
            .bind(&listing.id)
            .bind(listing.limit)
            .fetch_all(self)
            .await
        }

        /// Reads by name the people of a city, and of a batch if one is named, of whom the viewer may know both.
        async fn people_of_city(&mut self, listing: &Listing) -> Result<Vec<Profile>> {
            sqlx::query_as(
                r#"
                SELECT id, name, headline, city, employer, batch_year, bio, email, phone, city_audience, employer_audience,
                    batch_audience, bio_audience, email_audience, phone_audience
                FROM campus_person
                WHERE city_key = $1
                    AND city_key > ''
                    AND (city_audience = 'everyone' OR $2 LIKE '%,' || CAST(batch_year AS text) || ',%')
                    AND (
                        CAST($3 AS bigint) IS NULL
                        OR batch_year = $3 AND (
                            batch_audience = 'everyone'
                            OR batch_audience = 'batch' AND $2 LIKE '%,' || CAST(batch_year AS text) || ',%'
                        )
                    )
                    AND (name, id) > ($4, $5)
                ORDER BY name, id
                LIMIT $6
                "#,
            )
            .bind(&listing.city)
            .bind(&listing.batches)
            .bind(listing.batch)
            .bind(&listing.name)
            .bind(&listing.id)
            .bind(listing.limit)
            .fetch_all(self)
            .await
        }
    }
}
