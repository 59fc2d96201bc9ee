//! Compaction: the log becomes a segment, and small segments become larger ones.
//!
//! Every step reads, computes without holding anything, and publishes at one stroke what it made of exactly the rows it read. If one of
//! them has changed meanwhile, nothing happens. A document that is written between the two has a row in the log that was not read: it
//! stays, and outdates what the step made of the document.

pub(crate) mod reindex;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use crate::analyzer::GENERATION;
use crate::bm25::Length;
use crate::document::Document;
use crate::error::{Error, Result};
use crate::language::Language;
use crate::segment::head::{self, Head};
use crate::segment::page::{Entries, Page, Writer};
use crate::segment::set::{self, Set};
use crate::segment::{DAY, MAX_DOCUMENTS, is_term, tag_key};
use crate::source::Source;
use crate::store::{Change, DocId, Publication, Recount, SegmentRow, Store, Totals};
use crate::terms::{Terms, TermsRef};

/// From so many rows on a writer compacts on the way.
const LONG: u32 = 1_000;

/// How large a step may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// How much of the log becomes one segment: rows, and bytes of terms.
    pub(crate) rows: u32,
    pub(crate) bytes: u64,
    /// How many documents one merge may have.
    pub(crate) documents: u32,
    /// So many segments of a size become one.
    pub(crate) fan: usize,
    /// Whether it may lock documents that have another number of words for this analyzer than for the one before.
    pub(crate) recounts: bool,
}

/// For who has the time.
const WHOLE: Step = Step { rows: 32_768, bytes: 64 << 20, documents: MAX_DOCUMENTS, fan: 8, recounts: true };
/// For a writer on the way.
const INLINE: Step = Step { rows: 4_096, bytes: 8 << 20, documents: 16_384, recounts: false, ..WHOLE };

/// The largest segment of the smallest size.
const SMALL: u32 = 2_048;
/// How many pages of a segment are read at a time.
const READ_AHEAD: u32 = 512;

/// What a compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compaction {
    /// Changes of documents that went from the log into segments.
    pub changes: u64,
    /// Segments that became part of larger ones.
    pub merged: u64,
    /// Whether nothing was left to do: not so if time ran out, or if another compaction was at it.
    pub is_complete: bool,
}

/// Compacts until nothing is left to do or the time is over.
pub(crate) async fn all<S: Store, C: Source<Connection = S::Connection>>(
    store: &S,
    source: &C,
    budget: Duration,
) -> Result<Compaction> {
    let started = Instant::now();
    let (mut done, mut step) = (Compaction::default(), WHOLE);
    while started.elapsed() < budget {
        let mut snapshot = source.begin_snapshot().await?;
        let publication = next(store, &mut snapshot, step).await?;
        drop(snapshot);
        let Some(publication) = publication else {
            done.is_complete = step.recounts;
            break;
        };
        let mut tx = source.begin().await?;
        if !store.publish(&mut tx, &publication).await? {
            if publication.recounted.is_empty() {
                break;
            }
            // A writer may hold one of these, or the log has more about it than one step reads: the others need not wait for it.
            step.recounts = false;
            continue;
        }
        source.commit(tx).await?;
        done.changes += publication.consumed.len() as u64;
        done.merged += publication.merged.len() as u64;
    }
    Ok(done)
}

/// Compacts a little within the caller's own transaction if the log is long.
pub(crate) async fn a_little<S: Store>(store: &S, conn: &mut S::Connection) -> Result<()> {
    if !store.claim(conn, LONG).await? {
        return Ok(());
    }
    // A batch, and the merge it may set off: eight times as rare, and then rarer still.
    if step(store, conn, INLINE).await? {
        step(store, conn, Step { rows: 0, ..INLINE }).await?;
    }
    Ok(())
}

/// Makes one step within the caller's own transaction; answers whether there was anything to do, and nobody else at it.
pub(crate) async fn step<S: Store>(store: &S, conn: &mut S::Connection, step: Step) -> Result<bool> {
    match next(store, conn, step).await? {
        Some(publication) => store.publish(conn, &publication).await,
        None => Ok(false),
    }
}

