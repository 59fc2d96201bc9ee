//! A bounded cache of the pages of segments.
//!
//! Pages never change, and the name of a segment is never used twice: what is kept can be out of use, but never wrong. Which segments
//! count is asked of the database with every search. Nothing of a document is kept, only postings and sets.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::segment::Key;
use crate::store::Snapshot;

/// What an entry takes besides its bytes, about.
const OVERHEAD: usize = 128;

/// A page that may hold a key, `None` if a segment has none.
type Block = Option<Arc<Vec<u8>>>;

/// See the module.
pub(crate) struct Cache {
    limit: usize,
    pages: Mutex<Pages>,
}

/// What was used since the last change of generations, and what was used before. When the young fill half the room, the old go: what is in
/// use is found often enough to be among the young by then.
#[derive(Default)]
struct Pages {
    young: Generation,
    old: Generation,
}

#[derive(Default)]
struct Generation {
    /// For each key what is known of it, by segment.
    known: HashMap<Vec<u8>, Vec<(i64, Block)>>,
    bytes: usize,
}

/// What was known of the keys of a search before it: for each its pages, by segment.
#[derive(Debug)]
pub(crate) struct Known(Vec<Vec<(i64, Block)>>);

impl Cache {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, pages: Mutex::default() }
    }

    /// Notes in each key the segments whose pages need not be read.
    pub(crate) fn look_up(&self, keys: &mut [Key]) -> Known {
        let mut pages = self.pages();
        let mut look_up = |key: &mut Key| {
            let known = pages.get(&key.bytes, self.limit);
            key.known = known.iter().map(|(segment, _)| *segment).collect();
            known
        };
        Known(keys.iter_mut().map(&mut look_up).collect())
    }

    /// Hands each segment the pages that were known, and keeps those that were not.
    pub(crate) fn complete(&self, keys: &[Key], known: &Known, snapshot: &mut Snapshot) {
        let mut entries: Vec<Vec<(i64, Block)>> = vec![Vec::new(); keys.len()];
        let mut is_news = vec![false; keys.len()];
        for segment in &mut snapshot.segments {
            let mut read: HashMap<usize, Arc<Vec<u8>>> = std::mem::take(&mut segment.pages).into_iter().collect();
            for (place, (key, known)) in keys.iter().zip(&known.0).enumerate() {
                if segment.namespaces & key.namespace == 0 {
                    continue;
                }
                let before = known.iter().find(|(name, _)| *name == segment.segment);
                is_news[place] |= before.is_none();
                let block = before.map_or_else(|| read.remove(&place), |(_, block)| block.clone());
                segment.pages.extend(block.clone().map(|block| (place, block)));
                entries[place].push((segment.segment, block));
            }
        }
        let mut pages = self.pages();
        for ((key, entries), _) in keys.iter().zip(entries).zip(is_news).filter(|(_, is_news)| *is_news) {
            pages.put(key.bytes.clone(), entries, self.limit);
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        // Whoever panicked in between left an entry out, not half of one.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Pages {
    fn get(&mut self, key: &[u8], limit: usize) -> Vec<(i64, Block)> {
        if let Some(known) = self.young.known.get(key) {
            return known.clone();
        }
        let Some((key, known)) = self.old.known.remove_entry(key) else { return Vec::new() };
        self.put(key, known.clone(), limit);
        known
    }

    fn put(&mut self, key: Vec<u8>, known: Vec<(i64, Block)>, limit: usize) {
        let bytes = size(&key, &known);
        if bytes > limit / 2 {
            return;
        }
        if self.young.bytes + bytes > limit / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        if let Some(before) = self.young.known.remove(&key) {
            self.young.bytes -= size(&key, &before);
        }
        self.young.bytes += bytes;
        self.young.known.insert(key, known);
    }
}

fn size(key: &[u8], known: &[(i64, Block)]) -> usize {
    let blocks = known.iter().map(|(_, block)| OVERHEAD + block.as_ref().map_or(0, |block| block.len()));
    key.len() + OVERHEAD + blocks.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_limit_holds() {
        let (mut pages, limit) = (Pages::default(), 64 << 10);
        let block = |size| vec![(1, Some(Arc::new(vec![0; size])))];
        pages.put(b"often".to_vec(), block(100), limit);
        for n in 0..1000_u32 {
            pages.put(n.to_le_bytes().to_vec(), block(1000), limit);
            assert_eq!(pages.get(b"often", limit).len(), 1, "{n}");
            let held: usize = [&pages.young, &pages.old].map(|all| all.bytes).iter().sum();
            let counted = |all: &Generation| all.known.iter().map(|(key, known)| size(key, known)).sum::<usize>();
            assert!(held <= limit && counted(&pages.young) == pages.young.bytes);
        }
        assert!(pages.get(&0_u32.to_le_bytes(), limit).is_empty());
        pages.put(b"huge".to_vec(), block(limit), limit);
        assert!(pages.get(b"huge", limit).is_empty());
    }
}
