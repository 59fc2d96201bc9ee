//! The PostgreSQL backend.

mod begin;
mod recommendation;
mod upkeep;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection, PgPool, Row, SqlStr};

use crate::audience::Audience;
use crate::document::Document;
use crate::error::{Result, corrupt};
use crate::id::{EntityId, Surface, Tag};
use crate::language::Language;
use crate::load::Load;
use crate::segment::Key;
use crate::segment::page::Page;
use crate::segment::signature;
use crate::source::Source;
use crate::store::{Change, DocId, Indexed, LOOK_EVERY, LogRow, Publication, SegmentRow, Snapshot, Store, Totals};
use crate::terms::Terms;

/// Keeps documents in PostgreSQL.
#[derive(Clone, Copy, Debug, Default)]
pub struct Postgres;

/// The schema of this crate, oldest change first. Released entries never change.
pub static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = Migrator::with_migrations(vec![
        migration(1, "initial", include_str!("../migrations/postgres/0001_initial.sql")),
        migration(2, "recommendation", include_str!("../migrations/postgres/0002_recommendation.sql")),
    ]);
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

/// Says to other connections that one is publishing: "stoasrch" in ASCII.
const PUBLISHING: i64 = 0x7374_6f61_7372_6368;

/// How many bytes of pages are sent in one statement, about.
const SENT: usize = 4 << 20;

impl Store for Postgres {
    type Connection = PgConnection;

    // A document that is replaced draws an identity value all the same and drops it: the ids in use lie scattered.
    async fn upsert(&self, conn: &mut PgConnection, documents: &[Indexed]) -> Result<bool> {
        let numbers = match documents {
            [only] => write_one(conn, only).await?,
            _ => write(conn, documents).await?,
        };
        Ok(numbers.iter().any(|number| number % LOOK_EVERY == 0))
    }

    async fn load(&self, conn: &mut PgConnection, load: &mut Load<'_>) -> Result<()> {
        let mut tx = conn.begin().await?;
        while let Some(batch) = load.next_batch()? {
            let ids = write_new(&mut tx, &batch).await?;
            let others = batch.into_iter().zip(&ids).filter(|(_, id)| id.is_none());
            let others: Vec<Indexed> = others.map(|(indexed, _)| indexed).collect();
            if !others.is_empty() {
                write(&mut tx, &others).await?;
            }
            if let Some((segment, pages)) = load.written(ids)? {
                insert(&mut tx, &segment, &pages).await?;
            }
        }
        Ok(tx.commit().await?)
    }

