//! *Create a group post* is five steps and one commit: fail any step, or kill the process between any two, and nothing is left.

use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::Duration;

use crate::fixture::{Fixture, OnPostgres, OnSqlite, STEPS, a_member};
use campus::app::App;
use campus::backend::{Backend, Postgres, Sqlite};
use campus::error::Error;
use campus::groups::posts::{self, Draft};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Connection as _, PgConnection};
use stoa_capabilities::scoped;
use stoa_membership::{Scope, UserId};
use stoa_search::{Audience, Query};

const WORD: &str = "quetzalcoatlus";

fn draft() -> Draft {
    Draft::new(&format!("A {WORD} over the quad"), "It circled twice and left.").unwrap()
}

/// How many documents everybody together could find by the new post's word.
async fn found<F: Fixture>(app: &App<F::Backend>) -> u64 {
    found_in(app, &mut app.read().await.unwrap()).await
}

async fn found_in<B: Backend>(app: &App<B>, conn: &mut B::Connection) -> u64 {
    app.search.search(conn, &Query::text(WORD), &Audience::everything()).await.unwrap().total
}

async fn a_failing_step_leaves_nothing<F: Fixture>(step: usize) {
    let (fixture, app) = F::demo().await;
    let (chess, author) = a_member(&app).await;
    let before = fixture.counts().await;
    fixture.break_step(step).await;
    let refused = posts::create(&app, &(&author).into(), &chess, draft()).await;
    assert!(matches!(refused, Err(Error::Internal(_))), "{refused:?}");
    assert_eq!(fixture.counts().await, before, "step {}", STEPS[step]);
    assert_eq!(found::<F>(&app).await, 0);
}

async fn a_failing_check_leaves_nothing<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let (chess, author) = a_member(&app).await;
    let before = fixture.counts().await;
    fixture.execute("ALTER TABLE memberships_membership RENAME TO memberships_gone").await;
    assert!(matches!(posts::create(&app, &(&author).into(), &chess, draft()).await, Err(Error::Internal(_))));
    fixture.execute("ALTER TABLE memberships_gone RENAME TO memberships_membership").await;
    assert_eq!(fixture.counts().await, before);

    let stranger = UserId::new("nobody").unwrap();
    assert!(matches!(posts::create(&app, &(&stranger).into(), &chess, draft()).await, Err(Error::NotFound)));
    let nowhere = Scope::group("nowhere").unwrap();
    assert!(matches!(posts::create(&app, &(&author).into(), &nowhere, draft()).await, Err(Error::NotFound)));
    assert_eq!(fixture.counts().await, before);
}

async fn a_post_is_found_when_and_only_when_it_is_committed<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let (chess, author) = a_member(&app).await;
    let before = fixture.counts().await;
    // A reader that began before the commit goes on in its own moment.
    let mut earlier = app.read().await.unwrap();
    assert_eq!(found_in(&app, &mut earlier).await, 0);
    {
        scoped!(tx = app.begin().await.unwrap());
        posts::publish(&app, &mut tx, &(&author).into(), &chess, draft()).await.unwrap();
        assert_eq!(found_in(&app, &mut tx).await, 1, "the transaction itself, which is rolled back now");
    }
    assert_eq!(found::<F>(&app).await, 0, "after the rollback");

    scoped!(tx = app.begin().await.unwrap());
    let post = posts::publish(&app, &mut tx, &(&author).into(), &chess, draft()).await.unwrap();
    assert_eq!(found_in(&app, &mut tx).await, 1, "the transaction itself, before the commit");
    assert_eq!(found::<F>(&app).await, 0, "all rows are written, none is committed");
    assert_eq!(fixture.counts().await, before);
    app.commit(tx.into_inner()).await.unwrap();
    assert_eq!(found::<F>(&app).await, 1, "the first query after the commit, on another connection");
    assert_eq!(found_in(&app, &mut earlier).await, 0);
    assert_eq!(fixture.counts().await, before.map(|count| count + 1), "a row of each: {}", post.id);
}

