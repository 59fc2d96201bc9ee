//! Verification: every record against the log, and the log against what was signed.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::slice;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::is_stored;
use super::store::{Compared, LogStore, RecordState, Sealing, SignedHead};
use crate::{Checkpoint, Error, Frontier, Hash, Node, RecordId, Result, TreeHead, Verifier};

/// A checkpoint from outside the database, and the key that signed it.
///
/// Both have to come from where the owner of the database cannot change them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    verifier: Verifier,
    checkpoint: Checkpoint,
}

impl Anchor {
    /// Opens a note that a [`CheckpointSink`](crate::CheckpointSink) took away.
    ///
    /// # Errors
    /// As [`Verifier::open`].
    pub fn open(verifier: &Verifier, note: &str) -> Result<Self> {
        Ok(Self { verifier: verifier.clone(), checkpoint: verifier.open(note)? })
    }

    /// Returns what was signed.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }
}

/// What [`Log::verify`](crate::Log::verify) found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// What to say of the log.
    pub verdict: Verdict,
    /// How many leaves were found right, and the root over them.
    pub head: TreeHead,
    /// How many records retention has removed. Their leaves are there, and are right.
    pub pruned: u64,
    /// How many records are not sealed yet, of which nothing can be said. 0 unless the verdict is intact or unanchored.
    pub unsealed: u64,
}

/// What can be said of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// All is as it was when the checkpoint was signed, and what came later fits.
    Intact,
    /// Nothing contradicts anything, but no checkpoint from outside was there: the owner of the database may have written all of
    /// it anew.
    Unanchored,
    /// A record, or personal data of it, was changed.
    Altered {
        /// Which one.
        record: Uuid,
    },
    /// A record was removed, and retention did not do it.
    Missing {
        /// Which one.
        record: Uuid,
    },
    /// A record was added behind the log's back, where it can no longer be sealed.
    Inserted {
        /// Which one.
        record: Uuid,
    },
    /// A record or a leaf is not where it was sealed.
    Reordered {
        /// The first that is not.
        record: Uuid,
    },
    /// The log has lost its end.
    Truncated {
        /// How many leaves it had.
        signed: u64,
        /// How many it has.
        found: u64,
    },
    /// The log is not the one that was signed: its leaves, its nodes or its last signature are others.
    Rewritten {
        /// Up to this many leaves it is the same, as far as the database itself still says.
        after: u64,
    },
}

impl Verdict {
    /// Whether something is wrong. [`Unanchored`](Self::Unanchored) is neither wrong nor right.
    pub fn is_tampered(self) -> bool {
        !matches!(self, Self::Intact | Self::Unanchored)
    }
}

/// Displays as one line.
impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Intact => formatter.write_str("intact"),
            Self::Unanchored => formatter.write_str("unanchored: no checkpoint from outside the database"),
            Self::Altered { record } => write!(formatter, "altered: record {record}"),
            Self::Missing { record } => write!(formatter, "missing: record {record}"),
            Self::Inserted { record } => write!(formatter, "inserted: record {record}"),
            Self::Reordered { record } => write!(formatter, "reordered: record {record}"),
            Self::Truncated { signed, found } => {
                write!(formatter, "truncated: {found} leaves of {signed} that were signed")
            }
            Self::Rewritten { after } => write!(formatter, "rewritten: another log after leaf {after}"),
        }
    }
}

/// How many leaves are compared at once: some megabytes. Between two pages the server waits for the client.
const PAGE: u32 = 16_384;

pub(super) async fn verify<S: LogStore>(
    store: &S,
    conn: &mut S::Connection,
    anchor: Option<&Anchor>,
) -> Result<Report> {
    let mut walk = Walk::new(store, anchor);
    let verdict = match walk.verdict(conn).await {
        // A row of the log itself that breaks the schema's rules: no sealer writes such.
        Err(Error::Corrupt { .. }) => Verdict::Rewritten { after: walk.agreed },
        verdict => verdict?,
    };
    Ok(Report { verdict, head: walk.frontier.head(), pruned: walk.pruned, unsealed: walk.unsealed })
}

