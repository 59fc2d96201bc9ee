//! What goes out: stored first, sent by a job, and again until the provider has it or refuses it.

use std::time::Duration;

use axum::http::StatusCode;
use chrono::Utc;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::FromRow;
use stoa_jobs_runner::{Backoff, Context, EnqueueOptions, Failure, Handler, Job, Limit, LimitKey, Rate};
use uuid::Uuid;

use super::inbound::{AnswerMessage, Inbound};
use super::opt_in::OptIn;
use super::sql::{OptInSql as _, WhatsAppSql as _};
use super::{Sender, UNCONFIGURED, WINDOW};
use crate::app::App;
use crate::backend::Backend;
use crate::error::{Result, causes};
use crate::outgoing::Reply;

/// The template that notices are sent with, as it has to be registered with the provider: its body has the title and the address.
const TEMPLATE: &str = "campus_notice";
const TEMPLATE_LANGUAGE: &str = "en";
/// The longest text that the provider takes, and the longest part of a template, in characters.
const MAX_TEXT: usize = 4_096;
const MAX_PART: usize = 300;

/// What one person writes and is written: one at a time, and so many in a minute. The provider has its own bounds, and remembers who
/// exceeds them.
const PER_PERSON: Limit = Limit { concurrency: Some(1), rate: Some(Rate { count: 10, per: Duration::from_mins(1) }) };

/// How long to wait for a provider that has enough of us and does not say for how long.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the provider answers to whoever sends too much, with whatever status.
const THROTTLED: [i64; 5] = [4, 80_007, 130_429, 131_048, 131_056];

/// A message to somebody.
#[derive(Clone, Debug, FromRow)]
pub struct Outbound {
    /// A UUID of version 7.
    pub id: String,
    /// What it replies to.
    pub inbound_id: Option<String>,
    /// To whom.
    pub person_id: String,
    /// Where they are, in digits.
    pub phone: String,
    /// `text` or `template`.
    pub kind: String,
    /// What it says; of a template, the title.
    pub body: String,
    /// Of a template, the address.
    pub url: String,
    /// Microseconds since 1970 in UTC.
    pub created_at: i64,
}

/// How far a message has come, as the provider tells it.
#[derive(Clone, Debug)]
pub struct Status {
    /// The provider's id of the message.
    pub provider_id: String,
    /// What campus called it, if the provider says so.
    pub own_id: String,
    /// `sent`, `delivered`, `read` or `failed`.
    pub state: &'static str,
}

/// Sends a message.
#[derive(Debug, Serialize, Deserialize)]
pub struct SendMessage {
    /// The message.
    pub message_id: String,
}

impl Job for SendMessage {
    const KIND: &'static str = "whatsapp.send";
    const QUEUE: &'static str = "whatsapp_outbound";
    /// About as long as the provider takes a reply at all.
    const MAX_ATTEMPTS: u16 = 60;
    const BACKOFF: Option<Backoff> = Some(Backoff::exponential(Duration::from_secs(2), Duration::from_mins(30)));
}

impl<B: Backend> Handler<App<B>> for SendMessage {
    async fn run(self, context: &Context<App<B>>) -> Result<(), Failure> {
        let app = context.state();
        let Some(sender) = &app.whatsapp else { return Err(Failure::snooze(UNCONFIGURED)) };
        deliver(app, sender, &self.message_id, context.is_last_attempt()).await
    }
}

/// Tells somebody by WhatsApp, inside the caller's transaction: by a template, which the provider takes at any time. Says whether they
/// will be told: only if they have opted in and not said STOP. Call [`Jobs::wake`](stoa_jobs_runner::Jobs::wake) after the commit.
///
/// # Errors
/// If the database does not answer.
pub async fn send_template<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    person_id: &str,
    title: &str,
    path: &str,
) -> Result<bool> {
    let Some(sender) = &app.whatsapp else { return Ok(false) };
    let Some(opt_in) = conn.whatsapp_opt_in(person_id).await?.filter(OptIn::is_active) else { return Ok(false) };
    let message = Outbound {
        id: Uuid::now_v7().to_string(),
        inbound_id: None,
        person_id: opt_in.person_id,
        phone: opt_in.phone,
        kind: "template".into(),
        body: part(title),
        url: part(&format!("{}{path}", sender.site)),
        created_at: Utc::now().timestamp_micros(),
    };
    enqueue(app, conn, &message).await?;
    Ok(true)
}

/// Lets nobody write, or be written to, faster than the provider likes: every start says it again.
///
/// # Errors
/// If the database does not answer.
pub async fn limit<B: Backend>(app: &App<B>) -> Result<()> {
    let mut tx = app.begin().await?;
    for queue in [AnswerMessage::QUEUE, SendMessage::QUEUE] {
        app.jobs.set_limit(&mut tx, &LimitKey::new(queue)?, &PER_PERSON).await?;
    }
    app.commit(tx).await
}

