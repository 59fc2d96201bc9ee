//! The command line, as a process of its own. This binary starts itself as the host's program.

use std::env;
use std::fmt::Write;
use std::process::{Command, ExitCode, Output, Stdio, exit};
use std::time::Duration;

use clap::Parser;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stoa_jobs_runner::{
    Context, Cron, Failure, Filter, Handler, Heartbeat, Job, JobId, Jobs, PageRequest, Postgres, Queue, Runner, Source,
    Sqlite, State, Store, WorkerId, cli,
};

/// Names the database to the host's program, and its arguments, one a line.
const DATABASE: &str = "STOA_JOBS_CLI_DATABASE";
const ARGUMENTS: &str = "STOA_JOBS_CLI_ARGUMENTS";
/// What the test harness prints comes before it.
const BEGIN: &str = "-- the output begins --\n";

#[derive(Serialize, Deserialize)]
struct Mail {
    text: String,
}

impl Job for Mail {
    const KIND: &'static str = "mail";
    const QUEUE: &'static str = "mails";
    const MAX_ATTEMPTS: u16 = 1;
}

impl Handler<()> for Mail {
    async fn run(self, _: &Context<()>) -> Result<(), Failure> {
        if self.text.is_empty() { Ok(()) } else { Err(Failure::fatal(self.text)) }
    }
}

#[derive(Parser)]
enum Adminctl {
    Jobs(cli::Cli),
}

/// Is the host's program, if it was told so; in an ordinary run there is nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn program() {
    let (Ok(url), Ok(arguments)) = (env::var(DATABASE), env::var(ARGUMENTS)) else { return };
    print!("{BEGIN}");
    let Adminctl::Jobs(command) = Adminctl::parse_from(["adminctl", "jobs"].into_iter().chain(arguments.lines()));
    let code = if url.starts_with("sqlite") {
        let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
        command.execute(Runner::new(Jobs::new(Sqlite), pool, ()).handle::<Mail>()).await
    } else {
        let pool = sqlx::PgPool::connect(&url).await.unwrap();
        command.execute(Runner::new(Jobs::new(Postgres), pool, ()).handle::<Mail>()).await
    };
    let number = (0..=u8::MAX).find(|number| ExitCode::from(*number) == code);
    exit(number.unwrap().into());
}

