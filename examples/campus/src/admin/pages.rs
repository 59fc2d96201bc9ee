//! What runs and what happened, for staff.

use axum::extract::State;
use maud::{Markup, html};
use stoa_jobs_runner::Filter;
use {stoa_audit as audit, stoa_jobs_runner as jobs};

use crate::access::{self, PlatformCapability};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::http::layout::{date, page};
use crate::http::session::Session;
use crate::http::{Routes, Site};

/// Adds the pages of the staff.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes.get("/jobs", jobs::<B>).get("/audit", audit::<B>)
}

/// Rows on a page.
const ROWS: u32 = 100;

/// The newest jobs.
async fn jobs<B: Backend>(State(site): State<Site<B>>, session: Session) -> Result<Markup> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    if !site
        .app
        .platform_capabilities
        .check(&mut tx, PlatformCapability::ReadJobs, &viewer.user, &access::platform()?)
        .await?
    {
        return Err(Error::Forbidden);
    }
    let jobs = site.app.jobs.list(&mut tx, &Filter::default(), &jobs::PageRequest::first(ROWS)).await?.items;
    Ok(page(
        "Jobs",
        Some(&viewer),
        "",
        &html! {
            h1 { "Jobs" }
            p.lead { "The newest first. A job exists if, and only if, the transaction that enqueued it has committed." }
            div.scroll {
                table {
                    thead { tr { th { "Id" } th { "Queue" } th { "Kind" } th { "State" } th { "Attempt" } th { "Arguments" } th { "Last error" } } }
                    tbody {
                        @for job in &jobs {
                            tr {
                                td { (job.id) }
                                td { (job.queue) }
                                td { (job.kind) }
                                td { span.badge.(job.state) { (job.state) } @if let Some(reason) = job.reason { " " (reason) } }
                                td { (job.attempt) " of " (job.max_attempts) }
                                td { code { (job.payload) } }
                                td { (job.last_error.as_deref().unwrap_or_default()) }
                            }
                        }
                    }
                }
            }
        },
    ))
}

/// The newest audit records.
async fn audit<B: Backend>(State(site): State<Site<B>>, session: Session) -> Result<Markup> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    if !site
        .app
        .platform_capabilities
        .check(&mut tx, PlatformCapability::ReadAudit, &viewer.user, &access::platform()?)
        .await?
    {
        return Err(Error::Forbidden);
    }
    let records = site.app.audit.list(&mut tx, &audit::Filter::new(), &audit::PageRequest::first(ROWS)).await?;
    Ok(page(
        "Audit",
        Some(&viewer),
        "",
        &html! {
            h1 { "Audit" }
            p.lead { "The newest first. The database itself refuses to change or delete a record." }
            div.scroll {
                table {
                    thead { tr { th { "When" } th { "Who" } th { "What" } th { "To what" } th { "After" } } }
                    tbody {
                        @for entry in &records.items {
                            tr {
                                td { (date(entry.id.at().timestamp_micros())) }
                                td { (entry.record.actor.kind()) " " (entry.record.actor.id()) }
                                td { code.name { (entry.record.action) } }
                                td { (entry.record.entity.kind()) " " code { (entry.record.entity.id()) } }
                                td { @if let Some(after) = &entry.record.after { code { (after.as_str()) } } }
                            }
                        }
                    }
                }
            }
        },
    ))
}
