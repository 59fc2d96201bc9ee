//! What happens to servers and processes: a dump is restored, a replica answers, a compactor is killed.

use std::path::Path;
use std::process::{Command, Stdio};
use std::task::Poll;
use std::time::{Duration, Instant};

use sqlx::{PgPool, SqlitePool};
use stoa_search::recommendation::{Signal, SignalCursor, SignalKey, SignalKind, SignalRecorder, UserId};
use stoa_search::{
    Audience, Document, EntityId, MatchMode, Postgres, Query, Search, Source, Sqlite, Store, Surface, Tag, Timings,
    postgres, sqlite,
};
use testkit::{Cluster, Durability};

/// As long as it takes.
const UNLIMITED: Duration = Duration::MAX;

/// Names the database of a compactor that is a process of its own.
const COMPACTED: &str = "STOA_SEARCH_TEST_COMPACTED";

fn document(n: usize) -> Document {
    let tags = ["crew", "guests"].iter().take(n % 3).map(|tag| Tag::new(*tag).unwrap());
    Document::new(
        if n.is_multiple_of(4) { Surface::JOBS } else { Surface::FEED },
        EntityId::new(n.to_string()).unwrap(),
    )
    .title(format!("boat {}", n % 11))
    .body(format!("a river and word{n} {}", "more ".repeat(n % 13)))
    .audience(tags)
}

/// Documents in segments and in the log, replaced and removed ones among them.
async fn fill<S: Store, P: Source<Connection = S::Connection>>(search: &Search<S>, source: &P) {
    let mut conn = source.acquire().await.unwrap();
    let many: Vec<_> = (0..1500).map(document).collect();
    search.upsert_many(&mut conn, &many).await.unwrap();
    for n in 1400..1600 {
        search.upsert(&mut conn, &document(n).title("ship")).await.unwrap();
    }
    drop(conn);
    search.compact(source, UNLIMITED).await.unwrap();
    let mut conn = source.acquire().await.unwrap();
    for n in 100..140 {
        search.upsert(&mut conn, &document(n).title("anchor")).await.unwrap();
    }
    for n in 200..220 {
        let surface = if n % 4 == 0 { Surface::JOBS } else { Surface::FEED };
        search.remove(&mut conn, &surface, &EntityId::new(n.to_string()).unwrap()).await.unwrap();
    }
}

/// The answers to some queries, with all that they show.
async fn answers<S: Store>(search: &Search<S>, conn: &mut S::Connection) -> Vec<String> {
    let mut answers = Vec::new();
    for text in ["boat", "ship more", "anchor river", "word77", "absent"] {
        for audience in [Audience::tags([Tag::new("crew").unwrap()]), Audience::everything()] {
            let query = Query::text(text).mode(MatchMode::Any);
            let mut results = search.search(conn, &query, &audience).await.unwrap();
            results.timings = Timings::default();
            answers.push(format!("{results:?}"));
        }
    }
    answers
}

