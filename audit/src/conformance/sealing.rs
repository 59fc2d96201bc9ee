//! Sealing, proofs and verification, on a database that nobody tampers with.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Harness, created, request};
use crate::{
    Anchor, Audit, Checkpoint, CheckpointSink, Compared, Error, Hash, Log, LogStore, Origin, Record, RecordState,
    Report, Sealed, Sealer, Signer, Source, TreeHead, UserId, Verdict, verify_consistency, verify_inclusion,
};

/// Collects what is published, and fails as often as it was told.
#[derive(Clone, Default)]
struct Notes {
    notes: Arc<Mutex<Vec<String>>>,
    failures: usize,
}

impl Notes {
    fn published(&self) -> Vec<TreeHead> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.iter().map(|note| signer(1).verifier().open(note).unwrap().head).collect()
    }
}

impl CheckpointSink for Notes {
    async fn last(&mut self) -> io::Result<Option<String>> {
        Ok(self.notes.lock().unwrap_or_else(PoisonError::into_inner).last().cloned())
    }

    async fn publish(&mut self, note: &str) -> io::Result<()> {
        if self.failures > 0 {
            self.failures -= 1;
            return Err(io::Error::other("the sink is full"));
        }
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(note.into());
        Ok(())
    }
}

fn signer(seed: u8) -> Signer {
    Signer::new(Origin::new("example.com/audit").unwrap(), &[seed; 32])
}

fn sealer<H: Harness>(harness: &H, sink: Notes) -> Sealer<H::Store, H::Source, Notes> {
    Sealer::new(harness.store(), harness.source(), signer(1), sink)
}

/// Seals until the log has so many leaves: a transaction elsewhere in the cluster may hold the horizon back for a moment.
/// Returns what the last call did.
async fn seal<S, P>(sealer: &mut Sealer<S, P, Notes>, size: u64) -> Sealed
where
    S: LogStore,
    P: Source<Connection = S::Connection>,
{
    loop {
        let sealed = sealer.seal_once().await.unwrap();
        if sealed.size >= size {
            assert_eq!(sealed.size, size);
            return sealed;
        }
    }
}

fn anchor(head: TreeHead) -> Anchor {
    let signer = signer(1);
    let note = signer.sign(&Checkpoint { origin: signer.origin().clone(), head }).unwrap();
    Anchor::open(signer.verifier(), &note).unwrap()
}

async fn write<H: Harness>(harness: &H, records: usize) {
    let mut conn = harness.source().acquire().await.unwrap();
    Audit::new(harness.store()).record_many(&mut conn, &vec![created("1"); records]).await.unwrap();
}

async fn verify<H: Harness>(harness: &H, anchor: Option<&Anchor>) -> Report {
    let mut tx = harness.source().begin_snapshot().await.unwrap();
    Log::new(harness.store()).verify(&mut tx, anchor).await.unwrap()
}

/// All leaves, which must be numbered without a gap and be those of their records.
async fn leaves<H: Harness>(harness: &H) -> Vec<Compared> {
    let mut conn = harness.source().acquire().await.unwrap();
    let leaves = harness.store().compare(&mut conn, 0, 1_000_000).await.unwrap();
    assert!(leaves.iter().map(|leaf| leaf.index).eq(0..leaves.len() as u64));
    assert!(leaves.iter().all(|leaf| leaf.state == RecordState::Intact));
    let records: BTreeSet<_> = leaves.iter().map(|leaf| leaf.record).collect();
    assert_eq!(records.len(), leaves.len());
    leaves
}

/// In the order of their transactions; what was rolled back is not, and what is sealed is not sealed again.
pub async fn committed_records_are_sealed_once_in_their_order<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let mut tx = source.begin().await.unwrap();
    audit.record(&mut tx, &created("dropped")).await.unwrap();
    drop(tx);
    let mut conn = source.acquire().await.unwrap();
    let mut receipts = audit.record_many(&mut conn, &vec![created("1"); 5000]).await.unwrap();
    let notes = Notes::default();
    let mut sealer = sealer(harness, notes.clone());
    for (leaves, size) in [(4096, 4096), (904, 5000), (0, 5000)] {
        let sealed = seal(&mut sealer, size).await;
        assert_eq!(sealed.leaves, leaves);
        assert!(sealed.unpublished.is_none());
    }
    receipts.push(audit.record(&mut conn, &created("2")).await.unwrap());
    seal(&mut sealer, 5001).await;
    let sealed = leaves(harness).await;
    assert!(sealed.iter().map(|leaf| leaf.record).eq(receipts.iter().map(|receipt| *receipt.id().as_uuid())));
    assert!(notes.published().iter().map(|head| head.size).eq([4096, 5000, 5001]));
}

