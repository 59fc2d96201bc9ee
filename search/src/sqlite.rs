//! The SQLite backend.

use std::sync::LazyLock;

use chrono::DateTime;
use futures_util::TryStreamExt;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection, Row, SqlStr, SqliteConnection, SqlitePool};

use crate::audience::Audience;
use crate::document::Document;
use crate::error::{Error, Result, corrupt};
use crate::id::{EntityId, Surface, Tag};
use crate::language::Language;
use crate::source::Source;
use crate::store::{DocId, Indexed, Scanned, Store};
use crate::terms::Terms;

/// Keeps documents in SQLite. A transaction that writes must begin with `BEGIN IMMEDIATE`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sqlite;

/// The schema of this crate, oldest change first. Released entries never change.
pub static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator =
        Migrator::with_migrations(vec![migration(1, "initial", include_str!("../migrations/sqlite/0001_initial.sql"))]);
    migrator.dangerous_set_table_name("_stoa_search_migrations"); // our own table: never the host's
    migrator
});

fn migration(version: i64, name: &'static str, sql: &'static str) -> Migration {
    Migration::new(version, name.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
}

/// As many characters as [`MAX_EXCERPT`](crate::MAX_EXCERPT) has bytes: never less.
const EXCERPT: i32 = 64 * 1024;

impl Store for Sqlite {
    type Connection = SqliteConnection;

    async fn upsert(&self, conn: &mut SqliteConnection, documents: &[Indexed]) -> Result<()> {
        if let [only] = documents {
            return upsert(conn, only).await;
        }
        let mut tx = conn.begin().await?;
        for indexed in documents {
            upsert(&mut tx, indexed).await?;
        }
        Ok(tx.commit().await?)
    }

    async fn remove(&self, conn: &mut SqliteConnection, surface: &Surface, entity_id: &EntityId) -> Result<bool> {
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
        conn: &mut SqliteConnection,
        audience: &Audience,
        each: &mut (dyn FnMut(Scanned<'_>) + Send),
    ) -> Result<()> {
        // The tags are compared here: on every row, `json_each` would take longer than all the rest of a search.
        let mut rows = sqlx::query(
            r#"
            SELECT doc_id, surface, audience_tags, terms
            FROM search_document
            "#,
        )
        .fetch(conn);
        while let Some(row) = rows.try_next().await? {
            each(Scanned {
                doc_id: DocId(row.try_get(0)?),
                surface: row.try_get(1)?,
                is_visible: audience.sees(tags(row.try_get(2)?)?),
                terms: row.try_get(3)?,
            });
        }
        Ok(())
    }

    async fn documents(
        &self,
        conn: &mut SqliteConnection,
        audience: &Audience,
        ids: &[DocId],
    ) -> Result<Vec<(DocId, Indexed)>> {
        let (sees_everything, tags) = parameters(audience);
        sqlx::query(
            r#"
            SELECT doc_id, surface, entity_id, audience_tags, terms, language, recency_at, title, substr(body, 1, $4) AS body,
                url, extra
            FROM search_document
            WHERE doc_id IN (SELECT value FROM json_each($3))
                AND ($1 OR EXISTS (
                    SELECT 1
                    FROM json_each(audience_tags) AS own
                    JOIN json_each($2) AS given ON given.value = own.value
                ))
            "#,
        )
        .bind(sees_everything)
        .bind(tags)
        .bind(json(ids.iter().map(|id| id.0)))
        .bind(EXCERPT)
        .fetch_all(conn)
        .await?
        .iter()
        .map(|row| Ok((DocId(row.try_get("doc_id")?), indexed(row)?)))
        .collect()
    }
}

async fn upsert(conn: &mut SqliteConnection, indexed: &Indexed) -> Result<()> {
    let document = &indexed.document;
    sqlx::query(
        r#"
        INSERT INTO search_document
            (surface, entity_id, audience_tags, terms, language, recency_at, title, body, url, extra)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        ON CONFLICT (surface, entity_id) DO UPDATE
        SET audience_tags = excluded.audience_tags, terms = excluded.terms, language = excluded.language,
            recency_at = excluded.recency_at, title = excluded.title, body = excluded.body, url = excluded.url,
            extra = excluded.extra
        "#,
    )
    .bind(document.surface.as_str())
    .bind(document.entity_id.as_str())
    .bind(json(document.audience.iter().map(Tag::as_str)))
    .bind(indexed.terms.as_bytes())
    .bind(document.language.code())
    .bind(document.recency.map(|at| at.timestamp_micros()))
    .bind(document.title.as_str())
    .bind(document.body.as_str())
    .bind(document.url.as_deref())
    .bind(document.extra.as_deref())
    .execute(conn)
    .await?;
    Ok(())
}

fn parameters(audience: &Audience) -> (bool, String) {
    let tags = audience.as_tags();
    (tags.is_none(), json(tags.into_iter().flatten().map(Tag::as_str)))
}

fn json<T: Into<serde_json::Value>>(values: impl Iterator<Item = T>) -> String {
    values.map(Into::into).collect::<serde_json::Value>().to_string()
}

fn tags(json: &str) -> Result<Vec<std::borrow::Cow<'_, str>>> {
    corrupt("audience tags", serde_json::from_str(json))
}

fn indexed(row: &SqliteRow) -> Result<Indexed> {
    let surface = corrupt("surface", Surface::new(row.try_get::<&str, _>("surface")?))?;
    let entity_id = corrupt("entity id", EntityId::new(row.try_get::<&str, _>("entity_id")?))?;
    let tags = tags(row.try_get("audience_tags")?)?;
    let recency = row.try_get::<Option<i64>, _>("recency_at")?;
    let recency = recency.map(|at| DateTime::from_timestamp_micros(at).ok_or(Error::Corrupt { what: "recency" }));
    let document = Document {
        audience: corrupt("audience tags", tags.into_iter().map(Tag::new).collect::<Result<_>>())?,
        language: Language::from_stored(row.try_get("language")?),
        recency: recency.transpose()?,
        title: row.try_get("title")?,
        body: row.try_get("body")?,
        url: row.try_get("url")?,
        extra: row.try_get("extra")?,
        ..Document::new(surface, entity_id)
    };
    Ok(Indexed { document, terms: Terms::from_bytes(row.try_get("terms")?)? })
}

impl Source for SqlitePool {
    type Connection = SqliteConnection;
    type Guard = sqlx::pool::PoolConnection<sqlx::Sqlite>;
    type Transaction = sqlx::Transaction<'static, sqlx::Sqlite>;

    async fn acquire(&self) -> Result<Self::Guard> {
        Ok(sqlx::Pool::acquire(self).await?)
    }

    async fn begin(&self) -> Result<Self::Transaction> {
        Ok(self.begin_with("BEGIN IMMEDIATE").await?)
    }

    async fn begin_snapshot(&self) -> Result<Self::Transaction> {
        Ok(sqlx::Pool::begin(self).await?)
    }

    async fn commit(&self, tx: Self::Transaction) -> Result<()> {
        Ok(tx.commit().await?)
    }
}
