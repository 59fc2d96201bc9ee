//! Other queues on the same server, in the settings in which each was fastest of those tried.
//!
//! Each drains a table of its own from the start of its worker until it has no unfinished job in the database.

#[cfg(feature = "rivals")]
mod graphile_worker;
#[cfg(feature = "rivals")]
mod riverqueue;

use std::path::PathBuf;
use std::process::Command;

use testkit::Cluster;

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

    /// Seconds that awa takes, in a process of its own.
    pub(super) async fn awa(&self, cluster: &Cluster, jobs: usize) -> Option<f64> {
        let binary = self.awa.as_ref()?;
        // A new one for each round: beside the finished jobs of another its enqueueing takes minutes.
        cluster.named("awa").await.close().await;
        let output = Command::new(binary).args([cluster.url("awa"), jobs.to_string()]).output().expect("it starts");
        let answer = String::from_utf8(output.stdout).expect("a line");
        let seconds = answer.trim().parse().unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        Some(seconds)
    }
}
