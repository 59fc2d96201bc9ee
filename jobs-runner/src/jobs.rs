//! The facade: what hosts call.

use std::sync::Arc;

use tokio::sync::watch;
use tracing::instrument;

use crate::job::payload;
use crate::store::NewJob;
use crate::{EnqueueOptions, Filter, Job, JobId, JobRecord, Kind, Page, PageRequest, Queue, Result, Store};

/// Work to do later.
///
/// Every verb works on the connection it is given: a job enqueued in a transaction exists when, and only when, that commits.
/// Clones share their [`wake`](Self::wake).
#[derive(Clone, Debug)]
pub struct Jobs<S> {
    pub(crate) store: S,
    pub(crate) wake: Arc<watch::Sender<()>>,
}

impl<S: Store> Jobs<S> {
    /// Works on the store.
    pub fn new(store: S) -> Self {
        Self { store, wake: Arc::default() }
    }

    /// Stores a job with the defaults of its kind, to run as soon as the transaction has committed.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if the payload is larger than 1 MiB of JSON or holds the character NUL;
    /// [`Error::Unserialisable`](crate::Error::Unserialisable); [`Error::Backend`](crate::Error::Backend).
    pub async fn enqueue<J: Job>(&self, conn: &mut S::Connection, job: &J) -> Result<JobId> {
        self.enqueue_with(conn, job, &EnqueueOptions::default()).await
    }

    /// Stores a job with options of its own.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue), and [`Error::Invalid`](crate::Error::Invalid) if an option is out of its bounds.
    #[instrument(level = "debug", name = "jobs.enqueue", skip_all, fields(kind = J::KIND))]
    pub async fn enqueue_with<J: Job>(
        &self,
        conn: &mut S::Connection,
        job: &J,
        options: &EnqueueOptions,
    ) -> Result<JobId> {
        let new = NewJob {
            queue: &const { Queue::from_static(J::QUEUE) },
            kind: &const { Kind::from_static(J::KIND) },
            payload: &payload(job)?,
            priority: options.checked_priority()?,
            max_attempts: options.checked_max_attempts::<J>()?,
            due: options.checked_due()?,
        };
        self.store.enqueue(conn, &new).await
    }

    /// Makes the runners that were made with this value or a clone of it look for work now.
    ///
    /// Call it after the commit; without it, and for all other runners, a job waits for the next poll.
    pub fn wake(&self) {
        self.wake.send_replace(());
    }

    /// Reads one job, finished or not.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the database failed.
    #[instrument(level = "debug", name = "jobs.find", skip_all)]
    pub async fn find(&self, conn: &mut S::Connection, id: JobId) -> Result<Option<JobRecord>> {
        self.store.find(conn, id).await
    }

    /// Lists jobs, finished or not, the latest first.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the database failed.
    #[instrument(level = "debug", name = "jobs.list", skip_all)]
    pub async fn list(&self, conn: &mut S::Connection, filter: &Filter, page: &PageRequest) -> Result<Page<JobRecord>> {
        // The last of up to limit + 1 jobs only shows that there is a next page.
        let mut items = self.store.list(conn, filter, page.after, page.limit + 1).await?;
        let has_next = items.len() > page.limit as usize;
        items.truncate(page.limit as usize);
        let next = items.last().filter(|_| has_next).map(|job| job.id);
        Ok(Page { items, next })
    }
}
