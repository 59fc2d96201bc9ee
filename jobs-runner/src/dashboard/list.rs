//! Jobs by state, queue and kind, page by page.

use axum::Extension;
use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;

use super::layout::{Place, Refusal, button, line, moment, note, page, state_badge, time_since};
use super::protect::Visit;
use super::{Action, Guard, Site};
use crate::{Filter, JobId, JobRecord, Kind, PageRequest, Queue, Source, State as JobState, Store};

const PAGE: u32 = 50;
/// How many jobs one press of a button acts on.
pub(super) const MANY: u32 = 1000;

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(flatten)]
    which: Which,
    below: Option<String>,
    done: Option<String>,
    n: Option<String>,
}

/// Which jobs, as an address or a form says it; empty fields do not matter.
#[derive(Clone, Default, Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    state: String,
    #[serde(default)]
    queue: String,
    #[serde(default)]
    kind: String,
}

impl Which {
    pub(super) fn filter(&self) -> Result<Filter, Refusal> {
        let mut filter = Filter::default();
        let bad = |what| move |_| Refusal::Bad(what);
        if !self.state.is_empty() {
            filter = filter.state(JobState::try_from(self.state.as_str()).map_err(bad("There is no such state."))?);
        }
        if !self.queue.is_empty() {
            filter = filter.queue(Queue::new(self.queue.trim()).map_err(bad("No queue has such a name."))?);
        }
        if !self.kind.is_empty() {
            filter = filter.kind(Kind::new(self.kind.trim()).map_err(bad("No kind of job has such a name."))?);
        }
        Ok(filter)
    }
}

/// The query that leads to such jobs. Names hold nothing that would have to be escaped.
pub(super) fn query(filter: &Filter) -> String {
    let state = filter.state.map(|state| format!("state={state}"));
    let queue = filter.queue.as_ref().map(|queue| format!("queue={queue}"));
    let kind = filter.kind.as_ref().map(|kind| format!("kind={kind}"));
    [state, queue, kind].into_iter().flatten().collect::<Vec<_>>().join("&")
}

pub(super) async fn list<S, P, G>(
    State(site): State<Site<S, P, G>>,
    Extension(visit): Extension<Visit>,
    Query(asked): Query<Asked>,
) -> Result<Markup, Refusal>
where
    S: Store + Clone,
    P: Source<Connection = S::Connection>,
    G: Guard,
{
    let filter = asked.which.filter()?;
    let mut request = PageRequest::first(PAGE);
    if let Some(below) = asked.below.as_deref().filter(|below| !below.is_empty()) {
        request =
            request.after(JobId::try_from(below).map_err(|_| Refusal::Bad("A page begins below the id of a job."))?);
    }
    let mut conn = site.source.acquire().await?;
    let jobs = site.jobs.list(&mut conn, &filter, &request).await?;
    drop(conn);
    let mut allowed = Vec::new();
    for (action, verb, label) in bulk(filter.state) {
        if !jobs.items.is_empty() && visit.may(&*site.guard, *action).await {
            allowed.push((*verb, *label));
        }
    }
    let number = asked.n.as_deref().and_then(|number| number.parse().ok());
    let content = html! {
        (note(asked.done.as_deref(), number))
        h1 { "Jobs" }
        (tabs(&visit, &filter))
        (search(&visit, &filter))
        @if jobs.items.is_empty() {
            p.empty { "No such jobs." }
        } @else {
            (table(&visit, &jobs.items))
        }
        nav.pages aria-label="Pages of the list" {
            @if request.after.is_some() { a href={ (visit.base) "/list?" (query(&filter)) } { "← Latest" } }
            @if let Some(next) = jobs.next {
                a rel="next" href={ (visit.base) "/list?" (query(&filter)) "&below=" (next) } { "Older →" }
            }
        }
        @if !allowed.is_empty() { (actions(&visit, &filter, &allowed)) }
    };
    Ok(page(&visit, "Jobs", Place::Jobs, &content))
}

