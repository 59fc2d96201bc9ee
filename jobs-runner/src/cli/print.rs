//! What is printed: text for people, or one object of JSON a line. No job can print anything else than itself.

use std::fmt::Write;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::operate::visible::{acts, visible, visible_lines};
use crate::{
    Count, Finding, JobRecord, Level, Limit, LimitKey, Page, Pruned, Queue, QueueStats, Stats, Tally, WorkerRecord,
};

pub(super) struct Output {
    is_json: bool,
    text: String,
}

impl Output {
    pub(super) fn new(is_json: bool) -> Self {
        Self { is_json, text: String::new() }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// An object on a line of its own; within its strings, which alone can hold them, no character acts.
    fn object(&mut self, object: &Value) {
        for char in object.to_string().chars() {
            if acts(char) {
                let mut units = [0; 2];
                for unit in char.encode_utf16(&mut units) {
                    // Writing to a string cannot fail.
                    let _ = write!(self.text, "\\u{unit:04x}");
                }
            } else {
                self.text.push(char);
            }
        }
        self.text.push('\n');
    }

    /// Columns as wide as their widest cell; those of numbers to the right.
    fn table<const N: usize>(&mut self, head: [&str; N], numbers: &[usize], rows: &[[String; N]]) {
        let rows = std::iter::once(head.map(str::to_owned))
            .chain(rows.iter().map(|row| row.clone().map(|cell| visible(&cell))));
        let rows: Vec<[String; N]> = rows.collect();
        let mut widths = [0; N];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &rows {
            let cells = row.iter().zip(widths).enumerate().map(|(place, (cell, width))| {
                if numbers.contains(&place) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            let line = cells.collect::<Vec<_>>().join("  ");
            self.line(line.trim_end());
        }
    }

    pub(super) fn jobs(&mut self, page: &Page<JobRecord>) {
        if self.is_json {
            for job in &page.items {
                self.object(&job_value(job));
            }
            return;
        }
        let rows = page.items.iter().map(|job| {
            let error = job.last_error.as_deref().unwrap_or_default();
            let attempts = format!("{}/{}", job.attempt, job.max_attempts);
            let mut error: String = error.chars().take(60).collect();
            if job.last_error.as_ref().is_some_and(|whole| whole.len() > error.len()) {
                error.push('…');
            }
            let texts = [job.queue.to_string(), job.kind.to_string(), job.state.to_string()];
            let [queue, kind, state] = texts;
            [job.id.to_string(), state, queue, kind, attempts, moment(Some(job.run_at)), error]
        });
        let rows: Vec<_> = rows.collect();
        self.table(["id", "state", "queue", "kind", "attempts", "due", "last error"], &[0, 4], &rows);
        if let Some(next) = page.next {
            self.line(&format!("more: --below {next}"));
        }
    }

    pub(super) fn job(&mut self, job: &JobRecord) {
        if self.is_json {
            return self.object(&job_value(job));
        }
        let reason = job.reason.map(|reason| format!(", {reason}")).unwrap_or_default();
        let fields = [
            ("id", job.id.to_string()),
            ("state", format!("{}{reason}", job.state)),
            ("queue", job.queue.to_string()),
            ("kind", job.kind.to_string()),
            ("priority", job.priority.to_string()),
            ("attempts", format!("{} of {}, {} crashes", job.attempt, job.max_attempts, job.crashes)),
            ("timeout", job.timeout.map(|timeout| format!("{timeout:?}")).unwrap_or_default()),
            ("unique key", job.unique_key.clone().unwrap_or_default()),
            ("ordering key", job.order_key.clone().unwrap_or_default()),
            ("limit key", job.limit_key.clone().unwrap_or_default()),
            ("trace", job.trace.clone().unwrap_or_default()),
            ("progress", job.progress.clone().unwrap_or_default()),
            ("created", moment(Some(job.created_at))),
            ("due", moment(Some(job.run_at))),
            ("expires", moment(job.expires_at)),
            ("attempted", moment(job.attempted_at)),
            ("finished", moment(job.finished_at)),
        ];
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            self.line(&format!("{name:<13} {}", visible(value)));
        }
        self.line("payload");
        self.block(&job.payload);
        for error in &job.errors {
            self.line(&format!("attempt {}, {}", error.attempt, moment(Some(error.at))));
            self.block(&error.error);
        }
    }

    /// Text of any length: every line of it begins with a bar, so that it passes for nothing else.
    fn block(&mut self, text: &str) {
        for line in visible_lines(text).split('\n') {
            self.line(&format!("  | {line}"));
        }
    }

    pub(super) fn done(&mut self, what: &str, number: u64) {
        if self.is_json {
            self.object(&json!({ what.replace(' ', "_"): number }));
        } else {
            self.line(&format!("{number} {what}"));
        }
    }

    pub(super) fn tally(&mut self, tally: &Tally) {
        let Tally { succeeded, failed, dead, released, cancelled, fenced } = tally;
        if self.is_json {
            return self.object(&json!({
                "succeeded": succeeded, "failed": failed, "dead": dead, "released": released, "cancelled": cancelled,
                "fenced": fenced,
            }));
        }
        self.line(&format!(
            "{succeeded} succeeded, {failed} failed, {dead} dead, {released} given back, {cancelled} cancelled, {fenced} lost"
        ));
    }

    pub(super) fn stats(&mut self, stats: &Stats) {
        if self.is_json {
            for queue in &stats.queues {
                self.object(&queue_value(queue));
            }
            return self.object(&json!({
                "dead": count(stats.dead), "cancelled": count(stats.cancelled), "kept": stats.kept,
            }));
        }
        let rows = stats.queues.iter().map(|queue| {
            [
                queue.queue.to_string(),
                queue.ready.to_string(),
                queue.running.to_string(),
                queue.scheduled.to_string(),
                queue.failed.to_string(),
                format!("{:.1}", queue.finished.per_minute()),
                queue.oldest.map(|oldest| format!("{} s", oldest.as_secs())).unwrap_or_default(),
                if queue.is_paused { "paused".to_owned() } else { String::new() },
            ]
        });
        let rows: Vec<_> = rows.collect();
        let head = ["queue", "ready", "running", "scheduled", "failed", "per minute", "oldest", ""];
        self.table(head, &[1, 2, 3, 4, 5, 6], &rows);
        self.line(&format!("{} dead, {} cancelled, about {} kept", stats.dead, stats.cancelled, stats.kept));
    }

    pub(super) fn workers(&mut self, workers: &[WorkerRecord]) {
        if self.is_json {
            for worker in workers {
                self.object(&json!({
                    "id": worker.id.as_i64(), "queue": worker.queue.as_ref().map(Queue::as_str),
                    "process": worker.process, "started_at": at(Some(worker.started_at)),
                    "lease_until": at(Some(worker.lease_until)), "is_lost": worker.is_lost,
                }));
            }
            return;
        }
        let rows = workers.iter().map(|worker| {
            let state = if worker.is_lost { "lost" } else { "" };
            let (started, lease) = (moment(Some(worker.started_at)), moment(Some(worker.lease_until)));
            let queue = worker.queue.as_ref().map_or_else(String::new, Queue::to_string);
            let process = worker.process.clone().unwrap_or_default();
            [worker.id.as_i64().to_string(), queue, process, started, lease, state.to_owned()]
        });
        let rows: Vec<_> = rows.collect();
        self.table(["worker", "queue", "process", "started", "lease until", ""], &[0], &rows);
    }

    pub(super) fn limits(&mut self, limits: &[(LimitKey, Limit)]) {
        if self.is_json {
            for (key, limit) in limits {
                self.object(&json!({
                    "key": key.as_str(), "concurrency": limit.concurrency, "rate": limit.rate.map(|rate| rate.count),
                    "per_s": limit.rate.map(|rate| rate.per.as_secs_f64()),
                }));
            }
            return;
        }
        let rows = limits.iter().map(|(key, limit)| {
            let concurrency = limit.concurrency.map(|count| count.to_string()).unwrap_or_default();
            let rate = limit.rate.map(|rate| format!("{} in {:?}", rate.count, rate.per)).unwrap_or_default();
            [key.to_string(), concurrency, rate]
        });
        let rows: Vec<_> = rows.collect();
        self.table(["limit of", "at once", "begin"], &[1], &rows);
    }

    #[cfg(feature = "cron")]
    pub(super) fn cron(&mut self, entries: &[crate::CronRecord]) {
        if self.is_json {
            for entry in entries {
                self.object(&json!({
                    "name": entry.name.as_str(), "expression": entry.expression, "zone": entry.zone,
                    "last_fire_at": at(entry.last_fire_at), "next_fire_at": at(entry.next_fire_at()),
                    "settled_at": at(Some(entry.settled_at)),
                }));
            }
            return;
        }
        let rows = entries.iter().map(|entry| {
            let (last, next) = (moment(entry.last_fire_at), moment(entry.next_fire_at()));
            [entry.name.to_string(), entry.expression.clone(), entry.zone.clone(), last, next]
        });
        let rows: Vec<_> = rows.collect();
        self.table(["entry", "expression", "zone", "last tick", "next tick"], &[], &rows);
    }

    pub(super) fn findings(&mut self, findings: &[Finding]) {
        for finding in findings {
            let is_warning = finding.level() == Level::Warning;
            if self.is_json {
                self.object(&json!({
                    "finding": finding.name(), "warning": is_warning, "text": finding.to_string(),
                }));
            } else {
                let level = if is_warning { "warning" } else { "       " };
                self.line(&format!("{level}  {}", visible(&finding.to_string())));
            }
        }
    }

    pub(super) fn pruned(&mut self, pruned: &Pruned) {
        let Pruned { succeeded, cancelled, dead, is_cut } = pruned;
        if self.is_json {
            return self.object(&json!({
                "succeeded": succeeded, "cancelled": cancelled, "dead": dead, "is_cut": is_cut,
            }));
        }
        let more = if *is_cut { "; the time is up, and there is more" } else { "" };
        self.line(&format!("forgot {succeeded} succeeded, {cancelled} cancelled, {dead} dead{more}"));
    }
}

fn moment(at: Option<DateTime<Utc>>) -> String {
    at.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)).unwrap_or_default()
}

