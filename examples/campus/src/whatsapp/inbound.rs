//! What comes in: stored once, and answered by a job.

use chrono::Utc;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use stoa_audit::{Action, Actor, Entity, EntityId, EntityType, Record, RequestContext};
use stoa_jobs_runner::{Context, EnqueueOptions, Failure, Handler, Job};
use stoa_membership::UserId;

use super::opt_in::{self, Reply};
use super::outbound::{self, Outbound};
use super::sql::{OptInSql as _, WhatsAppSql as _};
use super::{KEPT, Sender, UNCONFIGURED, WINDOW};
use crate::app::App;
use crate::assistant::{self, Answer};
use crate::backend::Backend;
use crate::caller::Caller;
use crate::code;
use crate::error::{Error, Result};
use crate::retry::retried;

pub(crate) const RECEIVED: Action = Action::new("bits.whatsapp.v1.WebhookService/ReceiveMessage");

/// What somebody wrote.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Inbound {
    /// The provider's.
    pub id: String,
    /// Where it came from, in digits.
    pub phone: String,
    /// `text`, `media` or `other`.
    pub kind: String,
    /// Of a text, what it says.
    pub body: String,
    /// When it was written, in microseconds since 1970 in UTC.
    pub received_at: i64,
}

/// Answers a message.
#[derive(Debug, Serialize, Deserialize)]
pub struct AnswerMessage {
    /// The message.
    pub message_id: String,
}

impl Job for AnswerMessage {
    const KIND: &'static str = "whatsapp.answer";
    const QUEUE: &'static str = "whatsapp_inbound";
}

impl<B: Backend> Handler<App<B>> for AnswerMessage {
    async fn run(self, context: &Context<App<B>>) -> Result<(), Failure> {
        let app = context.state();
        let Some(sender) = &app.whatsapp else { return Err(Failure::snooze(UNCONFIGURED)) };
        Ok(answer(app, sender, &self.message_id).await?)
    }
}

/// Stores what is not stored yet, each message with the job that answers it. What was written longer ago than messages are kept is left
/// out: nobody could tell whether it was answered.
pub(super) async fn receive<B: Backend>(
    app: &App<B>,
    sender: &Sender,
    request: &RequestContext,
    messages: &[Inbound],
) -> Result<()> {
    let oldest = (Utc::now() - KEPT).timestamp_micros();
    let messages: Vec<&Inbound> = messages.iter().filter(|message| message.received_at >= oldest).collect();
    if messages.is_empty() {
        return Ok(());
    }
    retried(|| store(app, sender, request, &messages)).await?;
    app.jobs.wake();
    Ok(())
}

async fn store<B: Backend>(
    app: &App<B>,
    sender: &Sender,
    request: &RequestContext,
    messages: &[&Inbound],
) -> Result<()> {
    let mut tx = app.begin().await?;
    for message in messages {
        if !tx.insert_whatsapp_inbound(message).await? {
            continue;
        }
        let who = sender.hash(&message.phone);
        let options = EnqueueOptions::default()
            .limited(format!("{}:{who}", AnswerMessage::QUEUE))
            .ordered(who)
            // By then no reply could be sent any more.
            .expires_after(WINDOW);
        app.jobs.enqueue_with(&mut tx, &AnswerMessage { message_id: message.id.clone() }, &options).await?;
        let entity = Entity::new(EntityType::from_static("whatsapp_message"), EntityId::new(&*message.id)?);
        let actor = Actor::System("whatsapp".try_into()?);
        app.audit.record(&mut tx, &Record::new(RECEIVED, &actor, entity).request(request)).await?;
    }
    app.commit(tx).await
}

/// What somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wish {
    Join(String),
    Stop,
    Start,
    Ask,
    /// They sent a picture, or the like.
    Show,
    Nothing,
}

impl Wish {
    fn of(message: &Inbound) -> Self {
        match &*message.kind {
            "text" => Self::of_text(&message.body),
            "media" => Self::Show,
            _ => Self::Nothing,
        }
    }

    fn of_text(text: &str) -> Self {
        let text = text.trim_matches(|character: char| !character.is_alphanumeric());
        let is = |word: &str| text.eq_ignore_ascii_case(word);
        let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        match code::parsed(rest) {
            Some(code) if first.eq_ignore_ascii_case("join") => Self::Join(code),
            _ if is("stop") => Self::Stop,
            _ if is("start") => Self::Start,
            _ => Self::Ask,
        }
    }
}