/// Prepares the next step: the oldest of the log, else the merge that is most due.
async fn next<S: Store>(store: &S, conn: &mut S::Connection, step: Step) -> Result<Option<Publication>> {
    let changes = if step.rows > 0 { store.backlog(conn, step.rows, step.bytes).await? } else { Vec::new() };
    let segments = opened(store, conn).await?;
    if let Some(publication) = flush(&changes, &segments, step)? {
        return Ok(Some(publication));
    }
    match due(&segments, step) {
        due if due.is_empty() => Ok(None),
        due => merge(store, conn, due).await.map(Some),
    }
}

/// Reads every segment, without pages.
async fn opened<S: Store>(store: &S, conn: &mut S::Connection) -> Result<Vec<Opened>> {
    store.segments(conn).await?.into_iter().map(Opened::of).collect()
}

/// A segment with its head read.
pub(crate) struct Opened {
    row: SegmentRow,
    head: Head,
    dead: BTreeSet<u32>,
}

impl Opened {
    fn of(row: SegmentRow) -> Result<Self> {
        let head = Head::parse(&row.head)?;
        let mut dead = Vec::new();
        Set::parse(&row.dead, head.documents)?.members(&mut dead)?;
        Ok(Self { row, head, dead: dead.into_iter().collect() })
    }

    pub(crate) fn living(&self) -> u32 {
        self.head.documents - u32::try_from(self.dead.len()).unwrap_or(u32::MAX)
    }

    /// Which analyzer its documents are of, at least. What holds none fits all.
    fn generation(&self) -> u8 {
        if self.living() > 0 { self.head.generation } else { GENERATION }
    }

    /// Answers whether an analyzer of older releases made some of it.
    pub(crate) fn is_outdated(&self) -> bool {
        self.generation() < GENERATION
    }

    /// How many bytes it takes.
    pub(crate) fn size(&self) -> u64 {
        self.head.size + (self.row.head.len() + self.row.dead.len()) as u64
    }

    /// Outdates some of its documents.
    fn outdate(&self, documents: impl IntoIterator<Item = u32>, publication: &mut Publication) {
        let mut dead = self.dead.clone();
        dead.extend(documents);
        if dead.len() > self.dead.len() {
            let (dead, mut encoded): (Vec<u32>, _) = (dead.into_iter().collect(), Vec::new());
            set::encode(&dead, &mut encoded);
            publication.outdated.push((self.row.segment, self.row.revision, encoded));
        }
    }
}

/// Makes a segment of changes. Those of a document whose terms a newer release wrote are left to that release.
fn flush(changes: &[Change], segments: &[Opened], step: Step) -> Result<Option<Publication>> {
    let mut by_document: BTreeMap<DocId, Vec<&Change>> = BTreeMap::new();
    for change in changes {
        by_document.entry(change.doc_id).or_default().push(change);
    }
    let mut publication = Publication::default();
    let (mut added, mut current, mut outdated) = (Totals::default(), Vec::new(), Vec::new());
    for (&doc_id, changes) in &by_document {
        let terms = changes.iter().filter(|change| change.terms.is_some()).max_by_key(|change| change.number);
        let terms = terms.and_then(|change| change.terms.as_deref());
        if terms.is_some_and(|terms| terms.get(2).is_none_or(|language| Language::from_byte(*language).is_none())) {
            continue;
        }
        let document = changes[0].document.as_ref();
        let analyzed = document.filter(|_| terms.is_none()).map(analyze);
        // Words as they are counted now, and as the analyzer counted them that saw the text when it was written.
        if let (Some(analyzed), kept) = (&analyzed, changes[0].words)
            && analyzed.words() != kept
        {
            if !step.recounts {
                continue;
            }
            publication.recounted.push(Recount { doc_id, before: kept, after: analyzed.words() });
            added.words += analyzed.words() - kept;
        }
        outdated.push(doc_id);
        for change in changes {
            publication.consumed.push(change.number);
            added.documents += change.added.documents;
            added.words += change.added.words;
        }
        if let Some(document) = document {
            let analyzed = || analyzed.map(|terms| terms.as_bytes().to_vec()).unwrap_or_default();
            current.push((doc_id, document, terms.map_or_else(|| Cow::Owned(analyzed()), Cow::Borrowed)));
        }
    }
    if publication.consumed.is_empty() {
        return Ok(None);
    }
    let mut builder = Builder::default();
    for (number, (_, document, terms)) in (0..).zip(&current) {
        builder.describe(number, document);
        builder.add(number, TermsRef::parse(terms)?)?;
    }
    for segment in segments {
        segment.outdate(outdated.iter().filter_map(|&doc_id| segment.head.document(doc_id)), &mut publication);
    }
    let ids: Vec<DocId> = current.iter().map(|(doc_id, ..)| *doc_id).collect();
    publication.segment = Some(builder.finish(&ids, added));
    Ok(Some(publication))
}

