//! What leaves campus: one row and one job for each person, thing and channel, and what becomes of them.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use stoa_jobs_runner::{Context, Failure, Handler, Job};
use stoa_membership::UserId;

use super::mail::Letter;
use super::preferences::Preferences;
use super::sql::{DELIVERIES, DeliveryRow, NotificationSql as _};
use super::{Channel, Kind, digest, mail, of_post};
use crate::app::{App, Viewer};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::groups::notify::NotifyGroup;
use crate::groups::sql::GroupSql as _;
use crate::notices::{self, Notice, NoticeSql as _};
use crate::whatsapp;

/// Brings one thing to one person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deliver {
    /// Who.
    pub person_id: String,
    /// What a notice of it is called, such as `calendar.cancelled`.
    pub kind: String,
    /// What it is about.
    pub entity: String,
    /// How.
    pub channel: Channel,
}

impl Job for Deliver {
    const KIND: &'static str = "notifications.deliver";
    const QUEUE: &'static str = "notification_delivery";
    const TIMEOUT: Option<Duration> = Some(Duration::from_mins(2));
}

impl<B: Backend> Handler<App<B>> for Deliver {
    async fn run(self, context: &Context<App<B>>) -> Result<(), Failure> {
        if !self.channel.is_available(context.state()) {
            return Err(Failure::snooze(UNCONFIGURED));
        }
        let now = Utc::now();
        match deliver(context.state(), &self, now).await? {
            Outcome::Settled => Ok(()),
            // Waiting for the morning is no failed attempt.
            Outcome::Quiet(until) => Err(Failure::snooze((until - now).to_std().unwrap_or_default())),
        }
    }
}

/// When a process that is not set up for a channel looks again at a job that another process may do.
const UNCONFIGURED: Duration = Duration::from_mins(1);

/// What an attempt to deliver came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is nothing left to do: it was sent, refused for good, or nobody wants it or may read it any more.
    Settled,
    /// It is quiet where they are, until then.
    Quiet(DateTime<Utc>),
}

/// Writes down what leaves campus, for each of the people who wants it, in the transaction in which they are told. On a channel that this
/// process is set up for that is one statement, however many are told, and a job for each who asked.
pub(crate) async fn enqueue<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    people: &[&str],
    kind: &str,
    entity: &str,
) -> Result<()> {
    let Some(choice) = Kind::of(kind) else { return Ok(()) };
    let created_at = Utc::now().timestamp_micros();
    for channel in Channel::OUTBOUND.into_iter().filter(|channel| channel.is_available(app)) {
        let row = |&person_id| DeliveryRow {
            person_id,
            choice: choice.as_str(),
            kind,
            entity,
            channel: channel.as_str(),
            created_at,
        };
        let who = DELIVERIES.read(conn, &people.iter().map(row).collect::<Vec<_>>()).await?;
        let job = |person_id| Deliver { person_id, kind: kind.to_owned(), entity: entity.to_owned(), channel };
        let jobs: Vec<Deliver> = who.into_iter().map(job).collect();
        if !jobs.is_empty() {
            app.jobs.enqueue_many(conn, &jobs).await?;
        }
    }
    Ok(())
}

