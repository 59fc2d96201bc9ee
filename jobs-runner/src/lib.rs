#![doc = include_str!("../README.md")]

mod backoff;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "cron")]
mod cron;
#[cfg(feature = "dashboard")]
pub mod dashboard;
mod error;
mod handler;
mod job;
mod jobs;
mod limit;
pub mod memory;
mod meter;
mod name;
mod operate;
mod page;
mod periodic;
#[cfg(feature = "postgres")]
pub mod postgres;
mod record;
mod runner;
mod source;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod store;
pub mod testing;
mod timetable;
mod wake;
mod worker;

pub use backoff::Backoff;
#[cfg(feature = "cron")]
pub use cron::{Cron, Missed, Schedule};
pub use error::{Error, Result};
pub use handler::{Cancellation, Context, Failure, Handler};
pub use job::{EnqueueOptions, Job};
pub use jobs::Jobs;
pub use limit::{Limit, LimitKey, Rate};
pub use memory::Memory;
pub use name::{Kind, Name, Queue};
pub use operate::{Count, Finding, Finished, Holder, Level, Pruned, QueueStats, Retention, Stats, WorkerRecord};
pub use page::{Page, PageRequest};
pub use periodic::{Batch, Lead};
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
pub use record::{AttemptError, DeadReason, Filter, JobId, JobRecord, State};
pub use runner::{Runner, Tally};
pub use source::Source;
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;
pub use store::{
    Cancelled, Claim, ClaimRequest, Claimed, Due, Durability, Enqueued, Heartbeat, NewJob, Orphans, Outcome, Report,
    Reported, Rescued, Signal, Since, Store, Token, Turned, Unique, WorkerId,
};
pub use timetable::{CronEntry, CronRecord, Settlement, Timetable};