/// Stores a message with the job that sends it; a second reply to something is none.
pub(super) async fn enqueue<B: Backend>(app: &App<B>, tx: &mut B::Connection, message: &Outbound) -> Result<()> {
    if tx.insert_whatsapp_outbound(message).await? {
        let options = EnqueueOptions::default().ordered(&message.person_id).limited(format!(
            "{}:{}",
            SendMessage::QUEUE,
            message.person_id
        ));
        app.jobs.enqueue_with(tx, &SendMessage { message_id: message.id.clone() }, &options).await?;
    }
    Ok(())
}

/// Notes how far messages have come.
pub(super) async fn advance<B: Backend>(app: &App<B>, statuses: &[Status]) -> Result<()> {
    if statuses.is_empty() {
        return Ok(());
    }
    crate::retry::retried(|| async {
        let mut tx = app.begin().await?;
        let now = Utc::now().timestamp_micros();
        for status in statuses {
            tx.advance_whatsapp_outbound(status, now).await?;
        }
        app.commit(tx).await
    })
    .await
}

/// Sends a message that waits, and notes what became of it.
///
/// A request that got no answer is sent again, and may so arrive twice: the provider knows no keys for that. But it repeats ours when it
/// tells how far a message has come, and one that is known to have arrived is not sent again.
async fn deliver<B: Backend>(app: &App<B>, sender: &Sender, id: &str, is_last: bool) -> Result<(), Failure> {
    let (message, obstacle) = {
        let mut tx = app.read().await?;
        let Some(message) = tx.whatsapp_outbound(id).await? else { return Ok(()) };
        let opt_in = tx.whatsapp_opt_in(&message.person_id).await?;
        let last = tx.last_whatsapp_inbound(&message.phone).await?;
        let obstacle = message.obstacle(opt_in.as_ref(), last, Utc::now().timestamp_micros());
        (message, obstacle)
    };
    if let Some(obstacle) = obstacle {
        return Ok(finish(app, id, "dropped", None, Some(obstacle)).await?);
    }
    let undelivered = match sender.send(&message).await {
        Ok(provider_id) => return Ok(finish(app, id, "sent", provider_id.as_deref(), None).await?),
        Err(undelivered) => undelivered,
    };
    if is_last || undelivered.retry == Retry::Never {
        finish(app, id, "failed", None, Some(&undelivered.problem)).await?;
    }
    Err(match undelivered.retry {
        Retry::Never => Failure::fatal(undelivered.problem),
        Retry::Later => Failure::retry(undelivered.problem),
        Retry::After(wait) => Failure::retry_after(wait, undelivered.problem),
    })
}

async fn finish<B: Backend>(
    app: &App<B>,
    id: &str,
    state: &str,
    provider_id: Option<&str>,
    problem: Option<&str>,
) -> Result<()> {
    let mut tx = app.begin().await?;
    tx.finish_whatsapp_outbound(id, state, provider_id, problem, Utc::now().timestamp_micros()).await?;
    app.commit(tx).await
}

impl Outbound {
    /// A reply to what somebody wrote.
    pub(super) fn reply(to: &Inbound, person_id: &str, text: &str, now: i64) -> Self {
        Self {
            id: Uuid::now_v7().to_string(),
            inbound_id: Some(to.id.clone()),
            person_id: person_id.into(),
            phone: to.phone.clone(),
            kind: "text".into(),
            body: text.chars().take(MAX_TEXT).collect(),
            url: String::new(),
            created_at: now,
        }
    }

    /// Why it must not be sent, if it must not. What was written in the moment of a STOP is the word that confirms it.
    fn obstacle(&self, opt_in: Option<&OptIn>, last_inbound: Option<i64>, now: i64) -> Option<&'static str> {
        let Some(opt_in) = opt_in.filter(|opt_in| opt_in.phone == self.phone) else {
            return Some("nobody has opted in with this telephone any more");
        };
        let is_text = self.kind == "text";
        if opt_in.stopped_at.is_some_and(|at| !is_text || self.created_at < at) {
            return Some("they said STOP");
        }
        let window = i64::try_from(WINDOW.as_micros()).unwrap_or(i64::MAX);
        (is_text && last_inbound.is_none_or(|at| now - at >= window)).then_some("24 hours have passed since they wrote")
    }

    /// As the provider takes it.
    fn request(&self) -> Value {
        let mut request = json!({
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": self.phone,
            "type": self.kind,
            "biz_opaque_callback_data": self.id,
        });
        request[&self.kind] = if self.kind == "text" {
            json!({"body": self.body, "preview_url": false})
        } else {
            let parameters = [&self.body, &self.url].map(|text| json!({"type": "text", "text": text}));
            json!({
                "name": TEMPLATE,
                "language": {"code": TEMPLATE_LANGUAGE},
                "components": [{"type": "body", "parameters": parameters}],
            })
        };
        request
    }
}

/// Why a message is not with the provider.
#[derive(Debug)]
struct Undelivered {
    problem: String,
    retry: Retry,
}

/// Whether it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retry {
    Never,
    Later,
    /// The provider says when.
    After(Duration),
}

impl Sender {
    /// Sends a message; returns what the provider calls it.
    async fn send(&self, message: &Outbound) -> std::result::Result<Option<String>, Undelivered> {
        match self.endpoint.post(&message.request()).await {
            Ok(reply) => read(&reply),
            Err(error) => Err(Undelivered { problem: causes(&error), retry: Retry::Later }),
        }
    }
}

