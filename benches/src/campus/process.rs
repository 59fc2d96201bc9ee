//! Campus as a process.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// A running server; ends with this value.
pub(super) struct Server {
    process: Child,
    /// Where it listens, as `127.0.0.1:PORT`.
    pub(super) address: String,
    /// Seconds from the start of the process to the line that says where it listens.
    pub(super) started_in: f64,
}

impl Server {
    /// Starts the binary beside this one.
    pub(super) fn start(database: &str, more: &[&str]) -> Self {
        let binary = binary();
        let started = Instant::now();
        let mut process = Command::new(&binary)
            .args(["--database", database, "--listen", "127.0.0.1:0"])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{} does not start ({error}); build it with `cargo build --release -p campus`", binary.display())
            });
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("it is piped")).read_line(&mut line).expect("it is readable");
        let started_in = started.elapsed().as_secs_f64();
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
        let address = address.unwrap_or_else(|| panic!("campus said {line:?}")).to_owned();
        Self { process, address, started_in }
    }

    /// The resident set, in MiB.
    pub(super) fn resident_mib(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("Linux tells it");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it runs");
        line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already, or gone now.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn binary() -> PathBuf {
    std::env::current_exe().expect("this process has a path").with_file_name("campus")
}
