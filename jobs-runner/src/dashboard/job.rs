//! One job, with every attempt's error.

use axum::Extension;
use axum::extract::{Path, Query, State};
use maud::{Markup, html};
use serde::Deserialize;

use super::layout::{Place, Refusal, button, line, moment, note, page, span, state_badge};
use super::protect::Visit;
use super::{Action, Guard, Site};
use crate::operate::visible::{visible, visible_lines};
use crate::{JobId, JobRecord, Source, State as JobState, Store};

#[derive(Deserialize)]
pub(super) struct Asked {
    done: Option<String>,
    n: Option<String>,
}

/// A text that is no id names no job.
pub(super) fn parse(id: &str) -> Result<JobId, Refusal> {
    JobId::try_from(id).map_err(|_| Refusal::NotFound)
}

pub(super) async fn job<S, P, G>(
    State(site): State<Site<S, P, G>>,
    Extension(visit): Extension<Visit>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Markup, Refusal>
where
    S: Store + Clone,
    P: Source<Connection = S::Connection>,
    G: Guard,
{
    let mut conn = site.source.acquire().await?;
    let job = site.jobs.find(&mut conn, parse(&id)?).await?.ok_or(Refusal::NotFound)?;
    drop(conn);
    let mut allowed = Vec::new();
    for action in sensible(job.state) {
        if visit.may(&*site.guard, *action).await {
            allowed.push(*action);
        }
    }
    let number = asked.n.as_deref().and_then(|number| number.parse().ok());
    let content = html! {
        (note(asked.done.as_deref(), number))
        p.crumb { a href={ (visit.base) "/list" } { "Jobs" } " / #" (job.id) }
        div.head.tight {
            h1 { (job.kind) }
            (state_badge(job.state))
            @if let Some(reason) = job.reason { span.soft { (reason) } }
        }
        @if let Some(progress) = &job.progress { p.progress { (line(progress)) } }
        @if !allowed.is_empty() { (actions(&visit, &job, &allowed)) }
        (facts(&visit, &job))
        section { div.head { h2 { "Attempts" } } (attempts(&job)) }
        section { div.head { h2 { "Payload" } } pre tabindex="0" { (visible_lines(&pretty(&job.payload))) } }
    };
    Ok(page(&visit, &format!("{} #{}", job.kind, job.id), Place::Jobs, &content))
}

fn sensible(state: JobState) -> &'static [Action] {
    match state {
        JobState::Pending => &[Action::Cancel, Action::Discard, Action::Delete],
        JobState::Running => &[Action::Cancel],
        JobState::Failed => &[Action::Retry, Action::Cancel, Action::Discard, Action::Delete],
        JobState::Succeeded => &[Action::Delete],
        JobState::Dead | JobState::Cancelled => &[Action::Retry, Action::Delete],
    }
}

fn actions(visit: &Visit, job: &JobRecord, allowed: &[Action]) -> Markup {
    let path = |verb: &str| format!("/job/{}/{verb}", job.id);
    let retry = if job.state == JobState::Failed { "Retry now" } else { "Retry" };
    html! {
        div.buttons {
            @for action in allowed {
                @match action {
                    Action::Retry => (button(visit, &path("retry"), retry, "", &[])),
                    Action::Cancel => (button(visit, &path("cancel"), "Cancel", "quiet", &[])),
                    Action::Discard => details {
                        summary.button { "Discard…" }
                        form method="post" action={ (visit.base) (path("discard")) } {
                            input type="hidden" name="token" value=(visit.token);
                            label { "Why" input name="because" maxlength="400" value="discarded by an operator"; }
                            button.danger { "Give it up" }
                        }
                    },
                    Action::Delete => details {
                        summary.button { "Delete…" }
                        div { p { "It will leave no trace." } (button(visit, &path("delete"), "Delete for good", "danger", &[])) }
                    },
                    _ => {}
                }
            }
        }
    }
}

fn facts(visit: &Visit, job: &JobRecord) -> Markup {
    html! {
        dl.facts {
            div { dt { "Queue" } dd { a href={ (visit.base) "/list?queue=" (job.queue) } { (job.queue) } } }
            div { dt { "Kind" } dd { a href={ (visit.base) "/list?kind=" (job.kind) } { (job.kind) } } }
            div { dt { "Attempts" } dd { (job.attempt) " of " (job.max_attempts) } }
            @if job.crashes > 0 { div { dt { "Crashes" } dd { (job.crashes) } } }
            div { dt { "Priority" } dd { (job.priority) } }
            div { dt { "Enqueued" } dd { (moment(job.created_at)) } }
            @if job.finished_at.is_none() { div { dt { "Due" } dd { (moment(job.run_at)) } } }
            @if let Some(at) = job.attempted_at { div { dt { "Last begun" } dd { (moment(at)) } } }
            @if let Some(at) = job.finished_at { div { dt { "Finished" } dd { (moment(at)) } } }
            @if let (Some(begun), Some(finished)) = (job.attempted_at, job.finished_at) {
                @if let Ok(took) = (finished - begun).to_std() { div { dt { "Last attempt took" } dd { (span(took)) } } }
            }
            @if let Some(at) = job.expires_at { div { dt { "Expires" } dd { (moment(at)) } } }
            @if let Some(timeout) = job.timeout { div { dt { "Timeout" } dd { (span(timeout)) } } }
            @if let Some(key) = &job.unique_key { div { dt { "Unique key" } dd { code { (visible(key)) } } } }
            @if let Some(key) = &job.order_key { div { dt { "Ordering key" } dd { code { (visible(key)) } } } }
        }
    }
}

fn attempts(job: &JobRecord) -> Markup {
    if job.errors.is_empty() {
        return html! { p.empty { "None has failed." } };
    }
    html! {
        ol.attempts {
            @for error in job.errors.iter().rev() {
                li {
                    div.head.tight { strong { "Attempt " (error.attempt) } span.soft { (moment(error.at)) } }
                    pre tabindex="0" { (visible_lines(&error.error)) }
                }
            }
        }
    }
}

/// JSON with its own line breaks; what is none stays as it is.
fn pretty(payload: &str) -> String {
    let parsed = serde_json::from_str::<serde_json::Value>(payload);
    parsed.and_then(|value| serde_json::to_string_pretty(&value)).unwrap_or_else(|_| payload.to_owned())
}
