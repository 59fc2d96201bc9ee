//! The one kind of job of these tests, which does what it is told to.

use std::process::abort;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stoa_jobs_runner::{Context, Failure, Handler, Job, Jobs, Source, Store};

use crate::desk::{Desk, Event};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Task(pub(crate) Act);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Act {
    /// Succeeds after so many milliseconds.
    Work(u64),
    /// Fails for good after so many milliseconds.
    Refuse(u64),
    /// Fails after so many milliseconds, and succeeds when it is tried again.
    Stumble(u64),
    /// Takes its process with it.
    Explode,
    Hang,
    /// Succeeds when its gate is open.
    Hold(String),
    /// Gives itself back when it is cancelled.
    Listen,
    /// The first attempt waits for the gate `first` and does this; another one succeeds, or waits for this gate.
    Outlive(Report, Option<String>),
}

/// What an attempt says that has lost its claim.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    Success,
    Failure,
    Fatal,
    Snooze,
    Release,
    Progress,
    CompleteIn,
}

impl Job for Task {
    const KIND: &'static str = "task";
    const MAX_ATTEMPTS: u16 = 1000;
}

/// What handlers have from their process.
pub(crate) struct Host<S, P> {
    pub(crate) jobs: Jobs<S>,
    pub(crate) source: P,
    pub(crate) desk: Desk,
}

impl<S: Store, P: Source<Connection = S::Connection>> Handler<Host<S, P>> for Task {
    async fn run(self, cx: &Context<Host<S, P>>) -> Result<(), Failure> {
        let desk = &cx.state().desk;
        desk.note(Event::Began, cx);
        let outcome = self.0.run(cx).await;
        desk.note(Event::Ended, cx);
        outcome
    }
}

impl Act {
    async fn run<S: Store, P: Source<Connection = S::Connection>>(
        self,
        cx: &Context<Host<S, P>>,
    ) -> Result<(), Failure> {
        match self {
            Self::Work(millis) => wait(millis).await,
            Self::Refuse(millis) => {
                wait(millis).await;
                return Err(Failure::fatal("refused"));
            }
            Self::Stumble(millis) => {
                wait(millis).await;
                if cx.attempt() == 1 {
                    return Err(Failure::retry("stumbled"));
                }
            }
            Self::Explode => abort(),
            Self::Hang => std::future::pending().await,
            Self::Listen => {
                cx.cancelled().await;
                cx.state().desk.note(Event::Cancelled, cx);
                return Err(Failure::release());
            }
            Self::Outlive(report, _) if cx.attempt() == 1 => {
                passed(&cx.state().desk, "first").await;
                return report.make(cx).await;
            }
            Self::Hold(gate) | Self::Outlive(_, Some(gate)) => passed(&cx.state().desk, &gate).await,
            Self::Outlive(_, None) => {}
        }
        Ok(())
    }
}

impl Report {
    async fn make<S: Store, P: Source<Connection = S::Connection>>(
        self,
        cx: &Context<Host<S, P>>,
    ) -> Result<(), Failure> {
        let Host { jobs, source, .. } = cx.state();
        match self {
            Self::Success => Ok(()),
            Self::Failure => Err(Failure::retry("stale")),
            Self::Fatal => Err(Failure::fatal("stale")),
            Self::Snooze => Err(Failure::snooze(Duration::from_hours(1))),
            Self::Release => Err(Failure::release()),
            Self::Progress => {
                cx.progress("stale");
                wait(500).await;
                Ok(())
            }
            Self::CompleteIn => {
                let mut tx = source.begin().await?;
                cx.complete_in(jobs, &mut tx).await?;
                source.commit(tx).await?;
                Ok(())
            }
        }
    }
}

async fn passed(desk: &Desk, gate: &str) {
    while !desk.is_open(gate) {
        wait(5).await;
    }
}

async fn wait(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}
