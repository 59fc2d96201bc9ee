//! What a recorder of the `metrics` facade is told.

use std::collections::BTreeMap;

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use serde::{Deserialize, Serialize};
use stoa_jobs_runner::{Context, EnqueueOptions, Failure, Handler, Job, Jobs, Memory, Runner, Source, memory};

#[derive(Serialize, Deserialize)]
struct Sum {
    is_wrong: bool,
}

impl Job for Sum {
    const KIND: &'static str = "sum";
    const QUEUE: &'static str = "school";
    const MAX_ATTEMPTS: u16 = 1;
}

impl Handler<()> for Sum {
    async fn run(self, _: &Context<()>) -> Result<(), Failure> {
        if self.is_wrong { Err(Failure::retry("wrong")) } else { Ok(()) }
    }
}

#[tokio::test]
async fn jobs_are_counted_and_timed() {
    let recorder = DebuggingRecorder::new();
    let snapshots = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let database = memory::Database::default();
    let jobs = Jobs::new(Memory);
    let mut conn = database.acquire().await.unwrap();
    jobs.enqueue_many(&mut conn, &[Sum { is_wrong: false }, Sum { is_wrong: false }]).await.unwrap();
    let once = EnqueueOptions::default().unique("once");
    for _ in 0..2 {
        jobs.enqueue_with(&mut conn, &Sum { is_wrong: true }, &once).await.unwrap();
    }
    Runner::new(jobs, database, ()).handle::<Sum>().drain().await.unwrap();

    let mut counters = BTreeMap::new();
    let mut samples = BTreeMap::new();
    for (key, _, _, value) in snapshots.snapshot().into_vec() {
        let labels: Vec<&str> = key.key().labels().map(metrics::Label::value).collect();
        let name = format!("{} {}", key.key().name(), labels.join(" "));
        match value {
            DebugValue::Counter(value) if value > 0 => {
                counters.insert(name, value);
            }
            DebugValue::Histogram(values) => {
                samples.insert(name, values.len());
            }
            _ => {}
        }
    }
    let counters: Vec<(&str, u64)> = counters.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(
        counters,
        [
            ("stoa_jobs_ended_total school dead", 1),
            ("stoa_jobs_ended_total school succeeded", 2),
            ("stoa_jobs_enqueued_total school sum", 3),
        ]
    );
    assert_eq!(samples["stoa_jobs_attempt_seconds school sum"], 3);
    assert_eq!(samples["stoa_jobs_wait_seconds school sum"], 3);
    assert!(samples["stoa_jobs_turn_seconds school"] > 0);
}
