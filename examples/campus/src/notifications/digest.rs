//! What somebody was told in a day or a week, in one e-mail.

use std::fmt::Write as _;

use chrono::{DateTime, Datelike as _, Days, NaiveTime, TimeDelta, TimeZone as _, Utc, Weekday};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use stoa_jobs_runner::{Context, Cron, Failure, Handler, Job};
use stoa_search::Surface;

use super::delivery::Deliver;
use super::mail::Letter;
use super::sql::NotificationSql as _;
use super::{Channel, Span, told};
use crate::app::{App, Viewer};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::flags::Flag;
use crate::recommender;
use crate::retry::retried;

/// What a delivery of a digest is called.
pub(super) const KIND: &str = "notifications.digest";

/// The hour at which a digest is due, by the clock on the reader's wall.
const HOUR: u32 = 8;

/// Whose digests are enqueued in one transaction.
const BATCH: i64 = 100;

/// What is told by now may take so long to be committed.
const UNDER_WAY: TimeDelta = TimeDelta::minutes(1);

/// How many things one digest tells; the others stand on campus.
const ITEMS: usize = 20;

/// How many things a digest recommends.
const RECOMMENDED: usize = 3;

/// How often there is a digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rhythm {
    /// In the morning.
    Daily,
    /// On Monday morning.
    #[default]
    Weekly,
}

impl Rhythm {
    /// Every one of them, as a page shows them.
    pub const ALL: [Self; 2] = [Self::Daily, Self::Weekly];

    /// Returns the stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Weekly => "weekly",
        }
    }

    /// The next time that a digest is due there. A morning that the clocks skip is passed over.
    pub fn next(self, zone: Tz, now: DateTime<Utc>) -> DateTime<Utc> {
        let today = now.with_timezone(&zone).date_naive();
        let days = (0..=14).filter_map(|days| today.checked_add_days(Days::new(days)));
        let days = days.filter(|day| self == Self::Daily || day.weekday() == Weekday::Mon);
        let mornings = days.filter_map(|day| {
            let morning = day.and_time(NaiveTime::from_hms_opt(HOUR, 0, 0)?);
            Some(zone.from_local_datetime(&morning).earliest()?.with_timezone(&Utc))
        });
        // Of three Mondays one is left in every zone.
        mornings.into_iter().find(|morning| *morning > now).unwrap_or(now + Days::new(7))
    }
}

impl TryFrom<&str> for Rhythm {
    type Error = Error;

    fn try_from(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|rhythm| rhythm.as_str() == name);
        found.ok_or_else(|| Error::Invalid("a digest is daily or weekly".into()))
    }
}

/// Enqueues every digest that is due.
#[derive(Debug, Serialize, Deserialize)]
pub struct SendDigests {}

impl Job for SendDigests {
    const KIND: &'static str = "notifications.send_digests";
    const QUEUE: &'static str = "notification_delivery";
}

impl<B: Backend> Handler<App<B>> for SendDigests {
    async fn run(self, context: &Context<App<B>>) -> Result<(), Failure> {
        send_due(context.state(), Utc::now()).await?;
        Ok(())
    }
}

/// It is eight o'clock somewhere at every quarter of an hour.
pub(crate) fn schedule() -> stoa_jobs_runner::Result<Cron> {
    Cron::new(SendDigests::KIND, "1,16,31,46 * * * *", SendDigests {})
}

/// Enqueues every digest that is due at that moment, batch by batch; says how many. Whose digest is enqueued is no longer due from the same
/// commit on: after a crash the job goes on with the others, and two at once share them.
///
/// # Errors
/// [`Error::Internal`]; what was enqueued before stays enqueued.
pub async fn send_due<B: Backend>(app: &App<B>, now: DateTime<Utc>) -> Result<u64> {
    // Where no mail can be sent digests wait: whoever sets it up later sends one for all that time.
    if !Channel::Digest.is_available(app) {
        return Ok(0);
    }
    let mut count = 0;
    while let Some(enqueued) = retried(|| batch(app, now)).await? {
        count += enqueued;
    }
    Ok(count)
}

