//! Several processes share a server, and none leaves anything behind, however it ends.
//!
//! The children are this test binary again: [`as_a_child`] is the only test that takes a child's part.

use std::env;
use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{self, Command, Stdio};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, SqlStr};
use tempfile::TempDir;
use testkit::{Cluster, DATABASE_URL_VARIABLE, Durability};

/// Reads a table that a test can lock from another database: only the shared catalogs are in all of them.
static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let sql = SqlStr::from_static("CREATE TABLE thing AS SELECT objoid FROM pg_shdescription");
    Migrator::with_migrations(vec![Migration::new(1, "initial".into(), MigrationType::Simple, sql, false)])
});

const CHILD_VARIABLE: &str = "STOA_TESTKIT_CHILD";

/// Creates a database, prints its URL, and ends as the line on stdin says. Passes at once in a process that is no child.
#[test]
fn as_a_child() {
    if env::var_os(CHILD_VARIABLE).is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let database = runtime.block_on(testkit::postgres(&[&MIGRATOR]));
    // Not `println!`, which the test harness captures.
    writeln!(io::stdout(), "\n{}", database.url()).unwrap();
    match io::stdin().lines().next().unwrap().unwrap().as_str() {
        "return" => {}
        "exit" => process::exit(0), // drops nothing, like a panic in `main`
        "abort" => process::abort(),
        ending => panic!("unknown ending {ending}"),
    }
}

struct Child(process::Child);

impl Child {
    fn start(variable: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "as_a_child"]).env(CHILD_VARIABLE, "yes").env_remove(DATABASE_URL_VARIABLE);
        command.env(variable, value).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// Waits for its database.
    fn url(&mut self) -> String {
        let lines = BufReader::new(self.0.stdout.as_mut().unwrap()).lines();
        lines.map(Result::unwrap).find(|line| line.starts_with("postgres://")).expect("the child has a database")
    }

    fn end(mut self, how: &str) {
        match how {
            "kill" => self.0.kill().unwrap(),
            _ => writeln!(self.0.stdin.as_mut().unwrap(), "{how}").unwrap(),
        }
        self.0.wait().unwrap();
    }
}

/// Another process finishes in its own time, of which nobody tells us.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} takes too long");
        thread::sleep(Duration::from_millis(20));
    }
}

/// One like `/tmp`: when root runs this, the cluster in it is another user's.
fn temporary_directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o1777)).unwrap();
    directory
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).unwrap().next().is_none()
}

fn port(url: &str) -> u16 {
    let (_, address) = url.split_once("127.0.0.1:").unwrap();
    address.split('/').next().unwrap().parse().unwrap()
}

#[test]
fn no_server_outlives_its_process_however_that_ends() {
    for ending in ["return", "exit", "abort", "kill"] {
        let directory = temporary_directory();
        let mut child = Child::start("TMPDIR", directory.path());
        let port = port(&child.url());
        assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
        assert!(!is_empty(directory.path()));
        child.end(ending);
        eventually(&format!("removing the cluster after {ending}"), || is_empty(directory.path()));
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "the server lives on after {ending}");
    }
}

#[test]
fn a_process_killed_before_its_server_runs_leaves_nothing() {
    for entries in [1, 2, 10] {
        let directory = temporary_directory();
        let child = Child::start("TMPDIR", directory.path());
        let data = || fs::read_dir(directory.path()).unwrap().next().map(|entry| entry.unwrap().path().join("data"));
        let files = |path: &Path| fs::read_dir(path).map_or(0, Iterator::count);
        eventually("initdb", || data().is_some_and(|data| files(&data) >= entries));
        child.end("kill");
        eventually("removing the cluster", || is_empty(directory.path()));
    }
}

