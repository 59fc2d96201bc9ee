//! The laws on the memory backend.

use stoa_jobs_runner::{Memory, conformance, memory};

#[derive(Default)]
struct Harness(memory::Database);

impl conformance::Harness for Harness {
    type Store = Memory;
    type Source = memory::Database;

    fn store(&self) -> Memory {
        Memory
    }

    fn source(&self) -> memory::Database {
        self.0.clone()
    }
}

stoa_jobs_runner::conformance!(Harness::default());

mod virtual_clock {
    use std::time::Duration;

    use serde::{Deserialize, Serialize};
    use stoa_jobs_runner::{
        Backoff, Context, EnqueueOptions, Failure, Handler, Job, Jobs, Memory, Runner, Source, memory,
    };

    #[derive(Serialize, Deserialize)]
    struct Flaky;

    impl Job for Flaky {
        const KIND: &'static str = "flaky";
    }

    impl Handler<()> for Flaky {
        async fn run(self, cx: &Context<()>) -> Result<(), Failure> {
            if cx.attempt() < 3 { Err(Failure::retry("not yet")) } else { Ok(()) }
        }
    }

    /// A host's unit test sees weeks of retries in a moment.
    #[tokio::test]
    async fn time_passes_only_when_it_is_advanced() {
        const MINUTE: Duration = Duration::from_mins(1);
        let database = memory::Database::default();
        let jobs = Jobs::new(Memory);
        let mut conn = database.acquire().await.unwrap();
        jobs.enqueue_with(&mut conn, &Flaky, &EnqueueOptions::default().delay(MINUTE)).await.unwrap();
        let runner = Runner::new(jobs, database.clone(), ())
            .handle::<Flaky>()
            .backoff(Backoff::exponential(2 * MINUTE, 2 * MINUTE));

        let mut walk = Vec::new();
        for minutes in [0, 1, 0, 2, 0, 2, 2] {
            database.advance(minutes * MINUTE);
            let tally = runner.drain().await.unwrap();
            walk.push((tally.succeeded, tally.failed));
        }
        assert_eq!(walk, [(0, 0), (0, 1), (0, 0), (0, 1), (0, 0), (1, 0), (0, 0)]);
    }
}
