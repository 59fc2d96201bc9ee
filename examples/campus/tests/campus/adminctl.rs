//! `adminctl` and `campus` as processes: exit codes, answers for machines, and what they leave in the database.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use campus::app::App;
use campus::demo::{Plan, Size};
use serde_json::Value;
use stoa_membership::{Role, State, UserId};
use stoa_search::{Audience, Query, Tag};
use tempfile::TempDir;

use crate::fixture::{Fixture, OnPostgres, OnSqlite};

/// A demo campus, and a directory for files.
struct Tool<F: Fixture> {
    fixture: F,
    app: App<F::Backend>,
    directory: TempDir,
}

/// What a process answered.
struct Answer {
    code: i32,
    out: String,
    err: String,
}

impl Answer {
    /// Every line is one JSON value.
    #[track_caller]
    fn json(&self) -> Vec<Value> {
        self.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}\n{}", self.err)))
            .collect()
    }

    #[track_caller]
    fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl<F: Fixture> Tool<F> {
    async fn demo() -> Self {
        let (fixture, app) = F::demo().await;
        Self { fixture, app, directory: TempDir::new().unwrap() }
    }

    /// Runs `adminctl` on the database; the arguments are separated by blanks.
    fn run(&self, arguments: &str) -> Answer {
        self.run_with(&arguments.split(' ').collect::<Vec<_>>())
    }

    fn run_with(&self, arguments: &[&str]) -> Answer {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adminctl"));
        command.args(["--database", self.fixture.url()]).args(arguments).output().unwrap().into()
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    async fn standing(&self, scope: &str, person: &str) -> Option<(State, Role)> {
        let mut tx = self.app.read().await.unwrap();
        let member = self.app.membership.get(&mut tx, &user(person), &scope.parse().unwrap()).await.unwrap();
        member.map(|member| (member.state(), member.role().clone()))
    }

    async fn records(&self) -> i64 {
        self.fixture
            .count("SELECT count(*) FROM audit_record WHERE actor_kind = 'system' AND actor_id = 'adminctl'")
            .await
    }

    async fn found(&self, word: &str, tag: &str) -> u64 {
        let audience = Audience::tags([Tag::try_from(tag).unwrap()]);
        let mut tx = self.app.read().await.unwrap();
        self.app.search.search(&mut tx, &Query::text(word), &audience).await.unwrap().total
    }

    /// The person of the demo who is in no group.
    fn stranger() -> &'static str {
        "amara-okafor"
    }
}

