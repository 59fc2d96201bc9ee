//! How search is doing.

use axum::extract::State;
use maud::{Markup, html};

use super::pages::tabs;
use super::require;
use super::sql::AdminSql as _;
use crate::access::PlatformCapability;
use crate::backend::Backend;
use crate::error::Result;
use crate::http::Site;
use crate::http::layout::page;
use crate::http::session::Session;
use crate::search::surface_name;

/// Documents of a surface are counted so far.
const COUNTED: i64 = 10_000;

/// More surfaces than this are not listed.
const SURFACES: usize = 32;

/// The index in numbers.
pub(super) async fn search<B: Backend>(State(site): State<Site<B>>, session: Session) -> Result<Markup> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    require(&site.app, &mut tx, &viewer, PlatformCapability::ReadSearch).await?;
    let stats = site.app.search.stats(&mut tx).await?;
    let mut surfaces: Vec<(String, i64)> = Vec::new();
    while surfaces.len() < SURFACES {
        let above = surfaces.last().map_or("", |(name, _)| name.as_str()).to_owned();
        let Some(next) = tx.documents_above(&above, COUNTED + 1).await? else { break };
        surfaces.push(next);
    }
    let facts = [
        ("Documents", stats.documents.to_string()),
        ("Words", format!("about {}", stats.words)),
        ("Segments", format!("{}, {}", stats.segments, size(stats.segment_bytes))),
        ("Changes in the log", format!("{}, {}", stats.changes, size(stats.log_bytes))),
        ("On disk", stats.stored_bytes.map_or_else(|| "not known to SQLite".into(), size)),
        ("Analyzer", format!("generation {}; {} of an older one", stats.generation, stats.outdated)),
    ];
    Ok(page(
        "Search index",
        Some(&viewer),
        "",
        &html! {
            h1 { "Search index" }
            (tabs("/admin/search"))
            p.lead {
                "A search reads segments and log together, so nothing is ever missing. "
                "Every minute one process makes segments of the log."
            }
            dl.facts { @for (name, value) in &facts { div { dt { (name) } dd { (value) } } } }
            @if stats.outdated > 0 {
                p { "Documents of an older analyzer are found by its words until " code { "adminctl search reindex" } " has run." }
            }
            h2 { "Documents by surface" }
            @if surfaces.is_empty() { p.soft { "Nothing is indexed yet." } }
            dl.facts {
                @for (surface, count) in &surfaces {
                    div {
                        dt { (surface_name(surface)) }
                        dd { @if *count > COUNTED { "more than " (COUNTED) } @else { (count) } }
                    }
                }
            }
        },
    ))
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    let mut rest = bytes;
    for unit in ["bytes", "KiB", "MiB", "GiB"] {
        if rest < 10_240 {
            return format!("{rest} {unit}");
        }
        rest /= 1024;
    }
    format!("{rest} TiB")
}
