//! The queue in a file, with every commit on the disk.

use std::time::Instant;

use stoa_jobs_runner::{
    ClaimRequest, Durability, Job, Jobs, Kind, Outcome, Queue, Report, Runner, Source, Sqlite, Store, Token, WorkerId,
    sqlite,
};

use super::{BATCH, Nothing};
use crate::case::Target;
use crate::timing::median;
use crate::{Case, Setup};

pub(super) async fn compare(setup: &Setup) -> Vec<Case> {
    let (few, many) = (setup.size(10_000, 500), setup.size(100_000, 2_000));
    let database = testkit::sqlite_durable(&[&sqlite::MIGRATOR]).await;
    let pool = database.pool();
    let runner = Runner::new(Jobs::new(Sqlite), pool.clone(), ()).handle::<Nothing>().queue("bench", BATCH);
    let (mut single, mut bare, mut batched) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=setup.size(3, 1) {
        fill(pool, few).await;
        let one_by_one = one_by_one(pool, few).await;
        let bare_commits = bare_commits(pool, few).await;
        fill(pool, many).await;
        let started = Instant::now();
        let tally = runner.drain().await.expect("the file is there");
        assert_eq!(tally.succeeded, many as u64);
        if round > 0 {
            single.push(one_by_one);
            bare.push(bare_commits);
            batched.push(many as f64 / started.elapsed().as_secs_f64());
        }
    }
    vec![
        Case::absolute("jobs.sqlite_single_jobs_s", median(single), "/s", Target::AtLeast(2_000.0))
            .beside("commits of one UPDATE", median(bare))
            .note(format!("{few} no-op jobs, each reported and the next claimed in one commit, synchronous = FULL")),
        Case::absolute("jobs.sqlite_batched_jobs_s", median(batched), "/s", Target::AtLeast(15_000.0))
            .note(format!("{many} no-op jobs, {BATCH} at once, synchronous = FULL")),
    ]
}

async fn fill(pool: &sqlx::SqlitePool, jobs: usize) {
    sqlx::raw_sql("DELETE FROM jobs_queue_job; DELETE FROM jobs_queue_history;")
        .execute(pool)
        .await
        .expect("they are there");
    let new: Vec<Nothing> = (0..jobs).map(|_| Nothing {}).collect();
    let mut tx = Source::begin(pool).await.expect("the file is there");
    Jobs::new(Sqlite).enqueue_many(&mut tx, &new).await.expect("the jobs are sound");
    tx.commit().await.expect("the file is there");
}

/// What the disk and the driver allow: commits a second that change a number.
async fn bare_commits(pool: &sqlx::SqlitePool, commits: usize) -> f64 {
    sqlx::raw_sql("CREATE TABLE IF NOT EXISTS bare (n INTEGER); DELETE FROM bare; INSERT INTO bare VALUES (0);")
        .execute(pool)
        .await
        .expect("the file is there");
    let mut conn = pool.acquire().await.expect("the file is there");
    let started = Instant::now();
    for _ in 0..commits {
        sqlx::query("UPDATE bare SET n = n + 1").execute(&mut *conn).await.expect("the file is there");
    }
    commits as f64 / started.elapsed().as_secs_f64()
}

/// Jobs a second if there is a commit for each: what a runner with one slot does at the worst.
async fn one_by_one(pool: &sqlx::SqlitePool, jobs: usize) -> f64 {
    let queue = Queue::try_from(Nothing::QUEUE).expect("a sound name");
    let kinds = [Kind::try_from(Nothing::KIND).expect("a sound name")];
    let worker = WorkerId::random();
    let mut conn = pool.acquire().await.expect("the file is there");
    let (mut reports, mut done) = (Vec::new(), 0);
    let started = Instant::now();
    loop {
        let request = ClaimRequest {
            queue: &queue,
            kinds: &kinds,
            limit: 1,
            token: Token::random(),
            worker,
            since: None,
            durability: Durability::Durable,
        };
        let turned = Sqlite.turn(&mut conn, &reports, Some(&request)).await.expect("the file is there");
        done += turned.reported.len();
        let Some(job) = turned.claimed.first() else { break };
        let _: Nothing = serde_json::from_str(&job.payload).expect("it was one");
        reports = vec![Report { claim: job.claim, outcome: Outcome::Succeeded }];
    }
    assert_eq!(done, jobs);
    jobs as f64 / started.elapsed().as_secs_f64()
}