/// A walk along the log from its first leaf.
struct Walk<'a, S> {
    store: &'a S,
    anchor: Option<&'a Anchor>,
    frontier: Frontier,
    /// The last size at which the tree was the one of a checkpoint.
    agreed: u64,
    /// A leaf, since then, that is out of order among its neighbours. After a restore that is right.
    descent: Option<Uuid>,
    previous: Option<(i64, Uuid)>,
    /// Checkpoints to come, the next one last.
    checkpoints: Vec<SignedHead>,
    spans: Vec<Range<DateTime<Utc>>>,
    pruned: u64,
    /// Records found right that the cursor has passed, and all.
    passed: u64,
    found: u64,
    unsealed: u64,
}

impl<'a, S: LogStore> Walk<'a, S> {
    fn new(store: &'a S, anchor: Option<&'a Anchor>) -> Self {
        Self {
            store,
            anchor,
            frontier: Frontier::new(),
            agreed: 0,
            descent: None,
            previous: None,
            checkpoints: Vec::new(),
            spans: Vec::new(),
            pruned: 0,
            passed: 0,
            found: 0,
            unsealed: 0,
        }
    }

    async fn verdict(&mut self, conn: &mut S::Connection) -> Result<Verdict> {
        let latest = self.store.latest(conn).await?;
        self.spans = self.store.pruned(conn).await?;
        if let Some(verdict) = self.leaves(conn, latest.as_ref()).await? {
            return Ok(verdict);
        }
        if let Some(verdict) = self.signatures(latest.as_ref()) {
            return Ok(verdict);
        }
        if let Some(latest) = &latest
            && let Some(verdict) = self.strangers(conn, latest).await?
        {
            return Ok(verdict);
        }
        if let Some(record) = self.store.forged_private(conn).await? {
            return Ok(Verdict::Altered { record });
        }
        Ok(if self.anchor.is_some() { Verdict::Intact } else { Verdict::Unanchored })
    }

    /// Walks along all leaves that are sealed.
    async fn leaves(&mut self, conn: &mut S::Connection, latest: Option<&Sealing>) -> Result<Option<Verdict>> {
        let size = latest.map_or(0, |latest| latest.head.size);
        loop {
            let first = self.frontier.size();
            let page = self.store.compare(conn, first, PAGE).await?;
            let mut nodes = Vec::new();
            for leaf in page.iter().filter(|leaf| leaf.index < size) {
                if leaf.index != self.frontier.size() {
                    return Ok(Some(Verdict::Rewritten { after: self.agreed }));
                }
                if let Some(verdict) = self.record(conn, leaf).await? {
                    return Ok(Some(verdict));
                }
                if latest.is_some_and(|latest| latest.cursor.has_passed(leaf.place, leaf.record)) {
                    self.passed += u64::from(leaf.state == RecordState::Intact);
                }
                self.push(leaf, &mut nodes);
                if let Some(verdict) = self.heads(conn).await? {
                    return Ok(Some(verdict));
                }
            }
            if !self.has_stored(conn, &nodes).await? {
                return Ok(Some(Verdict::Rewritten { after: self.agreed }));
            }
            let is_beyond = page.iter().any(|leaf| leaf.index >= size);
            if is_beyond || self.frontier.size() == first {
                break;
            }
        }
        if self.frontier.size() < size {
            return Ok(Some(Verdict::Truncated { signed: size, found: self.frontier.size() }));
        }
        Ok(None)
    }

    /// Judges one record beside its leaf.
    async fn record(&mut self, conn: &mut S::Connection, leaf: &Compared) -> Result<Option<Verdict>> {
        let record = leaf.record;
        Ok(match leaf.state {
            RecordState::Intact => {
                self.found += 1;
                None
            }
            RecordState::Altered => Some(Verdict::Altered { record }),
            RecordState::Absent if self.is_pruned(record) => {
                self.pruned += 1;
                None
            }
            RecordState::Absent if self.store.is_stored(conn, record).await? => Some(Verdict::Reordered { record }),
            RecordState::Absent => Some(Verdict::Missing { record }),
        })
    }

