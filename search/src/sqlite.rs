//! The SQLite backend.

mod recommendation;
mod upkeep;

use std::collections::BTreeSet;
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
use crate::load::Load;
use crate::segment::Key;
use crate::segment::page::Page;
use crate::source::Source;
use crate::store::{Change, DocId, Indexed, LOOK_EVERY, LogRow, Publication, SegmentRow, Snapshot, Store, Totals};

/// Keeps documents in SQLite. A transaction that writes must begin with `BEGIN IMMEDIATE`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sqlite;

/// The schema of this crate, oldest change first. Released entries never change.
pub static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = Migrator::with_migrations(vec![
        migration(1, "initial", include_str!("../migrations/sqlite/0001_initial.sql")),
        migration(2, "recommendation", include_str!("../migrations/sqlite/0002_recommendation.sql")),
    ]);
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

    async fn upsert(&self, conn: &mut SqliteConnection, documents: &[Indexed]) -> Result<bool> {
        if let [only] = documents {
            return Ok(upsert(conn, only).await? % LOOK_EVERY == 0);
        }
        let mut tx = conn.begin().await?;
        let mut is_time = false;
        for indexed in documents {
            is_time |= upsert(&mut tx, indexed).await? % LOOK_EVERY == 0;
        }
        tx.commit().await?;
        Ok(is_time)
    }

    async fn load(&self, conn: &mut SqliteConnection, load: &mut Load<'_>) -> Result<()> {
        let mut tx = conn.begin().await?;
        while let Some(batch) = load.next_batch()? {
            let mut ids = Vec::with_capacity(batch.len());
            for indexed in &batch {
                ids.push(write(&mut tx, indexed).await?);
            }
            if let Some((segment, pages)) = load.written(ids)? {
                insert(&mut tx, &segment, &pages).await?;
            }
        }
        Ok(tx.commit().await?)
    }

    async fn set_audience(
        &self,
        conn: &mut SqliteConnection,
        surface: &Surface,
        entity_id: &EntityId,
        audience: &BTreeSet<Tag>,
    ) -> Result<bool> {
        let mut tx = conn.begin().await?;
        let doc_id: Option<i64> = sqlx::query_scalar(
            r#"
            UPDATE search_document
            SET audience_tags = $3
            WHERE surface = $1 AND entity_id = $2
            RETURNING doc_id
            "#,
        )
        .bind(surface.as_str())
        .bind(entity_id.as_str())
        .bind(json(audience.iter().map(Tag::as_str)))
        .fetch_optional(&mut *tx)
        .await?;
        if let Some(doc_id) = doc_id {
            sqlx::query(
                r#"
                INSERT INTO search_dirty (doc_id, documents, words, surface, audience_tags)
                SELECT doc_id, 0, 0, surface, audience_tags
                FROM search_document
                WHERE doc_id = $1
                "#,
            )
            .bind(doc_id)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(doc_id.is_some())
    }

    async fn remove(&self, conn: &mut SqliteConnection, surface: &Surface, entity_id: &EntityId) -> Result<bool> {
        // A trigger logs it.
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

    async fn snapshot(&self, conn: &mut SqliteConnection, audience: &Audience, keys: &[Key]) -> Result<Snapshot> {
        // The page that may hold a key is the last that begins at or before it. Tags of documents are compared here: on every
        // row, `json_each` would take longer than all the rest of a search.
        let rows = sqlx::query(
            r#"
            SELECT 0 AS kind, segment AS number, revision, documents, words, namespaces, head AS block, dead AS extra, NULL AS surface,
                NULL AS tags
            FROM search_segment
            UNION ALL
            SELECT 1, search_segment.segment, given.key, 0, 0, 0, page.block, NULL, NULL, NULL
            FROM search_segment
            CROSS JOIN json_each($1) AS given
            JOIN search_page AS page ON page.rowid = (
                SELECT rowid
                FROM search_page
                WHERE search_page.segment = search_segment.segment AND search_page.key <= unhex(given.value ->> 0)
                ORDER BY search_page.key DESC
                LIMIT 1
            )
            WHERE search_segment.namespaces & (given.value ->> 1) <> 0
                AND (NOT page.is_single OR page.key = unhex(given.value ->> 0))
            UNION ALL
            SELECT 2, search_dirty.number, 0, search_dirty.documents, search_dirty.words, search_dirty.doc_id, terms, NULL,
                surface, audience_tags
            FROM search_dirty
            "#,
        )
        .bind(json(keys.iter().map(|key| vec![serde_json::Value::from(hex(&key.bytes)), key.namespace.into()])))
        .fetch_all(conn)
        .await?;
        snapshot(&rows, |json| Ok(audience.sees(read_tags(json)?)))
    }

    async fn documents(
        &self,
        conn: &mut SqliteConnection,
        audience: &Audience,
        ids: &[DocId],
    ) -> Result<Vec<(DocId, Document)>> {
        let (sees_everything, tags) = parameters(audience);
        sqlx::query(
            r#"
            SELECT doc_id, surface, entity_id, audience_tags, language, recency_at, title, substr(body, 1, $4) AS body,
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
        .map(|row| Ok((DocId(row.try_get("doc_id")?), document(row)?)))
        .collect()
    }

    async fn find(
        &self,
        conn: &mut SqliteConnection,
        audience: &Audience,
        surface: &Surface,
        entity_id: &EntityId,
    ) -> Result<Option<Document>> {
        let (sees_everything, tags) = parameters(audience);
        let rows = sqlx::query(
            r#"
            SELECT surface, entity_id, audience_tags, language, recency_at, title, body, url, extra
            FROM search_document
            WHERE surface = $3 AND entity_id = $4
                AND ($1 OR EXISTS (
                    SELECT 1
                    FROM json_each(audience_tags) AS own
                    JOIN json_each($2) AS given ON given.value = own.value
                ))
            "#,
        )
        .bind(sees_everything)
        .bind(tags)
        .bind(surface.as_str())
        .bind(entity_id.as_str())
        .fetch_all(conn)
        .await?;
        rows.first().map(document).transpose()
    }

    async fn vocabulary(&self, conn: &mut SqliteConnection, from: &[u8], to: &[u8], limit: u32) -> Result<Vec<Page>> {
        let rows = sqlx::query(
            r#"
            SELECT key, is_single, CASE WHEN is_single THEN NULL ELSE block END AS block
            FROM search_segment
            JOIN search_page ON search_page.segment = search_segment.segment
                AND key < $2
                AND key >= coalesce(
                    (
                        SELECT first.key
                        FROM search_page AS first
                        WHERE first.segment = search_segment.segment AND first.key <= $1
                        ORDER BY first.key DESC
                        LIMIT 1
                    ),
                    $1
                )
            ORDER BY is_single DESC, length(search_page.block) DESC
            LIMIT $3
            "#,
        )
        .bind(from)
        .bind(to)
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?;
        let page = |row: &SqliteRow| {
            let block: Option<Vec<u8>> = row.try_get(2)?;
            Ok(Page { key: row.try_get(0)?, is_single: row.try_get(1)?, block: block.unwrap_or_default() })
        };
        rows.iter().map(page).collect()
    }

    async fn scan(&self, conn: &mut SqliteConnection, each: &mut (dyn FnMut(DocId, Document) + Send)) -> Result<()> {
        let mut rows = sqlx::query(
            r#"
            SELECT doc_id, surface, entity_id, audience_tags, language, recency_at, title, body, url, extra
            FROM search_document
            "#,
        )
        .fetch(conn);
        while let Some(row) = rows.try_next().await? {
            each(DocId(row.try_get("doc_id")?), document(&row)?);
        }
        Ok(())
    }

    async fn claim(&self, conn: &mut SqliteConnection, rows: u32) -> Result<bool> {
        // Who writes is alone, and `publish` finds out what happened before that.
        Ok(sqlx::query_scalar(
            r#"
            SELECT count(*) >= $1
            FROM (SELECT number FROM search_dirty ORDER BY number LIMIT $1) AS log
            "#,
        )
        .bind(rows)
        .fetch_one(conn)
        .await?)
    }

    async fn segments(&self, conn: &mut SqliteConnection) -> Result<Vec<SegmentRow>> {
        let rows = sqlx::query(
            r#"
            SELECT segment AS number, revision, documents, words, namespaces, head AS block, dead AS extra
            FROM search_segment
            ORDER BY segment
            "#,
        )
        .fetch_all(conn)
        .await?;
        rows.iter().map(segment).collect()
    }

    async fn backlog(&self, conn: &mut SqliteConnection, rows: u32, bytes: u64) -> Result<Vec<Change>> {
        sqlx::query(
            r#"
            SELECT number, doc_id, log.documents, log.words, terms, search_document.surface, entity_id,
                search_document.audience_tags, language, recency_at,
                CASE WHEN terms IS NULL THEN title ELSE '' END AS title,
                CASE WHEN terms IS NULL THEN body ELSE '' END AS body, NULL AS url, NULL AS extra, search_document.words AS kept_words
            FROM (
                SELECT *, sum(coalesce(length(terms), 0)) OVER (ORDER BY number) - coalesce(length(terms), 0) AS before
                FROM (SELECT * FROM search_dirty ORDER BY number LIMIT $1) AS oldest
            ) AS log
            LEFT JOIN search_document USING (doc_id)
            WHERE before <= $2
            ORDER BY number
            "#,
        )
        .bind(i64::from(rows))
        .bind(bytes.cast_signed())
        .fetch_all(conn)
        .await?
        .iter()
        .map(change)
        .collect()
    }

    async fn pages(&self, conn: &mut SqliteConnection, segment: i64, after: &[u8], limit: u32) -> Result<Vec<Page>> {
        sqlx::query(
            r#"
            SELECT key, is_single, block
            FROM search_page
            WHERE segment = $1 AND key > $2
            ORDER BY key
            LIMIT $3
            "#,
        )
        .bind(segment)
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?
        .iter()
        .map(|row| Ok(Page { key: row.try_get(0)?, is_single: row.try_get(1)?, block: row.try_get(2)? }))
        .collect()
    }

    async fn originals(&self, conn: &mut SqliteConnection, ids: &[DocId]) -> Result<Vec<(DocId, Document, i64)>> {
        upkeep::originals(conn, ids).await
    }

    async fn stored_bytes(&self, _: &mut SqliteConnection) -> Result<Option<u64>> {
        Ok(None)
    }

    async fn publish(&self, conn: &mut SqliteConnection, publication: &Publication) -> Result<bool> {
        let mut tx = conn.begin().await?;
        let consumed = sqlx::query(
            r#"
            DELETE FROM search_dirty
            WHERE number IN (SELECT value FROM json_each($1))
            "#,
        )
        .bind(json(publication.consumed.iter().copied()))
        .execute(&mut *tx)
        .await?
        .rows_affected();
        let mut merged = 0;
        for (segment, revision) in &publication.merged {
            merged += sqlx::query(
                r#"
                DELETE FROM search_segment
                WHERE segment = $1 AND revision = $2
                "#,
            )
            .bind(segment)
            .bind(revision)
            .execute(&mut *tx)
            .await?
            .rows_affected();
        }
        let mut outdated = 0;
        for (segment, revision, dead) in &publication.outdated {
            outdated += sqlx::query(
                r#"
                UPDATE search_segment
                SET dead = $3, revision = revision + 1
                WHERE segment = $1 AND revision = $2
                "#,
            )
            .bind(segment)
            .bind(revision)
            .bind(dead)
            .execute(&mut *tx)
            .await?
            .rows_affected();
        }
        let is_done = publication.is_done(consumed, merged, outdated);
        if !is_done || !upkeep::recount(&mut tx, &publication.recounted).await? {
            tx.rollback().await?;
            return Ok(false);
        }
        for (segment, _) in &publication.merged {
            sqlx::query(
                r#"
                DELETE FROM search_page
                WHERE segment = $1
                "#,
            )
            .bind(segment)
            .execute(&mut *tx)
            .await?;
        }
        if let Some((segment, pages)) = &publication.segment {
            insert(&mut tx, segment, pages).await?;
        }
        tx.commit().await?;
        Ok(true)
    }
}

/// Writes a document and logs it; returns the number of the latest row of the log.
async fn upsert(conn: &mut SqliteConnection, indexed: &Indexed) -> Result<i64> {
    let document = &indexed.document;
    // The trigger of the view does both, so that the first statement is the whole method; the second only reads, on the same way.
    let row = sqlx::query(
        r#"
        INSERT INTO search_write
            (surface, entity_id, audience_tags, terms, language, words, recency_at, title, body, url, extra)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);
        SELECT max(number)
        FROM search_dirty
        "#,
    )
    .bind(document.surface.as_str())
    .bind(document.entity_id.as_str())
    .bind(json(document.audience.iter().map(Tag::as_str)))
    .bind(indexed.terms.as_bytes())
    .bind(document.language.code())
    .bind(indexed.terms.words())
    .bind(document.recency.map(|at| at.timestamp_micros()))
    .bind(document.title.as_str())
    .bind(document.body.as_str())
    .bind(document.url.as_deref())
    .bind(document.extra.as_deref())
    .fetch_one(conn)
    .await?;
    Ok(row.try_get(0)?)
}

/// Writes a document, logs it if it replaces one, and else returns its id.
async fn write(conn: &mut SqliteConnection, indexed: &Indexed) -> Result<Option<DocId>> {
    let document = &indexed.document;
    let row = sqlx::query(
        r#"
        INSERT INTO search_document
            (surface, entity_id, audience_tags, language, words, recency_at, title, body, url, extra)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        ON CONFLICT (surface, entity_id) DO NOTHING
        RETURNING doc_id
        "#,
    )
    .bind(document.surface.as_str())
    .bind(document.entity_id.as_str())
    .bind(json(document.audience.iter().map(Tag::as_str)))
    .bind(document.language.code())
    .bind(indexed.terms.words())
    .bind(document.recency.map(|at| at.timestamp_micros()))
    .bind(document.title.as_str())
    .bind(document.body.as_str())
    .bind(document.url.as_deref())
    .bind(document.extra.as_deref())
    .fetch_optional(&mut *conn)
    .await?;
    if let Some(row) = row {
        return Ok(Some(DocId(row.try_get(0)?)));
    }
    upsert(conn, indexed).await?;
    Ok(None)
}

/// Writes a segment.
async fn insert(conn: &mut SqliteConnection, segment: &SegmentRow, pages: &[Page]) -> Result<()> {
    sqlx::query(
        r#"
        INSERT INTO search_segment (segment, revision, documents, words, namespaces, head, dead)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        "#,
    )
    .bind(segment.segment)
    .bind(segment.revision)
    .bind(segment.added.documents)
    .bind(segment.added.words)
    .bind(segment.namespaces)
    .bind(&segment.head)
    .bind(&segment.dead)
    .execute(&mut *conn)
    .await?;
    for page in pages {
        sqlx::query(
            r#"
            INSERT INTO search_page (segment, key, is_single, block)
            VALUES ($1, $2, $3, $4)
            "#,
        )
        .bind(segment.segment)
        .bind(&page.key)
        .bind(page.is_single)
        .bind(&page.block)
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

fn parameters(audience: &Audience) -> (bool, String) {
    let tags = audience.as_tags();
    (tags.is_none(), json(tags.into_iter().flatten().map(Tag::as_str)))
}

fn json<T: Into<serde_json::Value>>(values: impl Iterator<Item = T>) -> String {
    values.map(Into::into).collect::<serde_json::Value>().to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(digit.into(), 16));
        }
        text
    })
}

