//! The laws on the memory backend.

use stoa_audit::{Memory, conformance, memory};

#[derive(Default)]
struct Harness(memory::Database);

impl conformance::Harness for Harness {
    type Store = Memory;
    type Source = memory::Database;
    const CONCURRENT_WRITERS: bool = false;

    fn store(&self) -> Memory {
        Memory
    }

    fn source(&self) -> memory::Database {
        self.0.clone()
    }

    async fn savepoint(&self, conn: &mut memory::Connection) {
        conn.savepoint();
    }

    async fn rollback_to_savepoint(&self, conn: &mut memory::Connection) {
        conn.rollback_to_savepoint();
    }
}

stoa_audit::conformance!(Harness::default());
