//! The Merkle log on SQLite.

use std::ops::Range;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use super::{Sqlite, corrupt};
use crate::{
    Batch, Commitment, Compared, Cursor, Hash, LogStore, Node, RecordCount, RecordId, RecordState, Result, Sealing,
    SignedHead, TreeHead, leaf,
};

impl LogStore for Sqlite {
    async fn lock_log(&self, conn: &mut SqliteConnection) -> Result<Option<Option<Sealing>>> {
        // A transaction that writes has the only lock there is.
        Ok(Some(self.latest(conn).await?))
    }

    async fn append_leaves(
        &self,
        conn: &mut SqliteConnection,
        first: u64,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Batch> {
        let place = after.map_or(0, |cursor| cursor.place);
        sqlx::query(
            r#"
            INSERT INTO audit_leaf (leaf_index, record_id, place, leaf_hash)
            SELECT $1 + row_number() OVER (ORDER BY seq) - 1, id, seq, leaf_hash
            FROM audit_record
            WHERE seq > $2
            ORDER BY seq
            LIMIT $3
            "#,
        )
        .bind(as_signed(first))
        .bind(place)
        .bind(limit)
        .execute(&mut *conn)
        .await?;
        let rows = sqlx::query(
            "SELECT place, leaf_hash FROM audit_leaf WHERE leaf_index >= $1 ORDER BY leaf_index",
        )
        .bind(as_signed(first))
        .fetch_all(conn)
        .await?;
        let leaves = rows.iter().map(|row| hash(row, "leaf_hash")).collect::<Result<_>>()?;
        let last = rows.last().map(|row| row.try_get("place")).transpose()?;
        Ok(Batch { leaves, cursor: cursor(last.unwrap_or(place)) })
    }

    async fn append_checkpoint(
        &self,
        conn: &mut SqliteConnection,
        sealing: &Sealing,
        nodes: &[(Node, Hash)],
    ) -> Result<()> {
        for (node, hash) in nodes {
            sqlx::query("INSERT INTO audit_node (level, node_index, hash) VALUES ($1, $2, $3)")
                .bind(node.level)
                .bind(as_signed(node.index))
                .bind(&hash.as_bytes()[..])
                .execute(&mut *conn)
                .await?;
        }
        sqlx::query(
            r#"
            INSERT INTO audit_checkpoint (tree_size, root, note, frontier, cursor_place)
            VALUES ($1, $2, $3, $4, $5)
            "#,
        )
        .bind(as_signed(sealing.head.size))
        .bind(&sealing.head.root.as_bytes()[..])
        .bind(&sealing.note)
        .bind(&sealing.frontier)
        .bind(sealing.cursor.place)
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn latest(&self, conn: &mut SqliteConnection) -> Result<Option<Sealing>> {
        let row = sqlx::query(
            r#"
            SELECT tree_size, root, note, frontier, cursor_place
            FROM audit_checkpoint
            ORDER BY tree_size DESC
            LIMIT 1
            "#,
        )
        .fetch_optional(conn)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let SignedHead { head, note } = signed_head(&row)?;
        let cursor = cursor(row.try_get("cursor_place")?);
        Ok(Some(Sealing { head, note, frontier: row.try_get("frontier")?, cursor }))
    }

    async fn checkpoints(&self, conn: &mut SqliteConnection, above: u64, limit: u32) -> Result<Vec<SignedHead>> {
        let rows = sqlx::query(
            "SELECT tree_size, root, note FROM audit_checkpoint WHERE tree_size > $1 ORDER BY tree_size LIMIT $2",
        )
        .bind(as_signed(above))
        .bind(limit)
        .fetch_all(conn)
        .await?;
        rows.iter().map(signed_head).collect()
    }

    async fn leaf(&self, conn: &mut SqliteConnection, id: RecordId) -> Result<Option<(u64, Hash)>> {
        let row = sqlx::query("SELECT leaf_index, leaf_hash FROM audit_leaf WHERE record_id = $1")
            .bind(id.as_uuid())
            .fetch_optional(conn)
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some((number(&row, "leaf_index")?, hash(&row, "leaf_hash")?)))
    }

    async fn nodes(&self, conn: &mut SqliteConnection, level: u8, ranges: &[Range<u64>]) -> Result<Vec<(Node, Hash)>> {
        let statement = if level == 0 {
            r#"
            SELECT leaf_index AS node_index, leaf_hash AS hash
            FROM audit_leaf
            WHERE leaf_index >= $1 AND leaf_index < $2 AND $3 = 0
            "#
        } else {
            r#"
            SELECT node_index, hash
            FROM audit_node
            WHERE node_index >= $1 AND node_index < $2 AND level = $3
            "#
        };
        let mut nodes = Vec::new();
        for range in ranges {
            let rows = sqlx::query(statement)
                .bind(as_signed(range.start))
                .bind(as_signed(range.end))
                .bind(level)
                .fetch_all(&mut *conn)
                .await?;
            for row in &rows {
                nodes.push((Node { level, index: number(row, "node_index")? }, hash(row, "hash")?));
            }
        }
        Ok(nodes)
    }

    async fn compare(&self, conn: &mut SqliteConnection, first: u64, limit: u32) -> Result<Vec<Compared>> {
        let rows = sqlx::query(
            r#"
            SELECT leaf_index, record_id, place, leaf_hash
            FROM audit_leaf
            WHERE leaf_index >= $1
            ORDER BY leaf_index
            LIMIT $2
            "#,
        )
        .bind(as_signed(first))
        .bind(limit)
        .fetch_all(&mut *conn)
        .await?;
        let mut leaves = rows.iter().map(compared).collect::<Result<Vec<_>>>()?;
        // Records lie in the order of the log, unless somebody has changed that.
        for run in leaves.chunk_by_mut(|left, right| left.place < right.place) {
            compare_run(conn, run).await?;
        }
        Ok(leaves)
    }

    async fn forged_private(&self, conn: &mut SqliteConnection) -> Result<Option<Uuid>> {
        let mut rows = sqlx::query(
            r#"
            SELECT
                private.record_id, private.salt, private.body,
                CASE part WHEN 'client' THEN client_commit WHEN 'personal' THEN private_commit END AS made
            FROM audit_private AS private
            JOIN audit_record AS record ON record.id = private.record_id
            "#,
        )
        .fetch(conn);
        while let Some(row) = rows.try_next().await? {
            let (salt, body, made): (&[u8], &[u8], Option<&[u8]>) =
                (row.try_get("salt")?, row.try_get("body")?, row.try_get("made")?);
            let opened = salt.try_into().map(|salt| Commitment::of(salt, body));
            if !opened.is_ok_and(|opened| made == Some(&opened.as_bytes()[..])) {
                return Ok(Some(row.try_get("record_id")?));
            }
        }
        Ok(None)
    }

    async fn count(&self, conn: &mut SqliteConnection, cursor: &Cursor) -> Result<RecordCount> {
        let row = sqlx::query(
            r#"
            SELECT
                (SELECT count(*) FROM audit_record) AS every,
                (SELECT count(*) FROM audit_record WHERE seq <= $1) AS passed
            "#,
        )
        .bind(cursor.place)
        .fetch_one(conn)
        .await?;
        Ok(RecordCount { all: number(&row, "every")?, passed: number(&row, "passed")? })
    }

    async fn unlogged(&self, conn: &mut SqliteConnection, cursor: &Cursor) -> Result<Option<Uuid>> {
        let id = sqlx::query_scalar(
            r#"
            SELECT id
            FROM audit_record AS record
            WHERE seq <= $1
                AND NOT EXISTS (SELECT 1 FROM audit_leaf WHERE record_id = record.id AND place = record.seq)
            ORDER BY seq
            LIMIT 1
            "#,
        )
        .bind(cursor.place)
        .fetch_optional(conn)
        .await?;
        Ok(id)
    }

    async fn is_stored(&self, conn: &mut SqliteConnection, id: Uuid) -> Result<bool> {
        let is_stored = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM audit_record WHERE id = $1)")
            .bind(id)
            .fetch_one(conn)
            .await?;
        Ok(is_stored)
    }

