//! For the tests of hosts: what is queued, on any backend, and whether it is what should be.
//!
//! ```
//! use stoa_jobs_runner::{Context, Failure, Handler, Job, Jobs, Memory, Runner, Source, memory, testing};
//! # #[derive(serde::Serialize, serde::Deserialize)]
//! # struct Welcome { user: String }
//! # impl Job for Welcome { const KIND: &'static str = "mail.welcome"; }
//! # impl Handler<()> for Welcome { async fn run(self, _: &Context<()>) -> Result<(), Failure> { Ok(()) } }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> stoa_jobs_runner::Result<()> {
//! let database = memory::Database::default();                    // its clock moves only when told to
//! let jobs = Jobs::new(Memory);
//! let mut conn = database.acquire().await?;
//! jobs.enqueue(&mut conn, &Welcome { user: "ada".into() }).await?;            // what is tested
//! testing::assert_enqueued(&jobs, &mut conn, &Welcome { user: "ada".into() }).await;
//!
//! let tally = Runner::new(jobs.clone(), database, ()).handle::<Welcome>().drain().await?;
//! assert_eq!(tally.succeeded, 1);
//! assert!(testing::enqueued::<Welcome, _>(&jobs, &mut conn).await?.is_empty());
//! # Ok(())
//! # }
//! ```

use std::fmt::Write;
use std::panic::Location;

use serde_json::Value;

use crate::{Error, Filter, Job, JobRecord, Jobs, Kind, PageRequest, Result, Store};

/// How many payloads a failed assertion shows.
const SHOWN: usize = 10;

/// Returns the jobs of one kind that wait or run, the first enqueued first.
///
/// # Errors
/// [`Error::Corrupt`] if a payload does not decode; [`Error::Backend`] if the database failed.
pub async fn enqueued<J: Job, S: Store>(jobs: &Jobs<S>, conn: &mut S::Connection) -> Result<Vec<J>> {
    let decode = |job: JobRecord| serde_json::from_str(&job.payload).map_err(|_| Error::Corrupt { what: "payload" });
    unfinished(jobs, conn, J::KIND).await?.into_iter().map(decode).collect()
}

/// Panics unless a job of this kind waits or runs that has just these arguments; it then says which ones there are.
///
/// # Panics
/// Also if the database failed.
#[track_caller]
pub fn assert_enqueued<J: Job, S: Store>(
    jobs: &Jobs<S>,
    conn: &mut S::Connection,
    job: &J,
) -> impl Future<Output = ()> + Send {
    // The caller of an async function cannot be told.
    let caller = Location::caller();
    // As every panic here: a test has failed.
    let wanted = serde_json::to_value(job).expect("the job serialises");
    async move {
        let found = unfinished(jobs, conn, J::KIND).await.unwrap_or_else(|error| panic!("{caller}: {error}"));
        let is_wanted =
            |job: &JobRecord| serde_json::from_str::<Value>(&job.payload).is_ok_and(|value| value == wanted);
        assert!(found.iter().any(is_wanted), "{caller}: no {} with {wanted} is enqueued{}", J::KIND, listed(&found));
    }
}

async fn unfinished<S: Store>(jobs: &Jobs<S>, conn: &mut S::Connection, kind: &'static str) -> Result<Vec<JobRecord>> {
    let filter = Filter::default().kind(Kind::new(kind)?);
    let mut request = PageRequest::first(u32::MAX);
    let mut found = Vec::new();
    loop {
        let page = jobs.list(conn, &filter, &request).await?;
        found.extend(page.items.into_iter().filter(|job| job.finished_at.is_none()));
        match page.next {
            Some(next) => request = request.after(next),
            None => break,
        }
    }
    found.reverse();
    Ok(found)
}

fn listed(jobs: &[JobRecord]) -> String {
    let mut text = if jobs.is_empty() { String::from("; none is") } else { String::from("; there are:") };
    for job in jobs.iter().take(SHOWN) {
        let _ = write!(text, "\n  {}", job.payload);
    }
    if jobs.len() > SHOWN {
        let _ = write!(text, "\n  and {} more", jobs.len() - SHOWN);
    }
    text
}
