//! Loading a user's own documents from a file, one JSON object a line.

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
    let unreadable = |error: std::io::Error| Error::Invalid(format!("cannot read {}: {error}", path.display()));
    let file = File::open(path).map_err(unreadable)?;
    let position = file.try_clone().map_err(unreadable)?;
    let is_compressed = path.extension().is_some_and(|extension| extension == "gz");
    let reader: Box<dyn Read + Send> = if is_compressed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut lines = BufReader::with_capacity(1 << 16, reader);

    let mut imported = Imported::default();
    if limit == 0 {
        return Ok(imported);
    }
    let (mut number, mut batch, mut line) = (0, Vec::with_capacity(BATCH), Vec::new());
    loop {
        line.clear();
        let length = (&mut lines).take(MAX_LINE).read_until(b'\n', &mut line).map_err(unreadable)?;
        number += 1;
        let text = line.trim_ascii();
        if !text.is_empty() {
            batch.push(document(surface, text, number)?);
        }
        let is_over = length == 0 || imported.documents + batch.len() as u64 >= limit;
        if !batch.is_empty() && (is_over || batch.len() == BATCH) {
            write(app, &batch).await?;
            imported.documents += batch.len() as u64;
            imported.bytes = std::io::Seek::stream_position(&mut &position).map_err(unreadable)?;
            progress(imported);
            batch.clear();
        }
        if is_over {
            return Ok(imported);
        }
    }
}

fn document(surface: &Surface, text: &[u8], number: u64) -> Result<Document> {
    let invalid =
        |problem: &dyn std::fmt::Display| Error::Invalid(format!("line {number} is not a document: {problem}"));
    // A list would pass for the fields in their order.
    if !text.starts_with(b"{") {
        return Err(invalid(&"it is no object"));
    }
    let line: Line = serde_json::from_slice(text).map_err(|error| invalid(&error))?;
    EntityId::new(&*line.id).and(entity_id(&line.id)).map_err(|error| invalid(&error))?;
    // PostgreSQL holds every character but this one.
    let clean = |text: String| text.replace('\0', "\u{fffd}");
    Ok(Document { surface: surface.to_string(), id: line.id, title: clean(line.title), body: clean(line.body) })
}

fn entity_id(id: &str) -> stoa_search::Result<EntityId> {
    EntityId::new(format!("import:{id}"))
}

async fn write<B: Backend>(app: &App<B>, batch: &[Document]) -> Result<()> {
    let mut tx = app.begin().await?;
    for document in batch {
        tx.upsert_document(document).await?;
    }
    let documents = batch.iter().map(Document::searchable).collect::<Result<Vec<_>>>()?;
    app.search.upsert_many(&mut tx, &documents).await?;
    // The batch is named by its last document: where a failed import stopped.
    let entity =
        Entity::new(EntityType::from_static("import"), stoa_audit::EntityId::new(&*batch[batch.len() - 1].id)?);
    app.audit.record(&mut tx, &Record::new(IMPORTED, &Actor::System("adminctl".try_into()?), entity)).await?;
    app.commit(tx).await
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
