//! A command line for operators, to put under one's own: `adminctl jobs …`.
//!
//! ```no_run
//! # #[cfg(feature = "sqlite")]
//! # mod host {
//! use clap::Parser;
//! use stoa_jobs_runner::{Jobs, Runner, Sqlite, cli};
//! # #[derive(serde::Serialize, serde::Deserialize)]
//! # struct Welcome;
//! # impl stoa_jobs_runner::Job for Welcome { const KIND: &'static str = "mail.welcome"; }
//! # impl stoa_jobs_runner::Handler<()> for Welcome {
//! #     async fn run(self, _: &stoa_jobs_runner::Context<()>) -> Result<(), stoa_jobs_runner::Failure> { Ok(()) }
//! # }
//!
//! #[derive(Parser)]
//! enum Adminctl {
//!     /// Works with jobs.
//!     Jobs(cli::Cli),
//! }
//!
//! # pub async fn run(pool: sqlx::SqlitePool) -> std::process::ExitCode {
//! let Adminctl::Jobs(command) = Adminctl::parse();
//! let runner = Runner::new(Jobs::new(Sqlite), pool, ()).handle::<Welcome>();
//! command.execute(runner).await
//! # }
//! # }
//! ```
//!
//! Exit codes: 0 done; 1 the database failed; 2 the command line is wrong; 3 there was no such job, or none in a state that
//! allows it; 4 the doctor warns.

mod limits;
mod print;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};

use self::limits::Limits;
use self::print::Output;
use crate::operate::visible::visible;
use crate::{
    Cancelled, Error, Filter, JobId, Jobs, Kind, Level, PageRequest, Queue, Result, Retention, Runner, Source, State,
    Store,
};

/// What to do with jobs.
#[derive(Args, Clone, Debug)]
pub struct Cli {
    /// Prints JSON, one object a line.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Runs jobs until the process is told to stop.
    Run {
        /// Serves this queue; may be repeated. Default: the queues of all jobs that this program knows.
        #[arg(long, value_name = "NAME")]
        queue: Vec<Queue>,
        /// Runs so many jobs of each queue at once.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
        concurrency: u32,
        /// Runs what is due, then ends.
        #[arg(long)]
        drain: bool,
    },
    #[command(flatten)]
    Show(Show),
    /// Lists, sets and removes limits of queues and keys.
    #[command(subcommand)]
    Limits(Limits),
    /// Brings dead and cancelled jobs back, and lets failed ones run at once.
    Retry(Selection),
    /// Cancels waiting jobs, and asks running ones to end.
    Cancel(Selection),
    /// Removes waiting and finished jobs without a trace.
    Delete(Selection),
    /// Gives waiting jobs up: they are dead, and can be brought back.
    Discard {
        /// Which jobs.
        #[arg(required = true)]
        id: Vec<JobId>,
        /// What is recorded as their error.
        #[arg(long, default_value = "discarded by an operator", value_name = "TEXT")]
        because: String,
    },
    /// Lets nobody claim from queues.
    Pause {
        /// Which queues.
        #[arg(required = true)]
        queue: Vec<Queue>,
    },
    /// Ends a pause.
    Resume {
        /// Which queues.
        #[arg(required = true)]
        queue: Vec<Queue>,
    },
    /// Forgets finished jobs that are old enough.
    Prune {
        /// Age of jobs that are done, such as 12h or 7d.
        #[arg(long, default_value = "7d", value_name = "AGE", value_parser = age)]
        succeeded: Duration,
        /// Age of cancelled jobs.
        #[arg(long, default_value = "30d", value_name = "AGE", value_parser = age)]
        cancelled: Duration,
        /// Age of dead jobs.
        #[arg(long, default_value = "90d", value_name = "AGE", value_parser = age)]
        dead: Duration,
        /// Stops after this time.
        #[arg(long, default_value = "5m", value_name = "TIME", value_parser = age)]
        budget: Duration,
    },
}

/// What changes nothing.
#[derive(Clone, Debug, Subcommand)]
enum Show {
    /// Lists jobs, the latest first.
    List {
        #[command(flatten)]
        filter: FilterArgs,
        /// At most so many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Goes on below this job.
        #[arg(long, value_name = "ID")]
        below: Option<JobId>,
    },
    /// Shows one job with its payload and the error of every attempt.
    Inspect {
        /// Which job.
        id: JobId,
    },
    /// Says how the queues are doing.
    Stats,
    /// Lists the workers.
    Workers,
    /// Lists the cron entries.
    #[cfg(feature = "cron")]
    Cron,
    /// Examines the database under the queues.
    Doctor,
}

