//! The head of a segment: which documents it holds, and on which surfaces they are.
//!
//! `format` and the generation of the analyzer (a byte each), the size of its pages, the number of documents, the number of runs of consecutive ids and, for each, the distance from the one before and its
//! length; then for each surface its name and the set of its documents, both after their length.

use super::set::{self, Set};
use super::{MAX_DOCUMENTS, damaged, put, take, take_slice};
use crate::error::Result;
use crate::id::Surface;
use crate::store::DocId;

const FORMAT: u8 = 2;

/// Encodes the head of a segment whose documents were analyzed by this generation or later ones, have these ids, ascending, and are on
/// these surfaces, and whose pages have so many bytes.
pub(crate) fn encode<'a>(
    generation: u8,
    size: u64,
    ids: &[DocId],
    surfaces: impl Iterator<Item = (&'a str, &'a [u32])>,
) -> Vec<u8> {
    let mut bytes = vec![FORMAT, generation];
    put(size, &mut bytes);
    put(ids.len() as u64, &mut bytes);
    let runs: Vec<&[DocId]> = ids.chunk_by(|a, b| a.0 + 1 == b.0).collect();
    put(runs.len() as u64, &mut bytes);
    let mut after = 0;
    for run in runs {
        put(run[0].0.abs_diff(after), &mut bytes);
        put(run.len() as u64, &mut bytes);
        after = run[run.len() - 1].0 + 1;
    }
    for (name, members) in surfaces {
        put(name.len() as u64, &mut bytes);
        bytes.extend(name.as_bytes());
        let mut encoded = Vec::new();
        set::encode(members, &mut encoded);
        put(encoded.len() as u64, &mut bytes);
        bytes.extend(encoded);
    }
    bytes
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) generation: u8,
    pub(crate) size: u64,
    pub(crate) documents: u32,
    runs: Vec<Run>,
    pub(crate) surfaces: Vec<Surface>,
    /// For each document the index of its surface; empty if there is only one.
    codes: Vec<u16>,
}

/// Documents whose ids follow upon each other.
#[derive(Clone, Copy, Debug)]
struct Run {
    id: i64,
    document: u32,
}

impl Head {
    pub(crate) fn parse(mut bytes: &[u8]) -> Result<Self> {
        let bytes = &mut bytes;
        let [FORMAT, generation, ref rest @ ..] = **bytes else { return Err(damaged()) };
        *bytes = rest;
        let size = take(bytes)?;
        let documents = u32::try_from(take(bytes)?).ok().filter(|count| *count <= MAX_DOCUMENTS);
        let documents = documents.ok_or_else(damaged)?;
        let (mut runs, mut document, mut after) = (Vec::new(), 0_u32, 0_i64);
        for _ in 0..take(bytes)? {
            let id = after.checked_add_unsigned(take(bytes)?).ok_or_else(damaged)?;
            let length = u32::try_from(take(bytes)?).ok().filter(|length| *length > 0).ok_or_else(damaged)?;
            runs.push(Run { id, document });
            document = document.checked_add(length).filter(|count| *count <= documents).ok_or_else(damaged)?;
            after = id.checked_add(i64::from(length)).ok_or_else(damaged)?;
        }
        if document != documents {
            return Err(damaged());
        }
        let (mut surfaces, mut sets) = (Vec::new(), Vec::new());
        while !bytes.is_empty() {
            let name = std::str::from_utf8(take_slice(bytes)?).map_err(|_| damaged())?;
            surfaces.push(Surface::new(name).map_err(|_| damaged())?);
            sets.push(Set::parse(take_slice(bytes)?, documents)?);
        }
        let members: u64 = sets.iter().map(|set| u64::from(set.len())).sum();
        if members != u64::from(documents) || surfaces.len() > usize::from(u16::MAX) {
            return Err(damaged());
        }
        let mut codes = vec![u16::MAX; if sets.len() > 1 { documents as usize } else { 0 }];
        for (code, set) in (0..).zip(&sets).filter(|_| sets.len() > 1) {
            let mut members = Vec::new();
            set.members(&mut members)?;
            for member in members {
                codes[member as usize] = code;
            }
        }
        if codes.contains(&u16::MAX) {
            Err(damaged())
        } else {
            Ok(Self { generation, size, documents, runs, surfaces, codes })
        }
    }

    /// Returns the id of a document.
    pub(crate) fn id(&self, document: u32) -> DocId {
        let run = self.runs[self.runs.partition_point(|run| run.document <= document) - 1];
        DocId(run.id + i64::from(document - run.document))
    }

    /// Returns the document with an id.
    pub(crate) fn document(&self, id: DocId) -> Option<u32> {
        let next = self.runs.partition_point(|run| run.id <= id.0);
        let run = self.runs.get(next.checked_sub(1)?)?;
        let end = self.runs.get(next).map_or(self.documents, |run| run.document);
        let document = u32::try_from(id.0 - run.id).ok()?.checked_add(run.document)?;
        (document < end).then_some(document)
    }

    /// Returns the index of a document's surface.
    #[inline]
    pub(crate) fn surface(&self, document: u32) -> usize {
        self.codes.get(document as usize).map_or(0, |code| usize::from(*code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> (Vec<DocId>, Vec<u8>) {
        let ids: Vec<DocId> = (5..10).chain([20, 30]).chain(1 << 40..(1 << 40) + 3).map(DocId).collect();
        let bytes = encode(3, 1 << 20, &ids, [("feed", &[0, 2, 4, 6, 8][..]), ("jobs", &[1, 3, 5, 7, 9])].into_iter());
        (ids, bytes)
    }

    #[test]
    fn ids_and_surfaces_come_back() {
        let (ids, bytes) = example();
        let head = Head::parse(&bytes).unwrap();
        assert_eq!((head.generation, head.size), (3, 1 << 20));
        for (document, &id) in (0..).zip(&ids) {
            assert_eq!((head.id(document), head.document(id)), (id, Some(document)));
            assert_eq!(head.surfaces[head.surface(document)], [Surface::FEED, Surface::JOBS][document as usize % 2]);
        }
        for absent in [0, 4, 10, 19, 21, 31, (1 << 40) + 3, i64::MAX, -1] {
            assert_eq!(head.document(DocId(absent)), None, "{absent}");
        }
        assert_eq!(Head::parse(&encode(1, 0, &[], [].into_iter())).unwrap().documents, 0);
    }

    #[test]
    fn a_damaged_head_is_an_error_not_a_panic() {
        let (_, bytes) = example();
        for at in 0..bytes.len() {
            assert!(Head::parse(&bytes[..at]).is_err(), "{at}");
            for flip in [1, 128, 255] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                let _ = Head::parse(&damaged);
            }
        }
    }
}