    async fn set_audience(
        &self,
        conn: &mut PgConnection,
        surface: &Surface,
        entity_id: &EntityId,
        audience: &BTreeSet<Tag>,
    ) -> Result<bool> {
        let done = sqlx::query(
            r#"
            WITH document AS (
                UPDATE search_document
                SET audience_tags = $3
                WHERE surface = $1 AND entity_id = $2
                RETURNING doc_id, surface
            )
            INSERT INTO search_dirty (doc_id, documents, words, surface, audience_tags)
            SELECT doc_id, 0, 0, surface, array_to_string($3, $4)
            FROM document
            "#,
        )
        .bind(surface.as_str())
        .bind(entity_id.as_str())
        .bind(audience.iter().map(Tag::as_str).collect::<Vec<_>>())
        .bind(BETWEEN_TAGS)
        .execute(conn)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    async fn remove(&self, conn: &mut PgConnection, surface: &Surface, entity_id: &EntityId) -> Result<bool> {
        let done = sqlx::query(
            r#"
            WITH document AS (
                DELETE FROM search_document
                WHERE surface = $1 AND entity_id = $2
                RETURNING doc_id, words
            )
            INSERT INTO search_dirty (doc_id, documents, words)
            SELECT doc_id, -1, -words
            FROM document
            "#,
        )
        .bind(surface.as_str())
        .bind(entity_id.as_str())
        .execute(conn)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    async fn snapshot(&self, conn: &mut PgConnection, audience: &Audience, keys: &[Key]) -> Result<Snapshot> {
        // The page that may hold a key is the last that begins at or before it. Tags of documents are compared here: `&&` compares
        // each with each, which shows when a caller has many. Of rows of the log that hold no term that is asked for, all that
        // counts is that they are there. Those of a language that only a newer release knows have no place in the array.
        let rows = sqlx::query(
            r#"
            SELECT 0 AS kind, segment AS number, revision, documents, words, namespaces, head AS block, dead AS extra, NULL AS surface,
                NULL AS tags
            FROM search_segment
            UNION ALL
            SELECT 1, search_segment.segment, given.place::integer, 0, 0, 0, page.block, NULL, NULL, NULL
            FROM search_segment
            JOIN unnest($1::bytea[], $2::bigint[], $3::text[]) WITH ORDINALITY AS given (key, namespace, known, place)
                ON search_segment.namespaces & given.namespace <> 0
                AND (given.known IS NULL OR search_segment.segment <> ALL (given.known::bigint[]))
            CROSS JOIN LATERAL (
                SELECT key, is_single, block
                FROM search_page
                WHERE search_page.segment = search_segment.segment AND search_page.key <= given.key
                ORDER BY search_page.key DESC
                LIMIT 1
            ) AS page
            WHERE NOT page.is_single OR page.key = given.key
            UNION ALL
            SELECT 2, number, 0, documents, words, doc_id, terms, NULL, surface, audience_tags
            FROM search_dirty
            WHERE coalesce(bit_count(signature & (SELECT $4::text[]::bit varying[])[language + 1]) > 0, true)
            UNION ALL
            SELECT 3, 0, 0, sum(documents), sum(words), 0, string_agg(int8send(number) || int8send(doc_id), ''), NULL, NULL, NULL
            FROM search_dirty
            WHERE bit_count(signature & (SELECT $4::text[]::bit varying[])[language + 1]) = 0
            HAVING count(*) > 0
            "#,
        )
        .bind(keys.iter().map(|key| key.bytes.as_slice()).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.namespace).collect::<Vec<_>>())
        .bind(keys.iter().map(known).collect::<Vec<_>>())
        .bind(if keys.is_empty() { Vec::new() } else { signature::asked(keys) })
        .fetch_all(conn)
        .await?;
        snapshot(&rows, |tags| Ok(audience.sees(tags.split(BETWEEN_TAGS))))
    }

    async fn documents(
        &self,
        conn: &mut PgConnection,
        audience: &Audience,
        ids: &[DocId],
    ) -> Result<Vec<(DocId, Document)>> {
        let (sees_everything, tags) = parameters(audience);
        sqlx::query(
            r#"
            SELECT doc_id, surface, entity_id, audience_tags, language, recency_at, title, left(body, $4) AS body, url, extra
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
        .map(|row| Ok((DocId(row.try_get("doc_id")?), document(row)?)))
        .collect()
    }

    async fn find(
        &self,
        conn: &mut PgConnection,
        audience: &Audience,
        surface: &Surface,
        entity_id: &EntityId,
    ) -> Result<Option<Document>> {
        let (sees_everything, tags) = parameters(audience);
        let row = sqlx::query(
            r#"
            SELECT surface, entity_id, audience_tags, language, recency_at, title, body, url, extra
            FROM search_document
            WHERE surface = $3 AND entity_id = $4 AND ($1 OR audience_tags && $2)
            "#,
        )
        .bind(sees_everything)
        .bind(tags)
        .bind(surface.as_str())
        .bind(entity_id.as_str())
        .fetch_optional(conn)
        .await?;
        row.as_ref().map(document).transpose()
    }

    async fn vocabulary(&self, conn: &mut PgConnection, from: &[u8], to: &[u8], limit: u32) -> Result<Vec<Page>> {
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
        let page = |row: &PgRow| {
            let block: Option<Vec<u8>> = row.try_get(2)?;
            Ok(Page { key: row.try_get(0)?, is_single: row.try_get(1)?, block: block.unwrap_or_default() })
        };
        rows.iter().map(page).collect()
    }

    async fn scan(&self, conn: &mut PgConnection, each: &mut (dyn FnMut(DocId, Document) + Send)) -> Result<()> {
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

    async fn claim(&self, conn: &mut PgConnection, rows: u32) -> Result<bool> {
        // Above READ COMMITTED the snapshot may be older than what the last one to hold the lock did.
        Ok(sqlx::query_scalar(
            r#"
            SELECT CASE
                WHEN current_setting('transaction_isolation') <> 'read committed' THEN false
                WHEN (SELECT count(*) FROM (SELECT number FROM search_dirty ORDER BY number LIMIT $1) AS log) < $1 THEN false
                ELSE pg_try_advisory_xact_lock($2)
            END
            "#,
        )
        .bind(i64::from(rows))
        .bind(PUBLISHING)
        .fetch_one(conn)
        .await?)
    }

    async fn segments(&self, conn: &mut PgConnection) -> Result<Vec<SegmentRow>> {
        // Like all reads of a compaction in a savepoint: one that fails must not fail the transaction of a writer on the way.
        let mut tx = conn.begin().await?;
        let rows = sqlx::query(
            r#"
            SELECT segment AS number, revision, documents, words, namespaces, head AS block, dead AS extra
            FROM search_segment
            ORDER BY segment
            "#,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(segment).collect()
    }

    async fn backlog(&self, conn: &mut PgConnection, rows: u32, bytes: u64) -> Result<Vec<Change>> {
        let mut tx = conn.begin().await?;
        let rows = sqlx::query(
            r#"
            SELECT number, doc_id, log.documents, log.words, terms, search_document.surface, entity_id,
                search_document.audience_tags, search_document.language, recency_at,
                CASE WHEN terms IS NULL THEN title ELSE '' END AS title,
                CASE WHEN terms IS NULL THEN body ELSE '' END AS body, NULL AS url, NULL AS extra, search_document.words AS kept_words
            FROM (
                SELECT *, sum(coalesce(octet_length(terms), 0)) OVER (ORDER BY number) - coalesce(octet_length(terms), 0) AS before
                FROM (SELECT * FROM search_dirty ORDER BY number LIMIT $1) AS oldest
            ) AS log
            LEFT JOIN search_document USING (doc_id)
            WHERE before <= $2
            ORDER BY number
            "#,
        )
        .bind(i64::from(rows))
        .bind(bytes.cast_signed())
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(change).collect()
    }

    async fn pages(&self, conn: &mut PgConnection, segment: i64, after: &[u8], limit: u32) -> Result<Vec<Page>> {
        let mut tx = conn.begin().await?;
        let rows = sqlx::query(
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
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let page = |row: &PgRow| Ok(Page { key: row.try_get(0)?, is_single: row.try_get(1)?, block: row.try_get(2)? });
        rows.iter().map(page).collect()
    }

    async fn originals(&self, conn: &mut PgConnection, ids: &[DocId]) -> Result<Vec<(DocId, Document, i64)>> {
        upkeep::originals(conn, ids).await
    }

    async fn stored_bytes(&self, conn: &mut PgConnection) -> Result<Option<u64>> {
        upkeep::stored_bytes(conn).await
    }

    async fn publish(&self, conn: &mut PgConnection, publication: &Publication) -> Result<bool> {
        let mut tx = conn.begin().await?;
        if !self.claim(&mut tx, 0).await? {
            return Ok(false);
        }
        let consumed = sqlx::query(
            r#"
            DELETE FROM search_dirty
            WHERE number = ANY($1)
            "#,
        )
        .bind(&publication.consumed)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        let (segments, revisions): (Vec<i64>, Vec<i32>) = publication.merged.iter().copied().unzip();
        let merged = sqlx::query(
            r#"
            DELETE FROM search_segment
            USING unnest($1::bigint[], $2::integer[]) AS given (segment, revision)
            WHERE search_segment.segment = given.segment AND search_segment.revision = given.revision
            "#,
        )
        .bind(&segments)
        .bind(&revisions)
        .execute(&mut *tx)
        .await?
        .rows_affected();
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
        if !segments.is_empty() {
            sqlx::query(
                r#"
                DELETE FROM search_page
                WHERE segment = ANY($1)
                "#,
            )
            .bind(&segments)
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

/// Writes a document and logs it; returns the number of its row of the log.
async fn write_one(conn: &mut PgConnection, indexed: &Indexed) -> Result<Vec<i64>> {
    let Indexed { document, terms } = indexed;
    let tags = document.audience.iter().map(Tag::as_str).collect::<Vec<_>>();
    Ok(sqlx::query_scalar(
        r#"
        WITH document AS (
            INSERT INTO search_document
                (surface, entity_id, audience_tags, language, words, recency_at, title, body, url, extra)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
            ON CONFLICT (surface, entity_id) DO UPDATE
            SET audience_tags = excluded.audience_tags, language = excluded.language, words = excluded.words,
                words_before = search_document.words, recency_at = excluded.recency_at, title = excluded.title,
                body = excluded.body, url = excluded.url, extra = excluded.extra
            RETURNING doc_id, words_before
        )
        INSERT INTO search_dirty (doc_id, documents, words, surface, audience_tags, language, signature, terms)
        SELECT doc_id, (words_before IS NULL)::integer, $5 - coalesce(words_before, 0), $1, $11, $12, $13::text::bit(1024), $14
        FROM document
        RETURNING number
        "#,
    )
    .bind(document.surface.as_str())
    .bind(document.entity_id.as_str())
    .bind(&tags)
    .bind(document.language.code())
    .bind(words(terms))
    .bind(document.recency)
    .bind(document.title.as_str())
    .bind(document.body.as_str())
    .bind(document.url.as_deref())
    .bind(document.extra.as_deref())
    .bind(tags.join(BETWEEN_TAGS))
    .bind(i16::from(document.language.byte()))
    .bind(signature::of(terms)?)
    .bind(terms.as_bytes())
    .fetch_all(conn)
    .await?)
}

/// Writes documents and logs them; returns the numbers of their rows of the log.
async fn write(conn: &mut PgConnection, documents: &[Indexed]) -> Result<Vec<i64>> {
    Ok(sqlx::query_scalar(
        r#"
        WITH given AS (
            SELECT *
            FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::timestamptz[],
                    $7::text[], $8::text[], $9::text[], $10::text[], $11::integer[], $12::smallint[], $13::text[])
                WITH ORDINALITY AS given
                    (surface, entity_id, audience_tags, terms, language, recency_at, title, body, url, extra, words,
                    language_of_terms, signature, place)
        ),
        document AS (
            INSERT INTO search_document
                (surface, entity_id, audience_tags, language, words, recency_at, title, body, url, extra)
            SELECT surface, entity_id, string_to_array(audience_tags, $14), language, words, recency_at, title, body, url, extra
            FROM given
            ORDER BY place
            ON CONFLICT (surface, entity_id) DO UPDATE
            SET audience_tags = excluded.audience_tags, language = excluded.language, words = excluded.words,
                words_before = search_document.words, recency_at = excluded.recency_at, title = excluded.title,
                body = excluded.body, url = excluded.url, extra = excluded.extra
            RETURNING doc_id, surface, entity_id, words, words_before
        )
        INSERT INTO search_dirty (doc_id, documents, words, surface, audience_tags, language, signature, terms)
        SELECT doc_id, (words_before IS NULL)::integer, document.words - coalesce(words_before, 0), surface,
            audience_tags, language_of_terms, signature::bit(1024), terms
        FROM document
        JOIN given USING (surface, entity_id)
        RETURNING number
        "#,
    )
    .bind(column(documents, |document| document.surface.as_str()))
    .bind(column(documents, |document| document.entity_id.as_str()))
    .bind(column(documents, tags))
    .bind(documents.iter().map(|indexed| indexed.terms.as_bytes()).collect::<Vec<_>>())
    .bind(column(documents, |document| document.language.code()))
    .bind(column(documents, |document| document.recency))
    .bind(column(documents, |document| document.title.as_str()))
    .bind(column(documents, |document| document.body.as_str()))
    .bind(column(documents, |document| document.url.as_deref()))
    .bind(column(documents, |document| document.extra.as_deref()))
    .bind(documents.iter().map(|indexed| words(&indexed.terms)).collect::<Vec<_>>())
    .bind(column(documents, |document| i16::from(document.language.byte())))
    .bind(documents.iter().map(|indexed| signature::of(&indexed.terms)).collect::<Result<Vec<_>>>()?)
    .bind(BETWEEN_TAGS)
    .fetch_all(conn)
    .await?)
}

/// Writes those documents that are new, without logging them; returns their ids, `None` for one that there is already.
async fn write_new(conn: &mut PgConnection, documents: &[Indexed]) -> Result<Vec<Option<DocId>>> {
    let rows = sqlx::query(
        r#"
        INSERT INTO search_document (surface, entity_id, audience_tags, language, words, recency_at, title, body, url, extra)
        SELECT surface, entity_id, string_to_array(audience_tags, $11), language, words, recency_at, title, body, url, extra
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::timestamptz[], $7::text[], $8::text[],
                $9::text[], $10::text[])
            WITH ORDINALITY AS given
                (surface, entity_id, audience_tags, language, words, recency_at, title, body, url, extra, place)
        ORDER BY place
        ON CONFLICT (surface, entity_id) DO NOTHING
        RETURNING doc_id, surface, entity_id
        "#,
    )
    .bind(column(documents, |document| document.surface.as_str()))
    .bind(column(documents, |document| document.entity_id.as_str()))
    .bind(column(documents, tags))
    .bind(column(documents, |document| document.language.code()))
    .bind(documents.iter().map(|indexed| words(&indexed.terms)).collect::<Vec<_>>())
    .bind(column(documents, |document| document.recency))
    .bind(column(documents, |document| document.title.as_str()))
    .bind(column(documents, |document| document.body.as_str()))
    .bind(column(documents, |document| document.url.as_deref()))
    .bind(column(documents, |document| document.extra.as_deref()))
    .bind(BETWEEN_TAGS)
    .fetch_all(conn)
    .await?;
    let mut ids = vec![None; documents.len()];
    for row in &rows {
        let key: (&str, &str) = (row.try_get(1)?, row.try_get(2)?);
        let of = |indexed: &Indexed| {
            let Document { surface, entity_id, .. } = &indexed.document;
            (surface.as_str(), entity_id.as_str()).cmp(&key)
        };
        if let Ok(at) = documents.binary_search_by(of) {
            ids[at] = Some(DocId(row.try_get(0)?));
        }
    }
    Ok(ids)
}

/// Writes a segment.
async fn insert(conn: &mut PgConnection, segment: &SegmentRow, pages: &[Page]) -> Result<()> {
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
    for pages in batches(pages) {
        sqlx::query(
            r#"
            INSERT INTO search_page (segment, key, is_single, block)
            SELECT $1, key, is_single, block
            FROM unnest($2::bytea[], $3::boolean[], $4::bytea[]) AS given (key, is_single, block)
            "#,
        )
        .bind(segment.segment)
        .bind(pages.iter().map(|page| page.key.as_slice()).collect::<Vec<_>>())
        .bind(pages.iter().map(|page| page.is_single).collect::<Vec<_>>())
        .bind(pages.iter().map(|page| page.block.as_slice()).collect::<Vec<_>>())
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// Parts of about [`SENT`] bytes.
fn batches(pages: &[Page]) -> impl Iterator<Item = &[Page]> {
    let mut rest = pages;
    std::iter::from_fn(move || {
        let mut size = 0;
        let fits = |page: &Page| {
            size += page.block.len();
            size > SENT
        };
        let end = rest.iter().position(fits).map_or(rest.len(), |at| at.max(1));
        let (batch, after) = rest.split_at(end);
        rest = after;
        (!batch.is_empty()).then_some(batch)
    })
}

fn column<'a, T>(documents: &'a [Indexed], value: impl Fn(&'a Document) -> T) -> Vec<T> {
    documents.iter().map(|indexed| value(&indexed.document)).collect()
}

fn tags(document: &Document) -> String {
    document.audience.iter().map(Tag::as_str).collect::<Vec<_>>().join(BETWEEN_TAGS)
}

/// A text of half a mebibyte has no more words than that.
fn words(terms: &Terms) -> i32 {
    i32::try_from(terms.words()).unwrap_or(i32::MAX)
}

/// The known segments of a key as an array of the server's, in text: an array of arrays would need all to have as many.
fn known(key: &Key) -> Option<String> {
    let segments: Vec<String> = key.known.iter().map(i64::to_string).collect();
    (!segments.is_empty()).then(|| format!("{{{}}}", segments.join(",")))
}

fn parameters(audience: &Audience) -> (bool, Vec<&str>) {
    let tags = audience.as_tags();
    (tags.is_none(), tags.into_iter().flatten().map(Tag::as_str).collect())
}

fn snapshot(rows: &[PgRow], mut sees: impl FnMut(&str) -> Result<bool>) -> Result<Snapshot> {
    let mut snapshot = Snapshot::default();
    let mut pages = Vec::new();
    for row in rows {
        match row.try_get(0)? {
            0 => snapshot.segments.push(segment(row)?),
            1 => {
                let place = usize::try_from(row.try_get::<i32, _>(2)?).unwrap_or_default();
                pages.push((row.try_get::<i64, _>(1)?, (place.saturating_sub(1), row.try_get(6)?)));
            }
            3 => unread(row, &mut snapshot.log)?,
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

/// Reads the rows of the log that hold no term that is asked for: as if they held no term at all.
fn unread(row: &PgRow, log: &mut Vec<LogRow>) -> Result<()> {
    let mut added = Totals { documents: row.try_get(3)?, words: row.try_get(4)? };
    let (none, _) = Terms::of("", "", Language::Other);
    let (pairs, _) = row.try_get::<&[u8], _>(6)?.as_chunks::<16>();
    log.extend(pairs.iter().map(|pair| {
        let [number, doc_id] = [0, 8].map(|at| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&pair[at..at + 8]);
            i64::from_be_bytes(bytes)
        });
        let terms = Some(none.as_bytes().to_vec());
        // What they added all together, the first is said to have added.
        LogRow {
            number,
            doc_id: DocId(doc_id),
            added: std::mem::take(&mut added),
            terms,
            surface: None,
            is_visible: false,
        }
    }));
    Ok(())
}

fn segment(row: &PgRow) -> Result<SegmentRow> {
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

fn change(row: &PgRow) -> Result<Change> {
    let is_there = row.try_get::<Option<&str>, _>("surface")?.is_some();
    Ok(Change {
        number: row.try_get("number")?,
        doc_id: DocId(row.try_get("doc_id")?),
        added: Totals {
            documents: row.try_get::<i32, _>("documents")?.into(),
            words: row.try_get::<i32, _>("words")?.into(),
        },
        terms: row.try_get("terms")?,
        document: is_there.then(|| document(row)).transpose()?,
        words: row.try_get::<Option<i32>, _>("kept_words")?.unwrap_or_default().into(),
    })
}

fn document(row: &PgRow) -> Result<Document> {
    let surface = corrupt("surface", Surface::new(row.try_get::<&str, _>("surface")?))?;
    let entity_id = corrupt("entity id", EntityId::new(row.try_get::<&str, _>("entity_id")?))?;
    let tags: Vec<String> = row.try_get("audience_tags")?;
    Ok(Document {
        audience: corrupt("audience tags", tags.into_iter().map(Tag::new).collect::<Result<_>>())?,
        language: Language::from_stored(row.try_get("language")?),
        recency: row.try_get::<Option<DateTime<Utc>>, _>("recency_at")?,
        title: row.try_get("title")?,
        body: row.try_get("body")?,
        url: row.try_get("url")?,
        extra: row.try_get("extra")?,
        ..Document::new(surface, entity_id)
    })
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
        Ok(begin::begin(self, "BEGIN ISOLATION LEVEL READ COMMITTED").await?)
    }

    async fn begin_snapshot(&self) -> Result<Self::Transaction> {
        Ok(begin::begin(self, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
    }

    async fn commit(&self, tx: Self::Transaction) -> Result<()> {
        Ok(tx.commit().await?)
    }
}
