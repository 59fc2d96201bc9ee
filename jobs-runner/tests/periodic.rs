//! Periodic loops by real clocks.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use stoa_jobs_runner::{Jobs, Name, Postgres, Runner, Source, Sqlite, Store, Token};
use tokio::sync::{Notify, mpsc};

const FEED: Name = Name::from_static("feed");
const LEASE: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_lead_lasts_as_long_as_its_process_on_sqlite() {
    let database = testkit::sqlite(&[&stoa_jobs_runner::sqlite::MIGRATOR]).await;
    a_lead_lasts_as_long_as_its_process(Sqlite, database.pool().clone()).await;
}

#[tokio::test]
async fn a_lead_lasts_as_long_as_its_process_on_postgres() {
    let database = testkit::postgres(&[&stoa_jobs_runner::postgres::MIGRATOR]).await;
    a_lead_lasts_as_long_as_its_process(Postgres, database.pool().clone()).await;
}

/// A batch longer than several leases keeps the lead; when its process has vanished, the other one waits for the lease only.
async fn a_lead_lasts_as_long_as_its_process<S, P>(store: S, source: P)
where
    S: Store + Clone,
    P: Source<Connection = S::Connection>,
{
    let (began, mut batches) = mpsc::unbounded_channel();
    let done = Arc::new(Notify::new());
    let start = || {
        let (began, done) = (began.clone(), done.clone());
        let runner = Runner::new(Jobs::new(store.clone()), source.clone(), ())
            .lease(LEASE)
            .poll_interval(Duration::from_millis(5))
            .every("feed", Duration::from_millis(20), move |batch| {
                let (began, done) = (began.clone(), done.clone());
                async move {
                    began.send((batch.token(), batch.began_at(), batch.last_began_at()))?;
                    done.notified().await;
                    Ok(())
                }
            });
        tokio::spawn(async move { runner.run_until(std::future::pending()).await })
    };
    let first = start();
    let (token, began_at, _) = batches.recv().await.unwrap();
    let second = start();
    let mut conn = source.acquire().await.unwrap();
    loop {
        assert!(store.leads(&mut conn, &FEED, token).await.unwrap());
        if store.timetable(&mut conn).await.unwrap().now > began_at + 4 * LEASE {
            break;
        }
        tokio::task::yield_now().await;
    }
    // It runs again after its interval, and not before.
    done.notify_one();
    let (again, later, last) = batches.recv().await.unwrap();
    assert_eq!((again, last), (token, Some(began_at)));
    assert!(later > began_at + TimeDelta::milliseconds(20));
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let next = tokio::time::timeout(PATIENCE, batches.recv()).await.expect("nobody took over");
    let (other, overtaken_at, last) = next.unwrap();
    assert!(other != token && overtaken_at > later && last == Some(began_at));
    second.abort();
}

/// The lock that `leads` takes holds up whoever wants the lead, and not whoever renews it.
#[tokio::test]
async fn a_lead_is_renewed_beside_a_transaction_that_relies_on_it() {
    let database = testkit::postgres(&[&stoa_jobs_runner::postgres::MIGRATOR]).await;
    let pool = database.pool();
    let (leader, other) = (Token::random(), Token::random());
    let mut conn = pool.acquire().await.unwrap();
    Postgres.take(&mut conn, &FEED, leader, Duration::ZERO).await.unwrap().unwrap();
    let mut tx = pool.begin().await.unwrap();
    assert!(Postgres.leads(&mut tx, &FEED, leader).await.unwrap());
    let beside = async {
        let began_at = Postgres.renew(&mut conn, &FEED, leader, Duration::ZERO).await.unwrap().unwrap().now;
        assert!(Postgres.ran(&mut conn, &FEED, leader, began_at).await.unwrap());
        // Refused at once, although the lease has ended: it does not wait with a connection in its hands.
        assert!(Postgres.take(&mut conn, &FEED, other, Duration::ZERO).await.unwrap().is_none());
    };
    tokio::time::timeout(PATIENCE, beside).await.expect("the renewal waited");
    tx.commit().await.unwrap();
    assert!(Postgres.take(&mut conn, &FEED, other, Duration::ZERO).await.unwrap().is_some());
}