fn analyze(document: &Document) -> Terms {
    let (terms, _) = Terms::of(&document.title, &document.body, document.language);
    terms.dated(document.recency)
}

/// The documents that hold a term, and their frequencies and lengths.
type Postings = (Vec<u32>, Vec<[u8; 2]>);

/// Postings in the making. It borrows nothing: the documents can go as soon as they were added.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    terms: HashMap<Vec<u8>, Postings>,
    tags: BTreeMap<String, Vec<u32>>,
    surfaces: BTreeMap<String, Vec<u32>>,
    /// For each document that was added its length.
    lengths: Vec<Length>,
    /// The oldest analyzer that any of them is of.
    generation: Option<u8>,
    /// The key that is being looked up.
    key: Vec<u8>,
}

impl Builder {
    pub(crate) fn describe(&mut self, number: u32, document: &Document) {
        push(&mut self.surfaces, document.surface.as_str(), number);
        for tag in &document.audience {
            push(&mut self.tags, tag.as_str(), number);
        }
    }

    /// Adds the terms of the next document.
    pub(crate) fn add(&mut self, document: u32, terms: TermsRef<'_>) -> Result<()> {
        self.lengths.push(terms.length);
        self.generation = Some(self.generation.map_or(terms.generation, |oldest| oldest.min(terms.generation)));
        if terms.day > 0 {
            let (documents, days) = self.terms.entry(vec![DAY]).or_default();
            documents.push(document);
            days.push(terms.day.to_le_bytes());
        }
        let mut cursor = terms.cursor();
        while let Some((term, frequency)) = cursor.next()? {
            self.key.clear();
            self.key.push(terms.language.byte());
            self.key.extend(term);
            let payload = [frequency.byte(), terms.length.byte()];
            if let Some((documents, payloads)) = self.terms.get_mut(self.key.as_slice()) {
                documents.push(document);
                payloads.push(payload);
            } else {
                self.terms.insert(self.key.clone(), (vec![document], vec![payload]));
            }
        }
        Ok(())
    }

    /// Makes a segment of the documents that have an id, numbered in the order of their ids.
    pub(crate) fn finish_new(mut self, ids: &[Option<DocId>]) -> (SegmentRow, Vec<Page>) {
        let mut order: Vec<(DocId, usize)> = (0..).zip(ids).filter_map(|(at, id)| Some(((*id)?, at))).collect();
        order.sort_unstable();
        let mut added = Totals::default();
        let mut renumbered = vec![u32::MAX; ids.len()];
        for (new, &(_, old)) in (0..).zip(&order) {
            renumbered[old] = new;
            added.documents += 1;
            added.words += i64::from(self.lengths[old].words());
        }
        if (0..).zip(&renumbered).any(|(old, new)| old != *new) {
            self.renumber(&renumbered);
        }
        let ids: Vec<DocId> = order.iter().map(|(id, _)| *id).collect();
        self.finish(&ids, added)
    }

    /// Gives every document another number; those without one go.
    fn renumber(&mut self, renumbered: &[u32]) {
        let renumber = |members: &[u32]| -> Vec<u32> {
            let numbers = members.iter().map(|&old| renumbered[old as usize]);
            let mut numbers: Vec<u32> = numbers.filter(|new| *new != u32::MAX).collect();
            numbers.sort_unstable();
            numbers
        };
        for sets in [&mut self.tags, &mut self.surfaces] {
            for members in sets.values_mut() {
                *members = renumber(members);
            }
            sets.retain(|_, members| !members.is_empty());
        }
        for (documents, payloads) in self.terms.values_mut() {
            let pairs = documents.iter().map(|&old| renumbered[old as usize]).zip(payloads.iter().copied());
            let mut pairs: Vec<(u32, [u8; 2])> = pairs.filter(|(new, _)| *new != u32::MAX).collect();
            pairs.sort_unstable_by_key(|(new, _)| *new);
            (*documents, *payloads) = pairs.into_iter().unzip();
        }
        self.terms.retain(|_, (documents, _)| !documents.is_empty());
    }