macro_rules! on_both {
    ($($name:ident => $test:ident($($argument:expr)?);)*) => {
        mod on_sqlite {
            use super::*;
            $( #[tokio::test] async fn $name() { $test::<OnSqlite>($($argument)?).await } )*
        }
        mod on_postgres {
            use super::*;
            $( #[tokio::test] async fn $name() { $test::<OnPostgres>($($argument)?).await } )*
        }
    };
}

on_both! {
    a_failing_check => a_failing_check_leaves_nothing();
    a_failing_row => a_failing_step_leaves_nothing(0);
    a_failing_document => a_failing_step_leaves_nothing(1);
    a_failing_record => a_failing_step_leaves_nothing(2);
    a_failing_job => a_failing_step_leaves_nothing(3);
    a_post_is_found_at_commit => a_post_is_found_when_and_only_when_it_is_committed();
}

/// Where the process dies: after the check and before the row, then after each row that is written.
const DEATHS: [&str; 5] =
    ["before campus_post", "after campus_post", "after search_document", "after audit_record", "after jobs_queue_job"];

const DATABASE: &str = "CAMPUS_CHILD_DATABASE";
const DEATH: &str = "CAMPUS_CHILD_DEATH";

/// This test binary again, as a process of its own that creates one post in the named database.
fn child(url: &str, death: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "atomicity::a_process_creates_a_post", "--nocapture"])
        .env(DATABASE, url)
        .env(DEATH, death)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What the process does; run by itself it does the same in a database of its own, and lives.
#[tokio::test]
async fn a_process_creates_a_post() {
    let own;
    let url = if let Ok(url) = std::env::var(DATABASE) {
        url
    } else {
        own = OnSqlite::demo().await.0;
        own.url().to_owned()
    };
    if let Some(path) = url.strip_prefix("sqlite:") {
        let options = SqliteConnectOptions::from_str(path).unwrap();
        let death = std::env::var(DEATH).unwrap_or_default();
        let pool = SqlitePoolOptions::new().max_connections(1).after_connect(move |connection, _| {
            let death = death.clone();
            Box::pin(async move { die_by_trigger(connection, &death).await })
        });
        create(App::open(Sqlite::new(pool.connect_with(options).await.unwrap())).await.unwrap()).await;
    } else {
        create(App::open(Postgres::open(&url).await.unwrap()).await.unwrap()).await;
    }
}

async fn create<B: Backend>(app: App<B>) {
    let (chess, author) = a_member(&app).await;
    posts::create(&app, &(&author).into(), &chess, draft()).await.unwrap();
}

/// A temporary trigger writes a mark, and the mark ends the process as `kill -9` does, in the middle of its transaction.
async fn die_by_trigger(connection: &mut sqlx::SqliteConnection, death: &str) -> sqlx::Result<()> {
    let trigger = match death {
        "before campus_post" => {
            "CREATE TEMP TRIGGER death BEFORE INSERT ON main.campus_post BEGIN INSERT INTO mark VALUES (1); END"
        }
        "after campus_post" => {
            "CREATE TEMP TRIGGER death AFTER INSERT ON main.campus_post BEGIN INSERT INTO mark VALUES (1); END"
        }
        "after search_document" => {
            "CREATE TEMP TRIGGER death AFTER INSERT ON main.search_document BEGIN INSERT INTO mark VALUES (1); END"
        }
        "after audit_record" => {
            "CREATE TEMP TRIGGER death AFTER INSERT ON main.audit_record BEGIN INSERT INTO mark VALUES (1); END"
        }
        "after jobs_queue_job" => {
            "CREATE TEMP TRIGGER death AFTER INSERT ON main.jobs_queue_job BEGIN INSERT INTO mark VALUES (1); END"
        }
        _ => return Ok(()),
    };
    sqlx::raw_sql("CREATE TEMP TABLE mark (it INTEGER)").execute(&mut *connection).await?;
    sqlx::raw_sql(trigger).execute(&mut *connection).await?;
    connection.lock_handle().await?.set_update_hook(|update| {
        if update.table == "mark" {
            let pid = std::process::id().to_string();
            Command::new("kill").args(["-9", &pid]).status().unwrap();
            unreachable!("killed");
        }
    });
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_a_process_killed_between_two_steps_leaves_nothing() {
    let (fixture, app) = OnSqlite::demo().await;
    let before = fixture.counts().await;
    for death in DEATHS {
        let status = child(fixture.url(), death).wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{death}: {status}");
        assert_eq!(fixture.counts().await, before, "{death}");
        assert_eq!(found::<OnSqlite>(&app).await, 0, "{death}");
    }
    assert!(child(fixture.url(), "never").wait().unwrap().success());
    assert_eq!(fixture.counts().await, before.map(|count| count + 1));
}

/// On PostgreSQL a trigger waits for a lock that this test holds, and the process is killed while it waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_a_process_killed_between_two_steps_leaves_nothing() {
    let (fixture, app) = OnPostgres::demo().await;
    let before = fixture.counts().await;
    fixture
        .execute(
            r"
            CREATE FUNCTION death() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NEW; END $$
            ",
        )
        .await;
    for death in DEATHS {
        fixture
            .execute(match death {
                "before campus_post" => {
                    "CREATE TRIGGER death BEFORE INSERT ON campus_post FOR EACH ROW EXECUTE FUNCTION death()"
                }
                "after campus_post" => {
                    "CREATE TRIGGER death AFTER INSERT ON campus_post FOR EACH ROW EXECUTE FUNCTION death()"
                }
                "after search_document" => {
                    "CREATE TRIGGER death AFTER INSERT ON search_document FOR EACH ROW EXECUTE FUNCTION death()"
                }
                "after audit_record" => {
                    "CREATE TRIGGER death AFTER INSERT ON audit_record FOR EACH ROW EXECUTE FUNCTION death()"
                }
                _ => "CREATE TRIGGER death AFTER INSERT ON jobs_queue_job FOR EACH ROW EXECUTE FUNCTION death()",
            })
            .await;
        let mut holder = PgConnection::connect(fixture.url()).await.unwrap();
        sqlx::query("SELECT pg_advisory_lock(4711)").execute(&mut holder).await.unwrap();
        let mut child = child(fixture.url(), death);
        let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        until(async || fixture.count(waiting).await == 1).await;
        child.kill().unwrap();
        child.wait().unwrap();
        drop(holder);
        // The server notices that nobody is there when it answers.
        until(async || fixture.count("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND state <> 'idle' AND pid <> pg_backend_pid()").await == 0).await;
        assert_eq!(fixture.counts().await, before, "{death}");
        assert_eq!(found::<OnPostgres>(&app).await, 0, "{death}");
        fixture
            .execute(
                r"
                DROP TRIGGER IF EXISTS death ON campus_post;
                DROP TRIGGER IF EXISTS death ON search_document;
                DROP TRIGGER IF EXISTS death ON audit_record;
                DROP TRIGGER IF EXISTS death ON jobs_queue_job;
                ",
            )
            .await;
    }
    assert!(child(fixture.url(), "never").wait().unwrap().success());
    assert_eq!(fixture.counts().await, before.map(|count| count + 1));
}

/// Waits, for at most a minute, until something holds.
pub(crate) async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), waiting).await.expect("it never came to be");
}