/// Runs a program that came with the server.
async fn run(pool: &PgPool, program: &str, arguments: &[&str]) {
    let programs: String =
        sqlx::query_scalar("SELECT setting FROM pg_config WHERE name = 'BINDIR'").fetch_one(pool).await.unwrap();
    let output = Command::new(Path::new(&programs).join(program)).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

async fn name(pool: &PgPool) -> String {
    sqlx::query_scalar("SELECT current_database()::text").fetch_one(pool).await.unwrap()
}

async fn record(pool: &PgPool, keys: std::ops::Range<u32>) {
    for key in keys {
        let (key, user, id) = (SignalKey::new(key.to_string()), UserId::new("ada"), EntityId::new("1"));
        let signal = Signal::new(key.unwrap(), user.unwrap(), Surface::FEED, id.unwrap(), SignalKind::LIKE);
        let mut conn = pool.acquire().await.unwrap();
        assert!(SignalRecorder::new(Postgres).record(&mut conn, &signal).await.unwrap());
    }
}

/// The keys of all signals after a cursor, and where they end.
async fn read(pool: &PgPool, mut cursor: Option<SignalCursor>) -> (Vec<String>, Option<SignalCursor>) {
    let (mut keys, mut conn) = (Vec::new(), pool.acquire().await.unwrap());
    loop {
        let page = SignalRecorder::new(Postgres).page(&mut conn, cursor.as_ref(), 7).await.unwrap();
        keys.extend(page.signals.iter().map(|recorded| recorded.signal.key().to_string()));
        cursor = Some(page.next);
        if page.signals.is_empty() {
            return (keys, cursor);
        }
    }
}

/// By the server's own programs, into a server that has given out fewer transaction numbers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_pg_dump_carries_to_another_cluster_is_found_there() {
    let (old, new) = (Cluster::start(Durability::Fast), Cluster::start(Durability::Fast));
    let database = old.database(&[&postgres::MIGRATOR]).await;
    let search = Search::new(Postgres);
    fill(&search, database.pool()).await;
    record(database.pool(), 0..20).await;
    let (before, cursor) = read(database.pool(), None).await;
    assert_eq!(before.len(), 20);
    record(database.pool(), 20..30).await;
    let expected = answers(&search, &mut database.pool().acquire().await.unwrap()).await;

    let directory = tempfile::tempdir().unwrap();
    let dump = directory.path().join("dump.sql").into_os_string().into_string().unwrap();
    run(database.pool(), "pg_dump", &["--file", &dump, &old.url(&name(database.pool()).await)]).await;
    let url = new.url("postgres");
    run(database.pool(), "psql", &["--no-psqlrc", "--set=ON_ERROR_STOP=1", "--quiet", "--file", &dump, &url]).await;
    let pool = PgPool::connect(&url).await.unwrap();
    let mut conn = pool.acquire().await.unwrap();
    assert_eq!(answers(&search, &mut conn).await, expected);
    assert!(search.compact(&pool, UNLIMITED).await.unwrap().is_complete);
    assert_eq!(answers(&search, &mut conn).await, expected);
    search.upsert(&mut conn, &document(1).body("pelican")).await.unwrap();
    search.upsert(&mut conn, &document(5000).body("pelican")).await.unwrap();
    for _ in 0..2 {
        let found = search.search(&mut conn, &Query::text("pelican"), &Audience::everything()).await.unwrap();
        assert_eq!(found.total, 2);
        search.compact(&pool, UNLIMITED).await.unwrap();
    }
    assert_eq!(search.stats(&mut conn).await.unwrap().documents, 1581);

    // Signals of the old server come first, or once more; then those of the new one.
    record(&pool, 30..33).await;
    let (keys, cursor) = read(&pool, cursor).await;
    assert!((20..33).all(|key| keys.contains(&key.to_string())), "{keys:?}");
    record(&pool, 33..35).await;
    assert_eq!(read(&pool, cursor).await.0, ["33", "34"]);
    drop(conn);
    pool.close().await;
}

