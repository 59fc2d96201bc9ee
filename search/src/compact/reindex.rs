//! Reindexing: what the analyzer of an older release made of documents is made anew, some thousand documents at a time.
//!
//! A step reads, computes and publishes as those of a compaction do. What is left to do is what the segments say of themselves: nothing
//! is kept about a reindexing, so that it can end anywhere and go on anywhere.

use std::time::{Duration, Instant};

use super::{Builder, Opened};
use crate::analyzer::GENERATION;
use crate::audience::Audience;
use crate::error::Result;
use crate::load::Progress;
use crate::results::Stats;
use crate::source::Source;
use crate::store::{DocId, Publication, Recount, Snapshot, Store, Totals};
use crate::terms::TermsRef;

/// The most documents, and about how many bytes of text, that become one segment.
const DOCUMENTS: usize = 32_768;
const BYTES: usize = 64 << 20;
/// So many documents are read at a time.
const READ: usize = 100;
/// A step of so few documents that cannot be published is given up: they are being written all the time.
const FEW: usize = 64;

/// What a reindexing did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reindexing {
    /// How many documents were analyzed anew.
    pub documents: u64,
    /// Whether all documents are of the analyzer of this release now: not so if time ran out, or if others kept writing what was to be made
    /// anew.
    pub is_complete: bool,
}

/// Analyzes anew until nothing is left to do or the time is over.
pub(crate) async fn all<S: Store, C: Source<Connection = S::Connection>>(
    store: &S,
    source: &C,
    budget: Duration,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Reindexing> {
    let started = Instant::now();
    let (mut done, mut size) = (Reindexing::default(), DOCUMENTS);
    loop {
        let mut tx = source.begin_snapshot().await?;
        let snapshot = store.snapshot(&mut tx, &Audience::tags([]), &[]).await?;
        let logged = outdated(&snapshot)?;
        let old: Vec<Opened> = opened(snapshot)?.into_iter().filter(Opened::is_outdated).collect();
        let left = logged + old.iter().map(|segment| u64::from(segment.living())).sum::<u64>();
        progress(Progress { done: done.documents, total: done.documents + left });
        if left == 0 {
            done.is_complete = true;
            break;
        }
        let rest = budget.saturating_sub(started.elapsed());
        // However little time there is, some of it is used: the next call may not have more.
        if rest.is_zero() && (budget.is_zero() || done.documents > 0) {
            break;
        }
        let step = step(store, &mut tx, &old, size, Instant::now().checked_add(rest)).await?;
        drop(tx);
        let Some((publication, documents)) = step else {
            // What is left is in the log: out of it, it becomes new, or a segment.
            if super::all(store, source, rest).await?.changes == 0 {
                break;
            }
            continue;
        };
        let mut tx = source.begin().await?;
        if store.publish(&mut tx, &publication).await? {
            source.commit(tx).await?;
            done.documents += documents;
        } else if size > FEW {
            size /= 2;
        } else {
            break;
        }
    }
    if done.documents > 0 {
        super::all(store, source, budget.saturating_sub(started.elapsed())).await?;
    }
    Ok(done)
}

/// Measures what a snapshot without keys says.
pub(crate) fn stats(snapshot: Snapshot) -> Result<Stats> {
    let mut added = Totals::default();
    let every = snapshot.segments.iter().map(|segment| segment.added).chain(snapshot.log.iter().map(|row| row.added));
    for more in every {
        added.documents += more.documents;
        added.words += more.words;
    }
    let mut stats = Stats {
        documents: added.documents.unsigned_abs(),
        words: added.words.unsigned_abs(),
        changes: snapshot.log.len() as u64,
        segments: snapshot.segments.len() as u64,
        generation: GENERATION,
        outdated: outdated(&snapshot)?,
        log_bytes: snapshot.log.iter().filter_map(|row| row.terms.as_ref()).map(|terms| terms.len() as u64).sum(),
        ..Stats::default()
    };
    for segment in opened(snapshot)? {
        stats.segment_bytes += segment.size();
        stats.outdated += if segment.is_outdated() { segment.living().into() } else { 0 };
    }
    Ok(stats)
}

fn opened(snapshot: Snapshot) -> Result<Vec<Opened>> {
    snapshot.segments.into_iter().map(Opened::of).collect()
}

/// How many rows of the log have terms of an older analyzer.
fn outdated(snapshot: &Snapshot) -> Result<u64> {
    let mut count = 0;
    for terms in snapshot.log.iter().filter_map(|row| row.terms.as_deref()) {
        count += u64::from(TermsRef::parse(terms)?.generation < GENERATION);
    }
    Ok(count)
}

/// Makes a segment of documents in older ones, and says how many those are; `None` if the log knows better of all.
async fn step<S: Store>(
    store: &S,
    conn: &mut S::Connection,
    old: &[Opened],
    size: usize,
    deadline: Option<Instant>,
) -> Result<Option<(Publication, u64)>> {
    // Documents are numbered in the order of their ids, whichever segment they are in.
    let mut places: Vec<(DocId, usize, u32)> = Vec::new();
    for (at, segment) in old.iter().enumerate() {
        let living = (0..segment.head.documents).filter(|document| !segment.dead.contains(document));
        places.extend(living.map(|document| (segment.head.id(document), at, document)));
    }
    places.sort_unstable();
    let (mut publication, mut builder, mut added) = (Publication::default(), Builder::default(), Totals::default());
    let (mut ids, mut number, mut read) = (Vec::new(), 0, 0);
    let mut outdated: Vec<Vec<u32>> = vec![Vec::new(); old.len()];
    for chunk in places.chunks(READ.min(size)) {
        let is_late = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if ids.len() >= size || read >= BYTES || !ids.is_empty() && is_late() {
            break;
        }
        let wanted: Vec<DocId> = chunk.iter().map(|(doc_id, ..)| *doc_id).collect();
        let mut found = store.originals(conn, &wanted).await?;
        found.sort_unstable_by_key(|(doc_id, ..)| *doc_id);
        for (doc_id, document, before) in found {
            let Ok(place) = wanted.binary_search(&doc_id) else { continue };
            let (_, segment, old) = chunk[place];
            outdated[segment].push(old);
            read += document.title.len() + document.body.len();
            let terms = super::analyze(&document);
            if terms.words() != before {
                publication.recounted.push(Recount { doc_id, before, after: terms.words() });
                added.words += terms.words() - before;
            }
            builder.describe(number, &document);
            builder.add(number, TermsRef::parse(terms.as_bytes())?)?;
            ids.push(doc_id);
            number += 1;
        }
    }
    if ids.is_empty() {
        return Ok(None);
    }
    for (segment, outdated) in old.iter().zip(outdated) {
        segment.outdate(outdated, &mut publication);
    }
    publication.segment = Some(builder.finish(&ids, added));
    Ok(Some((publication, u64::from(number))))
}
