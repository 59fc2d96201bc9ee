//! The statement of the assistant.

use sqlx::Result;

use crate::sql::portable;

portable! {
    /// The query of the assistant.
    pub trait AssistantSql {
        /// Reads the beginning of what a document says. The search crate hands out a part of it; whoever asks has found the document as
        /// the viewer, in the same snapshot.
        async fn found_text(&mut self, surface: &str, entity_id: &str, max: i32) -> Result<Option<String>> {
            sqlx::query_scalar("SELECT substr(body, 1, $3) FROM search_document WHERE surface = $1 AND entity_id = $2")
                .bind(surface)
                .bind(entity_id)
                .bind(max)
                .fetch_optional(self)
                .await
        }
    }
}
