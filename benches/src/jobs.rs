//! The queue beside the raw statements of the same layout, and beside other queues (feature `rivals`), each as it is fastest.

mod drain;
mod embedded;
mod enqueue;
mod idle;
mod pickup;
mod pinned;
mod raw;
mod rivals;

pub use idle::idle;

use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use stoa_jobs_runner::{Context, Failure, Handler, Job};
use testkit::{Cluster, Durability};

use crate::{Case, Setup};

#[derive(Serialize, Deserialize)]
struct Nothing {}

impl Job for Nothing {
    const KIND: &'static str = "bench.nothing";
    const QUEUE: &'static str = "bench";
}

impl Handler<()> for Nothing {
    async fn run(self, _: &Context<()>) -> Result<(), Failure> {
        Ok(())
    }
}

/// Jobs that are claimed at once, and run at once.
const BATCH: u32 = 500;

/// Measures the job cases.
pub async fn compare(setup: &Setup) -> Vec<Case> {
    let cluster = Cluster::start(Durability::Durable);
    let mut cases = Vec::new();
    if setup.wants("drain") {
        cases.extend(drain::compare(setup, &cluster).await);
    }
    if setup.wants("pickup") {
        cases.extend(pickup::compare(setup, &cluster).await);
    }
    if setup.wants("enqueue") {
        cases.push(enqueue::compare(setup, &cluster).await);
    }
    if setup.wants("pinned") {
        cases.push(pinned::compare(setup, &cluster).await);
    }
    if setup.wants("sqlite") {
        cases.extend(embedded::compare(setup).await);
    }
    if setup.wants("idle") {
        cases.push(idle::compare(&cluster).await);
    }
    cases
}

/// A database of the server, with somebody's schema.
async fn database(cluster: &Cluster, name: &'static str, migrator: &Migrator) -> PgPool {
    let pool = cluster.named(name).await;
    migrator.run(&pool).await.expect("the schema is sound");
    pool
}
