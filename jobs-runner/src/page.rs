//! Keyset pages, newest first.

use crate::JobId;

/// The largest page, in items.
const MAX_LIMIT: u32 = 1000;

/// Asks for one page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    pub(crate) limit: u32,
    pub(crate) after: Option<JobId>,
}

impl PageRequest {
    /// Asks for the first page of up to `limit` items; the limit is held within 1 and 1,000.
    pub fn first(limit: u32) -> Self {
        Self { limit: limit.clamp(1, MAX_LIMIT), after: None }
    }

    /// Goes on below the job that [`Page::next`] named.
    #[must_use]
    pub fn after(mut self, job: JobId) -> Self {
        self.after = Some(job);
        self
    }
}

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// Leads to the next page; `None` on the last one. It carries no rights.
    pub next: Option<JobId>,
}
