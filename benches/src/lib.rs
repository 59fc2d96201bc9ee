//! Workloads and baselines. A figure of ours is never taken without its baseline in the same run, in turns, and the median of
//! several rounds is what counts: machines drift.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the figures are small"
)]

pub mod audit;
pub mod campus;
pub mod capabilities;
pub mod jobs;
pub mod membership;
pub mod search;

mod case;
mod corpus;
mod timing;

pub use case::Case;

use std::path::PathBuf;

/// How large a run is.
#[derive(Clone, Debug)]
pub struct Setup {
    quick: bool,
    long: bool,
    only: Option<String>,
    corpus: Option<PathBuf>,
}

impl Setup {
    /// A run; `quick` makes everything small.
    pub fn new(quick: bool, corpus: Option<PathBuf>) -> Self {
        Self { quick, long: false, only: None, corpus }
    }

    /// Lets what is usually scaled down take its time.
    #[must_use]
    pub fn long(self, long: bool) -> Self {
        Self { long, ..self }
    }

    /// Leaves out of an area what is not of this subject, where the area knows of subjects.
    #[must_use]
    pub fn only(self, subject: Option<String>) -> Self {
        Self { only: subject, ..self }
    }

    fn wants(&self, subject: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == subject)
    }

    fn is_long(&self) -> bool {
        self.long
    }

    /// Whether this subject, which takes the place of all others, is asked for.
    fn is_only(&self, subject: &str) -> bool {
        self.only.as_deref() == Some(subject)
    }

    /// A folder that lies beside the corpus.
    fn beside_corpus(&self, folder: &str) -> Option<PathBuf> {
        let folder = self.corpus.as_ref()?.parent()?.join(folder);
        folder.is_dir().then_some(folder)
    }

    /// Rounds in which ours and the baseline take turns.
    fn rounds(&self) -> usize {
        if self.quick { 3 } else { 7 }
    }

    /// One of two sizes.
    fn size(&self, full: usize, quick: usize) -> usize {
        self.pick(full, quick)
    }

    fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}
