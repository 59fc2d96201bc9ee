//! Behind a pooler that lends server connections for one transaction each: PgBouncer with `pool_mode = transaction`.
//!
//! The tests that start it run with `STOA_TEST_FULL=1`, and need the program `pgbouncer`.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use stoa_jobs_runner::postgres::{MIGRATOR, Pooled};
use stoa_jobs_runner::{
    Backoff, Context, Failure, Handler, Job, Jobs, Limit, LimitKey, Postgres, Queue, Runner, Source, Tally,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Fails at first.
#[derive(Serialize, Deserialize)]
struct Stubborn;

impl Job for Stubborn {
    const KIND: &'static str = "stubborn";
}

impl Handler<Arc<AtomicU32>> for Stubborn {
    async fn run(self, cx: &Context<Arc<AtomicU32>>) -> Result<(), Failure> {
        if cx.attempt() == 1 {
            return Err(Failure::retry("not yet"));
        }
        cx.state().fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// Two runners drain what was enqueued; every connection has seen statements of many others by then.
async fn two_runners_drain<P: Source<Connection = PgConnection>>(source: P, count: u32) {
    let (jobs, ran) = (Jobs::new(Postgres), Arc::new(AtomicU32::new(0)));
    for _ in 0..count {
        let mut tx = source.begin().await.unwrap();
        jobs.enqueue(&mut tx, &Stubborn).await.unwrap();
        source.commit(tx).await.unwrap();
    }
    jobs.notify(&source);
    let drain = || {
        let runner = Runner::new(jobs.clone(), source.clone(), ran.clone()).queue("default", 4).handle::<Stubborn>();
        async move { runner.backoff(Backoff::none()).drain().await.unwrap() }
    };
    let (mut one, other): (Tally, Tally) = tokio::join!(drain(), drain());
    one += other;
    assert_eq!((one.succeeded, one.failed, one.fenced), (u64::from(count), u64::from(count), 0), "{one:?}");
    assert_eq!(ran.load(Ordering::SeqCst), count);
}

/// Without a pooler the server itself says what a session has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_in_a_session() {
    let database = testkit::postgres(&[&MIGRATOR]).await;
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy(database.url()).unwrap();
    let pooled = Pooled::new(&pool);
    two_runners_drain(pooled.clone(), 10).await;
    let mut tx = pooled.begin().await.unwrap();
    let (prepared, channels, locks): (i64, i64, i64) = sqlx::query_as(
        r#"
        SELECT (SELECT count(*) FROM pg_prepared_statements),
            (SELECT count(*) FROM pg_listening_channels()),
            (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())
        "#,
    )
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    assert_eq!((prepared, channels, locks), (1, 0, 0), "all that is prepared is this question");
}

/// Must not run beside another one.
#[derive(Serialize, Deserialize)]
struct Alone;

impl Job for Alone {
    const KIND: &'static str = "alone";
}

/// How many run, and have run.
#[derive(Default)]
struct Room {
    present: AtomicU32,
    left: AtomicU32,
}

impl Handler<Arc<Room>> for Alone {
    async fn run(self, cx: &Context<Arc<Room>>) -> Result<(), Failure> {
        let others = cx.state().present.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        cx.state().present.fetch_sub(1, Ordering::SeqCst);
        cx.state().left.fetch_add(1, Ordering::SeqCst);
        if others == 0 { Ok(()) } else { Err(Failure::fatal("not alone")) }
    }
}

/// A claim under a limit is two statements, and a gate is locked for as long as its transaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_hold_without_a_session() {
    let database = testkit::postgres(&[&MIGRATOR]).await;
    let pooled = Pooled::new(&PgPool::connect_lazy(database.url()).unwrap());
    let (jobs, room) = (Jobs::new(Postgres), Arc::new(Room::default()));
    let mut tx = pooled.begin().await.unwrap();
    let queue = LimitKey::queue(&Queue::from_static(Alone::QUEUE));
    jobs.set_limit(&mut tx, &queue, &Limit::concurrency(1)).await.unwrap();
    jobs.enqueue_many(&mut tx, &[const { Alone }; 20]).await.unwrap();
    pooled.commit(tx).await.unwrap();
    let drain = || {
        let runner = Runner::new(jobs.clone(), pooled.clone(), room.clone()).queue("default", 4).handle::<Alone>();
        async move { runner.drain().await.unwrap() }
    };
    let (mut one, other): (Tally, Tally) = tokio::join!(drain(), drain());
    one += other;
    assert_eq!((one.succeeded, one.dead), (20, 0), "{one:?}");
    assert_eq!(room.left.load(Ordering::SeqCst), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_knows_no_prepared_statements_serves_runners() {
    if std::env::var_os("STOA_TEST_FULL").is_none() {
        return;
    }
    let database = testkit::postgres(&[&MIGRATOR]).await;
    let pooler = Pooler::start(database.url()).await;
    two_runners_drain(Pooled::new(&PgPool::connect_lazy_with(pooler.options.clone())), 200).await;
}

/// PgBouncer 1.21 and later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_keeps_track_of_prepared_statements_serves_a_plain_pool() {
    if std::env::var_os("STOA_TEST_FULL").is_none() || Pooler::version() < (1, 21) {
        return;
    }
    let database = testkit::postgres(&[&MIGRATOR]).await;
    let pooler = Pooler::start(database.url()).await;
    two_runners_drain(PgPool::connect_lazy_with(pooler.options.clone()), 200).await;
}

/// A PgBouncer with two server connections for all of its clients.
struct Pooler {
    process: Child,
    options: PgConnectOptions,
    directory: PathBuf,
}

impl Pooler {
    async fn start(url: &str) -> Self {
        let server: PgConnectOptions = url.parse().unwrap();
        let (user, database) = (server.get_username(), server.get_database().unwrap());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = std::env::temp_dir().join(format!("stoa-pooler-{}-{port}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let tracks = if Self::version() < (1, 21) { "" } else { "max_prepared_statements = 200" };
        let (host, server_port) = (server.get_host(), server.get_port());
        let configuration = format!(
            "[databases]\n{database} = host={host} port={server_port} user={user}\n[pgbouncer]\npool_mode = transaction\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\ndefault_pool_size = 2\n\
             ignore_startup_parameters = extra_float_digits\n{tracks}\n"
        );
        let file = directory.join("pgbouncer.ini");
        fs::write(&file, configuration).unwrap();
        let mut command = Command::new("pgbouncer");
        // It refuses to run as root, and reads its file as whom it runs.
        if fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0) {
            command.args(["-u", "nobody"]);
        }
        let process = command.arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let options = server.clone().host("127.0.0.1").port(port).extra_float_digits(None);
        let pooler = Self { process: process.expect(HOW_TO_INSTALL), options, directory };
        let connected = async {
            while PgConnection::connect_with(&pooler.options.clone().statement_cache_capacity(0)).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, connected).await.expect("pgbouncer does not answer");
        pooler
    }

    fn version() -> (u32, u32) {
        let output = Command::new("pgbouncer").arg("--version").output().expect(HOW_TO_INSTALL);
        let output = String::from_utf8(output.stdout).unwrap();
        let mut numbers = output.split_whitespace().nth(1).unwrap().split('.').map(|part| part.parse().unwrap_or(0));
        (numbers.next().unwrap(), numbers.next().unwrap())
    }
}

const HOW_TO_INSTALL: &str = "this test needs the program pgbouncer: apt-get install pgbouncer";

impl Drop for Pooler {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
