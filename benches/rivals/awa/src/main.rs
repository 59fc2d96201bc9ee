//! `rival-awa <url> <jobs> [workers [claimers]]`: brings awa's schema, enqueues jobs, drains them and prints the seconds from the
//! start of its client until none is unfinished.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use awa::model::{QueueStorage, QueueStorageConfig, migrations};
use awa::{Client, InsertOpts, JobArgs, JobContext, JobError, JobResult, QueueConfig, Worker};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPoolOptions;

#[derive(Serialize, Deserialize, JobArgs)]
struct Nothing {}

struct Counting(Arc<AtomicI64>);

#[async_trait::async_trait]
impl Worker for Counting {
    fn kind(&self) -> &'static str {
        Nothing::kind()
    }

    async fn perform(&self, _: &JobContext) -> Result<JobResult, JobError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(JobResult::Completed)
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let number = |place: usize, otherwise: i64| arguments.get(place).map_or(otherwise, |text| text.parse().unwrap());
    let (url, jobs) = (&arguments[0], number(1, 0));
    let pool = PgPoolOptions::new().max_connections(50).connect(url).await.unwrap();
    migrations::run(&pool).await.unwrap();
    // A queue of its own: what the rounds before have left is not in the way.
    let queue = format!("bench_{}", std::process::id());
    let done = Arc::new(AtomicI64::new(0));
    let config = QueueConfig {
        max_workers: number(2, 512).try_into().unwrap(),
        claimers: number(3, 2).try_into().unwrap(),
        poll_interval: Duration::from_millis(50),
        deadline_duration: Duration::ZERO,
        ..QueueConfig::default()
    };
    let client = || {
        let worker = Counting(done.clone());
        Client::builder(pool.clone()).queue(&*queue, config.clone()).register_worker(worker).build().unwrap()
    };
    // The first start on an empty schema turns its current storage on.
    let first = client();
    first.start().await.unwrap();
    first.shutdown(Duration::from_secs(5)).await;

    let options = InsertOpts { queue: queue.clone(), ..InsertOpts::default() };
    for batch in (0..jobs).step_by(10_000) {
        let size = (jobs - batch).min(10_000);
        let new = (0..size).map(|_| awa::model::insert::params_with(&Nothing {}, options.clone()).unwrap());
        awa::insert_many_copy_from_pool(&pool, &new.collect::<Vec<_>>()).await.unwrap();
    }
    sqlx::query("VACUUM ANALYZE").execute(&pool).await.unwrap();
    sqlx::query("CHECKPOINT").execute(&pool).await.unwrap();

    let store = QueueStorage::new(QueueStorageConfig::default()).unwrap();
    let client = client();
    let started = Instant::now();
    client.start().await.unwrap();
    while done.load(Ordering::Relaxed) < jobs {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    while store.queue_counts(&pool, &queue).await.unwrap().terminal < jobs {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("{}", started.elapsed().as_secs_f64());
    client.shutdown(Duration::from_secs(5)).await;
}
