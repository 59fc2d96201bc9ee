//! Limits under runners that do not know of each other, and under claims whose snapshot is old.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use sqlx::{Connection, PgConnection};
use stoa_jobs_runner::{
    ClaimRequest, Context, Durability, EnqueueOptions, Failure, Filter, Handler, Job, Jobs, Kind, Limit, LimitKey,
    Memory, PageRequest, Postgres, Queue, Runner, Source, Sqlite, Store, Token, WorkerId, memory,
};
use tokio::sync::Notify;

const PATIENCE: Duration = Duration::from_secs(30);
const JOBS: u32 = 24;

/// Calls somebody who does not like to be called often.
#[derive(Serialize, Deserialize)]
struct Call;

impl Job for Call {
    const KIND: &'static str = "call";
}

#[derive(Default)]
struct Gauge {
    running: AtomicU32,
    peak: AtomicU32,
    ended: AtomicU32,
    done: Notify,
}

impl Handler<Arc<Gauge>> for Call {
    async fn run(self, cx: &Context<Arc<Gauge>>) -> Result<(), Failure> {
        let gauge = cx.state();
        let running = gauge.running.fetch_add(1, Ordering::SeqCst) + 1;
        gauge.peak.fetch_max(running, Ordering::SeqCst);
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        gauge.running.fetch_sub(1, Ordering::SeqCst);
        if gauge.ended.fetch_add(1, Ordering::SeqCst) + 1 == JOBS {
            gauge.done.notify_one();
        }
        Ok(())
    }
}

/// Two runners work off the jobs; neither would look again within the hour unless it was told when.
async fn work_off<S: Store + Clone, P: Source<Connection = S::Connection>>(store: S, source: P, limit: Limit) -> u32 {
    let jobs = Jobs::new(store.clone());
    let mut tx = source.begin().await.unwrap();
    jobs.set_limit(&mut tx, &LimitKey::new("api").unwrap(), &limit).await.unwrap();
    for _ in 0..JOBS {
        jobs.enqueue_with(&mut tx, &Call, &EnqueueOptions::default().limited("api:ada")).await.unwrap();
    }
    source.commit(tx).await.unwrap();

    let gauge = Arc::new(Gauge::default());
    let mut runners = tokio::task::JoinSet::new();
    let stop = Arc::new(tokio::sync::Semaphore::new(0));
    for _ in 0..2 {
        let runner = Runner::new(Jobs::new(store.clone()), source.clone(), gauge.clone());
        let (runner, stop) = (runner.handle::<Call>().poll_interval(Duration::from_hours(1)), stop.clone());
        runners.spawn(async move { runner.run_until(async { drop(stop.acquire().await) }).await.unwrap() });
    }
    tokio::time::timeout(PATIENCE, gauge.done.notified()).await.expect("the jobs were not worked off");
    stop.add_permits(2);
    runners.join_all().await;
    gauge.peak.load(Ordering::SeqCst)
}

/// No more at once, and whoever ends one begins the next.
async fn runners_keep_to_a_concurrency<S: Store + Clone, P: Source<Connection = S::Connection>>(store: S, source: P) {
    let peak = work_off(store, source, Limit::concurrency(3)).await;
    assert!(peak <= 3, "{peak}");
}

