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
