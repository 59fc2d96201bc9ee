//! The PostgreSQL backend.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row, SqlStr};

use crate::audience::Audience;
use crate::document::Document;
use crate::error::{Result, corrupt};
use crate::id::{EntityId, Surface, Tag};
use crate::language::Language;
use crate::source::Source;
use crate::store::{DocId, Indexed, Scanned, Store};
use crate::terms::Terms;

/// Keeps documents in PostgreSQL.
#[derive(Clone, Copy, Debug, Default)]
pub struct Postgres;

/// The schema of this crate, oldest change first. Released entries never change.
pub static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = Migrator::with_migrations(vec![migration(
        1,
        "initial",
        include_str!("../migrations/postgres/0001_initial.sql"),
    )]);
    migrator.dangerous_set_table_name("_stoa_search_migrations"); // our own table: never the host's
    migrator
});

fn migration(version: i64, name: &'static str, sql: &'static str) -> Migration {
    Migration::new(version, name.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
}

/// As many characters as [`MAX_EXCERPT`](crate::MAX_EXCERPT) has bytes: never less.
const EXCERPT: i32 = 64 * 1024;

/// Between the tags of one document: an array of arrays would lose which tag is whose. No tag holds a control character.
const BETWEEN_TAGS: &str = "\u{1f}";

impl Store for Postgres {
    type Connection = PgConnection;

    // A document that is replaced draws an identity value all the same and drops it: the ids in use lie scattered.
    async fn upsert(&self, conn: &mut PgConnection, documents: &[Indexed]) -> Result<()> {
        sqlx::query(
            r#"
            INSERT INTO search_document
                (surface, entity_id, audience_tags, terms, language, recency_at, title, body, url, extra)
            SELECT surface, entity_id, string_to_array(audience_tags, $11), terms, language, recency_at, title, body, url, extra
            FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::timestamptz[],
                    $7::text[], $8::text[], $9::text[], $10::text[])
                WITH ORDINALITY AS given
                    (surface, entity_id, audience_tags, terms, language, recency_at, title, body, url, extra, place)
            ORDER BY place
            ON CONFLICT (surface, entity_id) DO UPDATE
            SET audience_tags = excluded.audience_tags, terms = excluded.terms, language = excluded.language,
                recency_at = excluded.recency_at, title = excluded.title, body = excluded.body, url = excluded.url,
                extra = excluded.extra
            "#,
        )
        .bind(column(documents, |document| document.surface.as_str()))
        .bind(column(documents, |document| document.entity_id.as_str()))
        .bind(column(documents, |document| {
            document.audience.iter().map(Tag::as_str).collect::<Vec<_>>().join(BETWEEN_TAGS)
        }))
        .bind(documents.iter().map(|indexed| indexed.terms.as_bytes()).collect::<Vec<_>>())
        .bind(column(documents, |document| document.language.code()))
        .bind(column(documents, |document| document.recency))
        .bind(column(documents, |document| document.title.as_str()))
        .bind(column(documents, |document| document.body.as_str()))
        .bind(column(documents, |document| document.url.as_deref()))
        .bind(column(documents, |document| document.extra.as_deref()))
        .bind(BETWEEN_TAGS)
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn remove(&self, conn: &mut PgConnection, surface: &Surface, entity_id: &EntityId) -> Result<bool> {
        let done = sqlx::query(
            r#"
            DELETE FROM search_document
            WHERE surface = $1 AND entity_id = $2
            "#,
        )
        .bind(surface.as_str())
        .bind(entity_id.as_str())
        .execute(conn)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    async fn scan(
        &self,
        conn: &mut PgConnection,
        audience: &Audience,
        each: &mut (dyn FnMut(Scanned<'_>) + Send),
    ) -> Result<()> {
        // The tags are compared here: `&&` compares each with each, which shows when a caller has many.
        let mut rows = sqlx::query(
            r#"
            SELECT doc_id, surface, array_to_string(audience_tags, $1), terms
            FROM search_document
            "#,
        )
        .bind(BETWEEN_TAGS)
        .fetch(conn);
        while let Some(row) = rows.try_next().await? {
            each(Scanned {
                doc_id: DocId(row.try_get(0)?),
                surface: row.try_get(1)?,
                is_visible: audience.sees(row.try_get::<&str, _>(2)?.split(BETWEEN_TAGS)),
                terms: row.try_get(3)?,
            });
        }
        Ok(())
    }

    async fn documents(
        &self,
        conn: &mut PgConnection,
        audience: &Audience,
        ids: &[DocId],
    ) -> Result<Vec<(DocId, Indexed)>> {
        let (sees_everything, tags) = parameters(audience);
        sqlx::query(
            r#"
            SELECT doc_id, surface, entity_id, audience_tags, terms, language, recency_at, title, left(body, $4) AS body, url, extra
            FROM search_document
            WHERE doc_id = ANY($3) AND ($1 OR audience_tags && $2)
            "#,
        )
        .bind(sees_everything)
        .bind(tags)
        .bind(ids.iter().map(|id| id.0).collect::<Vec<_>>())
        .bind(EXCERPT)
        .fetch_all(conn)
        .await?
        .iter()
        .map(|row| Ok((DocId(row.try_get("doc_id")?), indexed(row)?)))
        .collect()
    }
}

fn column<'a, T>(documents: &'a [Indexed], value: impl Fn(&'a Document) -> T) -> Vec<T> {
    documents.iter().map(|indexed| value(&indexed.document)).collect()
}

fn parameters(audience: &Audience) -> (bool, Vec<&str>) {
    let tags = audience.as_tags();
    (tags.is_none(), tags.into_iter().flatten().map(Tag::as_str).collect())
}

fn indexed(row: &PgRow) -> Result<Indexed> {
    let surface = corrupt("surface", Surface::new(row.try_get::<&str, _>("surface")?))?;
    let entity_id = corrupt("entity id", EntityId::new(row.try_get::<&str, _>("entity_id")?))?;
    let tags: Vec<String> = row.try_get("audience_tags")?;
    let document = Document {
        audience: corrupt("audience tags", tags.into_iter().map(Tag::new).collect::<Result<_>>())?,
        language: Language::from_stored(row.try_get("language")?),
        recency: row.try_get::<Option<DateTime<Utc>>, _>("recency_at")?,
        title: row.try_get("title")?,
        body: row.try_get("body")?,
        url: row.try_get("url")?,
        extra: row.try_get("extra")?,
        ..Document::new(surface, entity_id)
    };
    Ok(Indexed { document, terms: Terms::from_bytes(row.try_get("terms")?)? })
}

impl Source for PgPool {
    type Connection = PgConnection;
    type Guard = sqlx::pool::PoolConnection<sqlx::Postgres>;
    type Transaction = sqlx::Transaction<'static, sqlx::Postgres>;

    async fn acquire(&self) -> Result<Self::Guard> {
        Ok(sqlx::Pool::acquire(self).await?)
    }

    async fn begin(&self) -> Result<Self::Transaction> {
        // Said outright: a database may have another default, under which writers who meet fail instead of taking turns.
        Ok(self.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?)
    }

    async fn begin_snapshot(&self) -> Result<Self::Transaction> {
        Ok(self.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
    }

    async fn commit(&self, tx: Self::Transaction) -> Result<()> {
        Ok(tx.commit().await?)
    }
}
