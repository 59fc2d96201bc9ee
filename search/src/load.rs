//! A large batch on its way into segments of its own.
//!
//! Analysing and writing take turns on a thread each: while the database writes some documents, the next are analyzed and the
//! postings of the last are gathered.

use std::fmt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use crate::compact::Builder;
use crate::document::{Document, UpsertReport};
use crate::error::{Error, Result};
use crate::segment::page::Page;
use crate::store::{DocId, Indexed, SegmentRow};
use crate::terms::TermsRef;

/// How many documents are analyzed, and then written, at a time.
const BATCH: usize = 1_000;
/// How many batches are analyzed ahead of the one that is being written.
const AHEAD: usize = 3;
/// The most documents of a load that become one segment: their postings are kept in memory, about a kilobyte each.
const SEGMENT: usize = 250_000;

/// How far something long has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// How many documents are done.
    pub done: u64,
    /// How many there are.
    pub total: u64,
}

/// The documents of [`Store::load`](crate::Store::load).
pub struct Load<'a> {
    documents: &'a [Document],
    reports: &'a mut [UpsertReport],
    /// The places of the documents that no segment was begun for.
    rest: &'a [usize],
    segment: Option<Segment<'a>>,
    progress: &'a mut (dyn FnMut(Progress) + Send),
    told: Progress,
}

impl fmt::Debug for Load<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load").field("progress", &self.told).finish_non_exhaustive()
    }
}

/// A segment in the making.
#[derive(Debug)]
struct Segment<'a> {
    /// The places of its documents that were not handed over for analysis, and of those that were not analyzed yet.
    rest: &'a [usize],
    pending: &'a [usize],
    /// For each document that was written its id, if it is new.
    ids: Vec<Option<DocId>>,
    ahead: usize,
    given: Sender<Vec<Document>>,
    analyzed: Receiver<Vec<(Indexed, UpsertReport)>>,
    worker: JoinHandle<Result<Builder>>,
}

impl<'a> Load<'a> {
    /// `order` names each document to load once, and the order they are loaded in.
    pub(crate) fn new(
        documents: &'a [Document],
        order: &'a [usize],
        reports: &'a mut [UpsertReport],
        progress: &'a mut (dyn FnMut(Progress) + Send),
    ) -> Self {
        let told = Progress { done: 0, total: order.len() as u64 };
        Self { documents, reports, rest: order, segment: None, progress, told }
    }

    /// Returns the next documents to write, `None` after the last.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] if there are no more threads.
    pub fn next_batch(&mut self) -> Result<Option<Vec<Indexed>>> {
        if self.segment.is_none() && self.rest.is_empty() {
            return Ok(None);
        }
        let segment = if let Some(segment) = &mut self.segment {
            segment
        } else {
            let (places, rest) = self.rest.split_at(self.rest.len().min(SEGMENT));
            self.rest = rest;
            self.segment.insert(Segment::begin(places)?)
        };
        while segment.ahead < AHEAD && !segment.rest.is_empty() {
            let (places, rest) = segment.rest.split_at(segment.rest.len().min(BATCH));
            segment.rest = rest;
            segment.ahead += 1;
            // It fails if the worker is gone, which the next line finds out as well.
            let _ = segment.given.send(places.iter().map(|&at| self.documents[at].clone()).collect());
        }
        let Ok(batch) = segment.analyzed.recv() else { return Err(self.failure()) };
        segment.ahead -= 1;
        let (places, pending) = segment.pending.split_at(batch.len());
        segment.pending = pending;
        let report = |(&at, (indexed, report)): (&usize, _)| {
            self.reports[at] = report;
            indexed
        };
        Ok(Some(places.iter().zip(batch).map(report).collect()))
    }

    /// Takes note of the last batch: for each document its id if it is new, `None` if it replaced one and was logged. Returns the
    /// segment to write next, if one is finished.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] never, unless there is a defect.
    pub fn written(&mut self, ids: impl IntoIterator<Item = Option<DocId>>) -> Result<Option<(SegmentRow, Vec<Page>)>> {
        let Some(segment) = &mut self.segment else { return Ok(None) };
        let before = segment.ids.len();
        segment.ids.extend(ids);
        self.told.done += (segment.ids.len() - before) as u64;
        (self.progress)(self.told);
        if !segment.pending.is_empty() {
            return Ok(None);
        }
        let Some(Segment { given, worker, ids, .. }) = self.segment.take() else { return Ok(None) };
        drop(given);
        Ok(Some(joined(worker)?.finish_new(&ids)))
    }

    /// Why the worker is gone.
    fn failure(&mut self) -> Error {
        let result = self.segment.take().map(|segment| joined(segment.worker));
        result.and_then(Result::err).unwrap_or(Error::Corrupt { what: "terms" })
    }
}

impl<'a> Segment<'a> {
    fn begin(places: &'a [usize]) -> Result<Self> {
        let ((given, to_analyze), (done, analyzed)) = (channel(), channel());
        let worker = std::thread::Builder::new()
            .name("search load".to_owned())
            .spawn(move || analyze(&to_analyze, &done))
            .map_err(|error| Error::Backend(error.into()))?;
        Ok(Self { rest: places, pending: places, ids: Vec::new(), ahead: 0, given, analyzed, worker })
    }
}

/// Analyzes batch after batch, and gathers the postings under the places of the documents.
fn analyze(given: &Receiver<Vec<Document>>, analyzed: &Sender<Vec<(Indexed, UpsertReport)>>) -> Result<Builder> {
    let (mut builder, mut number) = (Builder::default(), 0);
    for documents in given {
        let batch: Vec<_> = documents.iter().map(Indexed::of).collect();
        drop(documents);
        // First on its way to be written, if anybody still wants it.
        let postings: Vec<_> = batch.iter().map(|(indexed, _)| indexed.terms.clone()).collect();
        for (indexed, _) in &batch {
            builder.describe(number, &indexed.document);
            number += 1;
        }
        if analyzed.send(batch).is_err() {
            break;
        }
        let first = number - u32::try_from(postings.len()).unwrap_or_default();
        for (number, terms) in (first..).zip(&postings) {
            builder.add(number, TermsRef::parse(terms.as_bytes())?)?;
        }
    }
    Ok(builder)
}

/// What a thread returned; a panic goes on here.
fn joined<T>(worker: JoinHandle<T>) -> T {
    worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