fn command(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "cli::program", "--nocapture"]);
    command.env(DATABASE, url).env(ARGUMENTS, arguments.join("\n"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The exit code and what was printed: to the output, then to the error stream.
fn adminctl(url: &str, arguments: &[&str]) -> (i32, String, String) {
    read(&command(url, arguments).output().unwrap())
}

fn read(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let printed = text(&output.stdout);
    let printed = printed.split_once(BEGIN).map_or("", |(_, printed)| printed).to_owned();
    (output.status.code().unwrap_or(-1), printed, text(&output.stderr))
}

fn objects(printed: &str) -> Vec<Value> {
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn an_operator_works_on_sqlite() {
    let database = testkit::sqlite(&[&stoa_jobs_runner::sqlite::MIGRATOR]).await;
    operate(Sqlite, database.pool(), database.url()).await;
}

#[tokio::test]
async fn an_operator_works_on_postgres() {
    let database = testkit::postgres(&[&stoa_jobs_runner::postgres::MIGRATOR]).await;
    operate(Postgres, database.pool(), database.url()).await;
}

async fn operate<S: Store + Clone, P: Source<Connection = S::Connection>>(store: S, source: &P, url: &str) {
    let jobs = Jobs::new(store.clone());
    let mut conn = source.acquire().await.unwrap();
    let mut ids = Vec::new();
    for text in ["", "no such\nuser \u{1b}[2J\u{202e}", "", ""] {
        ids.push(jobs.enqueue(&mut conn, &Mail { text: text.to_owned() }).await.unwrap().to_string());
    }
    drop(conn);

    // What waits, and who takes it out.
    let (code, printed, _) = adminctl(url, &["stats"]);
    assert_eq!(code, 0);
    assert!(printed.starts_with("queue  ready  running") && printed.contains("\nmails      4        0"), "{printed}");
    assert_eq!(adminctl(url, &["cancel", &ids[3]]), (0, "1 cancelled\n0 asked to end\n".into(), String::new()));
    assert_eq!(adminctl(url, &["cancel", &ids[3]]).0, 3);
    let discarded = adminctl(url, &["discard", &ids[2], "--because", "by hand"]);
    assert_eq!((discarded.0, &*discarded.1), (0, "1 discarded\n"));
    assert_eq!(adminctl(url, &["pause", "mails"]).0, 0);
    assert_eq!(adminctl(url, &["run", "--queue=mails", "--drain"]).1, tally(0, 0));
    assert!(adminctl(url, &["doctor"]).1.contains("mails is paused"));
    assert_eq!(adminctl(url, &["resume", "mails"]).0, 0);
    assert_eq!(adminctl(url, &["run", "--queue=mails", "--drain"]).1, tally(1, 1));

    // What is printed of a job stays what it is.
    let (code, printed, _) = adminctl(url, &["inspect", &ids[1]]);
    assert_eq!(code, 0);
    assert!(printed.contains("state         dead, fatal\n"), "{printed}");
    assert!(printed.contains("\n  | no such\n  | user \\u{1b}[2J\\u{202e}\n"), "{printed}");
    let (_, listed, _) = adminctl(url, &["list", "--state=dead"]);
    assert!(listed.contains("no such\\nuser \\u{1b}[2J\\u{202e}") && !listed.contains('\u{1b}'), "{listed}");
    let (_, json, _) = adminctl(url, &["--json", "list", "--state=dead", "--limit=1"]);
    assert_eq!(objects(&json)[0]["last_error"], "by hand");
    let (_, json, _) = adminctl(url, &["list", "--json", "--state=dead", &format!("--below={}", ids[2])]);
    assert_eq!(objects(&json)[0]["last_error"], "no such\nuser \u{1b}[2J\u{202e}");
    assert!(!json.contains(['\u{1b}', '\u{202e}']), "{json}");
    assert_eq!(objects(&json)[0]["payload"]["text"], "no such\nuser \u{1b}[2J\u{202e}");

    // Many at once, and the history.
    assert_eq!(adminctl(url, &["retry", "--state=cancelled"]).1, "1 retried\n");
    assert_eq!(adminctl(url, &["retry", "--queue=mails", "--state=dead", "--after=1h"]).1, "2 retried\n");
    assert_eq!(adminctl(url, &["delete", "--kind=mail", "--limit=2"]).1, "3 deleted\n");
    assert_eq!(adminctl(url, &["cancel", "--all"]).1, "1 cancelled or asked to end\n");
    let pruned = adminctl(url, &["prune", "--cancelled=0s", "--json"]);
    assert_eq!((pruned.0, objects(&pruned.1)[0]["cancelled"].as_u64()), (0, Some(1)));
    assert_eq!(adminctl(url, &["list"]).1.lines().count(), 1);
    assert_eq!(adminctl(url, &["inspect", &ids[0]]), (3, String::new(), String::new()));
    let queue = &Queue::from_static("parcels");
    let beat = Heartbeat { worker: WorkerId::from(7), queue, process: "web-1:\u{1b}[2J", lease: Duration::ZERO };
    store.beat(&mut source.acquire().await.unwrap(), beat).await.unwrap();
    let (_, printed, _) = adminctl(url, &["workers"]);
    assert!(printed.contains("\n     7  parcels  web-1:\\u{1b}[2J  "), "{printed}");
    let (_, json, _) = adminctl(url, &["workers", "--json"]);
    assert_eq!((&objects(&json)[0]["queue"], &objects(&json)[0]["is_lost"]), (&"parcels".into(), &true.into()));
    let nightly = Cron::new("mail.nightly", "30 2 * * *", Mail { text: String::new() }).unwrap();
    Runner::new(jobs, source.clone(), ()).cron(nightly).drain().await.unwrap();
    let (code, printed, _) = adminctl(url, &["cron"]);
    assert_eq!(code, 0);
    assert!(printed.contains("\nmail.nightly  30 2 * * *  UTC   "), "{printed}");
    let (_, json, _) = adminctl(url, &["cron", "--json"]);
    assert!(objects(&json)[0]["next_fire_at"].as_str().unwrap().contains("T02:30:00"), "{json}");

    // What may run at once.
    assert_eq!(adminctl(url, &["limits", "set", "queue:mails", "--concurrency=2"]).0, 0);
    assert_eq!(adminctl(url, &["limits", "set", "api", "--rate=100/1m"]).0, 0);
    let listed = "limit of     at once  begin\napi                   100 in 60s\nqueue:mails        2\n";
    assert_eq!(adminctl(url, &["limits", "list"]), (0, listed.to_owned(), String::new()));
    let (_, json, _) = adminctl(url, &["limits", "list", "--json"]);
    assert_eq!(objects(&json)[0]["per_s"].as_f64(), Some(60.0));
    assert_eq!(adminctl(url, &["limits", "remove", "queue:mails", "api"]).1, "2 removed\n");
    assert_eq!(adminctl(url, &["limits", "remove", "api"]).0, 3);

    // What cannot be meant.
    for wrong in [
        &["delete"][..],
        &["delete", "--all", "7"],
        &["cancel", "x"],
        &["list", "--state=gone"],
        &["list", "--queue=No Queue"],
        &["prune", "--dead=7"],
        &["run", "--concurrency=0"],
        &["limits", "set", "api"],
        &["limits", "set", "api", "--concurrency=0"],
        &["limits", "set", "api", "--rate=7"],
        &["limits", "set", "queue:No Queue", "--concurrency=1"],
        &["unheard-of"],
    ] {
        let (code, printed, complaint) = adminctl(url, wrong);
        assert_eq!((code, &*printed), (2, ""), "{wrong:?}");
        assert!(complaint.contains("error: "), "{complaint}");
    }
}

fn tally(succeeded: u32, dead: u32) -> String {
    let mut text = String::new();
    writeln!(text, "{succeeded} succeeded, 0 failed, {dead} dead, 0 given back, 0 cancelled, 0 lost").unwrap();
    text
}

/// It serves the queue it is given until it is told to stop, and then says what it did.
#[cfg(unix)]
#[tokio::test]
async fn a_worker_ends_gracefully_when_it_is_told_to() {
    let database = testkit::sqlite(&[&stoa_jobs_runner::sqlite::MIGRATOR]).await;
    let jobs = Jobs::new(Sqlite);
    let id = jobs.enqueue(&mut *database.pool().acquire().await.unwrap(), &Mail { text: String::new() }).await.unwrap();
    let worker = command(database.url(), &["run", "--queue", "mails"]).spawn().unwrap();
    until_succeeded(&jobs, database.pool(), id).await;
    let told = Command::new("kill").args(["-TERM", &worker.id().to_string()]).status().unwrap();
    assert!(told.success());
    let output = tokio::task::spawn_blocking(|| worker.wait_with_output().unwrap()).await.unwrap();
    assert_eq!(read(&output), (0, tally(1, 0), String::new()));
}

async fn until_succeeded<P: Source<Connection = sqlx::SqliteConnection>>(jobs: &Jobs<Sqlite>, source: &P, id: JobId) {
    let succeeded = Filter::default().id(id).state(State::Succeeded);
    let wait = async {
        let mut conn = source.acquire().await.unwrap();
        while jobs.list(&mut conn, &succeeded, &PageRequest::first(1)).await.unwrap().items.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), wait).await.expect("nobody ran the job");
}

/// A database that is not there is a failure, and says so.
#[test]
fn a_failing_database_is_exit_code_one() {
    let (code, printed, complaint) = adminctl("sqlite::memory:", &["stats"]);
    assert_eq!((code, &*printed), (1, ""));
    assert!(complaint.contains("error: the job store failed: "), "{complaint}");
}
