//! One database with a desk, and what tests ask of them.

use std::any::Any;
use std::env;
use std::time::{Duration, Instant};

use sqlx::{PgPool, SqlitePool};
use stoa_jobs_runner::{
    EnqueueOptions, Filter, JobId, JobRecord, Jobs, PageRequest, Postgres, Source, Sqlite, State, Store, Token,
    postgres, sqlite,
};
use tempfile::TempDir;

use crate::desk::Desk;
use crate::task::{Act, Task};
use crate::worker::Settings;

/// What has not happened by then never will, however busy the machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);
/// The lease of workers that are disturbed.
pub(crate) const LEASE: Duration = Duration::from_secs(1);

pub(crate) struct Stage<S, P> {
    pub(crate) jobs: Jobs<S>,
    pub(crate) source: P,
    pub(crate) url: String,
    pub(crate) desk: Desk,
    _directory: TempDir,
    _database: Box<dyn Any + Send + Sync>,
}

impl Stage<Sqlite, SqlitePool> {
    pub(crate) async fn sqlite() -> Self {
        let database = testkit::sqlite(&[&sqlite::MIGRATOR]).await;
        Self::new(Sqlite, database.pool().clone(), database.url().to_owned(), database)
    }
}

impl Stage<Postgres, PgPool> {
    pub(crate) async fn postgres() -> Self {
        Self::over(testkit::postgres(&[&postgres::MIGRATOR]).await)
    }

    pub(crate) fn over(database: testkit::Postgres) -> Self {
        Self::new(Postgres, database.pool().clone(), database.url().to_owned(), database)
    }
}

impl<S: Store + Clone, P: Source<Connection = S::Connection>> Stage<S, P> {
    fn new(store: S, source: P, url: String, database: impl Any + Send + Sync) -> Self {
        let directory = tempfile::Builder::new().prefix("stoa-faults-").tempdir().unwrap();
        let desk = Desk::new(directory.path());
        Self { jobs: Jobs::new(store), source, url, desk, _directory: directory, _database: Box::new(database) }
    }

    /// Ten slots, a lease of a second, no grace.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            url: self.url.clone(),
            desk: self.desk.path().to_owned(),
            slots: 10,
            lease: LEASE,
            grace: Duration::ZERO,
        }
    }

    pub(crate) async fn enqueue(&self, acts: impl IntoIterator<Item = Act>) -> Vec<JobId> {
        let options = EnqueueOptions::default();
        self.enqueue_with(acts.into_iter().map(|act| (Task(act), options.clone()))).await
    }

    pub(crate) async fn enqueue_with(&self, jobs: impl IntoIterator<Item = (Task, EnqueueOptions)>) -> Vec<JobId> {
        let jobs: Vec<_> = jobs.into_iter().collect();
        let mut tx = self.source.begin().await.unwrap();
        let enqueued = self.jobs.enqueue_many_with(&mut tx, &jobs).await.unwrap();
        self.source.commit(tx).await.unwrap();
        enqueued.iter().map(|enqueued| enqueued.id).collect()
    }

    pub(crate) async fn job(&self, id: JobId) -> JobRecord {
        let mut conn = self.source.acquire().await.unwrap();
        self.jobs.find(&mut conn, id).await.unwrap().unwrap()
    }

    /// All jobs, the latest first.
    pub(crate) async fn all(&self) -> Vec<JobRecord> {
        let mut conn = self.source.acquire().await.unwrap();
        let (mut all, mut request) = (Vec::new(), PageRequest::first(1000));
        loop {
            let page = self.jobs.list(&mut conn, &Filter::default(), &request).await.unwrap();
            all.extend(page.items);
            let Some(next) = page.next else { return all };
            request = request.after(next);
        }
    }

    /// Up to a thousand jobs.
    pub(crate) async fn in_state(&self, state: State) -> Vec<JobId> {
        let mut conn = self.source.acquire().await.unwrap();
        let filter = Filter::default().state(state);
        let page = self.jobs.list(&mut conn, &filter, &PageRequest::first(1000)).await.unwrap();
        page.items.into_iter().map(|job| job.id).collect()
    }

    /// Waits until nothing is queued, and returns all jobs. A database that does not answer is asked again.
    pub(crate) async fn finished(&self) -> Vec<JobRecord> {
        until("the end of all jobs", async || self.is_finished().await.unwrap_or(false).then_some(())).await;
        self.all().await
    }

    async fn is_finished(&self) -> stoa_jobs_runner::Result<bool> {
        let mut conn = self.source.acquire().await?;
        for state in [State::Pending, State::Running, State::Failed] {
            let filter = Filter::default().state(state);
            if !self.jobs.list(&mut conn, &filter, &PageRequest::first(1)).await?.items.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Emits one test on SQLite and one on PostgreSQL for each function that takes a stage.
macro_rules! on_both_databases {
    ($($test:ident)*) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test(&crate::stage::Stage::sqlite().await).await;
                }
            )*
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test(&crate::stage::Stage::postgres().await).await;
                }
            )*
        }
    };
}
pub(crate) use on_both_databases;

/// Asks until there is an answer.
pub(crate) async fn until<T>(what: &str, mut answer: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = answer().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what} takes too long");
        pause(Duration::from_millis(5)).await;
    }
}

/// Lets other processes go on.
pub(crate) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// A number below the bound; another one every time.
pub(crate) fn random(bound: u64) -> u64 {
    Token::random().as_i64().unsigned_abs() % bound
}

/// The first number, or the second where time does not matter (`scripts/test --full`).
pub(crate) fn scaled(usual: usize, full: usize) -> usize {
    if env::var_os("STOA_TEST_FULL").is_some() { full } else { usual }
}