#[tokio::test]
async fn leftovers_are_swept_and_the_databases_of_the_living_are_not() {
    let cluster = Cluster::start(Durability::Fast);
    let start = || Child::start(DATABASE_URL_VARIABLE, cluster.url("postgres"));
    let mut conn = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
    let (mut dead, mut alive) = (start(), start());
    let (leftover, used) = (dead.url(), alive.url());
    dead.end("kill");
    assert_eq!(test_databases(&mut conn).await.len(), 2);

    start().end("return");
    let left = test_databases(&mut conn).await;
    assert_eq!(left, [database(&used)], "and not {}", database(&leftover));
    alive.end("return");
    assert_eq!(test_databases(&mut conn).await.len(), 0);
}

fn database(url: &str) -> String {
    url.parse::<PgConnectOptions>().unwrap().get_database().unwrap().to_owned()
}

async fn test_databases(conn: &mut PgConnection) -> Vec<String> {
    let query = "SELECT datname FROM pg_database WHERE starts_with(datname, 'stoa_test_')";
    sqlx::query_scalar(query).fetch_all(conn).await.unwrap()
}

async fn templates(conn: &mut PgConnection) -> i64 {
    let query = "SELECT count(*) FROM pg_database WHERE starts_with(datname, 'stoa_template_')";
    sqlx::query_scalar(query).fetch_one(conn).await.unwrap()
}

#[tokio::test]
async fn processes_that_start_at_once_migrate_one_template() {
    let cluster = Cluster::start(Durability::Fast);
    let mut conn = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
    let mut tx = hold_migrations(&mut conn).await;
    let mut children: Vec<Child> =
        (0..4).map(|_| Child::start(DATABASE_URL_VARIABLE, cluster.url("postgres"))).collect();
    // One of them migrates, and the others wait for its template.
    wait_for_waiters(&mut tx, 4).await;
    tx.rollback().await.unwrap();
    for child in &mut children {
        child.url();
    }
    assert_eq!((templates(&mut conn).await, test_databases(&mut conn).await.len()), (1, 4));
    for child in children {
        child.end("return");
    }
}

#[tokio::test]
async fn a_process_killed_while_it_migrates_leaves_no_half_template() {
    let cluster = Cluster::start(Durability::Fast);
    let mut conn = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
    let mut tx = hold_migrations(&mut conn).await;
    let child = Child::start(DATABASE_URL_VARIABLE, cluster.url("postgres"));
    wait_for_waiters(&mut tx, 1).await;
    child.end("kill");
    tx.rollback().await.unwrap();
    assert_eq!(templates(&mut conn).await, 0);

    let mut child = Child::start(DATABASE_URL_VARIABLE, cluster.url("postgres"));
    child.url();
    child.end("return");
    assert_eq!(templates(&mut conn).await, 1);
}

/// Makes [`MIGRATOR`] wait in every database of the cluster.
async fn hold_migrations(conn: &mut PgConnection) -> sqlx::Transaction<'_, sqlx::Postgres> {
    let mut tx = conn.begin().await.unwrap();
    sqlx::query("LOCK TABLE pg_shdescription IN ACCESS EXCLUSIVE MODE").execute(&mut *tx).await.unwrap();
    tx
}

async fn wait_for_waiters(conn: &mut PgConnection, expected: i64) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        let waiting = sqlx::query_scalar("SELECT count(*) FROM pg_locks WHERE NOT granted");
        if waiting.fetch_one(&mut *conn).await.is_ok_and(|waiting: i64| waiting == expected) {
            return;
        }
    }
    panic!("never did {expected} processes wait");
}

#[test]
fn with_postgres_hands_a_server_to_its_command_and_returns_its_exit_code() {
    let script = format!("printf %s \"${DATABASE_URL_VARIABLE}\"; exit 7");
    let mut command = Command::new(env!("CARGO_BIN_EXE_with-postgres"));
    let output = command.args(["sh", "-c", &script]).env_remove(DATABASE_URL_VARIABLE).output().unwrap();
    let url = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert!(url.starts_with("postgres://"));
    assert!(TcpStream::connect(("127.0.0.1", port(&url))).is_err(), "the server has ended with the command");
}
