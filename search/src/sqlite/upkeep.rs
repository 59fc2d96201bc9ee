//! What is done beside indexing and searching, in SQLite.

use sqlx::{Row, SqliteConnection};

use super::{document, json};
use crate::document::Document;
use crate::error::Result;
use crate::store::{DocId, Recount};

pub(super) async fn originals(conn: &mut SqliteConnection, ids: &[DocId]) -> Result<Vec<(DocId, Document, i64)>> {
    sqlx::query(
        r#"
        SELECT doc_id, surface, entity_id, audience_tags, language, words, recency_at, title, body, url, extra
        FROM search_document
        WHERE doc_id IN (SELECT value FROM json_each($1))
            AND doc_id NOT IN (SELECT doc_id FROM search_dirty)
        "#,
    )
    .bind(json(ids.iter().map(|id| id.0)))
    .fetch_all(conn)
    .await?
    .iter()
    .map(|row| Ok((DocId(row.try_get("doc_id")?), document(row)?, row.try_get("words")?)))
    .collect()
}

/// Counts documents anew, all or none; answers whether it could. On `false` the caller takes back what was done.
pub(super) async fn recount(conn: &mut SqliteConnection, recounted: &[Recount]) -> Result<bool> {
    for recount in recounted {
        let done = sqlx::query(
            r#"
            UPDATE search_document
            SET words = $3
            WHERE doc_id = $1 AND words = $2 AND doc_id NOT IN (SELECT doc_id FROM search_dirty)
            "#,
        )
        .bind(recount.doc_id.0)
        .bind(recount.before)
        .bind(recount.after)
        .execute(&mut *conn)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}