fn user(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

fn role(name: &str) -> Role {
    Role::new(name).unwrap()
}

async fn members_are_listed_added_and_banned<F: Fixture>() {
    let tool = Tool::<F>::demo().await;
    let listed = tool.run("members list group:chess --json").exits(0).json();
    let owners = listed.iter().filter(|member| member["role"] == "owner").count();
    assert!(owners == 1 && listed.len() > 5 && listed.iter().all(|member| member["scope"] == "group:chess"));
    assert_eq!(tool.run("--json members list group:chess --state banned").exits(0).json().len(), 1);
    assert_eq!(tool.run("members list group:chess --json --role owner --limit 3").exits(0).json().len(), 1);
    assert!(tool.run("members list group:chess").exits(0).out.contains("owner"));
    tool.run("members list group:nowhere").exits(3);

    let stranger = Tool::<F>::stranger();
    let before = tool.records().await;
    tool.run(&format!("members add group:chess {stranger}")).exits(0);
    assert_eq!(tool.standing("group:chess", stranger).await, Some((State::Active, role("member"))));
    tool.run(&format!("members add group:chess {stranger}")).exits(3);
    tool.run(&format!("members add group:chess {stranger} --role admin --until 2999-01-01T00:00:00Z")).exits(0);
    tool.run_with(&["members", "ban", "group:chess", stranger, "--because", "Moved every clock"]).exits(0);
    assert_eq!(tool.standing("group:chess", stranger).await, Some((State::Banned, role("admin"))));
    assert_eq!(tool.records().await - before, 3, "a record for each change, none where nothing changed");
    let actions = tool
        .fixture
        .texts("SELECT DISTINCT action FROM audit_record WHERE actor_kind = 'system' ORDER BY action")
        .await;
    assert_eq!(actions, ["bits.groups.v1.MembershipService/AddMember", "bits.groups.v1.MembershipService/BanMember"]);

    for (nothing, code) in [
        ("members add group:chess nobody-at-all", 3),
        ("members add group:nowhere amara-okafor", 3),
        ("members add group:chess amara-okafor --role king", 1),
        ("members add chess amara-okafor", 2),
        ("members add group:chess amara-okafor --until tomorrow", 2),
        ("members promote group:chess amara-okafor", 2),
        ("members", 2),
    ] {
        let answer = tool.run(nothing).exits(code);
        assert!(!answer.err.is_empty(), "{nothing}");
    }
    let owner = listed.iter().find(|member| member["role"] == "owner").unwrap()["person"].as_str().unwrap();
    let refused = tool.run(&format!("members ban group:chess {owner}")).exits(1);
    assert!(refused.err.contains("owner"), "{}", refused.err);
    assert_eq!(tool.records().await - before, 3);
}

async fn members_are_imported_and_bad_lines_are_named<F: Fixture>() {
    let tool = Tool::<F>::demo().await;
    let stranger = Tool::<F>::stranger();
    let before = tool.records().await;
    let bad = "scope,person,role,state,until\n\
        group:chess,amara-okafor,member,active,\n\
        group:chess,nobody-at-all,,,\n\
        group:nowhere,amara-okafor,,,\n\
        chess,amara-okafor,,,\n\
        group:rowing,amara-okafor,king,,\n\
        group:rowing,amara-okafor,,asleep,\n\
        group:rowing,amara-okafor,,,tomorrow\n\
        group:chess,amara-okafor,admin,,\n\
        group:chess\n";
    let refused = tool.run(&format!("members import {}", tool.file("bad.csv", bad))).exits(1);
    for line in 3..=10 {
        assert!(refused.err.contains(&format!("\n  line {line}: ")), "line {line}: {}", refused.err);
    }
    assert!(!refused.err.contains("line 2:"), "{}", refused.err);
    assert_eq!(tool.standing("group:chess", stranger).await, None);
    for (name, content, problem) in [
        ("columns.csv", "scope,person,shoe\ngroup:chess,amara-okafor,43\n", "shoe"),
        ("headings.csv", "group:chess,amara-okafor\n", "scope"),
        ("empty.csv", "", "scope"),
    ] {
        let refused = tool.run(&format!("members import {}", tool.file(name, content))).exits(1);
        assert!(refused.err.contains(problem), "{}", refused.err);
    }
    tool.run("members import /nowhere/members.csv").exits(1);
    assert_eq!(tool.records().await, before);

    let good = "\u{feff}person,scope,role,state,until\r\n\
        amara-okafor,group:chess,,,2999-01-01T00:00:00Z\r\n\
        \"amara-okafor\",group:rowing,admin,active,\r\n\
        amara-okafor,group:hiking,,banned,\r\n\
        amara-okafor,platform:campus,staff,,\r\n";
    let file = tool.file("good.csv", good);
    let imported = tool.run(&format!("members import {file} --json")).exits(0).json();
    assert_eq!(imported[0]["created"], 3);
    assert_eq!(tool.standing("group:rowing", stranger).await, Some((State::Active, role("admin"))));
    assert_eq!(tool.standing("group:hiking", stranger).await, Some((State::Banned, role("member"))));
    assert_eq!(tool.records().await - before, 1);
    let again = tool.run(&format!("members import {file} --json")).exits(3).json();
    assert_eq!((&again[0]["created"], &again[0]["unchanged"]), (&Value::from(0), &Value::from(4)));
    assert_eq!(tool.records().await - before, 1);
}

async fn the_audit_log_is_verified_and_exported<F: Fixture>() {
    let tool = Tool::<F>::demo().await;
    let records = usize::try_from(tool.fixture.count("SELECT count(*) FROM audit_record").await).unwrap();
    let report = tool.run("audit verify --json").exits(0).json();
    assert_eq!((&report[0]["is_tampered"], &report[0]["leaves"]), (&Value::from(false), &Value::from(0)));
    assert!(tool.run("audit verify").exits(0).out.starts_with("unanchored"));
    tool.run("audit verify --checkpoint /nowhere").exits(2);

    assert_eq!(tool.run("audit export").exits(0).json().len(), records);
    assert_eq!(tool.run("audit export --limit 7 --format cloud-events").exits(0).json()[0]["source"], "/campus");
    assert_eq!(tool.run("audit export --limit 7 --format csv").exits(0).out.lines().count(), 8);
    let file = tool.directory.path().join("audit.ndjson");
    let told = tool.run(&format!("audit export --json --output {}", file.display())).exits(0).json();
    assert_eq!(told[0]["records"], records);
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), records);
    tool.run("audit export --output /nowhere/audit.ndjson").exits(1);
    tool.run("audit export --format pdf").exits(2);
}

