//! How somebody wants to be told of what: which channel takes which kind, when it is quiet, how often there is a digest.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use stoa_audit::{Action, Audited, Entity, EntityId, EntityType};
use utoipa::ToSchema;

use super::digest::Rhythm;
use super::quiet::{Quiet, clock};
use super::sql::{CHOICES, ChoiceRow, NotificationSql, Setting};
use super::{Channel, Kind};
use crate::app::App;
use crate::backend::Backend;
use crate::calendar::parse_zone;
use crate::caller::Caller;
use crate::directory::sql::DirectorySql as _;
use crate::error::{Error, Result};

pub(crate) const UPDATED: Action = Action::new("bits.notifications.v1.PreferenceService/UpdatePreferences");

/// What somebody chose, or would have without choosing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preferences {
    wanted: BTreeSet<(Kind, Channel)>,
    pub(super) quiet: Option<Quiet>,
    pub(super) zone: Tz,
    pub(super) rhythm: Rhythm,
}

impl Preferences {
    /// Reads those of somebody. Who never chose has the default, and no row.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub async fn of<C: NotificationSql>(conn: &mut C, person_id: &str) -> Result<Self> {
        let mut preferences = Self::default();
        for choice in conn.notification_choices(person_id).await? {
            // What a later release knows of is left to it.
            let (Ok(kind), Ok(channel)) = (Kind::try_from(&*choice.kind), Channel::try_from(&*choice.channel)) else {
                continue;
            };
            if choice.is_wanted {
                preferences.wanted.insert((kind, channel));
            } else {
                preferences.wanted.remove(&(kind, channel));
            }
        }
        if let Some(setting) = conn.notification_setting(person_id).await? {
            preferences.quiet = Quiet::stored(setting.quiet_from, setting.quiet_until);
            preferences.zone = parse_zone(&setting.time_zone).unwrap_or_default();
            preferences.rhythm = Rhythm::try_from(&*setting.digest).unwrap_or_default();
        }
        Ok(preferences)
    }

    /// Says whether a notice of this kind, such as `calendar.cancelled`, is to reach them this way. One that nobody can choose about
    /// stands on the pages of campus, and goes nowhere else.
    pub(crate) fn wants(&self, notice: &str, channel: Channel) -> bool {
        Kind::of(notice).map_or(channel.is_default(), |kind| self.wanted.contains(&(kind, channel)))
    }

    /// Says whether any kind is wanted on this channel.
    pub(super) fn uses(&self, channel: Channel) -> bool {
        self.wanted.iter().any(|(_, wanted)| *wanted == channel)
    }

    /// What differs from the default.
    fn choices<'a>(&self, person_id: &'a str) -> Vec<ChoiceRow<'a>> {
        let all = Kind::ALL.into_iter().flat_map(|kind| Channel::ALL.map(|channel| (kind, channel)));
        let choice = |(kind, channel): (Kind, Channel)| {
            let is_wanted = self.wanted.contains(&(kind, channel));
            let differs = is_wanted != channel.is_default();
            differs.then(|| ChoiceRow { person_id, kind: kind.as_str(), channel: channel.as_str(), is_wanted })
        };
        all.filter_map(choice).collect()
    }
}

impl Default for Preferences {
    fn default() -> Self {
        let on_campus = Kind::ALL.map(|kind| (kind, Channel::InApp));
        Self { wanted: on_campus.into(), quiet: None, zone: Tz::UTC, rhythm: Rhythm::default() }
    }
}