    fn finish(self, ids: &[DocId], added: Totals) -> (SegmentRow, Vec<Page>) {
        let generation = self.generation.unwrap_or(GENERATION);
        let surfaces = self.surfaces.iter().map(|(name, members)| (&name[..], &members[..]));
        let mut terms: Vec<_> = self.terms.into_iter().collect();
        terms.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let (mut writer, mut value) = (Writer::default(), Vec::new());
        for (key, (documents, payload)) in terms {
            value.clear();
            set::encode(&documents, &mut value);
            value.extend(payload.as_flattened());
            writer.push(&key, &value);
        }
        for (tag, documents) in self.tags {
            value.clear();
            set::encode(&documents, &mut value);
            writer.push(&tag_key(&tag), &value);
        }
        segment(generation, ids, surfaces, writer, added)
    }
}

fn push(sets: &mut BTreeMap<String, Vec<u32>>, name: &str, member: u32) {
    if let Some(members) = sets.get_mut(name) {
        members.push(member);
    } else {
        sets.insert(name.to_owned(), vec![member]);
    }
}

fn segment<'a>(
    generation: u8,
    ids: &[DocId],
    surfaces: impl Iterator<Item = (&'a str, &'a [u32])>,
    writer: Writer,
    added: Totals,
) -> (SegmentRow, Vec<Page>) {
    let (pages, namespaces) = writer.finish();
    let size: usize = pages.iter().map(|page| page.key.len() + page.block.len()).sum();
    let head = head::encode(generation, size as u64, ids, surfaces);
    let mut dead = Vec::new();
    set::encode(&[], &mut dead);
    let row = SegmentRow { segment: random(), added, namespaces, head, dead, ..SegmentRow::default() };
    (row, pages)
}

/// A name that no other segment has: not even one that a restored database has forgotten.
fn random() -> i64 {
    (RandomState::new().hash_one(Instant::now()) >> 1).cast_signed()
}

/// The segments that should become one: too many of a size, the smallest first, or one that is mostly dead.
fn due(segments: &[Opened], step: Step) -> Vec<&Opened> {
    // Those of an older analyzer stay among themselves, so that a reindexing does nothing twice.
    let mut sizes: BTreeMap<(u8, u32), Vec<&Opened>> = BTreeMap::new();
    for segment in segments {
        let size = (segment.living() / SMALL + 1).ilog(8);
        sizes.entry((segment.generation(), size)).or_default().push(segment);
    }
    for (_, mut same) in sizes {
        if same.len() >= step.fan {
            same.sort_by_key(|segment| segment.living());
            let mut sum = 0;
            same.retain(|segment| {
                sum += segment.living();
                sum <= step.documents
            });
            if same.len() >= 2 {
                return same;
            }
        }
    }
    let is_mostly_dead = |segment: &&Opened| {
        segment.dead.len() > segment.head.documents as usize / 3 && segment.living() <= step.documents
    };
    segments.iter().find(is_mostly_dead).into_iter().collect()
}