async fn the_search_index_is_measured_compacted_and_analyzed_anew<F: Fixture>() {
    let tool = Tool::<F>::demo().await;
    let stats = |tool: &Tool<F>| tool.run("search stats --json").exits(0).json().remove(0);
    let before = stats(&tool);
    assert_eq!(before["documents"], tool.fixture.count("SELECT count(*) FROM search_document").await);
    assert!(before["changes"].as_u64().unwrap() > 0);
    let compacted = tool.run("search compact --json").exits(0).json();
    assert_eq!((&compacted[0]["changes"], &compacted[0]["is_complete"]), (&before["changes"], &Value::from(true)));
    let after = stats(&tool);
    assert_eq!((&after["changes"], &after["documents"]), (&Value::from(0), &before["documents"]));
    let reindexed = tool.run("search reindex --json").exits(0).json();
    assert_eq!((&reindexed[0]["documents"], &reindexed[0]["is_complete"]), (&Value::from(0), &Value::from(true)));
    assert!(tool.run("search stats").exits(0).out.contains("documents"));
    assert!(tool.found("endgame", "group:chess").await > 0);
    tool.run("search compact --within never").exits(2);
}

async fn candidates_are_made<F: Fixture>() {
    let tool = Tool::<F>::demo().await;
    let done = tool.run("recommender run --json").exits(0).json();
    assert_eq!(done[0]["is_complete"], true);
    assert!(done[0]["people"].as_u64().unwrap() > 0, "{done:?}");
    tool.run("recommender").exits(2);
}

async fn jobs_are_listed_and_run<F: Fixture>() {
    let tool = Tool::<F>::demo().await;
    let waiting = tool.run("jobs list --json --limit 1000").exits(0).json();
    assert_eq!(waiting.iter().filter(|job| job["kind"] == "groups.notify").count(), 24);
    assert_eq!(tool.run("--json jobs list --limit 3").exits(0).json().len(), 3);
    tool.run("jobs run --queue=notifications --drain --json").exits(0).json();
    assert!(tool.fixture.count("SELECT count(*) FROM campus_notification").await > 0);
    tool.run("jobs inspect 999999999").exits(3);
    tool.run("jobs dance").exits(2);
}

const PAPERS: &str = r#"
{"id": "q/1", "title": "Quasars and\n their hosts", "body": "Bright.", "categories": ["astro.GA", "x"], "created": "1994-11-22"}
{"id": "q/2", "title": "A quasar again", "body": "Still bright.", "categories": ["astro.GA"], "created": "1995-01-02"}
{"id": "q/3", "title": "Quasar cookery", "categories": ["../the kitchen"]}
{"id": "q/4", "title": "An unfiled quasar", "body": "For everybody."}
{"id": "q/5", "title": "A quasar of the chess club", "body": "e4", "categories": ["chess"], "created": "2001-02-03T04:05:06Z"}
"#;

