//! The example host as a process: how soon it answers.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::case::Target;
use crate::timing::median;
use crate::{Case, Setup};

/// Measures the campus cases. The binary has to be built: `cargo build --release -p campus`.
///
/// # Panics
/// If the binary is missing or does not start.
pub fn compare(setup: &Setup) -> Vec<Case> {
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    let database = format!("sqlite:{}", directory.path().join("campus.sqlite").display());
    let first = start(&database);
    let starts: Vec<f64> = (0..setup.rounds()).map(|_| start(&database)).collect();
    vec![
        Case::absolute("campus.start_ms", median(starts), "ms", Target::AtMost(1000.0)).note("an existing database"),
        Case::absolute("campus.demo_small_s", first / 1e3, "s", Target::AtMost(10.0)).note("from nothing"),
    ]
}

/// Milliseconds from the start of the process to the line that says where it listens.
fn start(database: &str) -> f64 {
    let binary = std::env::current_exe().expect("this process has a path").with_file_name("campus");
    let started = Instant::now();
    let mut process = Command::new(&binary)
        .args(["--database", database, "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("{} does not start ({error}); build it with `cargo build --release -p campus`", binary.display())
        });
    let mut line = String::new();
    BufReader::new(process.stdout.take().expect("it is piped")).read_line(&mut line).expect("it is readable");
    let elapsed = started.elapsed().as_secs_f64() * 1e3;
    assert!(line.contains("http://127.0.0.1:"), "campus said {line:?}");
    process.kill().expect("it runs");
    process.wait().expect("it was running");
    elapsed
}
