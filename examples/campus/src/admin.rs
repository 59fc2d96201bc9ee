//! What staff see: the queue, the audit log and whether it is still what was signed, and how search is doing.

pub mod seal;
pub mod sql;

mod audit;
mod jobs;
mod search;

pub(crate) mod pages;

use axum::Router;

use crate::access::{self, PlatformCapability};
use crate::app::{App, Viewer};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::http::Site;
use crate::surface::Surface;

/// What the pages of the staff bring. Their only changes are those of the jobs dashboard.
pub const SURFACE: Surface = Surface {
    name: "admin",
    tables: &[],
    scopes: &[],
    documents: None,
    actions: jobs::ACTIONS,
    jobs: &[],
    capabilities: &["platform.jobs.read", "platform.jobs.manage", "platform.audit.read", "platform.search.read"],
    paths: &["/admin"],
};

/// The jobs dashboard, to be nested under `/admin/jobs`.
pub(crate) fn dashboard<B: Backend>(site: &Site<B>) -> Router<Site<B>> {
    jobs::router(site)
}

/// Lets staff in. For everybody else there is nothing here.
async fn require<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    viewer: &Viewer,
    capability: PlatformCapability,
) -> Result<()> {
    let may = app.platform_capabilities.check(conn, capability, &viewer.user, &access::platform()?).await?;
    if may { Ok(()) } else { Err(Error::NotFound) }
}