async fn lines_with_categories_become_posts<F: Fixture>() {
    let tool = Tool::<F>::demo().await;
    let posts = "SELECT id || ' ' || group_id || ' ' || author_id || ' ' || title || ' ' || created_at
                 FROM campus_post WHERE author_id = 'importer' ORDER BY id";
    let file = tool.file("papers.jsonl", PAPERS);
    let done = tool.run(&format!("import --surface feed --json {file}")).exits(0).json().remove(0);
    assert_eq!(
        (&done["posts"], &done["changed"], &done["groups"], &done["documents"]),
        (&Value::from(4), &Value::from(4), &Value::from(2), &Value::from(1))
    );
    let imported = tool.fixture.texts(posts).await;
    assert!(imported[0].contains(" astro.GA importer Quasars and their hosts 785462400000000"), "{imported:?}");
    let owner = tool.run("members list group:astro.GA --json").exits(0).json();
    assert_eq!((&owner[0]["person"], &owner[0]["role"]), (&Value::from("importer"), &Value::from("owner")));
    // Found by the members of the group, and what has no group by everybody.
    assert_eq!(tool.found("quasar", "group:astro.GA").await, 2);
    assert_eq!(tool.found("quasar", "group:chess").await, 1);
    assert_eq!(tool.found("unfiled", "campus:everyone").await, 1);
    assert_eq!(tool.found("cookery", "campus:everyone").await, 0);
    assert_eq!(
        tool.fixture.count("SELECT count(*) FROM jobs_queue_job WHERE kind = 'groups.notify'").await,
        24,
        "nobody is told of them"
    );

    // Importing again changes nothing; a line that changed changes its post.
    let records = tool.records().await;
    let only_posts: String = PAPERS.split_inclusive('\n').filter(|line| line.contains("categories")).collect();
    let again = tool.file("again.jsonl", &only_posts);
    let done = tool.run(&format!("import --surface feed --json {again}")).exits(0).json().remove(0);
    assert_eq!(
        (&done["posts"], &done["changed"], &done["groups"]),
        (&Value::from(4), &Value::from(0), &Value::from(0))
    );
    assert_eq!((tool.fixture.texts(posts).await, tool.records().await), (imported.clone(), records));
    let changed = tool.file("changed.jsonl", only_posts.replace("A quasar again", "A pulsar after all"));
    let done = tool.run(&format!("import --surface feed --json {changed}")).exits(0).json().remove(0);
    assert_eq!((&done["changed"], tool.records().await), (&Value::from(1), records + 1));
    assert_eq!((tool.found("pulsar", "group:astro.GA").await, tool.found("quasar", "group:astro.GA").await), (1, 1));

    // Elsewhere they are documents, unless somebody asks for posts.
    let done = tool.run(&format!("import --surface events --json --limit 2 {file}")).exits(0).json().remove(0);
    assert_eq!((&done["documents"], &done["posts"]), (&Value::from(2), &Value::Null));
    for (content, line) in [
        (r#"{"id": "a", "categories": "chess"}"#, "line 1 "),
        (r#"{"id": "a", "categories": ["chess"], "created": "long ago"}"#, "line 1 "),
        ("{\"id\": \"a\", \"categories\": [\"chess\"]}\nnonsense\n", "line 2 "),
    ] {
        let refused = tool.run(&format!("import --surface feed {}", tool.file("bad.jsonl", content))).exits(1);
        assert!(refused.err.contains(line), "{}", refused.err);
    }
    tool.run("import --surface feed /nowhere/papers.jsonl").exits(1);
    tool.run(&format!("import --surface feed {}", tool.file("none.jsonl", ""))).exits(3);
}

#[test]
fn a_slip_of_the_pen_makes_no_database() {
    let directory = TempDir::new().unwrap();
    let run = |database: &str, arguments: &str| -> Answer {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adminctl"));
        command
            .current_dir(&directory)
            .args(["--database", database])
            .args(arguments.split(' '))
            .output()
            .unwrap()
            .into()
    };
    let refused = run("sqlite:campsu.sqlite", "search stats").exits(1);
    assert!(refused.err.contains("there is no sqlite:campsu.sqlite"), "{}", refused.err);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    run("mysql://host/campus", "search stats").exits(2);
    let help = run("sqlite:x", "--help").exits(0);
    assert!(help.out.contains("Exit codes: 0 done"), "{}", help.out);
}

/// The paths of a fresh database of its own.
fn fresh(directory: &Path) -> PathBuf {
    directory.join("fresh.sqlite")
}

#[test]
fn migrate_makes_the_schema_and_the_demo_that_was_asked_for() {
    let directory = TempDir::new().unwrap();
    let url = format!("sqlite:{}", fresh(directory.path()).display());
    let campus = |arguments: &[&str]| -> Answer {
        Command::new(env!("CARGO_BIN_EXE_campus")).args(arguments).output().unwrap().into()
    };
    let done = campus(&["migrate", "--database", &url]).exits(0);
    assert!(done.out.contains("up to date"), "{}", done.out);
    let documents = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adminctl"));
        let answer: Answer = command.args(["--database", &url, "--json", "search", "stats"]).output().unwrap().into();
        answer.exits(0).json()[0]["documents"].as_u64().unwrap()
    };
    assert_eq!(documents(), 0);
    campus(&["migrate", "--database", &url, "--demo", "small"]).exits(0);
    let plan = Plan::of(Size::Small).unwrap();
    let small = documents();
    assert_eq!(small, plan.people + plan.documents());
    campus(&["migrate", "--database", &url, "--demo", "small"]).exits(0);
    campus(&["migrate", "--database", &url, "--demo", "ga"]).exits(0);
    assert_eq!(documents(), small, "what is there is left alone");
    campus(&["migrate", "--database", &url, "--demo", "huge"]).exits(2);
    let refused = campus(&["serve", "--database", &url, "--listen", "0.0.0.0:0"]).exits(1);
    assert!(refused.err.contains("nobody could sign in"), "{}", refused.err);
}

macro_rules! on_both {
    ($($test:ident),+) => {
        mod on_sqlite {
            use super::*;
            $( #[tokio::test] async fn $test() { super::$test::<OnSqlite>().await } )+
        }
        mod on_postgres {
            use super::*;
            $( #[tokio::test] async fn $test() { super::$test::<OnPostgres>().await } )+
        }
    };
}

on_both! {
    members_are_listed_added_and_banned,
    members_are_imported_and_bad_lines_are_named,
    the_audit_log_is_verified_and_exported,
    the_search_index_is_measured_compacted_and_analyzed_anew,
    jobs_are_listed_and_run,
    candidates_are_made,
    lines_with_categories_become_posts
}
