//! The Merkle log on PostgreSQL.

use std::ops::Range;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row, ValueRef};
use uuid::Uuid;

use super::{Postgres, corrupt};
use crate::{
    Batch, Commitment, Compared, Cursor, Error, Hash, LogStore, Node, RecordCount, RecordId, RecordState, Result,
    Sealing, SignedHead, TreeHead, leaf,
};

impl LogStore for Postgres {
    async fn lock_log(&self, conn: &mut PgConnection) -> Result<bool> {
        let is_ours = sqlx::query_scalar(
            "SELECT pg_try_advisory_xact_lock(hashtextextended('stoa_audit ' || current_schema(), 0))",
        )
        .fetch_one(conn)
        .await?;
        Ok(is_ours)
    }

    async fn append_leaves(
        &self,
        conn: &mut PgConnection,
        first: u64,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Batch> {
        let now = Snapshot::now(conn).await?;
        let mut cursor = now.resume(after);
        let (mut leaves, mut limit) = (Vec::new(), i64::from(limit));
        if cursor.is_restoring {
            let restored = append_restored(conn, first, &cursor, limit).await?;
            if let Some(last) = restored.last() {
                (cursor.place, cursor.id) = (last.place, last.id);
            }
            limit -= as_signed(restored.len() as u64);
            leaves.extend(restored.into_iter().map(|made| made.hash));
            if limit == 0 {
                return Ok(Batch { leaves, cursor });
            }
            cursor = Cursor { cluster: cursor.cluster, ..START };
        }
        let finished = append_finished(conn, first + leaves.len() as u64, &cursor, now.xmin, limit).await?;
        if as_signed(finished.len() as u64) < limit {
            // Nothing is left below the horizon, and nothing can come there any more.
            if now.xmin > cursor.place {
                (cursor.place, cursor.id) = (now.xmin - 1, Uuid::max());
            }
        } else if let Some(last) = finished.last() {
            (cursor.place, cursor.id) = (last.place, last.id);
        }
        leaves.extend(finished.into_iter().map(|made| made.hash));
        Ok(Batch { leaves, cursor })
    }

    async fn append_checkpoint(
        &self,
        conn: &mut PgConnection,
        sealing: &Sealing,
        nodes: &[(Node, Hash)],
    ) -> Result<()> {
        sqlx::query(
            r#"
            WITH nodes AS (
                INSERT INTO audit_node (level, node_index, hash)
                SELECT * FROM unnest($9::smallint[], $10::bigint[], $11::bytea[])
            )
            INSERT INTO audit_checkpoint (
                tree_size, root, note, frontier, cursor_cluster, cursor_restoring, cursor_place, cursor_id
            )
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
            "#,
        )
        .bind(as_signed(sealing.head.size))
        .bind(&sealing.head.root.as_bytes()[..])
        .bind(&sealing.note)
        .bind(&sealing.frontier)
        .bind(sealing.cursor.cluster)
        .bind(sealing.cursor.is_restoring)
        .bind(sealing.cursor.place)
        .bind(sealing.cursor.id)
        .bind(nodes.iter().map(|(node, _)| i16::from(node.level)).collect::<Vec<_>>())
        .bind(nodes.iter().map(|(node, _)| as_signed(node.index)).collect::<Vec<_>>())
        .bind(nodes.iter().map(|(_, hash)| &hash.as_bytes()[..]).collect::<Vec<_>>())
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn latest(&self, conn: &mut PgConnection) -> Result<Option<Sealing>> {
        let row = sqlx::query(
            r#"
            SELECT tree_size, root, note, frontier, cursor_cluster, cursor_restoring, cursor_place, cursor_id
            FROM audit_checkpoint
            ORDER BY tree_size DESC
            LIMIT 1
            "#,
        )
        .fetch_optional(conn)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let cursor = Cursor {
            cluster: row.try_get("cursor_cluster")?,
            is_restoring: row.try_get("cursor_restoring")?,
            place: row.try_get("cursor_place")?,
            id: row.try_get("cursor_id")?,
        };
        let SignedHead { head, note } = signed_head(&row)?;
        Ok(Some(Sealing { head, note, frontier: row.try_get("frontier")?, cursor }))
    }

    async fn checkpoints(&self, conn: &mut PgConnection, above: u64, limit: u32) -> Result<Vec<SignedHead>> {
        let rows = sqlx::query(
            "SELECT tree_size, root, note FROM audit_checkpoint WHERE tree_size > $1 ORDER BY tree_size LIMIT $2",
        )
        .bind(as_signed(above))
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?;
        rows.iter().map(signed_head).collect()
    }

    async fn leaf(&self, conn: &mut PgConnection, id: RecordId) -> Result<Option<(u64, Hash)>> {
        let row = sqlx::query("SELECT leaf_index, leaf_hash FROM audit_leaf WHERE record_id = $1")
            .bind(id.as_uuid())
            .fetch_optional(conn)
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some((number(&row, "leaf_index")?, hash(&row, "leaf_hash")?)))
    }

    async fn nodes(&self, conn: &mut PgConnection, level: u8, ranges: &[Range<u64>]) -> Result<Vec<(Node, Hash)>> {
        let statement = if level == 0 {
            r#"
            SELECT leaf_index AS node_index, leaf_hash AS hash
            FROM unnest($1::bigint[], $2::bigint[]) AS wanted (first, until)
            JOIN audit_leaf ON leaf_index >= first AND leaf_index < until AND $3 = 0
            "#
        } else {
            r#"
            SELECT node_index, hash
            FROM unnest($1::bigint[], $2::bigint[]) AS wanted (first, until)
            JOIN audit_node ON level = $3 AND node_index >= first AND node_index < until
            "#
        };
        let rows = sqlx::query(statement)
            .bind(ranges.iter().map(|range| as_signed(range.start)).collect::<Vec<_>>())
            .bind(ranges.iter().map(|range| as_signed(range.end)).collect::<Vec<_>>())
            .bind(i16::from(level))
            .fetch_all(conn)
            .await?;
        rows.iter().map(|row| Ok((Node { level, index: number(row, "node_index")? }, hash(row, "hash")?))).collect()
    }

    async fn compare(&self, conn: &mut PgConnection, first: u64, limit: u32) -> Result<Vec<Compared>> {
        // Columns in one row: a row for each leaf is a quarter of the time that a record takes to verify.
        let row = sqlx::query(
            r#"
            SELECT array_agg(leaf_index), array_agg(record_id), array_agg(place), array_agg(leaf_hash)
            FROM (
                SELECT leaf_index, record_id, place, leaf_hash
                FROM audit_leaf
                WHERE leaf_index >= $1
                ORDER BY leaf_index
                LIMIT $2
            ) AS page
            "#,
        )
        .bind(as_signed(first))
        .bind(i64::from(limit))
        .fetch_one(&mut *conn)
        .await?;
        let mut leaves = compared(&row)?;
        // Records of one cluster lie in the order of the log; after a restore it begins anew.
        for run in leaves.chunk_by_mut(|left, right| (left.place, left.record) < (right.place, right.record)) {
            compare_run(conn, run).await?;
        }
        Ok(leaves)
    }

    async fn forged_private(&self, conn: &mut PgConnection) -> Result<Option<Uuid>> {
        let mut rows = sqlx::query(
            r#"
            SELECT
                private.record_id, private.salt, private.body,
                CASE part WHEN 'client' THEN client_commit WHEN 'personal' THEN private_commit END AS made
            FROM audit_private AS private
            JOIN audit_record AS record ON record.id = private.record_id AND record.at = private.at
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

    async fn count(&self, conn: &mut PgConnection, cursor: &Cursor) -> Result<RecordCount> {
        let row = sqlx::query(
            "SELECT count(*) AS every, count(*) FILTER (WHERE (xid, id) <= ($1, $2)) AS passed FROM audit_record",
        )
        .bind(cursor.place)
        .bind(cursor.id)
        .fetch_one(conn)
        .await?;
        Ok(RecordCount { all: number(&row, "every")?, passed: number(&row, "passed")? })
    }

    async fn unlogged(&self, conn: &mut PgConnection, cursor: &Cursor) -> Result<Option<Uuid>> {
        let id = sqlx::query_scalar(
            r#"
            SELECT id
            FROM audit_record AS record
            WHERE (xid, id) <= ($1, $2)
                AND NOT EXISTS (SELECT FROM audit_leaf WHERE record_id = record.id AND place = record.xid)
            ORDER BY xid, id
            LIMIT 1
            "#,
        )
        .bind(cursor.place)
        .bind(cursor.id)
        .fetch_optional(conn)
        .await?;
        Ok(id)
    }

    async fn is_stored(&self, conn: &mut PgConnection, id: Uuid) -> Result<bool> {
        let is_stored = sqlx::query_scalar("SELECT EXISTS (SELECT FROM audit_record WHERE id = $1)")
            .bind(id)
            .fetch_one(conn)
            .await?;
        Ok(is_stored)
    }

    async fn pruned(&self, conn: &mut PgConnection) -> Result<Vec<Range<DateTime<Utc>>>> {
        let spans: Vec<(DateTime<Utc>, DateTime<Utc>)> =
            sqlx::query_as("SELECT from_at, until_at FROM audit_pruned ORDER BY from_at").fetch_all(conn).await?;
        Ok(spans.into_iter().map(|(from, until)| from..until).collect())
    }
}

/// Before the first record.
const START: Cursor = Cursor { cluster: 0, is_restoring: false, place: 0, id: Uuid::nil() };

/// Which transactions are finished.
struct Snapshot {
    cluster: i64,
    xmin: i64,
    xmax: i64,
}

impl Snapshot {
    /// What a later statement of this transaction sees includes all that is below `xmin` now.
    async fn now(conn: &mut PgConnection) -> Result<Self> {
        let row = sqlx::query(
            r#"
            SELECT
                system_identifier AS cluster,
                pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xmin,
                pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS xmax
            FROM pg_control_system()
            "#,
        )
        .fetch_one(conn)
        .await?;
        Ok(Self { cluster: row.try_get("cluster")?, xmin: row.try_get("xmin")?, xmax: row.try_get("xmax")? })
    }

    /// Transaction numbers mean nothing in another cluster: in a new one, and where they have gone back, all records are looked
    /// at again. First those that were restored and have numbers which are still to be given out here.
    fn resume(&self, after: Option<&Cursor>) -> Cursor {
        match after {
            Some(cursor) if cursor.cluster == self.cluster && (cursor.is_restoring || cursor.place < self.xmax) => {
                *cursor
            }
            _ => Cursor { cluster: self.cluster, is_restoring: true, ..START },
        }
    }
}

/// A leaf just made.
struct Made {
    index: i64,
    place: i64,
    id: Uuid,
    hash: Hash,
}

/// Makes leaves of records by transactions below the horizon. One that was sealed before a restore is passed over; a subquery
/// is asked for each record, whatever the planner thinks of the sizes of the tables.
async fn append_finished(
    conn: &mut PgConnection,
    first: u64,
    after: &Cursor,
    horizon: i64,
    limit: i64,
) -> Result<Vec<Made>> {
    let rows = sqlx::query(
        r#"
        WITH batch AS (
            SELECT xid, id, leaf_hash
            FROM audit_record AS record
            WHERE (xid, id) > ($2, $3) AND xid < $4
                AND (SELECT leaf_index FROM audit_leaf WHERE record_id = record.id) IS NULL
            ORDER BY xid, id
            LIMIT $5
        )
        INSERT INTO audit_leaf (leaf_index, record_id, place, leaf_hash)
        SELECT $1 + row_number() OVER (ORDER BY xid, id) - 1, id, xid, leaf_hash
        FROM batch
        RETURNING leaf_index, place, record_id, leaf_hash
        "#,
    )
    .bind(as_signed(first))
    .bind(after.place)
    .bind(after.id)
    .bind(horizon)
    .bind(limit)
    .fetch_all(conn)
    .await?;
    in_order(&rows)
}

/// Makes leaves of records that were restored from another cluster. Whatever is visible with a number that this snapshot knows as
/// still to be given out is of no transaction of this cluster.
async fn append_restored(conn: &mut PgConnection, first: u64, after: &Cursor, limit: i64) -> Result<Vec<Made>> {
    let rows = sqlx::query(
        r#"
        WITH batch AS (
            SELECT xid, id, leaf_hash
            FROM audit_record AS record
            WHERE (xid, id) > ($2, $3) AND xid >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint
                AND (SELECT leaf_index FROM audit_leaf WHERE record_id = record.id) IS NULL
            ORDER BY xid, id
            LIMIT $4
        )
        INSERT INTO audit_leaf (leaf_index, record_id, place, leaf_hash)
        SELECT $1 + row_number() OVER (ORDER BY xid, id) - 1, id, xid, leaf_hash
        FROM batch
        RETURNING leaf_index, place, record_id, leaf_hash
        "#,
    )
    .bind(as_signed(first))
    .bind(after.place)
    .bind(after.id)
    .bind(limit)
    .fetch_all(conn)
    .await?;
    in_order(&rows)
}

fn in_order(rows: &[PgRow]) -> Result<Vec<Made>> {
    let made = |row: &PgRow| -> Result<Made> {
        let (index, place, id) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        Ok(Made { index, place, id, hash: hash(row, "leaf_hash")? })
    };
    let mut made = rows.iter().map(made).collect::<Result<Vec<_>>>()?;
    made.sort_unstable_by_key(|made| made.index);
    Ok(made)
}

/// Walks along leaves in ascending places and the records in the same span.
async fn compare_run(conn: &mut PgConnection, run: &mut [Compared]) -> Result<()> {
    let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
    let mut records = sqlx::query(
        r#"
        SELECT
            id, at, action, actor_kind, actor_id, impersonator_id, on_behalf_of_id, outcome, entity_type, entity_id,
            scope_type, scope_id, request_id, trace_id, client_trust, client_commit, private_commit,
            before, after, leaf_hash, xid
        FROM audit_record
        WHERE (xid, id) >= ($1, $2) AND (xid, id) <= ($3, $4)
        ORDER BY xid, id
        "#,
    )
    .bind(first.place)
    .bind(first.record)
    .bind(last.place)
    .bind(last.record)
    .fetch(conn);
    let mut next = 0;
    while let Some(row) = records.try_next().await? {
        let key: (i64, Uuid) = (row.try_get(20)?, row.try_get(0)?);
        let key_of = |leaf: &Compared| (leaf.place, leaf.record);
        while next < run.len() && key_of(&run[next]) < key {
            next += 1;
        }
        let Some(leaf) = run.get_mut(next).filter(|leaf| key_of(leaf) == key) else { continue };
        // A second row under the same id has another time: one of the two is no record of ours.
        let is_first = leaf.state == RecordState::Absent;
        let is_intact = is_first && rehash(&row)? == Some(*leaf.hash.as_bytes());
        leaf.state = if is_intact { RecordState::Intact } else { RecordState::Altered };
    }
    Ok(())
}

/// Hashes a row as it came over the wire; `None` if the hash in it is another one.
fn rehash(row: &PgRow) -> Result<Option<[u8; 32]>> {
    let at = row.try_get::<DateTime<Utc>, _>(1)?.timestamp_micros().to_be_bytes();
    let mut columns: leaf::Columns<'_> = [None; 19];
    for (index, column) in columns.iter_mut().enumerate() {
        let value = row.try_get_raw(index)?;
        // Binary, as the protocol gives what a statement with parameters returns: text and JSON are their own bytes.
        *column = if value.is_null() { None } else { Some(value.as_bytes().map_err(Error::Backend)?) };
    }
    columns[1] = Some(&at);
    let hash = leaf::hash(&columns);
    Ok((row.try_get::<&[u8], _>(19)? == hash).then_some(hash))
}

fn compared(row: &PgRow) -> Result<Vec<Compared>> {
    let indices = row.try_get::<Option<Vec<i64>>, _>(0)?.unwrap_or_default();
    let records = row.try_get::<Option<Vec<Uuid>>, _>(1)?.unwrap_or_default();
    let places = row.try_get::<Option<Vec<i64>>, _>(2)?.unwrap_or_default();
    let hashes = row.try_get::<Option<Vec<Vec<u8>>>, _>(3)?.unwrap_or_default();
    let leaf = |(((index, record), place), hash): (((i64, Uuid), i64), Vec<u8>)| {
        let index = corrupt("leaf_index", index.try_into())?;
        let hash = corrupt("leaf_hash", Hash::try_from(&*hash))?;
        Ok(Compared { index, record, place, hash, state: RecordState::Absent })
    };
    let mut leaves = indices.into_iter().zip(records).zip(places).zip(hashes).map(leaf).collect::<Result<Vec<_>>>()?;
    // They are in order as a rule, but no aggregate promises that.
    leaves.sort_unstable_by_key(|leaf| leaf.index);
    Ok(leaves)
}

fn signed_head(row: &PgRow) -> Result<SignedHead> {
    let head = TreeHead { size: number(row, "tree_size")?, root: hash(row, "root")? };
    Ok(SignedHead { head, note: row.try_get("note")? })
}

fn number(row: &PgRow, name: &'static str) -> Result<u64> {
    corrupt(name, row.try_get::<i64, _>(name)?.try_into())
}

fn hash(row: &PgRow, name: &'static str) -> Result<Hash> {
    corrupt(name, Hash::try_from(row.try_get::<&[u8], _>(name)?))
}

/// Sizes and indices stay far below the half of what a `u64` holds: a larger one is beyond the end of any log.
fn as_signed(number: u64) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