    async fn pruned(&self, conn: &mut SqliteConnection) -> Result<Vec<Range<DateTime<Utc>>>> {
        let until: Option<i64> =
            sqlx::query_scalar("SELECT max(until_at) FROM audit_pruned").fetch_one(conn).await?;
        let until = until.and_then(DateTime::from_timestamp_micros);
        Ok(until.map(|until| DateTime::<Utc>::MIN_UTC..until).into_iter().collect())
    }
}

fn cursor(place: i64) -> Cursor {
    Cursor { cluster: 0, is_restoring: false, place, id: Uuid::max() }
}

/// Walks along leaves in ascending places and the records in the same span.
async fn compare_run(conn: &mut SqliteConnection, run: &mut [Compared]) -> Result<()> {
    let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
    let mut records = sqlx::query(
        r#"
        SELECT
            id, at, action, actor_kind, actor_id, impersonator_id, on_behalf_of_id, outcome, entity_type, entity_id,
            scope_type, scope_id, request_id, trace_id, client_trust, client_commit, private_commit,
            before, after, leaf_hash, seq
        FROM audit_record
        WHERE seq >= $1 AND seq <= $2
        ORDER BY seq
        "#,
    )
    .bind(first.place)
    .bind(last.place)
    .fetch(conn);
    let mut next = 0;
    while let Some(row) = records.try_next().await? {
        let place: i64 = row.try_get(20)?;
        while next < run.len() && run[next].place < place {
            next += 1;
        }
        let Some(leaf) = run.get_mut(next).filter(|leaf| leaf.place == place) else { continue };
        if row.try_get::<&[u8], _>(0)? != leaf.record.as_bytes() {
            continue;
        }
        let is_intact = rehash(&row)? == Some(*leaf.hash.as_bytes());
        leaf.state = if is_intact { RecordState::Intact } else { RecordState::Altered };
    }
    Ok(())
}