/// It took its numbers first and commits last, when later ones are sealed. Where there is one writer, they take turns.
pub async fn a_transaction_that_commits_late_is_sealed<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let mut sealer = sealer(harness, Notes::default());
    let mut early = source.begin().await.unwrap();
    let late = audit.record(&mut early, &created("late")).await.unwrap();
    let mut others = 0;
    if H::CONCURRENT_WRITERS {
        for _ in 0..3 {
            write(harness, 2).await;
            others += 2;
            // Sealed or not yet: the horizon decides. Nothing behind it may be passed over.
            sealer.seal_once().await.unwrap();
        }
    }
    source.commit(early).await.unwrap();
    write(harness, 2).await;
    seal(&mut sealer, others + 3).await;
    let sealed = leaves(harness).await;
    assert!(sealed.iter().any(|leaf| leaf.record == *late.id().as_uuid()));
    assert_eq!(verify(harness, None).await.verdict, Verdict::Unanchored);
}

/// While 64 writers write, two sealers seal: the leaves are numbered from 0 without a gap, and every record has one.
pub async fn many_writers_and_two_sealers_leave_no_gap<H: Harness>(harness: &H) {
    const WRITERS: usize = 64;
    const EACH: usize = 100;
    let writing = async {
        let mut writers = tokio::task::JoinSet::new();
        for _ in 0..WRITERS {
            let (audit, source) = (Audit::new(harness.store()), harness.source());
            writers.spawn(async move {
                for _ in 0..4 {
                    let mut tx = source.begin().await.unwrap();
                    audit.record_many(&mut tx, &vec![created("1"); EACH / 4]).await.unwrap();
                    source.commit(tx).await.unwrap();
                }
            });
        }
        writers.join_all().await;
    };
    let (stop, stopped) = tokio::sync::watch::channel(());
    let run = async |mut stopped: tokio::sync::watch::Receiver<()>| {
        let mut sealer = sealer(harness, Notes::default());
        sealer.run_until(async move { drop(stopped.changed().await) }).await.unwrap();
    };
    let writing = async {
        writing.await;
        drop(stop);
    };
    tokio::join!(writing, run(stopped.clone()), run(stopped));
    // Both may have met at the end, each leaving the rest to the other.
    let mut last = sealer(harness, Notes::default());
    seal(&mut last, (WRITERS * EACH) as u64).await;
    assert_eq!(leaves(harness).await.len(), WRITERS * EACH);
    let mut conn = source_conn(harness).await;
    let head = Log::new(harness.store()).latest(&mut conn).await.unwrap().unwrap().head;
    drop(conn);
    let report = verify(harness, Some(&anchor(head))).await;
    assert_eq!((report.verdict, report.head, report.unsealed), (Verdict::Intact, head, 0));
}

async fn source_conn<H: Harness>(harness: &H) -> <H::Source as Source>::Guard {
    harness.source().acquire().await.unwrap()
}

