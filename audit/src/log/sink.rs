//! Where checkpoints go: away from the database, whose owner could rewrite them.

use std::io;
use std::path::{Path, PathBuf};

use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Takes signed checkpoints to a place that the owner of the database cannot change.
///
/// A checkpoint that could not be published comes again, before all later ones. One may come twice.
pub trait CheckpointSink: Send {
    /// Returns the note published last, or `None` if the sink does not know. A sealer asks once, when it begins: it refuses
    /// to go on from a log that is not the continuation of this note.
    fn last(&mut self) -> impl Future<Output = io::Result<Option<String>>> + Send;

    /// Publishes one note. When it returns, the note is safe.
    fn publish(&mut self, note: &str) -> impl Future<Output = io::Result<()>> + Send;
}

/// Keeps the last checkpoint in one file, which is replaced as a whole, and appends all of them to another.
///
/// A crash can cut the last note in the history short. It stands there again, whole, after the next start.
#[derive(Clone, Debug)]
pub struct FileSink {
    latest: PathBuf,
    temporary: PathBuf,
    history: PathBuf,
}

impl FileSink {
    /// Names the file of the last checkpoint. The others are beside it: its name with `.history`, and with `.tmp`.
    pub fn new(path: impl AsRef<Path>) -> Self {
        let beside = |suffix: &str| {
            let mut name = path.as_ref().as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        Self { latest: path.as_ref().to_owned(), temporary: beside(".tmp"), history: beside(".history") }
    }

    async fn append(&self, note: &str) -> io::Result<()> {
        let mut history = OpenOptions::new().create(true).append(true).open(&self.history).await?;
        history.write_all(format!("{note}\n").as_bytes()).await?;
        history.sync_data().await
    }

    async fn replace(&self, note: &str) -> io::Result<()> {
        let mut file = File::create(&self.temporary).await?;
        file.write_all(note.as_bytes()).await?;
        file.sync_data().await?;
        fs::rename(&self.temporary, &self.latest).await
    }
}

impl CheckpointSink for FileSink {
    async fn last(&mut self) -> io::Result<Option<String>> {
        match fs::read_to_string(&self.latest).await {
            Ok(note) => Ok(Some(note)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn publish(&mut self, note: &str) -> io::Result<()> {
        self.append(note).await?;
        self.replace(note).await
    }
}

/// Writes checkpoints, each followed by an empty line, to standard output or anything else that takes bytes.
#[derive(Debug)]
pub struct WriterSink<W> {
    writer: W,
}

impl<W: AsyncWrite + Send + Unpin> WriterSink<W> {
    /// Takes what is to be written to.
    pub fn new(writer: W) -> Self {
        Self { writer }
    }

    /// Returns what was written to.
    pub fn into_inner(self) -> W {
        self.writer
    }
}

impl<W: AsyncWrite + Send + Unpin> CheckpointSink for WriterSink<W> {
    async fn last(&mut self) -> io::Result<Option<String>> {
        Ok(None)
    }

    async fn publish(&mut self, note: &str) -> io::Result<()> {
        self.writer.write_all(format!("{note}\n").as_bytes()).await?;
        self.writer.flush().await
    }
}
