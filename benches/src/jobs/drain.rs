//! Draining no-op jobs: ours as it is fastest and as it comes, the raw statements, and the rivals, in turns.

use std::time::Instant;

use sqlx::PgPool;
use stoa_jobs_runner::{Jobs, Postgres, Runner, postgres};
use testkit::Cluster;

use super::rivals::Rivals;
use super::{BATCH, Nothing, database, raw};
use crate::case::Target;
use crate::timing::Turns;
use crate::{Case, Setup};

/// The seconds of each, in the rounds.
#[derive(Default)]
struct Seconds {
    tuned: Vec<f64>,
    default: Vec<f64>,
    raw: Vec<f64>,
    graphile_worker: Vec<f64>,
    riverqueue: Vec<f64>,
    awa: Vec<f64>,
}

pub(super) async fn compare(setup: &Setup, cluster: &Cluster) -> Vec<Case> {
    let jobs = setup.size(200_000, 2_000);
    let pool = database(cluster, "drain", &postgres::MIGRATOR).await;
    let rivals = Rivals::start(cluster).await;
    let runner = || Runner::new(Jobs::new(Postgres), pool.clone(), ()).handle::<Nothing>();
    let (tuned, default) = (runner().queue("bench", BATCH), runner());
    let (mut seconds, mut wal) = (Seconds::default(), Vec::new());
    for _ in 0..=setup.size(3, 1) {
        raw::fill(&pool, jobs).await;
        seconds.raw.push(raw::drain(&pool, jobs).await);
        raw::fill(&pool, jobs).await;
        let before = wal_position(&pool).await;
        seconds.tuned.push(ours(&tuned, jobs).await);
        wal.push((wal_position(&pool).await - before) as f64 / jobs as f64);
        raw::fill(&pool, jobs).await;
        seconds.default.push(ours(&default, jobs).await);
        seconds.graphile_worker.extend(rivals.graphile_worker(jobs).await);
        seconds.riverqueue.extend(rivals.riverqueue(jobs).await);
        seconds.awa.extend(rivals.awa(cluster, jobs).await);
    }
    let versus = |name, rival, other: &[f64], target| {
        let turns = turns(jobs, &seconds.tuned, other)?;
        let case = Case::ratio(name, turns.ours, "jobs/s", rival, turns.other, Target::AtLeast(target));
        Some(case.note(&turns))
    };
    let conditions = format!("{jobs} no-op jobs, fsync on, history kept, {BATCH} at once");
    let own = turns(jobs, &seconds.tuned, &seconds.tuned).map(|turns| turns.ours).unwrap_or_default();
    let default = turns(jobs, &seconds.default, &seconds.tuned).map(|turns| {
        let target = Target::AtLeast(0.7);
        let case = Case::ratio("jobs.drain_default_vs_tuned", turns.ours, "jobs/s", "tuned", turns.other, target);
        case.note(turns).note("10 at once")
    });
    let cases = [
        versus("jobs.drain_vs_raw", "raw claim + complete", &seconds.raw, 0.6).map(|case| case.note(&conditions)),
        versus("jobs.drain_vs_graphile_worker", "graphile_worker", &seconds.graphile_worker, 1.2),
        versus("jobs.drain_vs_riverqueue", "riverqueue", &seconds.riverqueue, 2.0),
        versus("jobs.drain_vs_awa", "awa", &seconds.awa, 2.0),
        default,
        Some(Case::absolute("jobs.drain_jobs_s", own, "/s", Target::AtLeast(72_000.0)).note(conditions)),
        Some(
            Case::absolute("jobs.wal_bytes_per_job", crate::timing::median(wal), "B", Target::AtMost(700.0))
                .note("claim, completion and history of a job"),
        ),
    ];
    cases.into_iter().flatten().collect()
}

/// Rates of two in turns, unless one was not there.
fn turns(jobs: usize, ours: &[f64], other: &[f64]) -> Option<Turns> {
    let rate = |seconds: &f64| jobs as f64 / seconds;
    (ours.len() == other.len()).then(|| Turns::of(ours.iter().map(rate).zip(other.iter().map(rate)).collect()))
}

async fn ours(runner: &Runner<Postgres, PgPool>, jobs: usize) -> f64 {
    let started = Instant::now();
    let tally = runner.drain().await.expect("the server answers");
    assert_eq!(tally.succeeded, jobs as u64);
    started.elapsed().as_secs_f64()
}

async fn wal_position(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")
        .fetch_one(pool)
        .await
        .expect("the server answers")
}
