//! `adminctl jobs run` beside a running server: two processes, one database, every job once.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use campus::caller::Caller;
use campus::marketplace::expiry::ExpireDeals;
use campus::mentorship::matching;
use serde_json::Value;
use stoa_membership::UserId;
use tokio::time::timeout;

use crate::fixture::{Fixture, OnPostgres, OnSqlite};
use crate::{marketplace, mentorship};

/// The server as a process; ends with this value.
struct Server(Child);

impl Server {
    fn start(database: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_campus"));
        command.args(["--database", database, "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(said.any(|line| line.contains("http://")), "it serves");
        Self(process)
    }

    fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already, or gone now.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs `adminctl`, and returns what it printed.
fn adminctl(database: &str, arguments: &str) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adminctl"));
    let done = command.args(["--database", database, "--json"]).args(arguments.split(' ')).output().unwrap();
    assert!(done.status.success(), "{arguments}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Looks until there are so many; whatever the processes do at their own pace.
async fn until<F: Fixture>(fixture: &F, statement: &'static str, expected: i64) {
    let coming = async {
        while fixture.count(statement).await != expected {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_mins(1), coming).await.unwrap_or_else(|_| panic!("{expected} never come: {statement}"));
}

/// Keeps the queue from the server until its jobs are there; then `adminctl` drains it, and both have what they get.
async fn drained<F: Fixture>(fixture: &F, queue: &str, enqueue: impl Future<Output = ()>) -> u64 {
    let mut server = Server::start(fixture.url());
    adminctl(fixture.url(), &format!("jobs pause {queue}"));
    enqueue.await;
    adminctl(fixture.url(), &format!("jobs resume {queue}"));
    let tally = adminctl(fixture.url(), &format!("jobs run --queue={queue} --drain")).remove(0);
    assert_eq!((&tally["failed"], &tally["dead"]), (&Value::from(0), &Value::from(0)), "{tally}");
    assert!(server.is_running());
    // What the server has begun it ends.
    until(
        fixture,
        "SELECT count(*) FROM jobs_queue_job WHERE queue IN ('mentorship_matching', 'marketplace_deal_expiry')",
        0,
    )
    .await;
    tally["succeeded"].as_u64().unwrap()
}

async fn adminctl_matches_mentees_beside_the_server<F: Fixture>() {
    let (fixture, app, staff, programme) = mentorship::programme::<F>("campus:everyone").await;
    mentorship::fill(&fixture, &app, &programme, 150, 300).await;
    let staff = Caller::new(UserId::new(staff).unwrap());
    let ran = drained(&fixture, matching::QUEUE, async {
        assert_eq!(matching::start(&app, &staff, &programme).await.unwrap().mentees, 300);
    })
    .await;
    // A job for each mentee, and the one that assigns them.
    let jobs = fixture.count("SELECT count(*) FROM jobs_queue_history WHERE queue = 'mentorship_matching'").await;
    assert_eq!(jobs, 301);
    // The server may have been quicker.
    assert!(ran <= 301, "{ran}");
    until(&fixture, "SELECT count(*) FROM campus_mentorship_run WHERE state = 'running'", 0).await;
    assert_eq!(fixture.count("SELECT matched FROM campus_mentorship_run").await, 300);
    assert_eq!(fixture.count("SELECT count(*) FROM campus_mentorship_match").await, 300);
    assert_eq!(fixture.count(mentorship::WRONG).await, 0);
    let proposed = "SELECT count(*) FROM audit_record WHERE action = 'bits.mentorship.v1.MatchService/Propose'";
    assert_eq!(fixture.count(proposed).await, 300, "one record for each");
}

async fn adminctl_lets_deals_expire_beside_the_server<F: Fixture>() {
    let (fixture, app, ..) = marketplace::partner::<F>().await;
    marketplace::overdue(
        &fixture,
        &app,
        r"
        INSERT INTO campus_deal
            (id, partner_id, title, body, audience, state, starts_at, ends_at, redemption_limit, redeemed, created_at)
        WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 1500)
        SELECT 'deal-' || n, partner.id, 'An offer', '', 'campus:everyone', 'draft', 1, 2 + n, 5, 0, 1
        FROM number, campus_partner AS partner
        ",
        1500,
    )
    .await;
    let ran = drained(&fixture, "marketplace_deal_expiry", async {
        // Only now, so that the server's clock finds nothing to do before the queue is paused.
        fixture.execute("UPDATE campus_deal SET state = 'published'").await;
        let mut tx = app.begin().await.unwrap();
        for _ in 0..20 {
            app.jobs.enqueue(&mut tx, &ExpireDeals {}).await.unwrap();
        }
        app.commit(tx).await.unwrap();
    })
    .await;
    // The server may have been quicker, and may add one by its clock.
    assert!(ran <= 21, "{ran}");
    assert_eq!(fixture.count("SELECT count(*) FROM campus_deal WHERE state = 'expired'").await, 1500);
    assert_eq!(fixture.count(marketplace::EXPIRED).await, 1500, "one record for each");
    assert_eq!((fixture.count(marketplace::DOCUMENTS).await, fixture.count(marketplace::LISTINGS).await), (0, 0));

    // The server is gone by now: what comes is left to `adminctl`.
    fixture.execute("UPDATE campus_deal SET state = 'published'").await;
    let mut tx = app.begin().await.unwrap();
    app.jobs.enqueue(&mut tx, &ExpireDeals {}).await.unwrap();
    app.commit(tx).await.unwrap();
    let tally = adminctl(fixture.url(), "jobs run --queue=marketplace_deal_expiry --drain").remove(0);
    // One more if the server's clock struck before it went.
    assert!(tally["succeeded"].as_u64().is_some_and(|ran| (1..=2).contains(&ran)), "{tally}");
    assert_eq!(fixture.count("SELECT count(*) FROM campus_deal WHERE state = 'expired'").await, 1500);
}

macro_rules! on_both {
    ($($test:ident),+) => {
        mod on_sqlite {
            use super::*;
            $( #[tokio::test(flavor = "multi_thread")] async fn $test() { super::$test::<OnSqlite>().await } )+
        }
        mod on_postgres {
            use super::*;
            $( #[tokio::test(flavor = "multi_thread")] async fn $test() { super::$test::<OnPostgres>().await } )+
        }
    };
}

on_both! {
    adminctl_matches_mentees_beside_the_server,
    adminctl_lets_deals_expire_beside_the_server
}
