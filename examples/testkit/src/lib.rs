//! Ephemeral PostgreSQL and fresh databases for tests, benches and the example host.
//!
//! ```no_run
//! # async fn demonstrate() {
//! # let membership = sqlx::migrate::Migrator::with_migrations(Vec::new());
//! # let jobs = sqlx::migrate::Migrator::with_migrations(Vec::new());
//! let postgres = testkit::postgres(&[&membership, &jobs]).await; // migrated, empty, yours alone
//! let sqlite = testkit::sqlite(&[&membership, &jobs]).await; // the same in a temporary file
//! # drop((postgres, sqlite));
//! # }
//! ```
//!
//! `STOA_TEST_DATABASE_URL` names a running server (as a superuser, any database of it) to use instead of a cluster of
//! our own; it must be used from one machine only, for databases carry the process id of their owner. Without it, the
//! first call of [`postgres`] starts a [`Cluster`] that ends with the process, however that ends. Without PostgreSQL on
//! the machine the test fails and says how to get it: nothing is skipped.

mod cluster;
mod postgres;
mod programs;
mod sqlite;

pub use cluster::{Cluster, Durability};
pub use postgres::{DATABASE_URL_VARIABLE, Postgres, postgres};
pub use sqlite::{Sqlite, sqlite, sqlite_durable};