/// Finds out who wrote and what they want, and stores the reply, with the job that sends it. Whoever has not opted in gets none.
async fn answer<B: Backend>(app: &App<B>, sender: &Sender, id: &str) -> Result<()> {
    let (message, opt_in) = {
        let mut tx = app.read().await?;
        let Some(message) = tx.whatsapp_inbound(id).await? else { return Ok(()) };
        let opt_in = tx.whatsapp_opt_in_of(&message.phone).await?;
        (message, opt_in)
    };
    let wish = Wish::of(&message);
    // A model may take its time: no transaction is open meanwhile.
    let said = match (&wish, opt_in.filter(opt_in::OptIn::is_active)) {
        (Wish::Ask, Some(opt_in)) => ask(app, sender, &opt_in.person_id, &message.body).await?,
        (Wish::Show, Some(opt_in)) => opt_in.reply("I can only read text. Ask me in words."),
        _ => None,
    };
    retried(|| settle(app, sender, &message, &wish, said.as_ref())).await?;
    app.jobs.wake();
    Ok(())
}

async fn ask<B: Backend>(app: &App<B>, sender: &Sender, person_id: &str, question: &str) -> Result<Option<Reply>> {
    let text = match assistant::ask(app, &Caller::new(UserId::new(person_id)?), question).await {
        Ok(answer) => written(&answer, &sender.site),
        Err(Error::Invalid(why)) => format!("I cannot answer that: {why}."),
        Err(Error::NotSignedIn) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(Reply { person_id: person_id.to_owned(), text }))
}

/// An answer as it is read on a telephone: what it cites has an address that can be tapped.
fn written(answer: &Answer, site: &str) -> String {
    let cited = answer.citations.iter();
    let cited = cited.map(|citation| format!("[{}] {}\n{site}{}", citation.number, citation.title, citation.url));
    let parts = [answer.text.clone(), cited.collect::<Vec<_>>().join("\n"), answer.note.unwrap_or_default().to_owned()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
}

/// Carries out what a message asks for, once, and stores the one reply to it.
async fn settle<B: Backend>(
    app: &App<B>,
    sender: &Sender,
    message: &Inbound,
    wish: &Wish,
    said: Option<&Reply>,
) -> Result<()> {
    let mut tx = app.begin().await?;
    let now = Utc::now().timestamp_micros();
    if !tx.handle_whatsapp_inbound(&message.id, now).await? {
        return Ok(());
    }
    let reply = match wish {
        Wish::Join(code) => opt_in::join(app, sender, &mut tx, &message.phone, code, now).await?,
        Wish::Stop => opt_in::stop(app, &mut tx, &message.phone, now).await?,
        Wish::Start => opt_in::start(app, &mut tx, &message.phone).await?,
        Wish::Ask | Wish::Show | Wish::Nothing => said.cloned(),
    };
    if let Some(reply) = reply {
        let reply = Outbound::reply(message, &reply.person_id, &reply.text, now);
        outbound::enqueue(app, &mut tx, &reply).await?;
    }
    app.commit(tx).await
}

/// How many are forgotten in one transaction.
const BATCH: i64 = 1_000;

/// Forgets what came in and went out long ago: the worker does it now and then.
///
/// # Errors
/// If the database does not answer; what was forgotten before stays so.
pub async fn forget<B: Backend>(app: &App<B>) -> Result<()> {
    let before = (Utc::now() - KEPT).timestamp_micros();
    loop {
        let mut tx = app.begin().await?;
        let inbound = tx.forget_whatsapp_inbound(before, BATCH).await?;
        let outbound = tx.forget_whatsapp_outbound(before, BATCH).await?;
        app.commit(tx).await?;
        if inbound + outbound == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_wants_is_read_however_they_type() {
        let wish = Wish::of_text;
        let code = code::new();
        assert_eq!(wish(&format!("JOIN {code}")), Wish::Join(code.clone()));
        assert_eq!(wish(&format!(" join  {} !", code.to_lowercase().replace('-', " "))), Wish::Join(code));
        for stop in ["STOP", "stop", " Stop. ", "“stop”"] {
            assert_eq!(wish(stop), Wish::Stop, "{stop}");
        }
        assert_eq!(wish("Start!"), Wish::Start);
        for question in ["", "stop it", "join", "Join the chess club?", "JOIN 1234", "?"] {
            assert_eq!(wish(question), Wish::Ask, "{question}");
        }
    }
}
