//! The dashboard of `stoa-jobs-runner`, for staff, with an audit record for whatever its buttons change.
//!
//! The dashboard commits for itself, so the record is written where it commits: [`Recorded`] is the source of its connections, and adds the
//! record to the transaction that changed something. Who asked for it is known to the request's task.

use std::ops::{Deref, DerefMut};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::http::request::Parts;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use stoa_audit::{Action as Audited, Entity, EntityId, EntityType, Record};
use stoa_jobs_runner::dashboard::{Action, Dashboard};
use stoa_jobs_runner::{self as jobs, Source};

use super::require;
use super::sql::AdminSql as _;
use crate::access::PlatformCapability;
use crate::app::App;
use crate::backend::Backend;
use crate::caller::Caller;
use crate::error::{Error, Result};
use crate::http::Site;
use crate::http::session::Session;

const RETRIED: Audited = Audited::new("bits.jobs.v1.JobService/RetryJobs");
const CANCELLED: Audited = Audited::new("bits.jobs.v1.JobService/CancelJobs");
const DISCARDED: Audited = Audited::new("bits.jobs.v1.JobService/DiscardJob");
const DELETED: Audited = Audited::new("bits.jobs.v1.JobService/DeleteJobs");
const PAUSED: Audited = Audited::new("bits.jobs.v1.QueueService/PauseQueue");
const RESUMED: Audited = Audited::new("bits.jobs.v1.QueueService/ResumeQueue");

/// What the buttons leave in the audit log.
pub(super) const ACTIONS: &[Audited] = &[RETRIED, CANCELLED, DISCARDED, DELETED, PAUSED, RESUMED];

tokio::task_local! {
    /// The record of the request that is being answered.
    static INTENT: Record;
}

/// The dashboard, not yet mounted.
pub(super) fn router<B: Backend>(site: &Site<B>) -> Router<Site<B>> {
    let app = site.app.clone();
    // Whoever may not read has not come so far; the buttons are for whoever may manage.
    let guard = move |parts: &Parts, action: Action| {
        let (app, caller) = (app.clone(), parts.extensions.get::<Caller>().cloned());
        async move {
            let capability =
                if action == Action::View { PlatformCapability::ReadJobs } else { PlatformCapability::ManageJobs };
            match caller {
                Some(caller) => may(&app, &caller, capability).await.is_ok(),
                None => false,
            }
        }
    };
    Dashboard::new(site.app.jobs.clone(), Recorded(site.app.clone()), guard)
        .router()
        .layer(middleware::from_fn_with_state(site.clone(), gate::<B>))
}

async fn may<B: Backend>(app: &App<B>, caller: &Caller, capability: PlatformCapability) -> Result<()> {
    let (mut tx, viewer) = app.read_as(&caller.user).await?;
    require(app, &mut tx, &viewer, capability).await
}

/// Answers everybody but staff as if there were nothing, and notes what the request is about to change.
async fn gate<B: Backend>(State(site): State<Site<B>>, session: Session, mut request: Request, next: Next) -> Response {
    let caller = session.caller;
    if let Err(error) = may(&site.app, &caller, PlatformCapability::ReadJobs).await {
        return error.into_response();
    }
    request.extensions_mut().insert(caller.clone());
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    match intent(&caller, request.uri().path()) {
        Ok(record) => INTENT.scope(record, next.run(request)).await,
        Err(error) => error.into_response(),
    }
}

/// What a button does, by its path below the dashboard's: `/job/7/retry`, `/list/delete`, `/queue/mail/pause`.
fn intent(caller: &Caller, path: &str) -> Result<Record> {
    let mut parts = path.rsplit('/');
    let action = match parts.next() {
        Some("retry") => RETRIED,
        Some("cancel") => CANCELLED,
        Some("discard") => DISCARDED,
        Some("delete") => DELETED,
        Some("pause") => PAUSED,
        Some("resume") => RESUMED,
        _ => return Err(Error::NotFound),
    };
    let (name, kind) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let (kind, id) = match (kind, name) {
        ("job", id) => (EntityType::from_static("job"), id),
        ("queue", name) => (EntityType::from_static("queue"), name),
        // Which ones is a filter in the form: up to a thousand that look alike.
        (_, "list") => (EntityType::from_static("job_list"), "filtered"),
        _ => return Err(Error::NotFound),
    };
    let id = EntityId::new(id).map_err(|_| Error::NotFound)?;
    caller.record(action, Entity::new(kind, id))
}

/// Where the dashboard's connections come from.
#[derive(Clone)]
struct Recorded<B: Backend>(App<B>);

/// A transaction, and what had been written on its connection when it began.
struct Marked<T> {
    tx: T,
    before: i64,
}

impl<T: Deref> Deref for Marked<T> {
    type Target = T::Target;

    fn deref(&self) -> &T::Target {
        &self.tx
    }
}

impl<T: DerefMut> DerefMut for Marked<T> {
    fn deref_mut(&mut self) -> &mut T::Target {
        &mut self.tx
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> jobs::Error {
    jobs::Error::Backend(Box::new(error))
}

impl<B: Backend> Source for Recorded<B> {
    type Connection = B::Connection;
    type Guard = <B::Pool as Source>::Guard;
    type Transaction = Marked<<B::Pool as Source>::Transaction>;

    async fn acquire(&self) -> jobs::Result<Self::Guard> {
        Source::acquire(self.0.backend.pool()).await
    }

    async fn begin(&self) -> jobs::Result<Self::Transaction> {
        let mut tx = Source::begin(self.0.backend.pool()).await?;
        let before = tx.written().await.map_err(failed)?;
        Ok(Marked { tx, before })
    }

    async fn begin_snapshot(&self) -> jobs::Result<Self::Transaction> {
        Ok(Marked { tx: Source::begin_snapshot(self.0.backend.pool()).await?, before: 0 })
    }

    async fn commit(&self, Marked { mut tx, before }: Self::Transaction) -> jobs::Result<()> {
        let record = INTENT.try_with(Clone::clone).ok();
        if let Some(record) = record
            && tx.written().await.map_err(failed)? != before
        {
            self.0.audit.record(&mut tx, &record).await.map_err(failed)?;
        }
        Source::commit(self.0.backend.pool(), tx).await
    }

    async fn notify(&self) -> jobs::Result<()> {
        Source::notify(self.0.backend.pool()).await
    }
}
