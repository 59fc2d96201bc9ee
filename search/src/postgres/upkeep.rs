//! What is done beside indexing and searching, in PostgreSQL.

use sqlx::{PgConnection, Row};

use super::document;
use crate::document::Document;
use crate::error::Result;
use crate::store::{DocId, Recount};

pub(super) async fn originals(conn: &mut PgConnection, ids: &[DocId]) -> Result<Vec<(DocId, Document, i64)>> {
    sqlx::query(
        r#"
        SELECT doc_id, surface, entity_id, audience_tags, language, words, recency_at, title, body, url, extra
        FROM search_document
        WHERE doc_id = ANY($1)
            AND NOT EXISTS (SELECT FROM search_dirty WHERE search_dirty.doc_id = search_document.doc_id)
        "#,
    )
    .bind(ids.iter().map(|id| id.0).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?
    .iter()
    .map(|row| Ok((DocId(row.try_get("doc_id")?), document(row)?, row.try_get::<i32, _>("words")?.into())))
    .collect()
}

pub(super) async fn stored_bytes(conn: &mut PgConnection) -> Result<Option<u64>> {
    let bytes: i64 = sqlx::query_scalar(
        r#"
        SELECT sum(pg_total_relation_size(name::regclass))::bigint
        FROM unnest(ARRAY['search_document', 'search_dirty', 'search_segment', 'search_page']) AS name
        "#,
    )
    .fetch_one(conn)
    .await?;
    Ok(Some(bytes.unsigned_abs()))
}

/// Counts documents anew, all or none; answers whether it could.
pub(super) async fn recount(conn: &mut PgConnection, recounted: &[Recount]) -> Result<bool> {
    if recounted.is_empty() {
        return Ok(true);
    }
    let ids: Vec<i64> = recounted.iter().map(|recount| recount.doc_id.0).collect();
    let numbers = |words: fn(&Recount) -> i64| -> Vec<i64> { recounted.iter().map(words).collect() };
    // Without waiting: a writer who waits for a document that was locked before would wait in a circle.
    let locked = sqlx::query(
        r#"
        SELECT search_document.doc_id
        FROM search_document
        JOIN unnest($1::bigint[], $2::bigint[]) AS given (doc_id, words)
            ON search_document.doc_id = given.doc_id AND search_document.words = given.words
        FOR NO KEY UPDATE OF search_document SKIP LOCKED
        "#,
    )
    .bind(&ids)
    .bind(numbers(|recount| recount.before))
    .fetch_all(&mut *conn)
    .await?;
    if locked.len() < ids.len() {
        return Ok(false);
    }
    // A statement of its own: the one before does not see what the writer has logged whom it found gone.
    let is_logged: bool = sqlx::query_scalar(
        r#"
        SELECT EXISTS (SELECT FROM search_dirty WHERE doc_id = ANY($1))
        "#,
    )
    .bind(&ids)
    .fetch_one(&mut *conn)
    .await?;
    if is_logged {
        return Ok(false);
    }
    sqlx::query(
        r#"
        UPDATE search_document
        SET words = given.words
        FROM unnest($1::bigint[], $2::bigint[]) AS given (doc_id, words)
        WHERE search_document.doc_id = given.doc_id
        "#,
    )
    .bind(&ids)
    .bind(numbers(|recount| recount.after))
    .execute(conn)
    .await?;
    Ok(true)
}
