//! How it is going: the queues, what runs, what fails; and whether the database and the workers are well.

use axum::Extension;
use axum::extract::{Query, State};
use axum::response::{AppendHeaders, IntoResponse, Response};
use maud::{Markup, PreEscaped, html};
use serde::Deserialize;

use super::layout::{Place, Refusal, button, count, line, moment, note, page, span, thousands};
use super::protect::Visit;
use super::{Action, Guard, Site, list};
use crate::{Count, Filter, JobRecord, Level, Page, PageRequest, QueueStats, Source, State as JobState, Stats, Store};

/// How many jobs of a sort the overview shows.
const FEW: u32 = 8;

#[derive(Deserialize)]
pub(super) struct Asked {
    done: Option<String>,
    live: Option<String>,
}

pub(super) async fn overview<S, P, G>(
    State(site): State<Site<S, P, G>>,
    Extension(visit): Extension<Visit>,
    Query(asked): Query<Asked>,
) -> Result<Response, Refusal>
where
    S: Store + Clone,
    P: Source<Connection = S::Connection>,
    G: Guard,
{
    let mut tx = site.source.begin_snapshot().await?;
    let stats = site.jobs.stats(&mut tx).await?;
    let few = PageRequest::first(FEW);
    let mut latest = Vec::new();
    for (state, title) in SECTIONS {
        latest.push((state, title, site.jobs.list(&mut tx, &Filter::default().state(state), &few).await?));
    }
    drop(tx);
    let may_pause = visit.may(&*site.guard, Action::Pause).await;
    let may_resume = visit.may(&*site.guard, Action::Resume).await;
    let is_live = asked.live.is_some();
    let content = html! {
        (note(asked.done.as_deref(), None))
        div.head {
            h1 { "Queues" }
            @if is_live {
                a.live.on href={ (visit.base) "/" } aria-label="Stop refreshing" { "live" }
            } @else {
                a.live href="?live" { "refresh every 5 s" }
            }
        }
        (figures(&visit, &stats))
        @if stats.queues.is_empty() {
            p.empty { "No queue holds a job, and none was busy within the last five minutes." }
        } @else {
            (queues(&visit, &stats, may_pause, may_resume))
        }
        @for (state, title, jobs) in &latest {
            (section(&visit, *state, title, jobs))
        }
    };
    // Without a script: the browser asks again.
    let refresh = is_live.then_some([("refresh", "5")]);
    Ok((refresh.map(AppendHeaders), page(&visit, "Queues", Place::Overview, &content)).into_response())
}

const SECTIONS: [(JobState, &str); 3] =
    [(JobState::Running, "Running"), (JobState::Failed, "Retrying"), (JobState::Dead, "Dead")];

