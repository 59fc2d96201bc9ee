//! The server dies in the middle of a fan-out, and is started again: everybody is told, and nobody is forgotten.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use campus::groups::posts::{self, Draft};
use sqlx::{Connection as _, PgConnection};
use stoa_membership::{By, Grant, Import, ImportRow, Role, UserId};

use crate::atomicity::until;
use crate::fixture::{Fixture, OnPostgres, OnSqlite, a_member};

/// So many are told of one post: several transactions of the job.
const CROWD: usize = 2_000;

/// How many were told of the post.
const TOLD: &str = r"
    SELECT count(*)
    FROM campus_notification
    WHERE post_id = (SELECT id FROM campus_post WHERE title = 'A narwhal in the fountain')
";

/// How many should have been told and were not.
const FORGOTTEN: &str = r"
    SELECT count(*)
    FROM memberships_membership AS member
    JOIN campus_post AS post ON post.title = 'A narwhal in the fountain'
    WHERE member.scope_type = 'group' AND member.scope_id = 'chess' AND member.state = 'active'
        AND member.user_id <> post.author_id
        AND NOT EXISTS (
            SELECT 1 FROM campus_notification AS told WHERE told.post_id = post.id AND told.person_id = member.user_id
        )
";

/// The server as its users start it; it dies as `kill -9` has it when this is dropped.
struct Server(Child);

impl Server {
    /// Starts it, and waits until it serves.
    fn start(url: &str) -> Self {
        let mut server = Command::new(env!("CARGO_BIN_EXE_campus"))
            .args(["serve", "--database", url, "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("Campus is at "), "{line}");
        Self(server)
    }

    fn kill(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A large chess club with a post that nobody has been told of yet.
async fn a_post_for_many<F: Fixture>() -> F {
    let (fixture, app) = F::demo().await;
    let (chess, author) = a_member(&app).await;
    let grant = Grant::new(Role::new("member").unwrap());
    let crowd = (0..CROWD).map(|number| {
        ImportRow::active(UserId::new(format!("crowd-{number:04}")).unwrap(), chess.clone(), grant.clone())
    });
    let mut tx = app.begin().await.unwrap();
    app.membership.import(&mut tx, &Import::new(crowd).unwrap(), &By::user(&author)).await.unwrap();
    app.commit(tx).await.unwrap();
    let draft = Draft::new("A narwhal in the fountain", "It seemed content.").unwrap();
    posts::create(&app, &(&author).into(), &chess, draft).await.unwrap();
    fixture
}

/// Starts the server again, and sees that all are told once.
async fn all_are_told<F: Fixture>(fixture: F) {
    let told = fixture.count(TOLD).await;
    assert!((1..i64::try_from(CROWD).unwrap()).contains(&told), "it died in the middle: {told}");
    // What the job's lease waits for is time, of which tests have none.
    fixture
        .execute(if F::CONCURRENT_WRITERS {
            "UPDATE jobs_queue_worker SET lease_until = statement_timestamp() - INTERVAL '1 second'"
        } else {
            "UPDATE jobs_queue_worker SET lease_until = 0"
        })
        .await;
    let server = Server::start(fixture.url());
    until(async || fixture.count(FORGOTTEN).await == 0).await;
    until(async || fixture.count("SELECT count(*) FROM jobs_queue_job WHERE kind = 'groups.notify'").await == 0).await;
    server.kill();
    let expected = "
        SELECT count(*) - 1
        FROM memberships_membership
        WHERE scope_type = 'group' AND scope_id = 'chess' AND state = 'active'
    ";
    assert_eq!(fixture.count(TOLD).await, fixture.count(expected).await, "each of them once");
}

/// On SQLite a trigger never comes to an end, in the middle of the second transaction of the job.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_a_fan_out_goes_on_where_the_server_died() {
    let fixture = a_post_for_many::<OnSqlite>().await;
    fixture
        .execute(
            r"
            CREATE VIEW forever AS
            WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT 1 FROM number)
            SELECT n FROM number;
            CREATE TRIGGER death AFTER INSERT ON campus_notification
            WHEN new.post_id = (SELECT id FROM campus_post WHERE title = 'A narwhal in the fountain')
                AND (SELECT count(*) FROM campus_notification WHERE post_id = new.post_id) > 700
            BEGIN SELECT count(*) FROM forever; END
            ",
        )
        .await;
    let server = Server::start(fixture.url());
    until(async || fixture.count(TOLD).await > 0).await;
    server.kill();
    fixture.execute("DROP TRIGGER death; DROP VIEW forever").await;
    all_are_told(fixture).await;
}

/// On PostgreSQL a trigger waits for a lock that this test holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_a_fan_out_goes_on_where_the_server_died() {
    let fixture = a_post_for_many::<OnPostgres>().await;
    fixture
        .execute(
            r"
            CREATE FUNCTION death() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF new.post_id = (SELECT id FROM campus_post WHERE title = 'A narwhal in the fountain')
                    AND (SELECT count(*) FROM campus_notification WHERE post_id = new.post_id) > 700
                THEN
                    PERFORM pg_advisory_xact_lock(4711);
                END IF;
                RETURN NEW;
            END $$;
            CREATE TRIGGER death AFTER INSERT ON campus_notification FOR EACH ROW EXECUTE FUNCTION death()
            ",
        )
        .await;
    let mut holder = PgConnection::connect(fixture.url()).await.unwrap();
    sqlx::query("SELECT pg_advisory_lock(4711)").execute(&mut holder).await.unwrap();
    let server = Server::start(fixture.url());
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    until(async || fixture.count(waiting).await == 1).await;
    server.kill();
    drop(holder);
    // Waits until the dead server's transaction is rolled back.
    fixture.execute("DROP TRIGGER death ON campus_notification").await;
    all_are_told(fixture).await;
}
