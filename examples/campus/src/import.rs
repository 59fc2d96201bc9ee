//! Loading a user's own documents from a file, one JSON object a line.

pub mod posts;
pub mod sql;

pub(crate) mod pages;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use sqlx::FromRow;
use stoa_audit::{Action, Actor, Entity, EntityType, Record};
use stoa_search::{EntityId, Surface, Tag};
use url::form_urlencoded;

use crate::app::{App, EVERYONE};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::import::sql::ImportSql as _;

const IMPORTED: Action = Action::new("bits.search.v1.ImportService/ImportDocuments");

/// Documents are committed in batches of this size.
const BATCH: usize = 1000;

/// The longest line that is read, in bytes.
const MAX_LINE: u64 = 16 << 20;

/// One line of the file. Fields it has beside these are ignored.
#[derive(Debug, Deserialize)]
struct Line {
    id: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    body: String,
}

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Documents that are searchable now.
    pub documents: u64,
    /// Bytes of the file that were read, before decompression.
    pub bytes: u64,
}

/// Loads up to `limit` documents of the file into the surface, found by everybody, and tells `progress` after every batch.
///
/// A line that was imported before is replaced. Each batch is one transaction with its own audit record: after a failure
/// the documents of earlier batches stay, and the import can be run again.
///
/// # Errors
/// [`Error::Invalid`] names the line that is not a document; [`Error::Internal`] if the database failed.
pub async fn import<B: Backend>(
    app: &App<B>,
    surface: &Surface,
    path: &Path,
    limit: u64,
    mut progress: impl FnMut(Imported) + Send,
) -> Result<Imported> {
    let mut lines = Lines::open(path)?;
    let mut imported = Imported::default();
    if limit == 0 {
        return Ok(imported);
    }
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let line = lines.next()?;
        let is_last = line.is_none();
        if let Some((number, text)) = line {
            batch.push(document(surface, text, number)?);
        }
        let is_over = is_last || imported.documents + batch.len() as u64 >= limit;
        if !batch.is_empty() && (is_over || batch.len() == BATCH) {
            write(app, &batch).await?;
            imported.documents += batch.len() as u64;
            imported.bytes = lines.bytes()?;
            progress(imported);
            batch.clear();
        }
        if is_over {
            return Ok(imported);
        }
    }
}

/// The lines of a file that hold anything, compressed or not.
struct Lines<'a> {
    path: &'a Path,
    position: File,
    reader: BufReader<Box<dyn Read + Send>>,
    number: u64,
    line: Vec<u8>,
}

impl<'a> Lines<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let unreadable = |error| unreadable(path, &error);
        let file = File::open(path).map_err(unreadable)?;
        let position = file.try_clone().map_err(unreadable)?;
        let is_compressed = path.extension().is_some_and(|extension| extension == "gz");
        let reader: Box<dyn Read + Send> =
            if is_compressed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        Ok(Self { path, position, reader: BufReader::with_capacity(1 << 16, reader), number: 0, line: Vec::new() })
    }

    /// Returns the next line and its number, from 1.
    fn next(&mut self) -> Result<Option<(u64, &[u8])>> {
        loop {
            self.line.clear();
            let read = (&mut self.reader).take(MAX_LINE).read_until(b'\n', &mut self.line);
            let length = read.map_err(|error| unreadable(self.path, &error))?;
            self.number += 1;
            if length == 0 {
                return Ok(None);
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some((self.number, self.line.trim_ascii())));
            }
        }
    }

    /// How many bytes of the file were read, before decompression.
    fn bytes(&self) -> Result<u64> {
        std::io::Seek::stream_position(&mut &self.position).map_err(|error| unreadable(self.path, &error))
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::Invalid(format!("cannot read {}: {error}", path.display()))
}

/// Parses a line, which is an object.
fn parse<'a, T: Deserialize<'a>>(text: &'a [u8], number: u64) -> Result<T> {
    // A list would pass for the fields in their order.
    if !text.starts_with(b"{") {
        return Err(invalid(number, &"it is no object"));
    }
    serde_json::from_slice(text).map_err(|error| invalid(number, &error))
}

fn invalid(number: u64, problem: &dyn std::fmt::Display) -> Error {
    Error::Invalid(format!("line {number} is not a document: {problem}"))
}

fn document(surface: &Surface, text: &[u8], number: u64) -> Result<Document> {
    let line: Line = parse(text, number)?;
    checked(surface, line, number)
}

fn checked(surface: &Surface, line: Line, number: u64) -> Result<Document> {
    EntityId::new(&*line.id).and(entity_id(&line.id)).map_err(|error| invalid(number, &error))?;
    // PostgreSQL holds every character but this one.
    let clean = |text: String| text.replace('\0', "\u{fffd}");
    Ok(Document { surface: surface.to_string(), id: line.id, title: clean(line.title), body: clean(line.body) })
}

fn entity_id(id: &str) -> stoa_search::Result<EntityId> {
    EntityId::new(format!("import:{id}"))
}

async fn write<B: Backend>(app: &App<B>, batch: &[Document]) -> Result<()> {
    let mut tx = app.begin().await?;
    write_documents(app, &mut tx, batch).await?;
    app.audit.record(&mut tx, &record(&batch[batch.len() - 1].id)?).await?;
    app.commit(tx).await
}

async fn write_documents<B: Backend>(app: &App<B>, tx: &mut B::Connection, batch: &[Document]) -> Result<()> {
    for document in batch {
        tx.upsert_document(document).await?;
    }
    let documents = batch.iter().map(Document::searchable).collect::<Result<Vec<_>>>()?;
    app.search.upsert_many(tx, &documents).await?;
    Ok(())
}

/// The record of a batch, named by its last document: where a failed import stopped.
fn record(last: &str) -> Result<Record> {
    let entity = Entity::new(EntityType::from_static("import"), stoa_audit::EntityId::new(last)?);
    Ok(Record::new(IMPORTED, &Actor::System("adminctl".try_into()?), entity))
}

/// A document that was imported from a file.
#[derive(Clone, Debug, FromRow)]
pub struct Document {
    /// The surface it belongs to.
    pub surface: String,
    /// Its id within the surface.
    pub id: String,
    /// One line.
    pub title: String,
    /// Plain text.
    pub body: String,
}

impl Document {
    /// The document as it is found. Its id is one of its own kind: an import never replaces what campus itself indexed.
    fn searchable(&self) -> Result<stoa_search::Document> {
        let address = form_urlencoded::Serializer::new(String::new())
            .append_pair("surface", &self.surface)
            .append_pair("id", &self.id)
            .finish();
        Ok(stoa_search::Document::new(Surface::try_from(self.surface.as_str())?, entity_id(&self.id)?)
            .title(&self.title)
            .body(&self.body)
            .url(format!("/documents?{address}"))
            .audience([Tag::try_from(EVERYONE)?]))
    }
}