/// In whatever stretch of time, and no poll is needed to go on.
async fn runners_keep_to_a_rate<S: Store + Clone, P: Source<Connection = S::Connection>>(store: S, source: P) {
    let (count, per) = (5, Duration::from_millis(100));
    work_off(store.clone(), source.clone(), Limit::rate(count, per)).await;
    let mut conn = source.acquire().await.unwrap();
    let page = Jobs::new(store).list(&mut conn, &Filter::default(), &PageRequest::first(100)).await.unwrap();
    let mut began: Vec<_> = page.items.iter().map(|job| job.attempted_at.unwrap()).collect();
    began.sort_unstable();
    assert_eq!(began.len(), JOBS as usize);
    for window in began.windows(count as usize + 1) {
        assert!(window[count as usize] - window[0] >= TimeDelta::from_std(per).unwrap(), "{window:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runners_keep_to_limits_on_sqlite() {
    let database = testkit::sqlite(&[&stoa_jobs_runner::sqlite::MIGRATOR]).await;
    runners_keep_to_a_concurrency(Sqlite, database.pool().clone()).await;
    let database = testkit::sqlite(&[&stoa_jobs_runner::sqlite::MIGRATOR]).await;
    runners_keep_to_a_rate(Sqlite, database.pool().clone()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runners_keep_to_limits_on_postgres() {
    let database = testkit::postgres(&[&stoa_jobs_runner::postgres::MIGRATOR]).await;
    runners_keep_to_a_concurrency(Postgres, database.pool().clone()).await;
    let database = testkit::postgres(&[&stoa_jobs_runner::postgres::MIGRATOR]).await;
    runners_keep_to_a_rate(Postgres, database.pool().clone()).await;
}

async fn claim(conn: &mut PgConnection) -> (usize, Option<Duration>) {
    let request = ClaimRequest {
        queue: &Queue::from_static(Call::QUEUE),
        kinds: &[Kind::from_static(Call::KIND)],
        limit: 10,
        token: Token::random(),
        worker: WorkerId::random(),
        since: None,
        durability: Durability::Durable,
    };
    let turned = Postgres.turn(conn, &[], Some(&request)).await.unwrap();
    (turned.claimed.len(), turned.opens_in)
}

/// A claim is held up between its snapshot and the gate while another one goes through: what it has counted is not true any
/// more, so it takes nothing, and is told to come back soon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_with_an_old_snapshot_takes_nothing() {
    let database = testkit::postgres(&[&stoa_jobs_runner::postgres::MIGRATOR]).await;
    let jobs = Jobs::new(Postgres);
    let mut conn = database.pool().acquire().await.unwrap();
    sqlx::raw_sql(
        r#"
        CREATE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF current_setting('stoa.is_slow', true) = 'yes' THEN
                PERFORM pg_advisory_xact_lock(7);
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER hold_up BEFORE INSERT ON jobs_queue_gate FOR EACH ROW EXECUTE FUNCTION hold_up();
        "#,
    )
    .execute(&mut *conn)
    .await
    .unwrap();
    jobs.set_limit(&mut conn, &LimitKey::new("api").unwrap(), &Limit::concurrency(2)).await.unwrap();
    for _ in 0..8 {
        jobs.enqueue_with(&mut conn, &Call, &EnqueueOptions::default().limited("api")).await.unwrap();
    }
    let mut blocker = database.pool().acquire().await.unwrap();
    sqlx::query("SELECT pg_advisory_lock(7)").execute(&mut *blocker).await.unwrap();
    let mut slow = PgConnection::connect(database.url()).await.unwrap();
    sqlx::query("SET stoa.is_slow = 'yes'").execute(&mut slow).await.unwrap();
    let late = tokio::spawn(async move { claim(&mut slow).await });
    loop {
        let waiting: i64 = sqlx::query_scalar(
            r"
                SELECT count(*)
                FROM pg_locks
                WHERE locktype = 'advisory' AND NOT granted
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                ",
        )
        .fetch_one(&mut *conn)
        .await
        .unwrap();
        if waiting > 0 {
            break;
        }
    }
    // The late one has locked the jobs that it wants: these are for the other one.
    for _ in 0..2 {
        let urgent = EnqueueOptions::default().limited("api").priority(0);
        jobs.enqueue_with(&mut conn, &Call, &urgent).await.unwrap();
    }
    let early = claim(&mut conn).await;
    sqlx::query("SELECT pg_advisory_unlock(7)").execute(&mut *blocker).await.unwrap();
    let late = late.await.unwrap();
    assert_eq!((early, late), ((2, None), (0, Some(Duration::from_millis(10)))));
}

/// A limit that is new counts what was claimed before its transaction began; what was claimed beside it, once it is said again.
#[tokio::test]
async fn a_limit_that_is_set_again_counts_what_was_claimed_meanwhile() {
    let database = testkit::postgres(&[&stoa_jobs_runner::postgres::MIGRATOR]).await;
    let jobs = Jobs::new(Postgres);
    let mut conn = database.pool().acquire().await.unwrap();
    let limits = [LimitKey::new("api").unwrap(), LimitKey::queue(&Queue::from_static(Call::QUEUE))];
    for key in &limits {
        let mut tx = database.pool().begin().await.unwrap();
        jobs.set_limit(&mut tx, key, &Limit::concurrency(10)).await.unwrap();
        for _ in 0..12 {
            jobs.enqueue_with(&mut conn, &Call, &EnqueueOptions::default().limited("api:ada")).await.unwrap();
        }
        assert_eq!(claim(&mut conn).await.0, 10);
        tx.commit().await.unwrap();
        jobs.set_limit(&mut conn, key, &Limit::concurrency(10)).await.unwrap();
        assert_eq!(claim(&mut conn).await.0, 0);
        assert!(jobs.remove_limit(&mut conn, key).await.unwrap());
        sqlx::query("DELETE FROM jobs_queue_job").execute(&mut *conn).await.unwrap();
    }
}

/// By a clock that moves only when told to: not a moment before the window has passed, and then at once.
#[tokio::test]
async fn a_rate_opens_when_its_window_has_passed() {
    let database = memory::Database::default();
    let minute = Duration::from_mins(1);
    let mut tx = database.begin().await.unwrap();
    Memory.set_limit(&mut tx, &LimitKey::new("api").unwrap(), &Limit::rate(10, minute)).await.unwrap();
    for _ in 0..30 {
        let options = EnqueueOptions::default().limited("api");
        Jobs::new(Memory).enqueue_with(&mut tx, &Call, &options).await.unwrap();
    }
    database.commit(tx).await.unwrap();
    let mut conn = database.acquire().await.unwrap();
    let mut claim = async || {
        let request = ClaimRequest {
            queue: &Queue::from_static(Call::QUEUE),
            kinds: &[Kind::from_static(Call::KIND)],
            limit: 6,
            token: Token::random(),
            worker: WorkerId::random(),
            since: None,
            durability: Durability::Durable,
        };
        let turned = Memory.turn(&mut conn, &[], Some(&request)).await.unwrap();
        (turned.claimed.len(), turned.opens_in)
    };
    assert_eq!(claim().await, (6, None));
    database.advance(minute / 2);
    assert_eq!(claim().await, (4, None));
    assert_eq!(claim().await, (0, Some(minute / 2)));
    database.advance(Duration::from_millis(29_999));
    assert_eq!(claim().await, (0, Some(Duration::from_millis(1))));
    database.advance(Duration::from_millis(1));
    // Of the window's second half four have begun.
    assert_eq!(claim().await, (6, None));
    assert_eq!(claim().await, (0, Some(minute / 2)));
}
