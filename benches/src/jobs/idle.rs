//! The memory of a runner with nothing to do.

use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use sqlx::PgPool;
use stoa_jobs_runner::{Jobs, Postgres, Runner, postgres};
use testkit::Cluster;

use super::{Nothing, database};
use crate::Case;
use crate::case::Target;

/// Some polls and beats, so that everything has run that runs while nothing happens.
const SETTLED: Duration = Duration::from_secs(12);

/// The resident set of a process that does nothing else.
pub(super) async fn compare(cluster: &Cluster) -> Case {
    database(cluster, "idle", &postgres::MIGRATOR).await.close().await;
    let binary = env::current_exe().expect("this process has a path");
    let mut process = Command::new(binary)
        .args(["idle-runner", &cluster.url("idle")])
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    tokio::time::sleep(SETTLED).await;
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).expect("Linux tells it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it runs");
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    process.kill().expect("it runs");
    process.wait().expect("it was running");
    Case::absolute("jobs.idle_mib", kibibytes / 1024.0, "MiB", Target::AtMost(20.0))
        .note("VmRSS of a process of its own with a runner on PostgreSQL, after 12 s")
}

/// Runs a runner that finds nothing to do, until somebody ends the process.
///
/// # Panics
/// If the database is not there.
pub async fn idle(url: &str) {
    let pool = PgPool::connect(url).await.expect("the server answers");
    let runner = Runner::new(Jobs::new(Postgres), pool, ()).handle::<Nothing>();
    runner.run_until(std::future::pending()).await.expect("the settings are sound");
}
