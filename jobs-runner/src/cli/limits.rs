//! What may run at once, and begin within a time.

use std::time::Duration;

use clap::Subcommand;

use super::print::Output;
use super::{NOTHING, age};
use crate::{Jobs, Limit, LimitKey, Queue, Rate, Result, Source, Store};

/// What to do with limits.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Limits {
    /// Lists them.
    List,
    /// Sets the limit of a queue or a key, instead of the one it has.
    Set {
        /// Of what: `queue:mail`, `api:7`, or `api` for each key named so that has none of its own.
        #[arg(value_parser = key)]
        key: LimitKey,
        /// At most so many run at once.
        #[arg(long, value_name = "NUMBER", value_parser = concurrency, required_unless_present = "rate")]
        concurrency: Option<u32>,
        /// At most so many begin within a time, such as 100/1m.
        #[arg(long, value_name = "NUMBER/TIME", value_parser = rate)]
        rate: Option<Rate>,
    },
    /// Removes the limits of queues and keys.
    Remove {
        /// Of what.
        #[arg(required = true, value_parser = key)]
        key: Vec<LimitKey>,
    },
}

pub(super) async fn act<S: Store, P: Source<Connection = S::Connection>>(
    limits: Limits,
    jobs: &Jobs<S>,
    source: &P,
    output: &mut Output,
) -> Result<u8> {
    let mut conn = source.acquire().await?;
    match limits {
        Limits::List => output.limits(&jobs.limits(&mut conn).await?),
        Limits::Set { key, concurrency, rate } => jobs.set_limit(&mut conn, &key, &Limit { concurrency, rate }).await?,
        Limits::Remove { key } => {
            let mut removed = 0;
            for key in &key {
                removed += u64::from(jobs.remove_limit(&mut conn, key).await?);
            }
            output.done("removed", removed);
            return Ok(if removed == 0 { NOTHING } else { 0 });
        }
    }
    Ok(0)
}

fn key(text: &str) -> Result<LimitKey> {
    match text.strip_prefix("queue:") {
        Some(queue) => Ok(LimitKey::queue(&Queue::try_from(queue)?)),
        None => LimitKey::new(text),
    }
}

fn concurrency(text: &str) -> Result<u32, String> {
    let count = text.parse().map_err(|_| "must be a number".to_owned())?;
    Limit::concurrency(count).checked().map_err(|error| error.to_string())?;
    Ok(count)
}

fn rate(text: &str) -> Result<Rate, String> {
    let problem = || "must be a number and a time: 100/1m".to_owned();
    let (count, per) = text.split_once('/').ok_or_else(problem)?;
    let (count, per): (u32, Duration) = (count.parse().map_err(|_| problem())?, age(per)?);
    Limit::rate(count, per).checked().map_err(|error| error.to_string())?;
    Ok(Rate { count, per })
}