/// Makes a delivery, if it is still to be made. What has changed since it was written down counts: who they are, what they may read,
/// what they want, and when it is quiet.
///
/// It is made at least once: a crash after it was sent and before that is written down sends it again, under the same id.
///
/// # Errors
/// [`Error::Internal`] if the database or the mail server fails: to be tried again; [`Error::Conflict`] if this process is not set up for
/// the channel.
pub async fn deliver<B: Backend>(app: &App<B>, delivery: &Deliver, now: DateTime<Utc>) -> Result<Outcome> {
    let (mut tx, viewer) = match app.read_as(&UserId::new(&*delivery.person_id)?).await {
        Ok(reading) => reading,
        Err(Error::NotSignedIn) => return settle(app, delivery, "skipped", "there is no such person any more").await,
        Err(error) => return Err(error),
    };
    if !tx.is_delivery_waiting(delivery).await? {
        return Ok(Outcome::Settled);
    }
    let preferences = Preferences::of(&mut *tx, &delivery.person_id).await?;
    if let Some(until) = preferences.quiet.and_then(|quiet| quiet.ends(preferences.zone, now)) {
        return Ok(Outcome::Quiet(until));
    }
    if delivery.channel == Channel::Whatsapp {
        let notice = readable::<B>(&mut tx, &viewer, &preferences, delivery).await?;
        drop(tx);
        return by_whatsapp(app, delivery, notice).await;
    }
    let mailer = app.mailer.as_ref().ok_or_else(|| Error::Conflict("this process is not set up for e-mail".into()))?;
    let letter = match &*delivery.kind {
        digest::KIND => digest::letter(app, &mut tx, &viewer, &delivery.entity, mailer.site()).await?,
        _ => readable::<B>(&mut tx, &viewer, &preferences, delivery)
            .await?
            .map(|notice| Letter::of(&notice, &viewer.person.name, mailer.site())),
    };
    let address = mail::address::<B>(&mut tx, &viewer).await?;
    // Nobody waits for a mail server with a transaction open.
    drop(tx);
    let Some(letter) = letter else { return settle(app, delivery, "skipped", NOTHING).await };
    let Some(address) = address else { return settle(app, delivery, "skipped", "there is no e-mail address").await };
    match mailer.send(address, &delivery.id(), &letter).await? {
        None => settle(app, delivery, "sent", "").await,
        Some(refusal) => settle(app, delivery, "failed", &refusal).await,
    }
}

const NOTHING: &str = "there is nothing that they want and may read";

/// How long it is known what became of a delivery: far longer than the job that makes it may run again.
const KEPT: TimeDelta = TimeDelta::days(90);
/// How many are forgotten in one transaction.
const BATCH: i64 = 1_000;

/// Forgets deliveries that were settled long ago: the worker does it now and then.
///
/// # Errors
/// If the database does not answer; what was forgotten before stays so.
pub async fn forget<B: Backend>(app: &App<B>) -> Result<()> {
    let before = (Utc::now() - KEPT).timestamp_micros();
    loop {
        let mut tx = app.begin().await?;
        let forgotten = tx.forget_deliveries(before, BATCH).await?;
        app.commit(tx).await?;
        if forgotten == 0 {
            return Ok(());
        }
    }
}

/// What they were told, if they may still read it and still want it.
async fn readable<B: Backend>(
    conn: &mut B::Connection,
    viewer: &Viewer,
    preferences: &Preferences,
    delivery: &Deliver,
) -> Result<Option<Notice>> {
    let notice = match &*delivery.kind {
        NotifyGroup::KIND => conn.post(&delivery.entity).await?.map(|post| of_post(&post)).transpose()?,
        kind => conn.notice(&delivery.person_id, kind, &delivery.entity).await?,
    };
    Ok(notice
        .filter(|notice| preferences.wants(&notice.kind, delivery.channel) && notices::is_readable(notice, viewer)))
}

/// A message is a job of its own: it leaves if, and only if, the delivery is settled.
async fn by_whatsapp<B: Backend>(app: &App<B>, delivery: &Deliver, notice: Option<Notice>) -> Result<Outcome> {
    let Some(notice) = notice else { return settle(app, delivery, "skipped", NOTHING).await };
    let mut tx = app.begin().await?;
    let is_sent = whatsapp::send_template(app, &mut tx, &delivery.person_id, &notice.title, &notice.url).await?;
    let (state, reason) =
        if is_sent { ("sent", "") } else { ("skipped", "WhatsApp is not set up, or they have not opted in") };
    tx.settle_delivery(delivery, state, reason).await?;
    app.commit(tx).await?;
    app.jobs.wake();
    Ok(Outcome::Settled)
}

async fn settle<B: Backend>(app: &App<B>, delivery: &Deliver, state: &str, reason: &str) -> Result<Outcome> {
    let mut tx = app.begin().await?;
    tx.settle_delivery(delivery, state, reason).await?;
    app.commit(tx).await?;
    Ok(Outcome::Settled)
}

impl Deliver {
    /// What a mail program knows a second copy by.
    fn id(&self) -> String {
        let parts = [&*self.person_id, &*self.kind, &*self.entity, self.channel.as_str()];
        let digest = Sha256::digest(parts.join("\0"));
        digest.iter().take(16).fold(String::new(), |id, byte| id + &format!("{byte:02x}"))
    }
}