/// A copy of a running server that follows it and can be read.
async fn replica(primary: &Cluster) -> Cluster {
    let replica = Cluster::start(Durability::Fast);
    let pool = PgPool::connect(&replica.url("postgres")).await.unwrap();
    let data: String = sqlx::query_scalar("SHOW data_directory").fetch_one(&pool).await.unwrap();
    let own = std::fs::canonicalize(&data).unwrap();
    replica.stop();
    let parent = own.parent().unwrap().to_str().unwrap();
    std::fs::remove_dir_all(&own).unwrap();
    let source = PgPool::connect(&primary.url("postgres")).await.unwrap();
    let (url, options) = (primary.url("postgres"), ["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]);
    run(&source, "pg_basebackup", &[&["--pgdata", &data, "--dbname", &url][..], &options].concat()).await;
    source.close().await;
    // Whoever runs the tests, the server runs as the owner of its directory.
    let done = Command::new("chown").args(["-R", "--reference", parent, &data]).status().unwrap();
    assert!(done.success());
    replica.restart();
    replica
}

async fn catch_up(primary: &PgPool, replica: &PgPool) {
    let end: String = sqlx::query_scalar("SELECT pg_current_wal_insert_lsn()::text").fetch_one(primary).await.unwrap();
    let started = Instant::now();
    let has_come = async || {
        let replayed = "SELECT coalesce(pg_last_wal_replay_lsn() >= $1::pg_lsn, false)";
        sqlx::query_scalar::<_, bool>(replayed).bind(&end).fetch_one(replica).await.unwrap()
    };
    while !has_come().await {
        assert!(started.elapsed() < Duration::from_mins(1), "the replica does not follow");
    }
}

/// The same answers from a server that only reads, to the last bit, before and after a compaction, with a snapshot of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_answers_the_same() {
    let primary = Cluster::start(Durability::Fast);
    let database = primary.database(&[&postgres::MIGRATOR]).await;
    let search = Search::new(Postgres);
    fill(&search, database.pool()).await;
    record(database.pool(), 0..3).await;
    let copy = replica(&primary).await;
    let pool = PgPool::connect(&copy.url(&name(database.pool()).await)).await.unwrap();
    assert!(sqlx::query_scalar::<_, bool>("SELECT pg_is_in_recovery()").fetch_one(&pool).await.unwrap());
    for round in 0..3 {
        catch_up(database.pool(), &pool).await;
        let expected = answers(&search, &mut database.pool().acquire().await.unwrap()).await;
        assert_eq!(answers(&search, &mut pool.acquire().await.unwrap()).await, expected, "{round}");
        let mut snapshot = Source::begin_snapshot(&pool).await.unwrap();
        assert_eq!(answers(&search, &mut snapshot).await, expected, "{round}");
        let mut conn = database.pool().acquire().await.unwrap();
        let stats = search.stats(&mut conn).await.unwrap();
        assert_eq!(search.stats(&mut pool.acquire().await.unwrap()).await.unwrap().documents, stats.documents);
        match round {
            0 => drop(search.compact(database.pool(), UNLIMITED).await.unwrap()),
            _ => drop(search.upsert(&mut conn, &document(7).body("boat on a river")).await.unwrap()),
        }
        let found = search.suggest(&mut snapshot, "anch", &Audience::everything(), 3).await.unwrap();
        assert_eq!(found, ["anchor"]);
    }
    assert_eq!(read(&pool, None).await.0, ["0", "1", "2"]);
    let refused = search.upsert(&mut pool.acquire().await.unwrap(), &document(1)).await;
    assert!(refused.is_err(), "a replica takes no writes");
    pool.close().await;
}

/// Its connection ends at any moment; what it did not publish is still to do, and no answer changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compactor_whose_connection_is_ended_changes_nothing() {
    let database = testkit::postgres(&[&postgres::MIGRATOR]).await;
    let search = Search::new(Postgres);
    fill(&search, database.pool()).await;
    let expected = answers(&search, &mut database.pool().acquire().await.unwrap()).await;
    for round in 0..15_u64 {
        let victim = PgPool::connect(database.url()).await.unwrap();
        let compaction = tokio::spawn({
            let victim = victim.clone();
            async move { Search::new(Postgres).compact(&victim, UNLIMITED).await }
        });
        // A little later each time.
        let mut killer = connection(database.url()).await;
        for _ in 0..round * 8 {
            sqlx::query("SELECT 1").execute(&mut killer).await.unwrap();
        }
        let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%search_%'";
        sqlx::query(ended).execute(&mut killer).await.unwrap();
        let _ = compaction.await.unwrap();
        victim.close().await;
        let mut conn = connection(database.url()).await;
        assert_eq!(answers(&search, &mut conn).await, expected, "{round}");
        // More to do for the next one, with the same answers in the end.
        search.upsert(&mut conn, &document(100).title("anchor")).await.unwrap();
        assert_eq!(answers(&search, &mut conn).await, expected, "{round}");
    }
    let pool = PgPool::connect(database.url()).await.unwrap();
    assert!(search.compact(&pool, UNLIMITED).await.unwrap().is_complete);
    assert_eq!(answers(&search, &mut pool.acquire().await.unwrap()).await, expected);
    pool.close().await;
}

/// Whether somebody else is within a transaction of this database, or about to end one.
const IS_BUSY: &str = r#"
    SELECT EXISTS (
        SELECT 1
        FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
            AND state <> 'idle'
    )
"#;

/// Wherever a reindexing ends, what it did not publish is as it was, and the next one goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reindexing_that_dies_half_way_changes_nothing() {
    // A busy machine may have the answers there before anybody waits for them.
    for _ in 0..30 {
        if points_at_which_a_reindexing_died().await > 5 {
            return;
        }
    }
    panic!("nobody waits for the database");
}