fn read_tags(json: &str) -> Result<Vec<std::borrow::Cow<'_, str>>> {
    corrupt("audience tags", serde_json::from_str(json))
}

fn snapshot(rows: &[SqliteRow], mut sees: impl FnMut(&str) -> Result<bool>) -> Result<Snapshot> {
    let mut snapshot = Snapshot::default();
    let mut pages = Vec::new();
    for row in rows {
        match row.try_get(0)? {
            0 => snapshot.segments.push(segment(row)?),
            1 => {
                let place = usize::try_from(row.try_get::<i64, _>(2)?).unwrap_or_default();
                pages.push((row.try_get::<i64, _>(1)?, (place, row.try_get(6)?)));
            }
            _ => {
                let tags: Option<&str> = row.try_get(9)?;
                snapshot.log.push(LogRow {
                    number: row.try_get(1)?,
                    added: Totals { documents: row.try_get(3)?, words: row.try_get(4)? },
                    doc_id: DocId(row.try_get(5)?),
                    terms: row.try_get(6)?,
                    surface: row.try_get(8)?,
                    is_visible: tags.map_or(Ok(false), &mut sees)?,
                });
            }
        }
    }
    snapshot.attach(pages);
    Ok(snapshot)
}

fn segment(row: &SqliteRow) -> Result<SegmentRow> {
    Ok(SegmentRow {
        segment: row.try_get("number")?,
        revision: row.try_get("revision")?,
        added: Totals { documents: row.try_get("documents")?, words: row.try_get("words")? },
        namespaces: row.try_get("namespaces")?,
        head: row.try_get("block")?,
        dead: row.try_get("extra")?,
        pages: Vec::new(),
    })
}

