//! The example host as a process: how soon it answers, how long its large demo takes to load, and how it bears visitors.

mod load;
mod process;

use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection as _, PgConnection};
use testkit::{Cluster, Durability};

use self::load::Visits;
use self::process::Server;
use crate::case::Target;
use crate::timing::{median, percentile};
use crate::{Case, Setup};

/// Requests a second.
const RATE: u32 = 20;

/// Who visits.
const VISITORS: i64 = 200;

/// Measures the campus cases. The binary has to be built: `cargo build --release -p campus`.
///
/// # Panics
/// If the binary is missing or does not start.
pub async fn compare(setup: &Setup) -> Vec<Case> {
    let mut cases = Vec::new();
    if setup.wants("start") {
        cases.extend(start(setup));
    }
    if setup.wants("load") {
        cases.extend(load(setup).await);
    }
    cases
}

fn start(setup: &Setup) -> Vec<Case> {
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    let database = format!("sqlite:{}", directory.path().join("campus.sqlite").display());
    let first = Server::start(&database, &[]).started_in;
    let starts: Vec<f64> = (0..setup.rounds()).map(|_| Server::start(&database, &[]).started_in * 1e3).collect();
    vec![
        Case::absolute("campus.start_ms", median(starts), "ms", Target::AtMost(1000.0)).note("an existing database"),
        Case::absolute("campus.demo_small_s", first, "s", Target::AtMost(10.0)).note("from nothing, on a file"),
    ]
}

/// The large demo on PostgreSQL: loaded, left alone, visited.
async fn load(setup: &Setup) -> Vec<Case> {
    let cluster = Cluster::start(Durability::Durable);
    let mut conn = PgConnection::connect(&cluster.url("postgres")).await.expect("the server answers");
    sqlx::query("CREATE DATABASE campus").execute(&mut conn).await.expect("it is new");
    let url = cluster.url("campus");
    let size = setup.pick("ga", "small");
    let server = Server::start(&url, &["--demo", size, "--rate-limit", "off"]);
    let loaded_in = server.started_in;

    let pool = PgPoolOptions::new().max_connections(1).connect(&url).await.expect("the server answers");
    // Members of groups, spread over all of them: ids are as good as random.
    let people: Vec<(String, String)> = sqlx::query_as(
        r"
        SELECT user_id, min(scope_id)
        FROM memberships_membership
        WHERE scope_type = 'group' AND state = 'active' AND expires_at IS NULL
        GROUP BY user_id
        ORDER BY md5(user_id)
        LIMIT $1
        ",
    )
    .bind(VISITORS)
    .fetch_all(&pool)
    .await
    .expect("there are members");
    sqlx::raw_sql("VACUUM ANALYZE").execute(&pool).await.expect("it can");
    pool.close().await;
    drop(server);

    let server = Server::start(&url, &["--rate-limit", "off"]);
    tokio::time::sleep(setup.pick(Duration::from_secs(10), Duration::from_secs(1))).await;
    let idle = server.resident_mib();
    let visits = Visits::new(&server.address);
    let mut visitors = Vec::new();
    for (person, group) in &people {
        visitors.push(visits.sign_in(person, group).await);
    }
    let length = setup.pick(Duration::from_mins(2), Duration::from_secs(3));
    let times = visits.run(visitors, RATE, length).await;
    let conditions = format!(
        "{size} on PostgreSQL, {RATE} requests/s for {} s by {} people: 50 % home, 30 % search, 20 % posts",
        length.as_secs(),
        people.len()
    );
    let case = |name, times: Vec<Duration>, target| {
        let (p50, p95) = (percentile(times.clone(), 50) / 1e3, percentile(times, 95) / 1e3);
        Case::absolute(name, p95, "ms", Target::AtMost(target)).note(format!("p50 {p50:.1} ms")).note(&conditions)
    };
    vec![
        Case::absolute("campus.ga_load_s", loaded_in, "s", Target::AtMost(600.0)).note(format!("{size} on PostgreSQL")),
        Case::absolute("campus.idle_mib", idle, "MiB", Target::AtMost(80.0)).note("VmRSS, nobody visiting"),
        case("campus.home_p95_ms", times.home, 50.0),
        case("campus.search_p95_ms", times.search, 25.0),
        case("campus.post_p95_ms", times.post, 25.0),
    ]
}