/// Changes the caller's own preferences.
///
/// # Errors
/// [`Error::NotSignedIn`] if there is no such person; [`Error::Internal`].
pub async fn update<B: Backend>(
    app: &App<B>,
    caller: &Caller,
    after: Preferences,
    now: DateTime<Utc>,
) -> Result<Preferences> {
    let mut tx = app.begin().await?;
    let id = caller.user.as_str();
    // Of two who change them at once, the second sees what the first made of them.
    tx.lock_profile(id).await?.ok_or(Error::NotSignedIn)?;
    let before = Preferences::of(&mut *tx, id).await?;
    if after == before {
        return Ok(after);
    }
    // The first digest tells what comes from now on.
    let known = tx.notification_setting(id).await?.filter(|_| before.uses(Channel::Digest));
    let next = after.uses(Channel::Digest).then(|| after.rhythm.next(after.zone, now).timestamp_micros());
    tx.put_notification_setting(&Setting {
        person_id: id.to_owned(),
        time_zone: after.zone.name().to_owned(),
        quiet_from: after.quiet.map(|quiet| quiet.from().into()),
        quiet_until: after.quiet.map(|quiet| quiet.until().into()),
        digest: after.rhythm.as_str().to_owned(),
        digest_since: known.map_or(now.timestamp_micros(), |known| known.digest_since),
        digest_due_at: next,
    })
    .await?;
    tx.delete_notification_choices(id).await?;
    CHOICES.write(&mut *tx, &after.choices(id)).await?;
    let entity = Entity::new(EntityType::from_static("notification_preferences"), EntityId::new(id)?);
    let (subject, written) = (stoa_audit::UserId::new(id)?, Written::from(&after));
    let record = caller.record(UPDATED, entity)?.diff(&Written::from(&before), &written)?;
    app.audit.record(&mut tx, &record.personal(subject, &written)?).await?;
    app.commit(tx).await?;
    Ok(after)
}

/// Preferences as they are written down: in JSON, and in the audit log.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
pub struct Written {
    /// By kind, the channels that take it. The kinds are `group_post`, `event`, `announcement`, `mentorship`, `marketplace` and `staff`;
    /// the channels `in_app`, `email`, `digest` and `whatsapp`. A kind that is not named is told on campus alone.
    #[serde(default)]
    pub channels: BTreeMap<String, Vec<String>>,
    /// When quiet hours begin, such as `22:00`; empty or absent, as their end is: there are none.
    #[serde(default)]
    #[schema(max_length = 5)]
    pub quiet_from: String,
    /// When they end.
    #[serde(default)]
    #[schema(max_length = 5)]
    pub quiet_until: String,
    /// Where the clock is that tells the time: an IANA name.
    #[schema(max_length = 64)]
    pub time_zone: String,
    /// How often there is a digest: `daily` or `weekly`.
    pub digest: String,
}

/// When somebody sleeps, and where, is kept apart.
impl Audited for Written {
    const FIELDS: &'static [&'static str] = &["channels", "digest"];
    const PERSONAL: &'static [&'static str] = &["quiet_from", "quiet_until", "time_zone"];
}

impl From<&Preferences> for Written {
    fn from(preferences: &Preferences) -> Self {
        let channels = |kind| {
            let taken = Channel::ALL.into_iter().filter(move |channel| preferences.wanted.contains(&(kind, *channel)));
            taken.map(|channel| channel.as_str().to_owned()).collect()
        };
        Self {
            channels: Kind::ALL.into_iter().map(|kind| (kind.as_str().to_owned(), channels(kind))).collect(),
            quiet_from: preferences.quiet.map(|quiet| clock(quiet.from())).unwrap_or_default(),
            quiet_until: preferences.quiet.map(|quiet| clock(quiet.until())).unwrap_or_default(),
            time_zone: preferences.zone.name().to_owned(),
            digest: preferences.rhythm.as_str().to_owned(),
        }
    }
}

impl TryFrom<&Written> for Preferences {
    type Error = Error;

    fn try_from(written: &Written) -> Result<Self> {
        let mut preferences = Self {
            quiet: Quiet::new(&written.quiet_from, &written.quiet_until)?,
            zone: parse_zone(&written.time_zone)?,
            rhythm: Rhythm::try_from(&*written.digest)?,
            ..Self::default()
        };
        for (kind, channels) in &written.channels {
            let kind = Kind::try_from(&**kind)?;
            preferences.wanted.retain(|(wanted, _)| *wanted != kind);
            for channel in channels {
                preferences.wanted.insert((kind, Channel::try_from(&**channel)?));
            }
        }
        Ok(preferences)
    }
}
