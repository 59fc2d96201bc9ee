//! What happened to memberships: the transitions, and the feed of them.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};

use crate::{Error, Reason, Result, Scope, Standing, UserId};

/// What changed a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verb {
    /// [`add`](crate::Membership::add).
    Add,
    /// [`ban`](crate::Membership::ban).
    Ban,
    /// [`import`](crate::Membership::import).
    Import,
    /// [`join`](crate::Membership::join).
    Join,
    /// [`leave`](crate::Membership::leave).
    Leave,
    /// [`remove`](crate::Membership::remove).
    Remove,
    /// [`set_role`](crate::Membership::set_role).
    SetRole,
    /// [`unban`](crate::Membership::unban).
    Unban,
}

impl Verb {
    /// Returns the name under which databases store it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Ban => "ban",
            Self::Import => "import",
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Remove => "remove",
            Self::SetRole => "set_role",
            Self::Unban => "unban",
        }
    }

    /// Parses what a database stored.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is no verb.
    pub fn stored(name: &str) -> Result<Self> {
        match name {
            "add" => Ok(Self::Add),
            "ban" => Ok(Self::Ban),
            "import" => Ok(Self::Import),
            "join" => Ok(Self::Join),
            "leave" => Ok(Self::Leave),
            "remove" => Ok(Self::Remove),
            "set_role" => Ok(Self::SetRole),
            "unban" => Ok(Self::Unban),
            _ => Err(Error::Corrupt { what: "verb" }),
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// One change of one membership, for good: only a purge takes it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Whose membership.
    pub user: UserId,
    /// Of which scope.
    pub scope: Scope,
    /// The version it led to, from 1 and without gaps.
    pub version: i64,
    /// What changed it.
    pub verb: Verb,
    /// How it stood before; `None`: there was none.
    pub before: Option<Standing>,
    /// How it stood after.
    pub after: Standing,
    /// Who changed it; `None` if that person was purged since.
    pub actor: Option<UserId>,
    /// Why.
    pub reason: Option<Reason>,
    /// When, by the database's clock.
    pub at: DateTime<Utc>,
}

/// Something that became visible to everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A membership changed.
    Changed(Transition),
    /// A membership of that scope was purged, and its transitions with it. Whose it was is forgotten on purpose: what was
    /// derived from the scope has to be read again.
    Purged {
        /// The scope that lost a row.
        scope: Scope,
        /// When, by the database's clock.
        at: DateTime<Utc>,
    },
}

/// Some of what happened, oldest first, and where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// What happened. The changes of one membership are in the order of their versions.
    pub events: Vec<Event>,
    /// Behind the last of them. With no events, too, it is the one to go on with.
    pub next: Cursor,
}

/// A position in the feed of one database.
///
/// Displays as printable ASCII with a checksum; it is text to be kept, not to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor(String);

/// No backend's position comes near: one holds the numbers of all transactions that were open at a time.
const MAX_POSITION: usize = 64 * 1024;

impl Cursor {
    /// The position before everything.
    pub fn start() -> Self {
        Self::default()
    }

    /// Wraps a backend's own notation.
    pub fn new(position: String) -> Self {
        Self(position)
    }

    /// Returns the backend's own notation; empty at the start.
    pub fn position(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:08x}.{}", crc32fast::hash(self.0.as_bytes()), self.0)
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (checksum, position) = text.split_once('.').ok_or(Error::Cursor)?;
        let cursor = Self(position.to_owned());
        let is_ours = position.len() <= MAX_POSITION && cursor.to_string().split('.').next() == Some(checksum);
        if is_ours { Ok(cursor) } else { Err(Error::Cursor) }
    }
}

/// What [`purge_user`](crate::Membership::purge_user) removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purged {
    /// Memberships of the user, in whatever state.
    pub memberships: u64,
    /// Changes of those memberships.
    pub transitions: u64,
    /// Changes of others' memberships that no longer name the user as their actor.
    pub mentions: u64,
    /// Scopes that lost their last owner, in order.
    pub ownerless: Vec<Scope>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_an_edited_one_does_not() {
        for position in ["", "42", "771:780:772,775/790:790:/12"] {
            let cursor = Cursor::new(position.to_owned());
            assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
            assert!(matches!(format!("{cursor}1").parse::<Cursor>(), Err(Error::Cursor)));
        }
        for foreign in ["", ".", "42", "00000000.42", "é.é"] {
            assert!(matches!(foreign.parse::<Cursor>(), Err(Error::Cursor)), "{foreign}");
        }
        let huge = Cursor::new("1".repeat(MAX_POSITION + 1)).to_string();
        assert!(matches!(huge.parse::<Cursor>(), Err(Error::Cursor)));
    }
}
