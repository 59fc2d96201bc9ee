//! What processes share beside their database: a ledger of what handlers did, and gates that hold them.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use stoa_jobs_runner::{Context, JobId};

/// The bytes of a line of the ledger: a whole number of them fills a page.
const LINE: usize = 128;

/// A directory in which everybody writes and whose files appear at once or not at all.
#[derive(Clone, Debug)]
pub(crate) struct Desk(PathBuf);

/// A line of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) event: Event,
    pub(crate) job: i64,
    pub(crate) attempt: u16,
    pub(crate) process: u32,
    /// Microseconds since 1970: this machine's clock, which is the database's too.
    pub(crate) at: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Event {
    Began,
    /// The handler has said what became of it; the database does not know yet.
    Ended,
    Cancelled,
}

impl Desk {
    pub(crate) fn new(directory: &Path) -> Self {
        Self(directory.to_owned())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn note<T>(&self, event: Event, cx: &Context<T>) {
        let entry =
            Entry { event, job: cx.id().as_i64(), attempt: cx.attempt(), process: process::id(), at: micros_now() };
        // One write at the end of the file, and never across a page of it, where a kill or a reader can come between: all of a line is
        // there, or nothing.
        let line = format!("{:<width$}\n", serde_json::to_string(&entry).unwrap(), width = LINE - 1);
        assert_eq!(line.len(), LINE);
        let mut ledger = OpenOptions::new().append(true).create(true).open(self.0.join("ledger")).unwrap();
        ledger.write_all(line.as_bytes()).unwrap();
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        let ledger = fs::read_to_string(self.0.join("ledger")).unwrap_or_default();
        ledger.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) fn count(&self, is_counted: impl Fn(&Entry) -> bool) -> usize {
        self.entries().iter().filter(|entry| is_counted(entry)).count()
    }

    /// What a process had begun and not ended when the ledger was read.
    pub(crate) fn unended(&self, process: u32) -> Vec<Entry> {
        let entries: Vec<Entry> = self.entries().into_iter().filter(|entry| entry.process == process).collect();
        let is_ended = |began: &Entry| {
            let mut others = entries.iter().filter(|entry| entry.event == Event::Ended);
            others.any(|entry| (entry.job, entry.attempt) == (began.job, began.attempt))
        };
        entries.iter().filter(|entry| entry.event == Event::Began && !is_ended(entry)).copied().collect()
    }

    pub(crate) fn open(&self, gate: &str) {
        File::create(self.0.join(gate)).unwrap();
    }

    pub(crate) fn is_open(&self, gate: &str) -> bool {
        self.0.join(gate).exists()
    }
}

impl Entry {
    pub(crate) fn is(&self, event: Event, job: JobId) -> bool {
        self.event == event && self.job == job.as_i64()
    }
}

pub(crate) fn micros_now() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros().try_into().unwrap()
}