/// Enqueues some; nothing once none is due.
async fn batch<B: Backend>(app: &App<B>, now: DateTime<Utc>) -> Result<Option<u64>> {
    let mut tx = app.begin().await?;
    let due = tx.due_digests(now.timestamp_micros(), BATCH).await?;
    if due.is_empty() {
        return Ok(None);
    }
    // Whom somebody is about to tell, in a transaction that has not ended, hears of it in the next one.
    let until = (now - UNDER_WAY).timestamp_micros();
    let mut jobs = Vec::new();
    for setting in due {
        let rhythm = Rhythm::try_from(&*setting.digest).unwrap_or_default();
        let next = rhythm.next(setting.time_zone.parse().unwrap_or(Tz::UTC), now);
        if !tx.move_digest(&setting, until, next.timestamp_micros()).await? {
            continue;
        }
        let entity = written(Span { after: setting.digest_since, until });
        let job = Deliver { person_id: setting.person_id, kind: KIND.into(), entity, channel: Channel::Digest };
        if tx.insert_delivery(&job, now.timestamp_micros()).await? {
            jobs.push(job);
        }
    }
    if !jobs.is_empty() {
        app.jobs.enqueue_many(&mut tx, &jobs).await?;
    }
    app.commit(tx).await?;
    app.jobs.wake();
    Ok(Some(jobs.len() as u64))
}

/// What they were told in that time, still want in a digest, and may still read; nothing if there is nothing.
pub(super) async fn letter<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    viewer: &Viewer,
    entity: &str,
    site: &str,
) -> Result<Option<Letter>> {
    let Some(span) = read(entity) else { return Ok(None) };
    let told = told::<B>(conn, viewer, Channel::Digest, span).await?;
    if told.is_empty() {
        return Ok(None);
    }
    let mut body = String::from("this is what you were told since the last time:\n");
    let mut list = |title: &str, url: &str| {
        // Writing to a string does not fail.
        let _ = write!(body, "\n* {title}\n  {site}{url}");
    };
    for told in told.iter().take(ITEMS) {
        list(&told.notice.title, &told.notice.url);
    }
    if told.len() > ITEMS {
        list(&format!("and {} more", told.len() - ITEMS), "/notifications");
    }
    if app.flags.is_on(Flag::DigestRecommendations, &viewer.user) {
        let posts = recommender::read(app, conn, viewer, &Surface::FEED, RECOMMENDED).await?;
        for (number, post) in posts.iter().enumerate() {
            let heading = if number == 0 { "\n\nYou may also like:\n" } else { "" };
            let _ = write!(body, "{heading}\n* {}\n  {site}{}", post.title, post.url.as_deref().unwrap_or_default());
        }
    }
    let subject = match told.len() {
        1 => told[0].notice.title.clone(),
        more => format!("{} and {} more", told[0].notice.title, more - 1),
    };
    Ok(Some(Letter::new(subject, &viewer.person.name, &body, site)))
}

/// The time that a digest is of, as its delivery names it.
fn written(span: Span) -> String {
    format!("{}-{}", span.after, span.until)
}

fn read(entity: &str) -> Option<Span> {
    let (after, until) = entity.split_once('-')?;
    Some(Span { after: after.parse().ok()?, until: until.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(rhythm: Rhythm, zone: &str, now: &str) -> String {
        rhythm.next(zone.parse().unwrap(), now.parse().unwrap()).format("%a %FT%TZ").to_string()
    }

    #[test]
    fn a_digest_comes_at_eight_in_the_morning_there() {
        assert_eq!(next(Rhythm::Daily, "Asia/Kolkata", "2026-05-17T02:29:59Z"), "Sun 2026-05-17T02:30:00Z");
        assert_eq!(next(Rhythm::Daily, "Asia/Kolkata", "2026-05-17T02:30:00Z"), "Mon 2026-05-18T02:30:00Z");
        assert_eq!(next(Rhythm::Weekly, "UTC", "2026-05-17T12:00:00Z"), "Mon 2026-05-18T08:00:00Z");
        assert_eq!(next(Rhythm::Weekly, "UTC", "2026-05-18T08:00:00Z"), "Mon 2026-05-25T08:00:00Z");
        // The clocks of Berlin change on Sunday 29 March: an hour less between two digests.
        assert_eq!(next(Rhythm::Daily, "Europe/Berlin", "2026-03-28T07:00:00Z"), "Sun 2026-03-29T06:00:00Z");
        // Samoa had no 30 December 2011.
        assert_eq!(next(Rhythm::Daily, "Pacific/Apia", "2011-12-29T18:00:00Z"), "Fri 2011-12-30T18:00:00Z");
    }
}