/// Hashes a row as it is stored; `None` if the hash in it is another one.
fn rehash(row: &SqliteRow) -> Result<Option<[u8; 32]>> {
    let at = row.try_get::<i64, _>(1)?.to_be_bytes();
    let mut columns: leaf::Columns<'_> = [None; 19];
    for (index, column) in columns.iter_mut().enumerate().filter(|(index, _)| *index != 1) {
        *column = row.try_get(index)?;
    }
    columns[1] = Some(&at);
    let hash = leaf::hash(&columns);
    Ok((row.try_get::<&[u8], _>(19)? == hash).then_some(hash))
}

fn compared(row: &SqliteRow) -> Result<Compared> {
    Ok(Compared {
        index: number(row, "leaf_index")?,
        record: corrupt("record_id", Uuid::from_slice(row.try_get("record_id")?))?,
        place: row.try_get("place")?,
        hash: hash(row, "leaf_hash")?,
        state: RecordState::Absent,
    })
}

fn signed_head(row: &SqliteRow) -> Result<SignedHead> {
    let head = TreeHead { size: number(row, "tree_size")?, root: hash(row, "root")? };
    Ok(SignedHead { head, note: row.try_get("note")? })
}

fn number(row: &SqliteRow, name: &'static str) -> Result<u64> {
    corrupt(name, row.try_get::<i64, _>(name)?.try_into())
}

fn hash(row: &SqliteRow, name: &'static str) -> Result<Hash> {
    corrupt(name, Hash::try_from(row.try_get::<&[u8], _>(name)?))
}

/// Sizes and indices stay far below the half of what a `u64` holds: a larger one is beyond the end of any log.
fn as_signed(number: u64) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
