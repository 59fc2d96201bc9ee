//! A PostgreSQL server of one's own, in a temporary directory.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::programs::{self, User};

/// How much a cluster cares for its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing is flushed: for tests. A killed server keeps what was committed, a machine that loses power does not.
    Fast,
    /// Every commit is flushed as in production: for benches.
    Durable,
}

impl Durability {
    fn settings(self) -> &'static [&'static str] {
        match self {
            // Commits stay synchronous: with nothing to flush it costs little, and a killed server keeps them.
            Self::Fast => &["fsync = off", "full_page_writes = off"],
            Self::Durable => &["shared_buffers = '512MB'", "max_wal_size = '4GB'"],
        }
    }
}

const SETTINGS: &[&str] = &[
    "listen_addresses = '127.0.0.1'",
    "max_connections = 400",
    "max_prepared_transactions = 8",
    "log_checkpoints = off",
];

/// A PostgreSQL server in a temporary directory, listening on a free port of 127.0.0.1.
///
/// Ends with this process, however that ends: a supervising shell owns the server and stops it when the pipe to us closes.
/// All methods block until the server has done what they say.
#[derive(Debug)]
pub struct Cluster {
    directory: PathBuf,
    port: u16,
    supervisor: Mutex<Supervisor>,
}

#[derive(Debug)]
struct Supervisor {
    process: Child,
    /// `None` once closed, which asks the supervisor to end.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Cluster {
    /// Creates a cluster and starts its server.
    ///
    /// # Panics
    /// If PostgreSQL is not installed (the message says how to get it) or does not start.
    pub fn start(durability: Durability) -> Self {
        let programs = programs::directory();
        let directory = tempfile::Builder::new().prefix("stoa-postgres-").tempdir();
        // From here on the supervisor removes it.
        let directory = directory.expect("the temporary directory is writable").keep();
        let mut supervisor = Supervisor::start(&programs, &directory, durability);
        assert!(supervisor.answer(), "initdb failed: {}", log(&directory));
        let mut attempts = 5;
        let port = loop {
            let port = free_port();
            if supervisor.obey(&format!("start {port} 1")) {
                break port;
            }
            attempts -= 1; // somebody else may have taken the port
            assert!(attempts > 0, "PostgreSQL does not start: {}", log(&directory));
        };
        Self { directory, port, supervisor: Mutex::new(supervisor) }
    }

    /// The URL of a database on this server, for its superuser. `postgres` always exists.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Shuts the server down: open transactions roll back, connections close.
    pub fn stop(&self) {
        self.obey("stop");
    }

    /// Kills the server and all its sessions (`kill -9`), as a crash would: nothing is committed after this.
    pub fn kill(&self) {
        self.obey("kill");
    }

    /// Starts the server again, stopped, killed or running, on the same port and data.
    pub fn restart(&self) {
        self.stop();
        self.obey(&format!("start {} 100", self.port));
    }

    fn obey(&self, command: &str) {
        let mut supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(supervisor.obey(command), "PostgreSQL does not {command}: {}", log(&self.directory));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let supervisor = self.supervisor.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(supervisor.commands.take());
        let _ = supervisor.process.wait(); // so that who drops a cluster knows it gone
    }
}

impl Supervisor {
    fn start(programs: &Path, directory: &Path, durability: Durability) -> Self {
        let mut command = Command::new("sh");
        command
            .args(["-c", include_str!("supervisor.sh"), "supervisor"])
            .args([programs, directory])
            .args(SETTINGS.iter().chain(durability.settings()))
            .current_dir(directory)
            .env("LC_ALL", "C")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let owner = fs::metadata(directory).expect("just created").uid();
        if owner == 0 {
            let User { uid, gid } = User::unprivileged();
            chown(directory, Some(uid), Some(gid)).expect("root may give a directory away");
            command.uid(uid).gid(gid);
        }
        let mut process = command.spawn().expect("every Unix has sh");
        let commands = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().expect("piped above"));
        Self { process, commands, answers }
    }

    fn obey(&mut self, command: &str) -> bool {
        let commands = self.commands.as_mut().expect("open until dropped");
        writeln!(commands, "{command}").is_ok() && self.answer()
    }

    fn answer(&mut self) -> bool {
        let mut answer = String::new();
        self.answers.read_line(&mut answer).is_ok() && answer.trim() == "done"
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback interface has a free port");
    listener.local_addr().expect("bound above").port()
}

fn log(directory: &Path) -> String {
    fs::read_to_string(directory.join("log")).unwrap_or_else(|error| error.to_string())
}
