//! One user's membership of one scope, and what a verb did to it.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, SubsecRound, Utc};

use crate::{Error, Reason, Result, Role, Scope, UserId};

/// Where a membership stands at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Takes part.
    Active,
    /// Shut out until unbanned.
    Banned,
    /// Took part until the end of the membership. Stored as active: nothing has to sweep.
    Expired,
    /// Took part until leaving or being removed.
    Left,
}

impl State {
    /// Returns the name, which is also what databases store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Banned => "banned",
            Self::Expired => "expired",
            Self::Left => "left",
        }
    }

    /// Parses what a database stored.
    ///
    /// # Errors
    /// [`Error::Corrupt`] unless it is `active`, `banned` or `left`.
    pub fn stored(name: &str) -> Result<Self> {
        match name.parse() {
            Err(_) | Ok(Self::Expired) => Err(Error::Corrupt { what: "state" }),
            Ok(state) => Ok(state),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "active" => Ok(Self::Active),
            "banned" => Ok(Self::Banned),
            "expired" => Ok(Self::Expired),
            "left" => Ok(Self::Left),
            _ => Err(Error::Invalid { what: "state", problem: "must be one of: active banned expired left" }),
        }
    }
}

impl TryFrom<&str> for State {
    type Error = Error;
    fn try_from(name: &str) -> Result<Self> {
        name.parse()
    }
}

/// The changeable fields of a membership, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What the member is.
    pub role: Role,
    /// Where the membership stands, its end aside: never [`State::Expired`].
    pub state: State,
    /// When an active membership ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Standing {
    /// Returns where the membership stands at that moment: the one place that decides who is a member.
    pub fn state_at(&self, moment: DateTime<Utc>) -> State {
        match self.state {
            State::Active if self.expires_at.is_some_and(|end| end <= moment) => State::Expired,
            state => state,
        }
    }
}

/// A membership as the database held it at one moment.
///
/// The row is soft-deleted and its end passes silently, so existence says nothing: ask [`is_active`](Self::is_active) or
/// [`state`](Self::state).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub(crate) user: UserId,
    pub(crate) scope: Scope,
    pub(crate) standing: Standing,
    pub(crate) version: i64,
    pub(crate) read_at: DateTime<Utc>,
}

impl Member {
    /// Puts a member together from what a backend read: the row, and the database's clock at the moment of reading.
    pub fn new(user: UserId, scope: Scope, standing: Standing, version: i64, read_at: DateTime<Utc>) -> Self {
        Self { user, scope, standing, version, read_at }
    }

    /// Says whether the user was a member when the row was read: active, and not expired.
    pub fn is_active(&self) -> bool {
        self.state() == State::Active
    }

    /// Returns the user.
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// Returns the scope.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Returns the role, which a former or banned member keeps on record.
    pub fn role(&self) -> &Role {
        &self.standing.role
    }

    /// Returns where the membership stood when the row was read.
    pub fn state(&self) -> State {
        self.standing.state_at(self.read_at)
    }

    /// Returns the moment at which an active membership ends by itself.
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.standing.expires_at
    }

    /// Returns the number of changes so far, from 1.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// Returns the database's clock at the moment of reading.
    pub fn read_at(&self) -> DateTime<Utc> {
        self.read_at
    }
}

/// Who changes a membership, why, and on what condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    pub(crate) actor: UserId,
    pub(crate) reason: Option<Reason>,
    pub(crate) version: Option<i64>,
}

impl By {
    /// Names who changes it.
    pub fn user(actor: &UserId) -> Self {
        Self { actor: actor.clone(), reason: None, version: None }
    }

    /// Adds the reason.
    #[must_use]
    pub fn because(mut self, reason: Reason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Asks for the change only if the membership is still at that version, as [`Member::version`] gave it; 0: only if there is
    /// none yet. Otherwise the verb answers [`Error::Conflict`].
    #[must_use]
    pub fn if_version(mut self, version: i64) -> Self {
        self.version = Some(version);
        self
    }

    /// Returns who.
    pub fn actor(&self) -> &UserId {
        &self.actor
    }

    /// Returns why.
    pub fn reason(&self) -> Option<&Reason> {
        self.reason.as_ref()
    }
}

/// What `add` gives: a role, and perhaps an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub(crate) role: Role,
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

impl Grant {
    /// Gives the role without an end.
    pub fn new(role: Role) -> Self {
        Self { role, expires_at: None }
    }

    /// Ends the membership by itself at that moment, by the database's clock, to the microsecond.
    ///
    /// # Errors
    /// [`Error::Invalid`] outside the years 1970 to 9999, which every backend can hold.
    pub fn until(mut self, expires_at: DateTime<Utc>) -> Result<Self> {
        if !(1970..=9999).contains(&expires_at.year()) {
            return Err(Error::Invalid { what: "expiry", problem: "must lie in the years 1970 to 9999" });
        }
        self.expires_at = Some(expires_at.trunc_subsecs(6));
        Ok(self)
    }
}

/// What a verb found and left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub(crate) before: Option<Member>,
    pub(crate) after: Member,
}

impl Change {
    /// Returns the membership before; `None` if there was none.
    pub fn before(&self) -> Option<&Member> {
        self.before.as_ref()
    }

    /// Returns the membership after.
    pub fn after(&self) -> &Member {
        &self.after
    }

    /// Returns the version after, for [`By::if_version`].
    pub fn version(&self) -> i64 {
        self.after.version
    }

    /// Says whether the verb created the row.
    pub fn is_created(&self) -> bool {
        self.before.is_none()
    }

    /// Says whether the verb had nothing to do.
    pub fn is_unchanged(&self) -> bool {
        self.before.as_ref().is_some_and(|before| before.version == self.after.version)
    }

    /// Says whether the verb lifted a ban; only `add` and `unban` can.
    pub fn lifted_ban(&self) -> bool {
        self.before.as_ref().is_some_and(|before| before.state() == State::Banned)
            && self.after.state() != State::Banned
    }
}

/// Every scope one user was an active member of at one moment: many checks, one query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MembershipSet {
    roles: HashMap<Scope, Role>,
}

impl MembershipSet {
    /// Says whether the user is a member of the scope.
    pub fn is_member(&self, scope: &Scope) -> bool {
        self.roles.contains_key(scope)
    }

    /// Returns the user's role in the scope.
    pub fn role(&self, scope: &Scope) -> Option<&Role> {
        self.roles.get(scope)
    }

    /// Returns the scopes, in no order.
    pub fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.roles.keys()
    }

    /// Returns the audience tags, `"<scope_type>:<scope_id>"`, in no order.
    pub fn tags(&self) -> impl Iterator<Item = String> {
        self.roles.keys().map(Scope::to_string)
    }

    /// Returns the number of scopes.
    pub fn len(&self) -> usize {
        self.roles.len()
    }

    /// Says whether the user is a member of nothing.
    pub fn is_empty(&self) -> bool {
        self.roles.is_empty()
    }
}

impl FromIterator<Member> for MembershipSet {
    /// Keeps the active ones.
    fn from_iter<T: IntoIterator<Item = Member>>(members: T) -> Self {
        let active = members.into_iter().filter(Member::is_active);
        Self { roles: active.map(|member| (member.scope, member.standing.role)).collect() }
    }
}
