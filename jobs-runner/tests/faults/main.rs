//! Worker processes that are killed, stopped, told to go and cut off from their database.
//!
//! This binary starts itself as the worker: [`as_a_worker`] is the only test that takes a worker's part. What handlers do is
//! noted on a [`Desk`](desk::Desk), a directory that all processes share and no database fault reaches.

mod desk;
mod stage;
mod task;
mod worker;

mod commit;
mod kill;
mod limit;
mod once;
mod outage;
mod schedule;
mod stop;
mod zombie;

/// Is a worker, if it was told so; in an ordinary run there is nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_a_worker() {
    if let Some(settings) = worker::Settings::of_this_process() {
        worker::work(settings).await;
    }
}
