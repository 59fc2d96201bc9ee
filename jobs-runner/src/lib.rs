#![doc = include_str!("../README.md")]

mod jobs;
mod operate;
mod runner;
mod worker;

#[cfg(feature = "cron")]
mod cron;
mod flight;
mod hunger;
mod periodic;
mod wake;

mod backoff;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "dashboard")]
pub mod dashboard;
mod error;
mod handler;
mod job;
pub mod memory;
mod name;
mod page;
#[cfg(feature = "postgres")]
pub mod postgres;
mod record;
mod source;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod store;
mod timetable;

pub use backoff::Backoff;
#[cfg(feature = "cron")]
pub use cron::{Cron, Missed, Schedule};
pub use error::{Error, Result};
pub use handler::{Cancellation, Context, Failure, Handler};
pub use job::{EnqueueOptions, Job};
pub use jobs::Jobs;
pub use memory::Memory;
pub use name::{Kind, Name, Queue};
pub use operate::{Count, Finding, Finished, Holder, Level, Pruned, QueueStats, Retention, Stats, WorkerRecord};
pub use page::{Page, PageRequest};
pub use periodic::{Batch, Lead};
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
pub use record::{AttemptError, DeadReason, Filter, JobId, JobRecord, State};
pub use runner::{Runner, Tally};
pub use source::{Durability, Source};
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;
pub use store::{
    Cancelled, Claim, ClaimRequest, Claimed, Due, Enqueued, NewJob, Orphans, Outcome, Report, Reported, Rescued,
    Signal, Since, Store, Token, Turned, Unique, WorkerId,
};
pub use timetable::{CronEntry, CronRecord, Settlement, Timetable};