#[derive(Args, Clone, Debug)]
struct FilterArgs {
    /// Only in this state: pending, running, failed, succeeded, dead or cancelled.
    #[arg(long, value_parser = |text: &str| State::try_from(text))]
    state: Option<State>,
    /// Only of this queue.
    #[arg(long, value_name = "NAME")]
    queue: Option<Queue>,
    /// Only of this kind.
    #[arg(long, value_name = "NAME")]
    kind: Option<Kind>,
    /// Only enqueued since: a moment in RFC 3339, or an age such as 2h.
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    after: Option<DateTime<Utc>>,
    /// Only enqueued before.
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    before: Option<DateTime<Utc>>,
}

/// Some jobs by their ids, or many by what they are.
#[derive(Args, Clone, Debug)]
struct Selection {
    /// Which jobs.
    #[arg(conflicts_with_all = ["state", "queue", "kind", "after", "before", "all", "limit"])]
    id: Vec<JobId>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Whatever they are, where nothing else says which.
    #[arg(long)]
    all: bool,
    /// At most so many.
    #[arg(long, default_value_t = 1000)]
    limit: u32,
}

impl FilterArgs {
    fn filter(self) -> Filter {
        Filter {
            id: None,
            queue: self.queue,
            kind: self.kind,
            state: self.state,
            after: self.after,
            before: self.before,
        }
    }

    fn is_empty(&self) -> bool {
        let Self { state, queue, kind, after, before } = self;
        state.is_none() && queue.is_none() && kind.is_none() && after.is_none() && before.is_none()
    }
}

/// Why a command ended otherwise than as one might hope.
enum Stop {
    Failed(Error),
    Misused(&'static str),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid { what: "runner", .. } => Self::Misused("this program has no handlers"),
            error => Self::Failed(error),
        }
    }
}

const NOTHING: u8 = 3;
const WARNED: u8 = 4;

impl Cli {
    /// Does what was asked for, prints what came of it, and returns the exit code.
    ///
    /// `run` ends gracefully on SIGTERM and Ctrl-C.
    pub async fn execute<S, P, T>(self, runner: Runner<S, P, T>) -> ExitCode
    where
        S: Store + Clone,
        P: Source<Connection = S::Connection>,
        T: Send + Sync + 'static,
    {
        let mut output = Output::new(self.json);
        let ended = match self.command {
            Command::Run { queue, concurrency, drain } => run(runner, queue, concurrency, drain, &mut output).await,
            command => act(command, &runner.jobs, &runner.source, &mut output).await,
        };
        let code = match ended {
            Ok(code) => code,
            Err(Stop::Misused(problem)) => complain(&problem, 2),
            Err(Stop::Failed(error)) => complain(&error, 1),
        };
        // Whoever closes the pipe has seen enough.
        let _ = std::io::stdout().write_all(output.text().as_bytes());
        ExitCode::from(code)
    }
}

/// Prints an error with its causes.
fn complain<E: std::fmt::Display + AsCause>(error: &E, code: u8) -> u8 {
    let mut text = error.to_string();
    let mut cause = error.cause();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    let _ = writeln!(std::io::stderr(), "error: {}", visible(&text));
    code
}

trait AsCause {
    fn cause(&self) -> Option<&(dyn std::error::Error + 'static)>;
}

impl AsCause for &'static str {
    fn cause(&self) -> Option<&(dyn std::error::Error + 'static)> {
        None
    }
}

impl AsCause for Error {
    fn cause(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(self)
    }
}

async fn run<S, P, T>(
    mut runner: Runner<S, P, T>,
    queues: Vec<Queue>,
    concurrency: u32,
    drain: bool,
    output: &mut Output,
) -> Result<u8, Stop>
where
    S: Store + Clone,
    P: Source<Connection = S::Connection>,
    T: Send + Sync + 'static,
{
    for queue in queues {
        runner = runner.queue(queue.as_str(), concurrency);
    }
    let tally = if drain { runner.drain().await? } else { runner.run_until(told_to_stop()).await? };
    output.tally(&tally);
    Ok(0)
}

async fn told_to_stop() {
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        return;
    }
    let _ = tokio::signal::ctrl_c().await;
}

