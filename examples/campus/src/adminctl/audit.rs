//! `adminctl audit`.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use serde_json::json;
use stoa_audit::{Anchor, Export, Filter, Format, Log, Verifier};

use super::{Outcome, Output};
use crate::app::App;
use crate::backend::Backend;
use crate::cli::Bar;
use crate::error::{Error, Result};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Compares every record with the log, and the log with a signed checkpoint.
    Verify {
        /// The file with a checkpoint from outside the database. Without it nothing contradicts anything at best.
        #[arg(long, value_name = "FILE", requires = "key")]
        checkpoint: Option<PathBuf>,
        /// The public key that signed it: name+id+key.
        #[arg(long, value_name = "VKEY", requires = "checkpoint")]
        key: Option<Verifier>,
    },
    /// Writes the records, newest first, as lines for other programs.
    Export {
        #[arg(long, value_enum, default_value_t = As::Ndjson)]
        format: As,
        /// The `source` of `CloudEvents`: a URI that names this campus.
        #[arg(long, default_value = "/campus", value_name = "URI")]
        source: String,
        /// At most so many.
        #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
        limit: u64,
        /// Where to. Default: standard output.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum As {
    Ndjson,
    Csv,
    CloudEvents,
}

pub(super) async fn run<B: Backend>(app: &App<B>, command: Command, output: Output) -> Result<Outcome> {
    match command {
        Command::Verify { checkpoint, key } => {
            let anchor = checkpoint.zip(key).map(|(file, key)| anchor(&file, &key)).transpose()?;
            verify(app, anchor.as_ref(), output).await
        }
        Command::Export { format, source, limit, output: file } => {
            let format = match format {
                As::Ndjson => Format::Ndjson,
                As::Csv => Format::Csv,
                As::CloudEvents => Format::CloudEvents { source },
            };
            export(app, &Export::new(format).at_most(limit), file.as_deref(), output).await
        }
    }
}

fn anchor(file: &Path, key: &Verifier) -> Result<Anchor> {
    let unreadable = |error: std::io::Error| Error::Invalid(format!("cannot read {}: {error}", file.display()));
    let mut note = String::new();
    // One byte more than a note may have, so that a longer one is refused and not cut short.
    let limit = Verifier::MAX_NOTE_BYTES as u64 + 1;
    File::open(file).map_err(unreadable)?.take(limit).read_to_string(&mut note).map_err(unreadable)?;
    Ok(Anchor::open(key, &note)?)
}

async fn verify<B: Backend>(app: &App<B>, anchor: Option<&Anchor>, output: Output) -> Result<Outcome> {
    let (_, store, ..) = app.backend.stores();
    let mut tx = app.read().await?;
    let bar = Bar::endless();
    let report = bar.wait("verifying", Log::new(store).verify(&mut tx, anchor)).await?;
    drop(bar);
    let value = json!({
        "verdict": report.verdict.to_string(),
        "is_tampered": report.verdict.is_tampered(),
        "leaves": report.head.size,
        "root": report.head.root.to_string(),
        "pruned": report.pruned,
        "unsealed": report.unsealed,
    });
    output.line(
        &value,
        format_args!(
            "{} (leaves: {}, pruned: {}, not sealed: {}, root: {})",
            report.verdict, report.head.size, report.pruned, report.unsealed, report.head.root,
        ),
    );
    Ok(if report.verdict.is_tampered() { Outcome::Unwell } else { Outcome::Done })
}

async fn export<B: Backend>(app: &App<B>, export: &Export, file: Option<&Path>, output: Output) -> Result<Outcome> {
    let mut tx = app.read().await?;
    let filter = Filter::new();
    let Some(path) = file else {
        let exported = app.audit.export(&mut tx, &filter, export, &mut tokio::io::stdout()).await;
        return match exported {
            // Whoever closes the pipe has seen enough.
            Err(stoa_audit::Error::Sink { source, .. }) if source.kind() == std::io::ErrorKind::BrokenPipe => {
                Ok(Outcome::Done)
            }
            exported => Ok(if exported?.records == 0 { Outcome::Nothing } else { Outcome::Done }),
        };
    };
    let mut sink = tokio::fs::File::create(path)
        .await
        .map_err(|error| Error::Invalid(format!("cannot write {}: {error}", path.display())))?;
    let bar = Bar::endless();
    let exported = bar.wait("exporting", app.audit.export(&mut tx, &filter, export, &mut sink)).await?;
    drop(bar);
    let value = json!({ "records": exported.records, "file": path });
    output.line(&value, format_args!("{} records written to {}", exported.records, path.display()));
    Ok(if exported.records == 0 { Outcome::Nothing } else { Outcome::Done })
}
