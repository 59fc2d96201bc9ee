//! The sealer: committed records become leaves, and each batch a signed checkpoint.

use std::io;
use std::pin::pin;
use std::time::Duration;

use tracing::{instrument, warn};

use super::is_stored;
use super::store::{Cursor, LogStore, Sealing};
use super::{CheckpointSink, SignedHead};
use crate::{Checkpoint, Error, Frontier, Origin, Result, Signer, Source, TreeHead, Verifier};

/// Seals records that are committed, in the background or when asked.
///
/// Any number of sealers may work on one database: one at a time seals, each publishes every checkpoint to its own sink. A
/// sealer that dies leaves either a whole batch with its checkpoint or nothing, and the next one goes on from there.
///
/// Nothing it reads from the database makes it sign another history: it refuses to continue a log whose last checkpoint it, or
/// a key given to [`accept`](Self::accept), has not signed, or which is not a continuation of what it published.
#[derive(Debug)]
pub struct Sealer<S, P, K> {
    store: S,
    source: P,
    signer: Signer,
    sink: K,
    former: Vec<Verifier>,
    /// How far the log went when this sealer looked last, and which records it has looked at since.
    seen: Option<(u64, Cursor)>,
    /// The sink has, or does not need, all checkpoints up to this size. `None`: it was not asked yet.
    published: Option<u64>,
}

/// What a call of [`Sealer::seal_once`] did.
#[derive(Debug)]
#[non_exhaustive]
pub struct Sealed {
    /// How many records were sealed.
    pub leaves: u64,
    /// How many leaves the log has; of another sealer's at the same moment nothing is known.
    pub size: u64,
    /// Why not all checkpoints are published. They will be tried again by the next call.
    pub unpublished: Option<io::Error>,
}

/// The most records that one transaction seals.
const BATCH: u32 = 4096;

/// How long to wait after a batch that was not full, and at most, if nothing comes.
const TICKS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(250));

/// How many checkpoints are read at once for the sink.
const PAGE: u32 = 100;

