//! The contract between the log and a database.

use std::ops::Range;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{Hash, Node, RecordId, Result, Store, TreeHead};

/// What a backend promises for sealing and verifying. Users call [`Sealer`](crate::Sealer) and [`Log`](crate::Log) instead.
///
/// # Contract
/// * All of a [`Store`]'s: a method does all its work on `conn` and never commits or rolls back.
/// * Leaves, nodes and checkpoints are only ever added; the database itself refuses to change, replace or remove one.
/// * A record that is committed is sealed once, however late its transaction commits; one that is not committed never is.
/// * Memory stays bounded, whatever the log's size.
pub trait LogStore: Store {
    /// Takes the log until the transaction ends and returns where it stands. `None`: another sealer has it, and this one
    /// does not wait.
    fn lock_log(&self, conn: &mut Self::Connection) -> impl Future<Output = Result<Option<Option<Sealing>>>> + Send;

    /// Makes leaves, the first of which has this index, of up to `limit` records that the cursor has not passed, in the order of
    /// the log.
    fn append_leaves(
        &self,
        conn: &mut Self::Connection,
        first: u64,
        after: Option<&Cursor>,
        limit: u32,
    ) -> impl Future<Output = Result<Batch>> + Send;

    /// Adds the checkpoint that seals the leaves just made, and the complete subtrees that proofs need.
    fn append_checkpoint(
        &self,
        conn: &mut Self::Connection,
        sealing: &Sealing,
        nodes: &[(Node, Hash)],
    ) -> impl Future<Output = Result<()>> + Send;

    /// Reads what the log says of itself last.
    fn latest(&self, conn: &mut Self::Connection) -> impl Future<Output = Result<Option<Sealing>>> + Send;

    /// Reads up to `limit` checkpoints of more than this many leaves, smallest first.
    fn checkpoints(
        &self,
        conn: &mut Self::Connection,
        above: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<SignedHead>>> + Send;

    /// Finds the leaf of a record.
    fn leaf(
        &self,
        conn: &mut Self::Connection,
        id: RecordId,
    ) -> impl Future<Output = Result<Option<(u64, Hash)>>> + Send;

    /// Reads the stored nodes of one level, 0 or another multiple of 8, whose indices are in one of the ranges.
    fn nodes(
        &self,
        conn: &mut Self::Connection,
        level: u8,
        ranges: &[Range<u64>],
    ) -> impl Future<Output = Result<Vec<(Node, Hash)>>> + Send;

    /// Reads up to `limit` leaves from this index on, and compares each with its record as it is stored now.
    fn compare(
        &self,
        conn: &mut Self::Connection,
        first: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Compared>>> + Send;

    /// Finds personal data that is not what its record committed to, and names the record.
    fn forged_private(&self, conn: &mut Self::Connection) -> impl Future<Output = Result<Option<Uuid>>> + Send;

    /// Counts the records, all and those that the cursor has passed.
    fn count(
        &self,
        conn: &mut Self::Connection,
        cursor: &Cursor,
    ) -> impl Future<Output = Result<RecordCount>> + Send;

    /// Finds the first record that the cursor has passed and that has no leaf for its place.
    fn unlogged(
        &self,
        conn: &mut Self::Connection,
        cursor: &Cursor,
    ) -> impl Future<Output = Result<Option<Uuid>>> + Send;

    /// Whether there is a record under this id, wherever it is.
    fn is_stored(&self, conn: &mut Self::Connection, id: Uuid) -> impl Future<Output = Result<bool>> + Send;

    /// Reads which spans of time retention has removed.
    fn pruned(&self, conn: &mut Self::Connection) -> impl Future<Output = Result<Vec<Range<DateTime<Utc>>>>> + Send;
}

/// Which records have been looked at. Their order is that in which their transactions could be told finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Names the cluster whose transaction numbers these are; 0 where there is no such thing.
    pub cluster: i64,
    /// Whether it is still among records that were restored from another cluster, with numbers yet to be given out here.
    pub is_restoring: bool,
    /// The number of the last record's transaction, or of the record itself where there is one writer.
    pub place: i64,
    /// The last record within that transaction.
    pub id: Uuid,
}

impl Cursor {
    /// Whether a record is among those that were looked at.
    pub(crate) fn has_passed(&self, place: i64, id: Uuid) -> bool {
        (place, id) <= (self.place, self.id)
    }
}

/// Records that have become leaves.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The hashes of their leaves, in order.
    pub leaves: Vec<Hash>,
    /// Up to where records have been looked at. Further than the last of them if no others were left.
    pub cursor: Cursor,
}

/// The log after one sealing.
#[derive(Clone, Debug)]
pub struct Sealing {
    /// Its size and root.
    pub head: TreeHead,
    /// The signed checkpoint.
    pub note: String,
    /// The right edge of its tree, as [`Frontier::to_bytes`](crate::Frontier::to_bytes) writes it.
    pub frontier: Vec<u8>,
    /// Which records it has looked at.
    pub cursor: Cursor,
}

/// A checkpoint as it is stored: its head beside the note that signs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHead {
    /// What the columns say.
    pub head: TreeHead,
    /// What was signed.
    pub note: String,
}

/// How many records there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordCount {
    /// All of them.
    pub all: u64,
    /// Those that the cursor has passed.
    pub passed: u64,
}

/// A leaf beside the record that it was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared {
    /// The leaf's number, from 0.
    pub index: u64,
    /// The record that it names.
    pub record: Uuid,
    /// Where the record was sealed.
    pub place: i64,
    /// The leaf's hash as the log has it.
    pub hash: Hash,
    /// What became of the record.
    pub state: RecordState,
}

/// A record as it is stored, compared with its leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordState {
    /// It hashes to the leaf.
    Intact,
    /// It hashes to something else, or its row says so.
    Altered,
    /// It is not in its place.
    Absent,
}
