//! The facade: what hosts call.

use std::sync::Arc;

use tracing::instrument;

use crate::job::Keys;
use crate::wake::Wake;
use crate::{
    Cancelled, EnqueueOptions, Enqueued, Filter, Job, JobId, JobRecord, Kind, Page, PageRequest, Queue, Result, Source,
    Store,
};

/// Work to do later.
///
/// Every verb works on the connection it is given: a job enqueued in a transaction exists when, and only when, that commits.
/// Clones share their [`wake`](Self::wake).
#[derive(Clone, Debug)]
pub struct Jobs<S> {
    pub(crate) store: S,
    pub(crate) wake: Arc<Wake>,
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
        Ok(self.enqueue_with(conn, job, &EnqueueOptions::default()).await?.id)
    }

    /// Stores a job with options of its own, unless another one has its unique key, and says which one that is.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue), and [`Error::Invalid`](crate::Error::Invalid) if an option is out of its bounds.
    #[instrument(level = "debug", name = "jobs.enqueue", skip_all, fields(kind = J::KIND))]
    pub async fn enqueue_with<J: Job>(
        &self,
        conn: &mut S::Connection,
        job: &J,
        options: &EnqueueOptions,
    ) -> Result<Enqueued> {
        let (queue, kind) = const { (Queue::from_static(J::QUEUE), Kind::from_static(J::KIND)) };
        let keys = Keys::new(queue, kind, options)?;
        let new = options.new_job(job, &keys)?;
        let enqueued = self.store.enqueue(conn, &[new]).await?;
        Ok(enqueued[0]) // the store answers for each job
    }

    /// Stores any number of jobs of one kind in one call, and answers in their order.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue); nothing was written then.
    pub async fn enqueue_many<'a, J: Job>(
        &self,
        conn: &mut S::Connection,
        jobs: impl IntoIterator<Item = &'a J>,
    ) -> Result<Vec<Enqueued>> {
        let options = EnqueueOptions::default();
        self.store_all(conn, jobs.into_iter().map(|job| (job, &options))).await
    }

    /// Stores any number of jobs of one kind, each with options of its own, and answers in their order. Of several with one
    /// unique key the first is stored.
    ///
    /// # Errors
    /// As [`enqueue_with`](Self::enqueue_with); nothing was written then.
    pub async fn enqueue_many_with<'a, J: Job>(
        &self,
        conn: &mut S::Connection,
        jobs: impl IntoIterator<Item = &'a (J, EnqueueOptions)>,
    ) -> Result<Vec<Enqueued>> {
        self.store_all(conn, jobs.into_iter().map(|(job, options)| (job, options))).await
    }

    #[instrument(level = "debug", name = "jobs.enqueue_many", skip_all, fields(kind = J::KIND))]
    async fn store_all<'a, J: Job>(
        &self,
        conn: &mut S::Connection,
        jobs: impl Iterator<Item = (&'a J, &'a EnqueueOptions)>,
    ) -> Result<Vec<Enqueued>> {
        let jobs: Vec<(&J, &EnqueueOptions)> = jobs.collect();
        let (queue, kind) = const { (Queue::from_static(J::QUEUE), Kind::from_static(J::KIND)) };
        let keys = jobs.iter().map(|(_, options)| Keys::new(queue.clone(), kind.clone(), options));
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let new = jobs.iter().zip(&keys).map(|((job, options), keys)| options.new_job(*job, keys));
        let new = new.collect::<Result<Vec<_>>>()?;
        self.store.enqueue(conn, &new).await
    }

    /// Cancels a job that waits, or asks the worker of a running one to: its handler hears of it within a second, wherever it
    /// runs, and has the runner's grace period to end.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the database failed.
    #[instrument(level = "debug", name = "jobs.cancel", skip_all)]
    pub async fn cancel(&self, conn: &mut S::Connection, id: JobId) -> Result<Cancelled> {
        self.store.cancel(conn, id).await
    }

    /// Brings back up to `limit` dead and cancelled jobs, with all their attempts before them and without their unique keys and
    /// expiry, and lets up to `limit` failed ones run at once; says how many.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the database failed.
    #[instrument(level = "debug", name = "jobs.retry", skip_all)]
    pub async fn retry(&self, conn: &mut S::Connection, filter: &Filter, limit: u32) -> Result<u64> {
        self.store.retry(conn, filter, limit).await
    }

    /// Removes a job that is not running, finished or not, and says whether there was one.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the database failed.
    #[instrument(level = "debug", name = "jobs.delete", skip_all)]
    pub async fn delete(&self, conn: &mut S::Connection, id: JobId) -> Result<bool> {
        self.store.delete(conn, id).await
    }

    /// Lets no runner claim from the queue until it is resumed; what runs goes on.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the database failed.
    #[instrument(level = "debug", name = "jobs.pause", skip_all)]
    pub async fn pause(&self, conn: &mut S::Connection, queue: &Queue) -> Result<()> {
        self.store.pause(conn, queue).await
    }

    /// Ends a pause.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the database failed.
    #[instrument(level = "debug", name = "jobs.resume", skip_all)]
    pub async fn resume(&self, conn: &mut S::Connection, queue: &Queue) -> Result<()> {
        self.store.resume(conn, queue).await
    }

    /// Makes the runners that were made with this value or a clone of it look for work now.
    ///
    /// Call it after the commit; without it, and for all other runners, a job waits for the next poll.
    pub fn wake(&self) {
        self.wake.called.send_replace(());
    }

    /// Calls [`wake`](Self::wake), and on PostgreSQL also the runners of other processes that [`listen`](crate::Runner::listen).
    ///
    /// Call it after the commit: it returns at once and sends a `NOTIFY` from a task of its own, on a connection of its own, and
    /// at most one in 10 milliseconds. Should that fail, or the process end before, a job waits for the next poll.
    ///
    /// Do not send it inside the transaction instead: whoever has called `pg_notify` takes, at the commit, a lock that is one for
    /// the whole server and holds it until the commit is on disk, so that all such commits stand in one line.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn notify<P: Source<Connection = S::Connection>>(&self, source: &P) {
        self.wake();
        self.wake.notify(source);
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
