//! Statements of the directory.

use sqlx::Result;

use super::Person;
use crate::sql::portable;

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
    }
}