async fn points_at_which_a_reindexing_died() -> usize {
    let database = testkit::postgres(&[&postgres::MIGRATOR]).await;
    let (search, pool) = (Search::new(Postgres), database.pool());
    let mut conn = pool.acquire().await.unwrap();
    for n in 0..300 {
        search.upsert(&mut conn, &document(n)).await.unwrap();
    }
    // As if the release before had written them.
    sqlx::query("UPDATE search_dirty SET terms = set_byte(terms, 1, 0)").execute(&mut *conn).await.unwrap();
    assert!(search.compact(pool, UNLIMITED).await.unwrap().is_complete);
    assert_eq!(search.stats(&mut conn).await.unwrap().outdated, 300);
    let expected = answers(&search, &mut conn).await;
    // It is dropped at every point where it waits for the database, and begins with as little time as there can be.
    let mut polls: usize = 0;
    loop {
        let mut reindexing = Box::pin(search.reindex(pool, Duration::from_nanos(1), |_| {}));
        let mut left = polls;
        let done = std::future::poll_fn(|context| match reindexing.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => {
                left -= 1;
                Poll::Pending
            }
        })
        .await;
        drop(reindexing);
        // Perhaps while its COMMIT was on the way: what it did is decided once nobody is within a transaction.
        while sqlx::query_scalar::<_, bool>(IS_BUSY).fetch_one(&mut *conn).await.unwrap() {}
        let stats = search.stats(&mut conn).await.unwrap();
        assert_eq!(answers(&search, &mut conn).await, expected, "{polls}");
        match done.transpose().unwrap() {
            Some(_) => break assert_eq!((stats.outdated, stats.documents), (200, 300)),
            None => assert!(stats.outdated == 300 || stats.outdated == 200, "{polls}: {stats:?}"),
        }
        if stats.outdated == 200 {
            break;
        }
        polls += 1;
    }
    assert!(search.reindex(pool, UNLIMITED, |_| {}).await.unwrap().is_complete);
    assert_eq!(search.stats(&mut conn).await.unwrap().outdated, 0);
    assert_eq!(answers(&search, &mut conn).await, expected);
    polls
}

async fn connection(url: &str) -> sqlx::PgConnection {
    use sqlx::Connection;
    sqlx::PgConnection::connect(url).await.unwrap()
}

/// Not a test: the process that the next two start and kill.
#[tokio::test]
#[ignore = "run by other tests"]
async fn compactor() {
    let Ok(url) = std::env::var(COMPACTED) else { return };
    if url.starts_with("sqlite:") {
        let pool = SqlitePool::connect(&url).await.unwrap();
        loop {
            Search::new(Sqlite).compact(&pool, UNLIMITED).await.unwrap();
        }
    }
    let pool = PgPool::connect(&url).await.unwrap();
    loop {
        Search::new(Postgres).compact(&pool, UNLIMITED).await.unwrap();
    }
}

/// Starts a compactor and kills it after a while, again and again, while documents are written and searched for.
async fn outlive<S: Store, P: Source<Connection = S::Connection>>(search: Search<S>, source: P, url: &str) {
    fill(&search, &source).await;
    for round in 0..8_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["compactor", "--exact", "--ignored", "--nocapture"])
            .env(COMPACTED, url)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_millis(60 + round * 37 % 120);
        let mut n = 0;
        while Instant::now() < until {
            let mut conn = source.acquire().await.unwrap();
            let word = format!("w{round}n{n}");
            let fresh = document(n % 50).body(format!("river {word}"));
            search.upsert(&mut conn, &fresh).await.unwrap();
            let found = search.search(&mut conn, &Query::text(&word).typos(false), &Audience::everything()).await;
            assert_eq!(found.unwrap().total, 1, "{word}");
            n += 1;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let mut conn = source.acquire().await.unwrap();
        let found = search.search(&mut conn, &Query::text("river").limit(1), &Audience::everything()).await.unwrap();
        assert_eq!((found.total, search.stats(&mut conn).await.unwrap().documents), (1580, 1580), "{round}");
    }
    let mut conn = source.acquire().await.unwrap();
    let expected = answers(&search, &mut conn).await;
    drop(conn);
    // The server may still hold the lock of a child that is gone.
    while !search.compact(&source, UNLIMITED).await.unwrap().is_complete {}
    assert_eq!(answers(&search, &mut source.acquire().await.unwrap()).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_compactor_changes_nothing_on_postgres() {
    let database = testkit::postgres(&[&postgres::MIGRATOR]).await;
    outlive(Search::new(Postgres), database.pool().clone(), database.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_compactor_changes_nothing_on_sqlite() {
    let database = testkit::sqlite(&[&sqlite::MIGRATOR]).await;
    outlive(Search::new(Sqlite), database.pool().clone(), database.url()).await;
}