impl<S, P, K> Sealer<S, P, K>
where
    S: LogStore,
    P: Source<Connection = S::Connection>,
    K: CheckpointSink,
{
    /// Seals what is in `source` for the signer's log, and tells the sink.
    pub fn new(store: S, source: P, signer: Signer, sink: K) -> Self {
        Self { store, source, signer, sink, former: Vec::new(), seen: None, published: None }
    }

    /// Goes on also from a checkpoint of a key that this one has replaced.
    #[must_use]
    pub fn accept(mut self, former: Verifier) -> Self {
        self.former.push(former);
        self
    }

    /// Returns the log it seals.
    pub fn origin(&self) -> &Origin {
        self.signer.origin()
    }

    /// Seals up to 4,096 records in one transaction, and publishes every checkpoint that the sink has not got.
    ///
    /// Dropped on the way, it has sealed all of them or none.
    ///
    /// # Errors
    /// [`Error::Diverged`] if the log is not the one that was signed before, [`Error::Corrupt`] or [`Error::Backend`]. If the sink
    /// fails, that is in the answer: the records are sealed all the same.
    #[instrument(level = "debug", name = "audit.seal", skip_all)]
    pub async fn seal_once(&mut self) -> Result<Sealed> {
        if let Err(error) = self.ask_sink().await? {
            return Ok(Sealed { leaves: 0, size: 0, unpublished: Some(error) });
        }
        let (leaves, size) = self.seal_batch().await?;
        let unpublished = self.publish().await?.err();
        Ok(Sealed { leaves, size, unpublished })
    }

    /// Seals until `shutdown` is ready: batch after batch while they are full, else every 50 ms, and every 250 ms when nothing
    /// comes. When it returns, everything is sealed that was committed when the shutdown came, unless the database failed or
    /// a transaction that writes was still open.
    ///
    /// Failures of the database and of the sink are logged and tried again.
    ///
    /// # Errors
    /// [`Error::Diverged`] and [`Error::Corrupt`], which no repetition mends.
    pub async fn run_until(&mut self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let mut shutdown = pin!(shutdown);
        let (shortest, longest) = TICKS;
        let mut tick = shortest;
        loop {
            let sealed = self.seal_logged().await?;
            if sealed == u64::from(BATCH) {
                continue;
            }
            tick = if sealed > 0 { shortest } else { (tick * 2).min(longest) };
            tokio::select! {
                () = &mut shutdown => break,
                () = tokio::time::sleep(tick) => {}
            }
        }
        while self.seal_logged().await? > 0 {}
        Ok(())
    }

    async fn seal_logged(&mut self) -> Result<u64> {
        match self.seal_once().await {
            Ok(Sealed { leaves, unpublished, .. }) => {
                if let Some(error) = unpublished {
                    warn!(%error, "a checkpoint could not be published, and will be tried again");
                }
                Ok(leaves)
            }
            Err(error @ Error::Backend(_)) => {
                warn!(error = &error as &dyn std::error::Error, "sealing failed, and will be tried again");
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }

    async fn seal_batch(&mut self) -> Result<(u64, u64)> {
        let mut tx = self.source.begin().await?;
        let Some(latest) = self.store.lock_log(&mut tx).await? else { return Ok((0, 0)) };
        let mut frontier = self.continued(latest.as_ref())?;
        let first = frontier.size();
        let cursor = match &self.seen {
            Some((size, cursor)) if *size == first => Some(cursor),
            _ => latest.as_ref().map(|latest| &latest.cursor),
        };
        let batch = self.store.append_leaves(&mut tx, first, cursor, BATCH).await?;
        if batch.leaves.is_empty() {
            // Remembered, not stored: a checkpoint is of a new size.
            self.seen = Some((first, batch.cursor));
            return Ok((0, first));
        }
        let mut nodes = Vec::new();
        for leaf in &batch.leaves {
            frontier.push_with(*leaf, |node, hash| {
                if is_stored(node) {
                    nodes.push((node, hash));
                }
            });
        }
        let head = frontier.head();
        let note = self.signer.sign(&Checkpoint { origin: self.signer.origin().clone(), head })?;
        let sealing = Sealing { head, note, frontier: frontier.to_bytes(), cursor: batch.cursor };
        self.store.append_checkpoint(&mut tx, &sealing, &nodes).await?;
        self.source.commit(tx).await?;
        self.seen = Some((head.size, sealing.cursor));
        Ok((head.size - first, head.size))
    }

    /// Returns the tree to go on with, if it is the one that was signed.
    fn continued(&self, latest: Option<&Sealing>) -> Result<Frontier> {
        let size = latest.map_or(0, |latest| latest.head.size);
        if self.published > Some(size) {
            return Err(Error::Diverged);
        }
        let Some(latest) = latest else { return Ok(Frontier::new()) };
        let frontier = Frontier::from_bytes(&latest.frontier).map_err(|_| Error::Diverged)?;
        let signed = self.open(&latest.note)?;
        if signed == latest.head && signed == frontier.head() { Ok(frontier) } else { Err(Error::Diverged) }
    }

    fn open(&self, note: &str) -> Result<TreeHead> {
        let mut keys = std::iter::once(self.signer.verifier()).chain(&self.former);
        let signed = keys.find_map(|key| key.open(note).ok()).ok_or(Error::Diverged)?;
        Ok(signed.head)
    }

    /// Learns, once, what was published before, and that the database still has it. A sink that does not know gets the last
    /// checkpoint, in case a sealer died before it could publish that, and all later ones.
    async fn ask_sink(&mut self) -> Result<io::Result<()>> {
        if self.published.is_some() {
            return Ok(Ok(()));
        }
        let last = match self.sink.last().await {
            Ok(last) => last,
            Err(error) => return Ok(Err(error)),
        };
        let mut conn = self.source.acquire().await?;
        let size = if let Some(note) = last {
            let head = self.open(&note)?;
            let stored = self.store.checkpoints(&mut conn, head.size.saturating_sub(1), 1).await?;
            if stored.first().is_none_or(|stored| stored.head != head) {
                return Err(Error::Diverged);
            }
            head.size
        } else {
            self.store.latest(&mut conn).await?.map_or(0, |latest| latest.head.size.saturating_sub(1))
        };
        self.published = Some(size);
        Ok(Ok(()))
    }

    async fn publish(&mut self) -> Result<io::Result<()>> {
        let mut conn = self.source.acquire().await?;
        loop {
            let waiting = self.store.checkpoints(&mut conn, self.published.unwrap_or(0), PAGE).await?;
            if waiting.is_empty() {
                return Ok(Ok(()));
            }
            for SignedHead { head, note } in waiting {
                if let Err(error) = self.sink.publish(&note).await {
                    return Ok(Err(error));
                }
                self.published = Some(head.size);
            }
        }
    }
}