async fn act<S: Store, P: Source<Connection = S::Connection>>(
    command: Command,
    jobs: &Jobs<S>,
    source: &P,
    output: &mut Output,
) -> Result<u8, Stop> {
    let mut done = 0;
    match command {
        Command::Run { .. } => {}
        Command::Show(show) => return Ok(tell(show, jobs, source, output).await?),
        Command::Limits(limits) => return Ok(limits::act(limits, jobs, source, output).await?),
        Command::Retry(selection) => {
            for (filter, limit) in filters(selection)? {
                let mut tx = source.begin().await?;
                done += jobs.retry(&mut tx, &filter, limit).await?;
                source.commit(tx).await?;
            }
            output.done("retried", done);
        }
        Command::Cancel(Selection { id, .. }) if !id.is_empty() => {
            let mut asked = 0;
            let mut conn = source.acquire().await?;
            for id in id {
                match jobs.cancel(&mut conn, id).await? {
                    Cancelled::Now => done += 1,
                    Cancelled::Requested => asked += 1,
                    Cancelled::NotFound => {}
                }
            }
            output.done("cancelled", done);
            output.done("asked to end", asked);
            done += asked;
        }
        Command::Cancel(selection) => {
            for (filter, limit) in filters(selection)? {
                let mut tx = source.begin().await?;
                done += jobs.cancel_many(&mut tx, &filter, limit).await?;
                source.commit(tx).await?;
            }
            output.done("cancelled or asked to end", done);
        }
        Command::Delete(selection) => {
            for (filter, limit) in filters(selection)? {
                let mut tx = source.begin().await?;
                done += jobs.delete_many(&mut tx, &filter, limit).await?;
                source.commit(tx).await?;
            }
            output.done("deleted", done);
        }
        Command::Discard { id, because } => {
            let mut conn = source.acquire().await?;
            for id in id {
                done += u64::from(jobs.discard(&mut conn, id, &because).await?);
            }
            output.done("discarded", done);
        }
        Command::Pause { queue } => {
            let mut conn = source.acquire().await?;
            for queue in &queue {
                jobs.pause(&mut conn, queue).await?;
            }
            return Ok(0);
        }
        Command::Resume { queue } => {
            let mut conn = source.acquire().await?;
            for queue in &queue {
                jobs.resume(&mut conn, queue).await?;
            }
            return Ok(0);
        }
        Command::Prune { succeeded, cancelled, dead, budget } => {
            let pruned = jobs.prune_within(source, &Retention { succeeded, cancelled, dead }, budget).await?;
            output.pruned(&pruned);
            return Ok(0);
        }
    }
    Ok(if done == 0 { NOTHING } else { 0 })
}

async fn tell<S: Store, P: Source<Connection = S::Connection>>(
    show: Show,
    jobs: &Jobs<S>,
    source: &P,
    output: &mut Output,
) -> Result<u8> {
    let mut conn = source.acquire().await?;
    match show {
        Show::List { filter, limit, below } => {
            let mut page = PageRequest::first(limit);
            if let Some(id) = below {
                page = page.after(id);
            }
            output.jobs(&jobs.list(&mut conn, &filter.filter(), &page).await?);
        }
        Show::Inspect { id } => {
            let Some(job) = jobs.find(&mut conn, id).await? else { return Ok(NOTHING) };
            output.job(&job);
        }
        Show::Stats => output.stats(&jobs.stats(&mut conn).await?),
        Show::Workers => output.workers(&jobs.workers(&mut conn).await?),
        #[cfg(feature = "cron")]
        Show::Cron => output.cron(&jobs.schedule(&mut conn).await?),
        Show::Doctor => {
            let findings = jobs.doctor(&mut conn).await?;
            output.findings(&findings);
            if findings.iter().any(|finding| finding.level() == Level::Warning) {
                return Ok(WARNED);
            }
        }
    }
    Ok(0)
}

fn filters(selection: Selection) -> Result<Vec<(Filter, u32)>, Stop> {
    if !selection.id.is_empty() {
        return Ok(selection.id.into_iter().map(|id| (Filter::default().id(id), 1)).collect());
    }
    if selection.filter.is_empty() && !selection.all {
        return Err(Stop::Misused("which jobs? name ids, a filter, or --all"));
    }
    Ok(vec![(selection.filter.filter(), selection.limit)])
}

/// Parses a whole number with a unit: s, m, h, d.
fn age(text: &str) -> Result<Duration, String> {
    let problem = || "must be a whole number with a unit: 90s, 15m, 12h, 7d".to_owned();
    let (number, unit) = text.split_at(text.len() - text.chars().last().map_or(0, char::len_utf8));
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(problem()),
    };
    let number: u64 = number.parse().map_err(|_| problem())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(problem)
}

fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.to_utc());
    }
    let ago = age(text).map_err(|_| "must be a moment in RFC 3339, or an age such as 2h".to_owned())?;
    let ago = TimeDelta::from_std(ago).ok().and_then(|ago| Utc::now().checked_sub_signed(ago));
    ago.ok_or_else(|| "is too long ago".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_moments_are_parsed_or_refused() {
        assert_eq!(age("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(age("7d"), Ok(Duration::from_hours(168)));
        for bad in ["", "d", "7", "-1d", "7 d", "1w", "1é", "99999999999999999999d", "18446744073709551615d"] {
            assert!(age(bad).is_err(), "{bad:?}");
        }
        assert_eq!(moment("2026-01-02T03:04:05Z").unwrap().timestamp(), 1_767_323_045);
        assert!(moment("18446744073709551615s").is_err() && moment("yesterday").is_err());
    }
}
