//! What the clock enqueues.

use axum::Extension;
use axum::extract::State;
use chrono::TimeDelta;
use maud::{Markup, html};

use super::layout::{Place, Refusal, line, moment, page};
use super::protect::Visit;
use super::{Guard, Site};
use crate::{Source, Store};

/// A runner settles its entries every third of its lease; nobody has one so long that this would be too soon.
const UNSERVED: TimeDelta = TimeDelta::minutes(5);

pub(super) async fn cron<S, P, G>(
    State(site): State<Site<S, P, G>>,
    Extension(visit): Extension<Visit>,
) -> Result<Markup, Refusal>
where
    S: Store + Clone,
    P: Source<Connection = S::Connection>,
    G: Guard,
{
    let mut conn = site.source.acquire().await?;
    let timetable = site.jobs.store.timetable(&mut conn).await?;
    drop(conn);
    let content = html! {
        div.head { h1 { "Cron" } }
        @if timetable.entries.is_empty() {
            p.empty { "No runner has had a cron entry." }
        } @else {
            table.cards {
                thead { tr { th { "Entry" } th { "Expression" } th { "Zone" } th { "Last tick" } th { "Next tick" } th { "State" } } }
                tbody {
                    @for entry in &timetable.entries {
                        tr {
                            td.title { (entry.name) }
                            td data-label="Expression" { code { (line(&entry.expression)) } }
                            td data-label="Zone" { (line(&entry.zone)) }
                            td data-label="Last tick" { @if let Some(at) = entry.last_fire_at { (moment(at)) } @else { "–" } }
                            td data-label="Next tick" { @if let Some(at) = entry.next_fire_at() { (moment(at)) } @else { "–" } }
                            td data-label="State" {
                                @if timetable.now - entry.settled_at > UNSERVED {
                                    span.badge.dead title="No runner with this entry has been there for five minutes." { "unserved" }
                                } @else {
                                    span.badge.succeeded { "served" }
                                }
                            }
                        }
                    }
                }
            }
        }
    };
    Ok(page(&visit, "Cron", Place::Cron, &content))
}