fn change(row: &SqliteRow) -> Result<Change> {
    let is_there = row.try_get::<Option<&str>, _>("surface")?.is_some();
    Ok(Change {
        number: row.try_get("number")?,
        doc_id: DocId(row.try_get("doc_id")?),
        added: Totals { documents: row.try_get("documents")?, words: row.try_get("words")? },
        terms: row.try_get("terms")?,
        document: is_there.then(|| document(row)).transpose()?,
        words: row.try_get::<Option<i64>, _>("kept_words")?.unwrap_or_default(),
    })
}

fn document(row: &SqliteRow) -> Result<Document> {
    let surface = corrupt("surface", Surface::new(row.try_get::<&str, _>("surface")?))?;
    let entity_id = corrupt("entity id", EntityId::new(row.try_get::<&str, _>("entity_id")?))?;
    let tags = read_tags(row.try_get("audience_tags")?)?;
    let recency = row.try_get::<Option<i64>, _>("recency_at")?;
    let recency = recency.map(|at| DateTime::from_timestamp_micros(at).ok_or(Error::Corrupt { what: "recency" }));
    Ok(Document {
        audience: corrupt("audience tags", tags.into_iter().map(Tag::new).collect::<Result<_>>())?,
        language: Language::from_stored(row.try_get("language")?),
        recency: recency.transpose()?,
        title: row.try_get("title")?,
        body: row.try_get("body")?,
        url: row.try_get("url")?,
        extra: row.try_get("extra")?,
        ..Document::new(surface, entity_id)
    })
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