fn at(at: Option<DateTime<Utc>>) -> Option<String> {
    at.map(|at| at.to_rfc3339_opts(SecondsFormat::Micros, true))
}

fn count(count: Count) -> Value {
    json!({ "value": count.value, "is_cut": count.is_cut })
}

fn queue_value(queue: &QueueStats) -> Value {
    json!({
        "queue": queue.queue.as_str(), "is_paused": queue.is_paused, "ready": count(queue.ready),
        "running": count(queue.running), "scheduled": count(queue.scheduled), "failed": count(queue.failed),
        "oldest_s": queue.oldest.map(|oldest| oldest.as_secs_f64()),
        "finished": {
            "succeeded": queue.finished.succeeded, "dead": queue.finished.dead, "cancelled": queue.finished.cancelled,
            "window_s": queue.finished.window.as_secs_f64(), "per_minute": queue.finished.per_minute(),
        },
    })
}

fn job_value(job: &JobRecord) -> Value {
    // A payload of this crate is JSON; what somebody else wrote is shown as the text it is.
    let payload = serde_json::from_str(&job.payload).unwrap_or_else(|_| Value::from(job.payload.as_str()));
    let error = |error: &crate::AttemptError| json!({ "attempt": error.attempt, "at": at(Some(error.at)), "error": error.error });
    json!({
        "id": job.id.as_i64(), "queue": job.queue.as_str(), "kind": job.kind.as_str(), "state": job.state.as_str(),
        "reason": job.reason.map(crate::DeadReason::as_str), "priority": job.priority, "attempt": job.attempt,
        "max_attempts": job.max_attempts, "crashes": job.crashes,
        "timeout_s": job.timeout.map(|timeout| timeout.as_secs_f64()), "unique_key": job.unique_key,
        "order_key": job.order_key, "limit_key": job.limit_key, "trace": job.trace, "progress": job.progress, "last_error": job.last_error,
        "errors": job.errors.iter().map(error).collect::<Vec<_>>(), "run_at": at(Some(job.run_at)),
        "expires_at": at(job.expires_at), "created_at": at(Some(job.created_at)),
        "attempted_at": at(job.attempted_at), "finished_at": at(job.finished_at), "payload": payload,
    })
}