/// Wherever it is cut off, the next one goes on from there.
pub async fn a_sealer_dropped_on_its_way_loses_and_doubles_nothing<H: Harness>(harness: &H) {
    let notes = Notes::default();
    for exponent in 0..16 {
        write(harness, 3).await;
        let mut sealer = sealer(harness, notes.clone());
        let patience = async {
            for _ in 0..1 << exponent {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            sealed = sealer.seal_once() => drop(sealed.unwrap()),
            () = patience => {}
        }
    }
    let mut last = sealer(harness, notes.clone());
    // The connection of one that was dropped may still be giving back its lock, or committing what it had sealed.
    while notes.published().last().is_none_or(|head| head.size < 48) {
        last.seal_once().await.unwrap();
    }
    assert_eq!(leaves(harness).await.len(), 48);
    let published = notes.published();
    assert_eq!(published.last().map(|head| head.size), Some(48));
    assert_eq!(verify(harness, Some(&anchor(*published.last().unwrap()))).await.verdict, Verdict::Intact);
}

/// A sink that fails, for a while or while the sealer is restarted, gets all of them in order.
pub async fn no_checkpoint_is_lost_to_a_sink_that_fails<H: Harness>(harness: &H) {
    let notes = Notes { failures: 3, ..Notes::default() };
    let mut first = sealer(harness, notes.clone());
    for size in [2, 4] {
        write(harness, 2).await;
        seal(&mut first, size).await;
    }
    write(harness, 2).await;
    // The third failure is the last, whichever call meets it.
    while seal(&mut first, 6).await.unpublished.is_some() {}
    write(harness, 2).await;
    seal(&mut first, 8).await;

    // Sealed and never published: its sealer is gone.
    write(harness, 2).await;
    let mut unlucky = sealer(harness, Notes { failures: usize::MAX, ..notes.clone() });
    assert!(seal(&mut unlucky, 10).await.unpublished.is_some());
    drop(unlucky);
    seal(&mut sealer(harness, Notes { failures: 0, ..notes.clone() }), 10).await;
    assert!(notes.published().iter().map(|head| head.size).eq([2, 4, 6, 8, 10]));
}

/// Neither of another key, nor one that has lost what was published.
pub async fn a_sealer_continues_no_log_that_it_did_not_sign<H: Harness>(harness: &H) {
    write(harness, 2).await;
    seal(&mut sealer(harness, Notes::default()), 2).await;
    write(harness, 2).await;
    let other = || Sealer::new(harness.store(), harness.source(), signer(2), Notes::default());
    assert!(matches!(other().seal_once().await, Err(Error::Diverged)));
    assert_eq!(leaves(harness).await.len(), 2);

    let ahead = Notes::default();
    let head = TreeHead { size: 7, root: Hash::EMPTY };
    let note = signer(1).sign(&Checkpoint { origin: signer(1).origin().clone(), head }).unwrap();
    ahead.notes.lock().unwrap_or_else(PoisonError::into_inner).push(note);
    assert!(matches!(sealer(harness, ahead).seal_once().await, Err(Error::Diverged)));

    // A key that has replaced the first one.
    let mut heir = other().accept(signer(1).verifier().clone());
    seal(&mut heir, 4).await;
    write(harness, 1).await;
    seal(&mut heir, 5).await;
}

/// At every size that was signed, and between any two of them.
pub async fn every_record_has_a_proof<H: Harness>(harness: &H) {
    let notes = Notes::default();
    let mut sealer = sealer(harness, notes.clone());
    for (records, size) in [(1, 1), (1, 2), (254, 256), (1, 257), (300, 557)] {
        write(harness, records).await;
        seal(&mut sealer, size).await;
    }
    write(harness, 1).await;
    let heads = notes.published();
    let log = Log::new(harness.store());
    let mut conn = source_conn(harness).await;
    for head in &heads {
        for leaf in leaves(harness).await.iter().step_by(7) {
            let proof = log.inclusion_proof(&mut conn, leaf.record.try_into().unwrap(), head.size).await;
            if leaf.index >= head.size {
                assert!(matches!(proof, Err(Error::ProofMalformed { .. })));
                continue;
            }
            let proof = proof.unwrap().unwrap();
            assert_eq!((proof.leaf, proof.index), (leaf.hash, leaf.index));
            verify_inclusion(leaf.hash, leaf.index, &proof.hashes, head).unwrap();
        }
        for old in heads.iter().filter(|old| old.size <= head.size) {
            let proof = log.consistency_proof(&mut conn, old.size, head.size).await.unwrap();
            verify_consistency(old, head, &proof).unwrap();
        }
    }
    assert!(matches!(log.consistency_proof(&mut conn, 1, 558).await, Err(Error::ProofMalformed { .. })));
    let unsealed = Audit::new(harness.store()).record(&mut conn, &created("unsealed")).await.unwrap();
    assert_eq!(log.inclusion_proof(&mut conn, unsealed.id(), 557).await.unwrap(), None);
}

/// Without a checkpoint from outside it is never intact; against one of more, of less, or of something else it is told apart.
pub async fn a_log_is_intact_only_against_a_checkpoint_from_outside<H: Harness>(harness: &H) {
    let empty = TreeHead { size: 0, root: Hash::EMPTY };
    assert_eq!(verify(harness, None).await.verdict, Verdict::Unanchored);
    assert_eq!(verify(harness, Some(&anchor(empty))).await.verdict, Verdict::Intact);
    let notes = Notes::default();
    let mut sealer = sealer(harness, notes.clone());
    for size in [2, 4, 6] {
        write(harness, 2).await;
        seal(&mut sealer, size).await;
    }
    write(harness, 1).await;
    let report = verify(harness, None).await;
    assert_eq!((report.verdict, report.unsealed), (Verdict::Unanchored, 1));
    let heads = notes.published();
    for head in &heads {
        let report = verify(harness, Some(&anchor(*head))).await;
        assert_eq!((report.verdict, report.head, report.unsealed), (Verdict::Intact, heads[2], 1));
    }
    let larger = TreeHead { size: 7, ..heads[2] };
    let truncated = Verdict::Truncated { signed: 7, found: 6 };
    assert_eq!(verify(harness, Some(&anchor(larger))).await.verdict, truncated);
    for size in [0, 3, 4] {
        let other = TreeHead { size, root: heads[0].root };
        let after = if size == 0 { 0 } else { 2 };
        assert_eq!(verify(harness, Some(&anchor(other))).await.verdict, Verdict::Rewritten { after });
    }
}

/// Personal data that is gone leaves the record in the log and the log intact.
pub async fn an_erased_record_stays_provable<H: Harness>(harness: &H) {
    let (audit, log, notes) = (Audit::new(harness.store()), Log::new(harness.store()), Notes::default());
    let mut conn = source_conn(harness).await;
    let personal: Record = created("1").request(&request("192.0.2.7"));
    let id = audit.record(&mut conn, &personal).await.unwrap().id();
    let mut sealer = sealer(harness, notes.clone());
    seal(&mut sealer, 1).await;
    let ada = UserId::new("ada").unwrap();
    assert_eq!(audit.erase(&mut conn, &ada, &created("1")).await.unwrap().pieces, 1);
    seal(&mut sealer, 2).await;
    let head = *notes.published().last().unwrap();
    assert_eq!(verify(harness, Some(&anchor(head))).await.verdict, Verdict::Intact);
    let entry = audit.find(&mut conn, id).await.unwrap().unwrap();
    let proof = log.inclusion_proof(&mut conn, id, head.size).await.unwrap().unwrap();
    verify_inclusion(entry.leaf_hash().into(), proof.index, &proof.hashes, &head).unwrap();
}
