//! Exports: records as lines for other programs, in constant memory.

mod cloud_events;
mod csv;
mod json;

use std::io;

use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::{Audit, Entry, Error, Filter, PageRequest, RecordId, Result, Store};

/// How many records are in memory at once: 25 MB, if all three bodies of each are as large as a body may be.
const PAGE: u32 = 128;

/// How many bytes of lines are gathered before they are written.
const CHUNK: usize = 256 * 1024;

/// How a record becomes a line.
///
/// Whatever a record holds, it is one line: line breaks, escape sequences of terminals and marks that turn the writing direction
/// are written as JSON escapes, or, where they are only white space between JSON values, as blanks. Erased personal data is
/// marked as erased.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// [`CloudEvents` 1.0](https://cloudevents.io) as JSON, one event a line; `data` is an OCSF event of class 6003, API Activity.
    CloudEvents {
        /// The `source` of all events: a URI reference that names the host's system.
        source: String,
    },
    /// RFC 4180: a line of headings, every cell in quotes, lines that end with CR LF.
    ///
    /// A cell that a spreadsheet would run as a formula, for it begins with `=`, `+`, `-`, `@`, a tab or a CR, begins with an apostrophe
    /// instead. That cannot be undone safely: to read an export back, take [`Ndjson`](Self::Ndjson).
    Csv,
    /// One JSON object a line. Bodies are embedded as they were recorded.
    Ndjson,
}

/// Which part of a listing to export, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    format: Format,
    after: Option<RecordId>,
    at_most: u64,
}

impl Export {
    /// Exports everything, the newest record first.
    pub fn new(format: Format) -> Self {
        Self { format, after: None, at_most: u64::MAX }
    }

    /// Goes on below the record that [`Exported::next`] or [`Error::Sink`] named. A CSV then has no line of headings.
    #[must_use]
    pub fn after(mut self, record: RecordId) -> Self {
        self.after = Some(record);
        self
    }

    /// Stops after so many records.
    #[must_use]
    pub fn at_most(mut self, records: u64) -> Self {
        self.at_most = records;
        self
    }
}

/// What an export wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// How many records.
    pub records: u64,
    /// Where to go on; `None` if nothing is left.
    pub next: Option<RecordId>,
}

impl<S: Store> Audit<S> {
    /// Writes the records that a filter chooses into a sink, newest first, holding 128 of them at a time.
    ///
    /// It meets each record once that was committed when it began, and stays in order where new ones arrive meanwhile, for they arrive
    /// above. An export that broke off goes on after the record that the error names; lines that were being written, at most 256 KiB and one
    /// record of them, may then be there twice.
    ///
    /// # Errors
    /// [`Error::Sink`] if the sink fails, [`Error::Invalid`] if the source of `CloudEvents` is not a plain URI reference, and as
    /// [`find`](Self::find).
    #[tracing::instrument(level = "debug", name = "audit.export", skip_all)]
    pub async fn export<W>(
        &self,
        conn: &mut S::Connection,
        filter: &Filter,
        export: &Export,
        sink: &mut W,
    ) -> Result<Exported>
    where
        W: AsyncWrite + Unpin + Send,
    {
        let line = export.format.line()?;
        let mut lines = String::new();
        if export.format == Format::Csv && export.after.is_none() {
            csv::headings(&mut lines);
        }
        let (mut records, mut after) = (0, export.after);
        loop {
            let limit = u32::try_from(export.at_most - records).unwrap_or(PAGE).min(PAGE);
            if limit == 0 {
                write(sink, &lines, after).await?;
                return Ok(Exported { records, next: after });
            }
            let request = PageRequest { limit, after };
            let page = self.list(conn, filter, &request).await?;
            records += page.items.len() as u64;
            for entry in page.items {
                line(&entry, &mut lines)?;
                if lines.len() >= CHUNK {
                    write(sink, &lines, after).await?;
                    lines.clear();
                    after = Some(entry.id);
                }
            }
            if page.next.is_none() {
                write(sink, &lines, after).await?;
                return Ok(Exported { records, next: None });
            }
            write(sink, &lines, after).await?;
            lines.clear();
            after = page.next;
        }
    }
}

async fn write(sink: &mut (impl AsyncWrite + Unpin + Send), lines: &str, after: Option<RecordId>) -> Result<()> {
    let written = async {
        sink.write_all(lines.as_bytes()).await?;
        sink.flush().await
    };
    written.await.map_err(|source: io::Error| Error::Sink { after, source })
}

impl Format {
    /// Returns what writes one record as one line.
    fn line(&self) -> Result<impl Fn(&Entry, &mut String) -> Result<()> + Send + '_> {
        if let Self::CloudEvents { source } = self
            && (source.is_empty()
                || !source.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte)))
        {
            return Err(Error::Invalid { what: "event source", problem: "is not a uri reference" });
        }
        Ok(move |entry: &Entry, lines: &mut String| match self {
            Self::CloudEvents { source } => cloud_events::line(entry, source, lines),
            Self::Csv => csv::line(entry, lines),
            Self::Ndjson => json::line(entry, lines),
        })
    }
}