/// What makes sense for jobs in a state.
fn bulk(state: Option<JobState>) -> &'static [(Action, &'static str, &'static str)] {
    const RETRY: (Action, &str, &str) = (Action::Retry, "retry", "Retry");
    const CANCEL: (Action, &str, &str) = (Action::Cancel, "cancel", "Cancel");
    const DELETE: (Action, &str, &str) = (Action::Delete, "delete", "Delete");
    match state {
        None => &[],
        Some(JobState::Running) => &[CANCEL],
        Some(JobState::Pending) => &[CANCEL, DELETE],
        Some(JobState::Failed) => &[RETRY, CANCEL, DELETE],
        Some(JobState::Succeeded) => &[DELETE],
        Some(JobState::Dead | JobState::Cancelled) => &[RETRY, DELETE],
    }
}

fn tabs(visit: &Visit, filter: &Filter) -> Markup {
    use JobState::{Cancelled, Dead, Failed, Pending, Running, Succeeded};
    let tabs = [
        (None, "All"),
        (Some(Pending), "Waiting"),
        (Some(Running), "Running"),
        (Some(Failed), "Retrying"),
        (Some(Dead), "Dead"),
        (Some(Cancelled), "Cancelled"),
        (Some(Succeeded), "Succeeded"),
    ];
    html! {
        nav.tabs aria-label="States" {
            @for (state, name) in tabs {
                @let to = query(&Filter { state, ..filter.clone() });
                a href={ (visit.base) "/list?" (to) } aria-current=[(filter.state == state).then_some("page")] { (name) }
            }
        }
    }
}

fn search(visit: &Visit, filter: &Filter) -> Markup {
    let text = |name: Option<&str>| name.unwrap_or_default().to_owned();
    html! {
        form.search action={ (visit.base) "/list" } role="search" {
            @if let Some(state) = filter.state { input type="hidden" name="state" value=(state); }
            label { "Queue" input name="queue" maxlength="64" autocapitalize="off" spellcheck="false"
                value=(text(filter.queue.as_ref().map(Queue::as_str))); }
            label { "Kind" input name="kind" maxlength="64" autocapitalize="off" spellcheck="false"
                value=(text(filter.kind.as_ref().map(Kind::as_str))); }
            button.quiet { "Filter" }
        }
    }
}

fn actions(visit: &Visit, filter: &Filter, allowed: &[(&str, &str)]) -> Markup {
    let hidden = [
        ("state", filter.state.map(|state| state.to_string()).unwrap_or_default()),
        ("queue", filter.queue.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("kind", filter.kind.as_ref().map(ToString::to_string).unwrap_or_default()),
    ];
    html! {
        details.many {
            summary { "Act on all of these at once…" }
            p.soft { "Every job of this list is meant, not only those of this page; the oldest " (MANY) " first." }
            div.buttons {
                @for (verb, label) in allowed {
                    @let style = if *verb == "retry" { "" } else { "danger" };
                    (button(visit, &format!("/list/{verb}"), &format!("{label} up to {MANY}"), style, &hidden))
                }
            }
        }
    }
}

/// Jobs, one a row; on a small screen one a card.
pub(super) fn table(visit: &Visit, jobs: &[JobRecord]) -> Markup {
    html! {
        table.cards.jobs {
            thead { tr { th { "Job" } th { "State" } th { "Queue" } th.number { "Attempts" } th { "When" } th { "Said last" } } }
            tbody {
                @for job in jobs {
                    tr {
                        td.title {
                            a href={ (visit.base) "/job/" (job.id) } { (job.kind) } " "
                            span.soft { "#" (job.id) }
                        }
                        td data-label="State" { (state_badge(job.state)) }
                        td data-label="Queue" { (job.queue) }
                        td.number data-label="Attempts" { span { (job.attempt) span.soft { "/" (job.max_attempts) } } }
                        td data-label="When" { (when(job)) }
                        td.said data-label="Said last" {
                            @if let Some(progress) = job.progress.as_ref().filter(|_| job.state == JobState::Running) {
                                (line(progress))
                            } @else if let Some(error) = &job.last_error { (line(error)) } @else { span.soft { "–" } }
                        }
                    }
                }
            }
        }
    }
}

fn when(job: &JobRecord) -> Markup {
    match (job.finished_at, job.attempted_at) {
        (Some(at), _) => html! { (moment(at)) },
        (None, Some(at)) if job.state == JobState::Running => html! { span.when { "for " (time_since(at)) } },
        _ => html! { span.when { "due " (moment(job.run_at)) } },
    }
}
