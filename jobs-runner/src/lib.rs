#![doc = include_str!("../README.md")]

mod jobs;
mod runner;
mod worker;

mod flight;
mod hunger;

mod backoff;
mod handler;
mod job;
mod limit;
mod name;
mod page;
mod record;

mod error;
mod source;
mod store;

pub mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use backoff::Backoff;
pub use error::{Error, Result};
pub use handler::{Cancellation, Context, Failure, Handler};
pub use job::{EnqueueOptions, Job};
pub use jobs::Jobs;
pub use limit::{Limit, LimitKey, Rate};
pub use memory::Memory;
pub use name::{Kind, Queue};
pub use page::{Page, PageRequest};
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
pub use record::{AttemptError, DeadReason, Filter, JobId, JobRecord, State};
pub use runner::{Runner, Tally};
pub use source::Source;
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;
pub use store::{
    Cancelled, Claim, ClaimRequest, Claimed, Due, Enqueued, NewJob, Orphans, Outcome, Report, Reported, Rescued,
    Signal, Since, Store, Token, Turned, Unique, WorkerId,
};