/// What the provider's answer comes to. What is wrong with our key is mended by the operator, and what is wrong with the provider by the
/// provider; what is wrong with the message never is.
fn read(reply: &Reply) -> std::result::Result<Option<String>, Undelivered> {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    if reply.status.is_success() {
        // It has the message, whatever else it says.
        let id = body["messages"][0]["id"].as_str().filter(|id| id.len() <= 256 && !id.contains('\0'));
        return Ok(id.map(str::to_owned));
    }
    let code = body["error"]["code"].as_i64();
    let problem = match code {
        Some(code) => format!("the provider answers {} with code {code}", reply.status.as_u16()),
        None => format!("the provider answers {}", reply.status.as_u16()),
    };
    let is_throttled =
        reply.status == StatusCode::TOO_MANY_REQUESTS || code.is_some_and(|code| THROTTLED.contains(&code));
    let is_passing = reply.status.is_server_error()
        || [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::REQUEST_TIMEOUT].contains(&reply.status);
    let retry = match (is_throttled, is_passing) {
        (true, _) => Retry::After(reply.retry_after.unwrap_or(PATIENCE)),
        (false, true) => reply.retry_after.map_or(Retry::Later, Retry::After),
        (false, false) => Retry::Never,
    };
    Err(Undelivered { problem, retry })
}

/// A part of a template: the provider takes one line, without wide gaps.
fn part(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAX_PART).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, retry_after: Option<u64>, body: &'static str) -> Reply {
        let status = StatusCode::from_u16(status).unwrap();
        Reply { status, retry_after: retry_after.map(Duration::from_secs), body: body.into() }
    }

    #[test]
    fn what_passes_is_tried_again_and_what_does_not_is_not() {
        assert_eq!(read(&reply(200, None, r#"{"messages":[{"id":"wamid.1"}]}"#)).unwrap().as_deref(), Some("wamid.1"));
        assert_eq!(read(&reply(201, None, "nonsense")).unwrap(), None);
        let retry = |status, after, body| read(&reply(status, after, body)).unwrap_err().retry;
        for status in [500, 502, 503, 401, 403, 408] {
            assert_eq!(retry(status, None, ""), Retry::Later, "{status}");
        }
        assert_eq!(retry(503, Some(7), ""), Retry::After(Duration::from_secs(7)));
        assert_eq!(retry(429, Some(7), ""), Retry::After(Duration::from_secs(7)));
        assert_eq!(retry(429, None, ""), Retry::After(PATIENCE));
        assert_eq!(retry(400, None, r#"{"error":{"code":131056}}"#), Retry::After(PATIENCE));
        for (status, body) in [(400, r#"{"error":{"code":131047}}"#), (404, ""), (301, ""), (422, "{}")] {
            assert_eq!(retry(status, None, body), Retry::Never, "{status}");
        }
    }

    #[test]
    fn nothing_is_sent_to_whom_it_must_not_be() {
        let hour = 3_600_000_000;
        let opt_in = |stopped_at| OptIn { person_id: "ada".into(), phone: "351900".into(), opted_in_at: 0, stopped_at };
        let message = |kind: &str| Outbound {
            id: "1".into(),
            inbound_id: None,
            person_id: "ada".into(),
            phone: "351900".into(),
            kind: kind.into(),
            body: "Hello".into(),
            url: String::new(),
            created_at: 5,
        };
        let (text, template) = (message("text"), message("template"));
        let active = opt_in(None);
        assert_eq!(text.obstacle(Some(&active), Some(0), 24 * hour - 1), None);
        assert!(text.obstacle(Some(&active), Some(0), 24 * hour).is_some());
        assert!(text.obstacle(Some(&active), None, 0).is_some());
        assert_eq!(template.obstacle(Some(&active), None, 0), None);
        let moved = OptIn { phone: "351901".into(), ..opt_in(None) };
        for opt_in in [None, Some(&moved), Some(&opt_in(Some(6)))] {
            assert!(text.obstacle(opt_in, Some(0), hour).is_some() && template.obstacle(opt_in, None, 0).is_some());
        }
        assert_eq!(text.obstacle(Some(&opt_in(Some(5))), Some(0), hour), None, "the word that confirms it");
        assert!(template.obstacle(Some(&opt_in(Some(5))), Some(0), hour).is_some());
    }

    #[test]
    fn a_template_has_one_line_for_each_part() {
        assert_eq!(part("A  title\n\twith    gaps"), "A title with gaps");
        let request = Outbound {
            id: "1".into(),
            inbound_id: None,
            person_id: "ada".into(),
            phone: "351900".into(),
            kind: "template".into(),
            body: part("A title"),
            url: "/posts/1".into(),
            created_at: 0,
        }
        .request();
        assert_eq!(request["template"]["components"][0]["parameters"][1]["text"], "/posts/1");
        assert_eq!((&request["to"], &request["text"]), (&json!("351900"), &Value::Null));
    }
}
