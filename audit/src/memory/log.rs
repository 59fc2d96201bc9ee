//! The Merkle log in memory.

use std::collections::HashMap;
use std::ops::Range;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Connection, Memory, Part, State};
use crate::{
    Batch, Commitment, Compared, Cursor, Error, Hash, LogStore, Node, RecordCount, RecordId, RecordState, Result,
    Sealing, SignedHead,
};

/// What the log's tables hold. A record's place is its number in the list of entries, from 1.
#[derive(Clone, Debug, Default)]
pub(super) struct LogState {
    leaves: Vec<(RecordId, i64, Hash)>,
    nodes: HashMap<Node, Hash>,
    sealings: Vec<Sealing>,
}

impl LogStore for Memory {
    async fn lock_log(&self, conn: &mut Connection) -> Result<Option<Option<Sealing>>> {
        // A transaction that writes has the only lock there is.
        Ok(Some(self.latest(conn).await?))
    }

    async fn append_leaves(
        &self,
        conn: &mut Connection,
        first: u64,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Batch> {
        conn.write(|state| {
            if state.log.leaves.len() as u64 != first {
                return Err(Error::Backend("the leaf is there".into()));
            }
            let mut place = after.map_or(0, |cursor| cursor.place);
            let skipped = usize::try_from(place).unwrap_or(usize::MAX);
            let mut leaves = Vec::new();
            for entry in state.entries.iter().skip(skipped).take(limit as usize) {
                place += 1;
                leaves.push(Hash::from(entry.digests.leaf));
                state.log.leaves.push((entry.id, place, entry.digests.leaf.into()));
            }
            Ok(Batch { leaves, cursor: Cursor { cluster: 0, is_restoring: false, place, id: Uuid::max() } })
        })
        .await
    }

    async fn append_checkpoint(&self, conn: &mut Connection, sealing: &Sealing, nodes: &[(Node, Hash)]) -> Result<()> {
        conn.write(|state| {
            if state.log.sealings.last().is_some_and(|last| last.head.size >= sealing.head.size) {
                return Err(Error::Backend("the checkpoint is there".into()));
            }
            state.log.nodes.extend(nodes.iter().copied());
            state.log.sealings.push(sealing.clone());
            Ok(())
        })
        .await
    }

    async fn latest(&self, conn: &mut Connection) -> Result<Option<Sealing>> {
        Ok(conn.read().log.sealings.pop())
    }

    async fn checkpoints(&self, conn: &mut Connection, above: u64, limit: u32) -> Result<Vec<SignedHead>> {
        let sealings = conn.read().log.sealings.into_iter().filter(|sealing| sealing.head.size > above);
        Ok(sealings.take(limit as usize).map(|Sealing { head, note, .. }| SignedHead { head, note }).collect())
    }

    async fn leaf(&self, conn: &mut Connection, id: RecordId) -> Result<Option<(u64, Hash)>> {
        let leaves = conn.read().log.leaves;
        Ok((0..).zip(leaves).find(|(_, leaf)| leaf.0 == id).map(|(index, leaf)| (index, leaf.2)))
    }

    async fn nodes(&self, conn: &mut Connection, level: u8, ranges: &[Range<u64>]) -> Result<Vec<(Node, Hash)>> {
        let log = conn.read().log;
        let is_wanted = |node: &Node| node.level == level && ranges.iter().any(|range| range.contains(&node.index));
        let leaves = (0..).zip(log.leaves).map(|(index, leaf)| (Node { level: 0, index }, leaf.2));
        Ok(leaves.chain(log.nodes).filter(|(node, _)| is_wanted(node)).collect())
    }

    async fn compare(&self, conn: &mut Connection, first: u64, limit: u32) -> Result<Vec<Compared>> {
        let state = conn.read();
        let leaves = (0..).zip(&state.log.leaves).filter(|(index, _)| *index >= first).take(limit as usize);
        let compared = leaves.map(|(index, (id, place, hash))| {
            let entry = usize::try_from(place - 1).ok().and_then(|index| state.entries.get(index));
            let state = match entry.filter(|entry| entry.id == *id) {
                None => RecordState::Absent,
                Some(entry) if entry.leaf_hash() == *hash.as_bytes() => RecordState::Intact,
                Some(_) => RecordState::Altered,
            };
            Compared { index, record: *id.as_uuid(), place: *place, hash: *hash, state }
        });
        Ok(compared.collect())
    }

    async fn forged_private(&self, conn: &mut Connection) -> Result<Option<Uuid>> {
        let state = conn.read();
        let forged = state.private.iter().find(|((id, part), private)| {
            let entry = state.entries.iter().find(|entry| entry.id == *id);
            let made = entry.and_then(|entry| match part {
                Part::Client => entry.digests.client,
                Part::Personal => entry.digests.personal,
            });
            let salt = private.salt.as_slice().try_into();
            !salt.is_ok_and(|salt| made == Some(Commitment::of(salt, &private.body)))
        });
        Ok(forged.map(|((id, _), _)| *id.as_uuid()))
    }

    async fn count(&self, conn: &mut Connection, cursor: &Cursor) -> Result<RecordCount> {
        let all = conn.read().entries.len() as u64;
        Ok(RecordCount { all, passed: all.min(cursor.place.cast_unsigned()) })
    }

    async fn unlogged(&self, conn: &mut Connection, cursor: &Cursor) -> Result<Option<Uuid>> {
        let state = conn.read();
        let is_logged = |id| state.log.leaves.iter().any(|leaf| leaf.0 == id);
        let passed = (1..=cursor.place).zip(&state.entries);
        Ok(passed.map(|(_, entry)| entry.id).find(|id| !is_logged(*id)).map(|id| *id.as_uuid()))
    }

    async fn is_stored(&self, conn: &mut Connection, id: Uuid) -> Result<bool> {
        let State { entries, .. } = conn.read();
        Ok(entries.iter().any(|entry| *entry.id.as_uuid() == id))
    }

    async fn pruned(&self, _: &mut Connection) -> Result<Vec<Range<DateTime<Utc>>>> {
        Ok(Vec::new())
    }
}
