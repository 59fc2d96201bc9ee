//! What every page shares.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use maud::{DOCTYPE, Markup, html};

use super::protect::Visit;
use crate::operate::visible::visible;
use crate::{Count, Error, State};

/// Why there is no page.
#[derive(Debug)]
pub(super) enum Refusal {
    NotFound,
    Forbidden,
    Elsewhere,
    Bad(&'static str),
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, title, text) = match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "Not found", "There is no such page or job, or it is gone."),
            Self::Forbidden => (StatusCode::FORBIDDEN, "Not allowed", "You may not do this here."),
            Self::Elsewhere => (
                StatusCode::FORBIDDEN,
                "Not from here",
                "The form is too old, or comes from another site. Go back and reload.",
            ),
            Self::Bad(problem) => (StatusCode::BAD_REQUEST, "Not understood", problem),
            Self::Failed(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the dashboard could not answer");
                (StatusCode::INTERNAL_SERVER_ERROR, "The database failed", "Nothing was changed. The log knows more.")
            }
        };
        // Without the stylesheet: whoever is refused may not even learn where it is.
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head { meta charset="utf-8"; meta name="viewport" content="width=device-width"; title { (title) } }
                body { h1 { (title) } p { (text) } }
            }
        };
        (status, page).into_response()
    }
}

/// The pages one can go to from anywhere.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Overview,
    Jobs,
    Health,
}

/// A whole page.
pub(super) fn page(visit: &Visit, title: &str, place: Place, content: &Markup) -> Markup {
    let base = &visit.base;
    let home = if base.is_empty() { "/" } else { base };
    let places = [
        (Place::Overview, "Queues", home.to_owned()),
        (Place::Jobs, "Jobs", format!("{base}/list")),
        (Place::Health, "Health", format!("{base}/health")),
    ];
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Jobs" }
                link rel="stylesheet" href={ (base) "/style.css" };
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                header.top {
                    div {
                        a.brand href=(home) { span.mark aria-hidden="true" { i {} i {} i {} } "Jobs" }
                        nav aria-label="Pages" {
                            @for (to, name, href) in &places {
                                a href=(href) aria-current=[(*to == place).then_some("page")] { (name) }
                            }
                        }
                    }
                }
                main #content { (content) }
            }
        }
    }
}

/// What was done, as an earlier page says in the address of this one.
pub(super) fn note(done: Option<&str>, number: Option<u64>) -> Markup {
    let text = match done {
        Some("retry") => "brought back",
        Some("cancel") => "cancelled, or asked to end",
        Some("discard") => "given up",
        Some("delete") => "deleted",
        Some("pause") => return html! { p.note role="status" { "The queue is paused. What runs goes on." } },
        Some("resume") => return html! { p.note role="status" { "The queue is resumed." } },
        _ => return html! {},
    };
    html! {
        p.note role="status" {
            @match number {
                Some(0) => { "Nothing was changed: no job was in a state that allows it." }
                Some(1) => { "1 job " (text) "." }
                Some(number) => { (thousands(number)) " jobs " (text) "." }
                None => { "Done." }
            }
        }
    }
}

/// A button that sends a form of its own. What is hidden in it is escaped like everything else.
pub(super) fn button(visit: &Visit, path: &str, label: &str, style: &str, hidden: &[(&str, String)]) -> Markup {
    html! {
        form method="post" action={ (visit.base) (path) } {
            input type="hidden" name="token" value=(visit.token);
            @for (name, value) in hidden {
                input type="hidden" name=(name) value=(value);
            }
            button class=(style) { (label) }
        }
    }
}

pub(super) fn state_badge(state: State) -> Markup {
    let name = match state {
        State::Failed => "retrying",
        state => state.as_str(),
    };
    html! { span class={ "badge " (state) } { (name) } }
}

/// Text of a job on one line.
pub(super) fn line(text: &str) -> Markup {
    const LONGEST: usize = 160;
    let cut: String = text.chars().take(LONGEST).collect();
    html! { (visible(&cut.replace('\n', " ↵ "))) @if cut.len() < text.len() { "…" } }
}

pub(super) fn count(count: Count) -> Markup {
    html! {
        (thousands(count.value))
        @if count.is_cut { span title="there may be more" { "+" } }
    }
}

/// With thin spaces between groups of three digits.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// A moment as one speaks of it, and exactly for who points at it.
pub(super) fn moment(at: DateTime<Utc>) -> Markup {
    let exact = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let now = Utc::now();
    let text = match (now - at).to_std() {
        Ok(ago) if ago < Duration::from_secs(1) => "now".to_owned(),
        Ok(ago) if ago < Duration::from_mins(1) => format!("{} s ago", ago.as_secs()),
        Ok(ago) => format!("{} ago", span(ago)),
        Err(_) => format!("in {}", span((at - now).to_std().unwrap_or_default())),
    };
    html! { time datetime=(exact) title=(exact) { (text) } }
}

/// How long ago a moment was.
pub(super) fn time_since(at: DateTime<Utc>) -> Markup {
    let exact = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    html! { time datetime=(exact) title=(exact) { (span((Utc::now() - at).to_std().unwrap_or_default())) } }
}

/// A duration in its two largest units.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_durations_are_short() {
        assert_eq!(thousands(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(thousands(999), "999");
        let spans = [7, 90, 7_300, 180_000].map(|seconds| span(Duration::from_secs(seconds)));
        assert_eq!(spans, ["7.0 s", "1 min", "2 h 1 min", "2 d 2 h"]);
    }
}