fn figures(visit: &Visit, stats: &Stats) -> Markup {
    let sum = |count: fn(&QueueStats) -> Count| {
        stats.queues.iter().map(count).fold(Count::default(), |sum, count| Count {
            value: sum.value + count.value,
            is_cut: sum.is_cut || count.is_cut,
        })
    };
    let rate: f64 = stats.queues.iter().map(|queue| queue.finished.per_minute()).sum();
    let figures = [
        ("Ready", sum(|queue| queue.ready), "pending", ""),
        ("Running", sum(|queue| queue.running), "running", ""),
        ("Scheduled", sum(|queue| queue.scheduled), "pending", ""),
        ("Retrying", sum(|queue| queue.failed), "failed", "warm"),
        ("Dead", stats.dead, "dead", "hot"),
    ];
    html! {
        ul.figures {
            @for (name, number, state, style) in figures {
                li class=[(number.value > 0).then_some(style)] {
                    a href={ (visit.base) "/list?state=" (state) } {
                        span { (name) }
                        strong { (count(number)) }
                    }
                }
            }
            li {
                div {
                    span { "Finished a minute" }
                    strong { (per_minute(rate)) }
                }
            }
        }
        p.soft { "About " (thousands(stats.kept)) " finished jobs are kept, " (count(stats.cancelled)) " of them cancelled." }
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a rate of bounded counts
fn per_minute(rate: f64) -> String {
    if rate >= 10.0 || rate == 0.0 { thousands(rate.round() as u64) } else { format!("{rate:.1}") }
}

fn queues(visit: &Visit, stats: &Stats, may_pause: bool, may_resume: bool) -> Markup {
    html! {
        table.cards {
            thead {
                tr {
                    th { "Queue" } th.number { "Ready" } th.number { "Running" } th.number { "Scheduled" } th.number { "Retrying" }
                    th { "Last 5 minutes" } th.number { "A minute" } th.number { "Oldest waits" }
                    @if may_pause || may_resume { th { span.hidden { "Action" } } }
                }
            }
            tbody {
                @for queue in &stats.queues {
                    tr {
                        td.title {
                            a href={ (visit.base) "/list?queue=" (queue.queue) } { (queue.queue) }
                            @if queue.is_paused { " " span.badge.paused { "paused" } }
                        }
                        td.number data-label="Ready" { (count(queue.ready)) }
                        td.number data-label="Running" { (count(queue.running)) }
                        td.number data-label="Scheduled" { (count(queue.scheduled)) }
                        td.number data-label="Retrying" { (count(queue.failed)) }
                        td.bar data-label="Last 5 minutes" { (bar(queue)) }
                        td.number data-label="A minute" { (per_minute(queue.finished.per_minute())) }
                        td.number data-label="Oldest waits" { @if let Some(oldest) = queue.oldest { (span(oldest)) } @else { "–" } }
                        @if may_pause || may_resume {
                            td.act {
                                @let path = format!("/queue/{}/", queue.queue);
                                @if queue.is_paused && may_resume { (button(visit, &(path + "resume"), "Resume", "small", &[])) }
                                @else if !queue.is_paused && may_pause { (button(visit, &(path + "pause"), "Pause", "small quiet", &[])) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What became of the jobs that were finished lately, as shares of a bar.
fn bar(queue: &QueueStats) -> Markup {
    let finished = queue.finished;
    let all = finished.succeeded + finished.dead + finished.cancelled;
    if all == 0 {
        return html! { span.soft { "nothing finished" } };
    }
    // In hundredths, and what is there at all is seen.
    let share = |number: u64| if number == 0 { 0 } else { (number * 100 / all).max(2) };
    let (dead, cancelled) = (share(finished.dead), share(finished.cancelled));
    let succeeded = 100_u64.saturating_sub(dead + cancelled);
    let label = format!("{} succeeded, {} dead, {} cancelled", finished.succeeded, finished.dead, finished.cancelled);
    let mut x = 0;
    let mut part = |class: &str, width: u64| {
        let rect = html! { rect class=(class) x=(x) y="0" width=(width) height="8" {} };
        x += width;
        PreEscaped(rect.into_string())
    };
    html! {
        svg viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label=(label) {
            title { (label) }
            (part("succeeded", succeeded)) (part("cancelled", cancelled)) (part("dead", dead))
        }
    }
}

fn section(visit: &Visit, state: JobState, title: &str, jobs: &Page<JobRecord>) -> Markup {
    html! {
        section {
            div.head {
                h2 { (title) }
                @if jobs.next.is_some() { a href={ (visit.base) "/list?state=" (state) } { "all" } }
            }
            @if jobs.items.is_empty() { p.empty { "None." } } @else { (list::table(visit, &jobs.items)) }
        }
    }
}

pub(super) async fn health<S, P, G>(
    State(site): State<Site<S, P, G>>,
    Extension(visit): Extension<Visit>,
) -> Result<Markup, Refusal>
where
    S: Store + Clone,
    P: Source<Connection = S::Connection>,
    G: Guard,
{
    let mut conn = site.source.acquire().await?;
    let findings = site.jobs.doctor(&mut conn).await?;
    let workers = site.jobs.workers(&mut conn).await?;
    drop(conn);
    let (warnings, notes): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| finding.level() == Level::Warning);
    let content = html! {
        h1 { "Health" }
        @if warnings.is_empty() {
            p.fine { "Nothing to worry about." }
        } @else {
            ul.findings {
                @for finding in warnings { li.warning { (line(&finding.to_string())) } }
            }
        }
        section {
            div.head { h2 { "Workers" } }
            @if workers.is_empty() {
                p.empty { "No worker beats." }
            } @else {
                table.cards {
                    thead { tr { th { "Queue" } th { "Process" } th { "State" } th { "Started" } th { "Lease" } } }
                    tbody {
                        @for worker in &workers {
                            tr {
                                td.title title={ "worker " (worker.id.as_i64()) } {
                                    @match &worker.queue { Some(queue) => { (queue) } None => { "unknown" } }
                                }
                                td data-label="Process" { code { (line(worker.process.as_deref().unwrap_or("unknown"))) } }
                                td data-label="State" {
                                    @if worker.is_lost { span.badge.dead { "lost" } } @else { span.badge.succeeded { "beats" } }
                                }
                                td data-label="Started" { (moment(worker.started_at)) }
                                td data-label="Lease" { "ends " (moment(worker.lease_until)) }
                            }
                        }
                    }
                }
            }
        }
        @if !notes.is_empty() {
            section {
                div.head { h2 { "Measured" } }
                ul.findings { @for finding in notes { li { (line(&finding.to_string())) } } }
            }
        }
    };
    Ok(page(&visit, "Health", Place::Health, &content))
}
