//! What people are told, and how it reaches them: on campus, by e-mail, in a digest, on WhatsApp.
//!
//! Whoever has something to say calls [`notices::tell`] in their own transaction. What shall leave campus is written down in the same
//! transaction, as a row for each person who asked for it and a job for each row: see [`delivery`].

pub mod delivery;
pub mod digest;
pub mod mail;
pub mod preferences;
pub mod quiet;
pub mod sql;

pub(crate) mod api;
pub(crate) mod pages;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use stoa_jobs_runner::Job as _;

use self::delivery::Deliver;
use self::digest::SendDigests;
use self::preferences::Preferences;
use self::sql::ToldSql as _;
use crate::app::{App, Viewer};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::feed;
use crate::groups::notify::NotifyGroup;
use crate::groups::posts::Post;
use crate::notices::{self, LOOKED_AT, Notice, NoticeSql as _, ToldNotice};
use crate::surface::Surface;

/// What notifications bring.
pub const SURFACE: Surface = Surface {
    name: "notifications",
    tables: &["campus_notice", "campus_notification_choice", "campus_notification_setting", "campus_delivery"],
    scopes: &[],
    documents: None,
    actions: &[preferences::UPDATED],
    jobs: &[Deliver::KIND, SendDigests::KIND],
    capabilities: &[],
    paths: &["/notifications", "/settings/notifications", "/api/v1/notifications", "/api/v1/settings/notifications"],
};

/// What people are told of. How each of them reaches somebody is theirs to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Somebody wrote into a group of theirs.
    GroupPost,
    /// Something became of an event they answered.
    Event,
    /// Something is published for a group or a class of theirs.
    Announcement,
    /// Something became of a mentorship of theirs.
    Mentorship,
    /// A code of theirs was taken.
    Marketplace,
    /// Somebody decided about their leave.
    Staff,
}

impl Kind {
    /// Every one of them, as a page shows them.
    pub const ALL: [Self; 6] =
        [Self::GroupPost, Self::Event, Self::Announcement, Self::Mentorship, Self::Marketplace, Self::Staff];

    /// Returns the stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GroupPost => "group_post",
            Self::Event => "event",
            Self::Announcement => "announcement",
            Self::Mentorship => "mentorship",
            Self::Marketplace => "marketplace",
            Self::Staff => "staff",
        }
    }

    /// Says what a notice is about by the surface that its own kind begins with, such as `calendar.cancelled`.
    pub fn of(notice: &str) -> Option<Self> {
        match notice.split_once('.')?.0 {
            "groups" => Some(Self::GroupPost),
            "calendar" => Some(Self::Event),
            "announcements" => Some(Self::Announcement),
            "mentorship" => Some(Self::Mentorship),
            "marketplace" => Some(Self::Marketplace),
            "staff" => Some(Self::Staff),
            _ => None,
        }
    }
}

impl TryFrom<&str> for Kind {
    type Error = Error;

    fn try_from(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == name);
        found.ok_or_else(|| Error::Invalid(format!("a kind is one of: {}", Self::ALL.map(Self::as_str).join(", "))))
    }
}

/// A way to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// The pages of campus.
    InApp,
    /// An e-mail for each, at once.
    Email,
    /// An e-mail for all of them, once a day or a week.
    Digest,
    /// A WhatsApp message for each.
    Whatsapp,
}

impl Channel {
    /// Every one of them, as a page shows them.
    pub const ALL: [Self; 4] = [Self::InApp, Self::Email, Self::Digest, Self::Whatsapp];

    /// Those by which a thing leaves campus at once.
    const OUTBOUND: [Self; 2] = [Self::Email, Self::Whatsapp];

    /// Returns the stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InApp => "in_app",
            Self::Email => "email",
            Self::Digest => "digest",
            Self::Whatsapp => "whatsapp",
        }
    }

    /// Whether it is taken where nobody said anything: nobody is written to who did not ask for it.
    pub fn is_default(self) -> bool {
        self == Self::InApp
    }

    /// Whether this process is set up for it.
    pub fn is_available<B: Backend>(self, app: &App<B>) -> bool {
        match self {
            Self::InApp => true,
            Self::Email | Self::Digest => app.mailer.is_some(),
            Self::Whatsapp => app.whatsapp.is_some(),
        }
    }
}

impl TryFrom<&str> for Channel {
    type Error = Error;

    fn try_from(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|channel| channel.as_str() == name);
        found.ok_or_else(|| Error::Invalid(format!("a channel is one of: {}", Self::ALL.map(Self::as_str).join(", "))))
    }
}

/// A stretch of time, in microseconds since 1970: after the first moment, up to and with the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From here on, without it.
    pub after: i64,
    /// Up to here, with it.
    pub until: i64,
}

impl Span {
    /// All of it.
    pub const ALWAYS: Self = Self { after: i64::MIN, until: i64::MAX };
}

/// What the viewer was told in that time and may still read, newest first, of the kinds that they want on this channel. Of what is old
/// it looks no further than at the newest few hundred.
pub(crate) async fn told<B: Backend>(
    conn: &mut B::Connection,
    viewer: &Viewer,
    channel: Channel,
    span: Span,
) -> Result<Vec<ToldNotice>> {
    let id = &viewer.person.id;
    let preferences = Preferences::of(conn, id).await?;
    let mut told = conn.notices(id, span, LOOKED_AT.into()).await?;
    let posts = feed::newest(conn, viewer, LOOKED_AT).await?;
    let posts: HashMap<&str, &Post> = posts.iter().map(|item| (&*item.post.id, &item.post)).collect();
    for (id, created_at) in conn.told_of(id, &posts.keys().copied().collect::<Vec<_>>(), span).await? {
        if let Some(post) = posts.get(&*id) {
            told.push(ToldNotice { notice: of_post(post)?, created_at });
        }
    }
    told.retain(|told| preferences.wants(&told.notice.kind, channel) && notices::is_readable(&told.notice, viewer));
    told.sort_by_key(|told| std::cmp::Reverse(told.created_at));
    Ok(told)
}

/// A post, as people are told of it.
fn of_post(post: &Post) -> Result<Notice> {
    Ok(Notice {
        kind: NotifyGroup::KIND.into(),
        entity: post.id.clone(),
        title: post.title.clone(),
        url: format!("/posts/{}", post.id),
        scope: post.scope()?.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::announcements::publish::TellReaders;
    use crate::calendar::notify::{TellCancelled, TellMovedUp};

    #[test]
    fn every_notice_is_of_a_kind_that_people_choose_about() {
        assert_eq!(Kind::of(NotifyGroup::KIND), Some(Kind::GroupPost));
        assert_eq!(Kind::of(TellMovedUp::KIND), Some(Kind::Event));
        assert_eq!(Kind::of(TellCancelled::KIND), Some(Kind::Event));
        assert_eq!(Kind::of(TellReaders::KIND), Some(Kind::Announcement));
        for other in ["", ".", "calendar", "staffing.changed"] {
            assert_eq!(Kind::of(other), None, "{other}");
        }
        for kind in Kind::ALL {
            assert_eq!(Kind::try_from(kind.as_str()).unwrap(), kind);
        }
        for channel in Channel::ALL {
            assert_eq!(Channel::try_from(channel.as_str()).unwrap(), channel);
            assert_eq!(serde_json::to_value(channel).unwrap(), channel.as_str());
        }
    }
}
