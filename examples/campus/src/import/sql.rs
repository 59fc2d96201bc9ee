//! Statements of imported documents.

use sqlx::Result;

use super::Document;
use crate::sql::portable;

portable! {
    /// The queries of imported documents.
    pub trait ImportSql {
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
    }
}