/// Makes one segment of several.
async fn merge<S: Store>(store: &S, conn: &mut S::Connection, segments: Vec<&Opened>) -> Result<Publication> {
    let mut order = Vec::new();
    let mut added = Totals::default();
    for (at, segment) in segments.iter().enumerate() {
        added.documents += segment.row.added.documents;
        added.words += segment.row.added.words;
        let living = (0..segment.head.documents).filter(|document| !segment.dead.contains(document));
        order.extend(living.map(|document| (segment.head.id(document), at, document)));
    }
    order.sort_unstable();
    let mut inputs: Vec<Input> = segments.iter().map(|segment| Input::of(segment)).collect();
    let mut surfaces: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (new, &(_, at, old)) in (0..).zip(&order) {
        inputs[at].renumbered[old as usize] = new;
        let head = &segments[at].head;
        surfaces.entry(head.surfaces[head.surface(old)].as_str()).or_default().push(new);
    }
    let ids: Vec<DocId> = order.iter().map(|(id, ..)| *id).collect();
    let generation = segments.iter().map(|segment| segment.generation()).min().unwrap_or(GENERATION);
    let (mut writer, mut value) = (Writer::default(), Vec::new());
    let mut members: Vec<(u32, [u8; 2])> = Vec::new();
    loop {
        for input in &mut inputs {
            input.fill(store, conn).await?;
        }
        let Some(key) = inputs.iter().filter_map(Input::key).min().map(<[u8]>::to_vec) else { break };
        members.clear();
        for input in inputs.iter_mut().filter(|input| input.key() == Some(&key)) {
            input.take(&mut members)?;
        }
        if members.is_empty() {
            continue;
        }
        members.sort_unstable_by_key(|(document, _)| *document);
        let documents: Vec<u32> = members.iter().map(|(document, _)| *document).collect();
        value.clear();
        set::encode(&documents, &mut value);
        if is_term(&key) {
            value.extend(members.iter().flat_map(|(_, payload)| payload));
        }
        writer.push(&key, &value);
    }
    Ok(Publication {
        merged: segments.iter().map(|segment| (segment.row.segment, segment.row.revision)).collect(),
        segment: Some(self::segment(
            generation,
            &ids,
            surfaces.iter().map(|(name, members)| (*name, &members[..])),
            writer,
            added,
        )),
        ..Publication::default()
    })
}

/// A segment that is being merged, read in the order of its keys.
struct Input {
    segment: i64,
    /// For each document its number in the new segment; `u32::MAX` if it is dead.
    renumbered: Vec<u32>,
    /// The last page that was read begins with this key.
    after: Vec<u8>,
    is_read: bool,
    entries: VecDeque<(Vec<u8>, Vec<u8>)>,
    pages: VecDeque<Page>,
}

impl Input {
    fn of(segment: &Opened) -> Self {
        Self {
            segment: segment.row.segment,
            renumbered: vec![u32::MAX; segment.head.documents as usize],
            after: Vec::new(),
            is_read: false,
            entries: VecDeque::new(),
            pages: VecDeque::new(),
        }
    }

    /// Sees to it that there is an entry, unless all were read.
    async fn fill<S: Store>(&mut self, store: &S, conn: &mut S::Connection) -> Result<()> {
        while self.entries.is_empty() {
            if self.pages.is_empty() && !self.is_read {
                self.pages = store.pages(conn, self.segment, &self.after, READ_AHEAD).await?.into();
                self.is_read = self.pages.len() < READ_AHEAD as usize;
            }
            let Some(page) = self.pages.pop_front() else { break };
            let mut entries = Entries::of(&page.block);
            while let Some(value) = entries.next()? {
                self.entries.push_back((entries.key().to_vec(), value.to_vec()));
            }
            self.after = page.key;
        }
        Ok(())
    }

    fn key(&self) -> Option<&[u8]> {
        self.entries.front().map(|(key, _)| &key[..])
    }

    /// Moves the living members of the first entry to `members`, under their new numbers.
    fn take(&mut self, members: &mut Vec<(u32, [u8; 2])>) -> Result<()> {
        let Some((key, value)) = self.entries.pop_front() else { return Ok(()) };
        let documents = u32::try_from(self.renumbered.len()).unwrap_or(u32::MAX);
        let mut old = Vec::new();
        let payload: &[[u8; 2]] = if is_term(&key) {
            let (set, payload) = Set::with_payload::<2>(&value, documents)?;
            set.members(&mut old)?;
            payload
        } else {
            Set::parse(&value, documents)?.members(&mut old)?;
            &[]
        };
        if is_term(&key) && payload.len() != old.len() {
            return Err(Error::Corrupt { what: "segment" });
        }
        for (at, &document) in old.iter().enumerate() {
            let new = self.renumbered[document as usize];
            if new != u32::MAX {
                members.push((new, payload.get(at).copied().unwrap_or_default()));
            }
        }
        Ok(())
    }
}
