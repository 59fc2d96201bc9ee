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
    large: bool,
    corpus: Option<PathBuf>,
}

impl Setup {
    /// A run; `quick` makes everything small, `large` searches many more documents in place of the other cases.
    pub fn new(quick: bool, large: bool, corpus: Option<PathBuf>) -> Self {
        Self { quick, large, corpus }
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
        if self.quick { quick } else { full }
    }
}