    fn is_pruned(&self, record: Uuid) -> bool {
        RecordId::try_from(record).is_ok_and(|id| self.spans.iter().any(|span| span.contains(&id.at())))
    }

    fn push(&mut self, leaf: &Compared, nodes: &mut Vec<(Node, Hash)>) {
        let place = (leaf.place, leaf.record);
        if self.previous.replace(place).is_some_and(|previous| previous >= place) {
            self.descent.get_or_insert(leaf.record);
        }
        self.frontier.push_with(leaf.hash, |node, hash| {
            if is_stored(node) {
                nodes.push((node, hash));
            }
        });
    }

    /// Compares the tree with the checkpoints of this size, the stored one and the one from outside.
    async fn heads(&mut self, conn: &mut S::Connection) -> Result<Option<Verdict>> {
        let size = self.frontier.size();
        if self.checkpoints.is_empty() {
            self.checkpoints = self.store.checkpoints(conn, size - 1, PAGE).await?;
            self.checkpoints.reverse();
        }
        let stored = self.checkpoints.pop_if(|stored| stored.head.size == size).map(|stored| stored.head);
        let signed = self.anchor.map(|anchor| anchor.checkpoint.head).filter(|head| head.size == size);
        if stored.is_none() && signed.is_none() {
            return Ok(None);
        }
        let head = self.frontier.head();
        if stored.is_some_and(|stored| stored != head) || signed.is_some_and(|signed| signed != head) {
            let reordered = self.descent.map(|record| Verdict::Reordered { record });
            return Ok(Some(reordered.unwrap_or(Verdict::Rewritten { after: self.agreed })));
        }
        (self.agreed, self.descent) = (size, None);
        Ok(None)
    }

    /// Whether the nodes that proofs are made of are those of the tree.
    async fn has_stored(&self, conn: &mut S::Connection, nodes: &[(Node, Hash)]) -> Result<bool> {
        let mut levels: BTreeMap<u8, Vec<(Node, Hash)>> = BTreeMap::new();
        for node in nodes {
            levels.entry(node.0.level).or_default().push(*node);
        }
        for (level, expected) in levels {
            // Those of one level lie side by side.
            let first = expected[0].0.index;
            let range = first..first + expected.len() as u64;
            let mut stored = self.store.nodes(conn, level, slice::from_ref(&range)).await?;
            stored.sort_unstable();
            if stored != expected {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The last note covers all that is before it: one signature is enough.
    fn signatures(&self, latest: Option<&Sealing>) -> Option<Verdict> {
        let Anchor { verifier, checkpoint } = self.anchor?;
        let size = self.frontier.size();
        if checkpoint.head.size == 0 && checkpoint.head.root != Hash::EMPTY {
            return Some(Verdict::Rewritten { after: 0 });
        }
        if checkpoint.head.size > size {
            return Some(Verdict::Truncated { signed: checkpoint.head.size, found: size });
        }
        let is_signed = latest
            .is_none_or(|latest| verifier.open(&latest.note).is_ok_and(|signed| signed.head == self.frontier.head()));
        (!is_signed).then_some(Verdict::Rewritten { after: checkpoint.head.size })
    }

    /// Looks for records among the sealed ones that are not sealed. Nothing can be said of that while records from another cluster
    /// are being sealed.
    async fn strangers(&mut self, conn: &mut S::Connection, latest: &Sealing) -> Result<Option<Verdict>> {
        let count = self.store.count(conn, &latest.cursor).await?;
        self.unsealed = count.all.saturating_sub(self.found);
        if latest.cursor.is_restoring || count.passed == self.passed {
            return Ok(None);
        }
        let stranger = self.store.unlogged(conn, &latest.cursor).await?;
        Ok(Some(stranger.map_or(Verdict::Rewritten { after: 0 }, |record| Verdict::Inserted { record })))
    }
}
