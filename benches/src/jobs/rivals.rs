//! Other queues on the same server, in the settings in which each was fastest of those tried.
//!
//! Each drains a table of its own from the start of its worker until it has no unfinished job in the database.

#[cfg(feature = "rivals")]
mod graphile_worker;
#[cfg(feature = "rivals")]
mod riverqueue;

use std::path::PathBuf;
use std::time::Duration;

use testkit::Cluster;
use tokio::process::Command;
use tokio::time::timeout;

/// What awa is given at most, and for how long.
const AWA_JOBS: usize = 50_000;
const AWA_TIME: Duration = Duration::from_mins(1);

/// Those that were built.
pub(super) struct Rivals {
    #[cfg(feature = "rivals")]
    graphile_worker: graphile_worker::GraphileWorker,
    #[cfg(feature = "rivals")]
    riverqueue: riverqueue::Riverqueue,
    awa: Option<PathBuf>,
}

impl Rivals {
    #[cfg_attr(not(feature = "rivals"), allow(clippy::unused_async, unused_variables, reason = "nothing to start"))]
    pub(super) async fn start(cluster: &Cluster) -> Self {
        #[cfg(not(feature = "rivals"))]
        eprintln!("built without `--features rivals`: no graphile_worker and no riverqueue to compare with");
        let binary = std::env::current_exe().expect("this process has a path").with_file_name("rival-awa");
        let awa = Some(binary).filter(|binary| binary.exists());
        if awa.is_none() {
            eprintln!("no rival-awa beside this binary: see benches/README.md");
        }
        Self {
            #[cfg(feature = "rivals")]
            graphile_worker: graphile_worker::GraphileWorker::start(cluster).await,
            #[cfg(feature = "rivals")]
            riverqueue: riverqueue::Riverqueue::start(cluster).await,
            awa,
        }
    }

    /// Seconds that `graphile_worker` takes.
    #[cfg(feature = "rivals")]
    pub(super) async fn graphile_worker(&self, jobs: usize) -> Option<f64> {
        Some(self.graphile_worker.drain(jobs).await)
    }

    /// Seconds that riverqueue takes.
    #[cfg(feature = "rivals")]
    pub(super) async fn riverqueue(&self, jobs: usize) -> Option<f64> {
        Some(self.riverqueue.drain(jobs).await)
    }

    /// It was not built.
    #[cfg(not(feature = "rivals"))]
    #[allow(clippy::unused_async, reason = "the same as above")]
    pub(super) async fn graphile_worker(&self, _: usize) -> Option<f64> {
        None
    }

    /// It was not built.
    #[cfg(not(feature = "rivals"))]
    #[allow(clippy::unused_async, reason = "the same as above")]
    pub(super) async fn riverqueue(&self, _: usize) -> Option<f64> {
        None
    }

    /// Seconds that awa takes for as many jobs, in a process of its own; told from fewer, for the more of them the slower it
    /// enqueues. Nothing if it does not end in time.
    pub(super) async fn awa(&self, cluster: &Cluster, jobs: usize) -> Option<f64> {
        let binary = self.awa.as_ref()?;
        // A new one for each round: beside the finished jobs of another its enqueueing takes minutes.
        cluster.named("awa").await.close().await;
        let few = jobs.min(AWA_JOBS);
        let mut command = Command::new(binary);
        command.args([cluster.url("awa"), few.to_string()]).kill_on_drop(true);
        let Ok(output) = timeout(AWA_TIME, command.output()).await else {
            eprintln!("awa did not drain {few} jobs within {} s", AWA_TIME.as_secs());
            return None;
        };
        let output = output.expect("it starts");
        let answer = String::from_utf8(output.stdout).expect("a line");
        let seconds: f64 =
            answer.trim().parse().unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        Some(seconds * jobs as f64 / few as f64)
    }
}
