//! The way to the pages of the staff.

use axum::extract::State;
use maud::{Markup, html};

use super::{audit, require, search};
use crate::access::PlatformCapability;
use crate::backend::Backend;
use crate::error::Result;
use crate::flags::Flag;
use crate::http::layout::page;
use crate::http::session::Session;
use crate::http::{Routes, Site};

/// Adds the pages of the staff; the jobs dashboard is mounted beside them.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes
        .get("/admin", overview::<B>)
        .get("/admin/search", search::search::<B>)
        .get("/admin/audit", audit::list::<B>)
        .get("/admin/audit/verify", audit::verify::<B>)
        .get("/admin/audit/records/{id}", audit::record::<B>)
}

/// The pages of the staff, to go from one to another.
pub(super) fn tabs(here: &str) -> Markup {
    let places = [
        ("/admin", "Overview"),
        ("/admin/jobs", "Jobs"),
        ("/admin/audit", "Audit log"),
        ("/admin/audit/verify", "Verification"),
        ("/admin/search", "Search index"),
    ];
    html! {
        nav aria-label="Staff" {
            ul.tabs {
                @for (path, name) in places {
                    li { a href=(path) aria-current=[(path == here).then_some("page")] { span.badge { (name) } } }
                }
            }
        }
    }
}

/// What runs, what happened, and what is found, at a glance.
async fn overview<B: Backend>(State(site): State<Site<B>>, session: Session) -> Result<Markup> {
    let app = &site.app;
    let (mut tx, viewer) = app.read_as(&session.caller.user).await?;
    require(app, &mut tx, &viewer, PlatformCapability::ReadJobs).await?;
    let may = async |tx: &mut B::Transaction, capability| require(app, tx, &viewer, capability).await.is_ok();
    let queues = app.jobs.stats(&mut tx).await?.queues;
    let newest =
        if may(&mut tx, PlatformCapability::ReadAudit).await { Some(audit::newest(app, &mut tx).await?) } else { None };
    let index =
        if may(&mut tx, PlatformCapability::ReadSearch).await { Some(app.search.stats(&mut tx).await?) } else { None };
    let paused = queues.iter().filter(|queue| queue.is_paused).count();
    let waiting = queues.iter().filter(|queue| queue.oldest.is_some()).count();
    Ok(page(
        "Administration",
        Some(&viewer),
        "",
        &html! {
            h1 { "Administration" }
            (tabs("/admin"))
            ul.grid {
                li.card {
                    h2.hit { a href="/admin/jobs" { "Jobs" } }
                    p { (queues.len()) " queues, " (waiting) " with work waiting" @if paused > 0 { ", " strong { (paused) " paused" } } "." }
                    p.soft { "A job exists if, and only if, the transaction that enqueued it has committed." }
                }
                @if let Some(newest) = &newest {
                    li.card {
                        h2.hit { a href="/admin/audit" { "Audit log" } }
                        @match newest {
                            Some(newest) => p { "Last: " code { (newest.action) } " by " (newest.actor) ", " (newest.when) "." },
                            None => p { "Nothing has been recorded yet." },
                        }
                        p.soft { a href="/admin/audit/verify" { "Is it still what was signed?" } }
                    }
                }
                li.card {
                    h2.hit { "New work" }
                    ul.plain {
                        @for flag in Flag::ALL {
                            li { code { (flag.as_str()) } " for " (app.flags.percent(flag)) " % of the people" span.soft { (flag.about()) } }
                        }
                    }
                    p.soft { "Changed with " code { "--flag NAME=PERCENT" } "." }
                }
                @if let Some(index) = &index {
                    li.card {
                        h2.hit { a href="/admin/search" { "Search index" } }
                        p { (index.documents) " documents in " (index.segments) " segments, " (index.changes) " changes in the log." }
                        p.soft { "Found at once by whoever may see them, from the commit on." }
                    }
                }
            }
        },
    ))
}
