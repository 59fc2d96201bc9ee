//! The Merkle log of committed records.

mod sealer;
mod sink;
mod store;
mod verify;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use tracing::instrument;

use crate::{Error, Frontier, Hash, Node, ProofPlan, RecordId, Result};

pub use sealer::{Sealed, Sealer};
pub use sink::{CheckpointSink, FileSink, WriterSink};
pub use store::{Batch, Compared, Cursor, LogStore, RecordCount, RecordState, Sealing, SignedHead};
pub use verify::{Anchor, Report, Verdict};

/// Reads the log that a [`Sealer`] has made: proofs, checkpoints, and whether all of it is still true.
#[derive(Clone, Copy, Debug, Default)]
pub struct Log<S> {
    store: S,
}

/// Proves that a record is in the log, to [`verify_inclusion`](crate::verify_inclusion).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    /// The record's leaf: [`Entry::leaf_hash`](crate::Entry::leaf_hash).
    pub leaf: Hash,
    /// Which leaf that is, from 0.
    pub index: u64,
    /// What leads from it to the root.
    pub hashes: Vec<Hash>,
}

impl<S: LogStore> Log<S> {
    /// Puts the facade before a backend.
    pub fn new(store: S) -> Self {
        Self { store }
    }

    /// Reads the last checkpoint: the log's head, and the note that signs it. `None` if nothing was sealed yet.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if what is stored breaks the schema's rules, or [`Error::Backend`].
    #[instrument(level = "debug", name = "audit.latest", skip_all)]
    pub async fn latest(&self, conn: &mut S::Connection) -> Result<Option<SignedHead>> {
        let latest = self.store.latest(conn).await?;
        Ok(latest.map(|Sealing { head, note, .. }| SignedHead { head, note }))
    }

    /// Proves that the log of `size` leaves, that of a checkpoint, holds a record. `None` if the record is not sealed.
    ///
    /// # Errors
    /// [`Error::ProofMalformed`] if the log has not `size` leaves, or had not this one at that size, or as
    /// [`latest`](Self::latest).
    #[instrument(level = "debug", name = "audit.inclusion_proof", skip_all)]
    pub async fn inclusion_proof(
        &self,
        conn: &mut S::Connection,
        id: RecordId,
        size: u64,
    ) -> Result<Option<InclusionProof>> {
        let Some((index, leaf)) = self.store.leaf(conn, id).await? else { return Ok(None) };
        let hashes = self.prove(conn, &ProofPlan::inclusion(index, size)?).await?;
        Ok(Some(InclusionProof { leaf, index, hashes }))
    }

    /// Proves, to [`verify_consistency`](crate::verify_consistency), that the log of `new` leaves begins with that of `old` leaves.
    ///
    /// # Errors
    /// [`Error::ProofMalformed`] if the log has not so many leaves, or as [`latest`](Self::latest).
    #[instrument(level = "debug", name = "audit.consistency_proof", skip_all)]
    pub async fn consistency_proof(&self, conn: &mut S::Connection, old: u64, new: u64) -> Result<Vec<Hash>> {
        self.prove(conn, &ProofPlan::consistency(old, new)?).await
    }

    /// Compares every record with the log, and the log with its checkpoints; an anchor is the one that decides. It stops at the
    /// first thing wrong.
    ///
    /// It reads everything, in constant memory. What is sealed meanwhile does not disturb it; retention does, so give
    /// it a transaction that sees one moment, as [`Source::begin_snapshot`](crate::Source::begin_snapshot) begins.
    ///
    /// # Errors
    /// [`Error::Backend`] if the database fails. What is wrong in the tables is a [`Verdict`].
    #[instrument(level = "debug", name = "audit.verify", skip_all)]
    pub async fn verify(&self, conn: &mut S::Connection, anchor: Option<&Anchor>) -> Result<Report> {
        verify::verify(&self.store, conn, anchor).await
    }

    async fn prove(&self, conn: &mut S::Connection, plan: &ProofPlan) -> Result<Vec<Hash>> {
        let mut wanted: BTreeMap<u8, Vec<Range<u64>>> = BTreeMap::new();
        for node in plan.nodes() {
            let (level, range) = stored_below(*node)?;
            wanted.entry(level).or_default().push(range);
        }
        let mut stored = HashMap::new();
        for (level, ranges) in wanted {
            stored.extend(self.store.nodes(conn, level, &ranges).await?);
        }
        plan.assemble(|node| {
            let (level, range) = stored_below(node).ok()?;
            let mut subtree = Frontier::new();
            for index in range {
                subtree.push(*stored.get(&Node { level, index })?);
            }
            Some(subtree.root())
        })
    }
}

/// How many levels lie between those whose nodes are stored.
const STEP: u8 = 8;

/// Whether the store keeps this node, which is not a leaf.
fn is_stored(node: Node) -> bool {
    node.level > 0 && node.level.is_multiple_of(STEP)
}

/// The stored nodes, at most 128, that make up this one: their level and indices.
fn stored_below(node: Node) -> Result<(u8, Range<u64>)> {
    const BEYOND: Error = Error::ProofMalformed { problem: "is of a larger log" };
    let above = node.level % STEP;
    let first = node.index.checked_mul(1 << above).ok_or(BEYOND)?;
    let until = first.checked_add(1 << above).ok_or(BEYOND)?;
    Ok((node.level - above, first..until))
}
