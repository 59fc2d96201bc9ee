//! Scopes and what a host declares about each kind of them.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Member, Result, Role, ScopeId, ScopeType};

/// A graduation year.
pub const BATCH: ScopeType = ScopeType::from_static("batch");
/// An alumni chapter.
pub const CHAPTER: ScopeType = ScopeType::from_static("chapter");
/// An interest group.
pub const GROUP: ScopeType = ScopeType::from_static("group");
/// A mentorship programme.
pub const MENTORSHIP_PROGRAMME: ScopeType = ScopeType::from_static("mentorship_programme");

/// What a user can be a member of: a type and an id.
///
/// Displays as `group:chess`, which is also its audience tag.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    kind: ScopeType,
    id: ScopeId,
}

impl Scope {
    /// Puts a scope together.
    pub fn new(kind: ScopeType, id: ScopeId) -> Self {
        Self { kind, id }
    }

    /// Puts a scope of type [`GROUP`] together.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the id is not a scope id.
    pub fn group(id: impl Into<String>) -> Result<Self> {
        Ok(Self::new(GROUP, ScopeId::new(id)?))
    }

    /// Returns the type.
    pub fn kind(&self) -> &ScopeType {
        &self.kind
    }

    /// Returns the id within the type.
    pub fn id(&self) -> &ScopeId {
        &self.id
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.kind, self.id)
    }
}

impl FromStr for Scope {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (kind, id) =
            text.split_once(':').ok_or(Error::Invalid { what: "scope", problem: "must be <scope type>:<scope id>" })?;
        Ok(Self::new(ScopeType::new(kind)?, ScopeId::new(id)?))
    }
}

impl TryFrom<&str> for Scope {
    type Error = Error;
    fn try_from(text: &str) -> Result<Self> {
        text.parse()
    }
}

/// What holds for every scope of one type: the role a newcomer gets and the roles that own a scope.
///
/// A scope whose kind names owner roles never loses its last owner to `remove`, `leave`, `ban`, `set_role` or a demoting `add`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeKind {
    scope_type: ScopeType,
    default_role: Role,
    owner_roles: Vec<Role>,
}

impl ScopeKind {
    /// Declares a kind of scope whose newcomers get `default_role` and that needs no owner.
    pub fn new(scope_type: ScopeType, default_role: Role) -> Self {
        Self { scope_type, default_role, owner_roles: Vec::new() }
    }

    /// Declares that a scope of this kind must keep an active member in one of these roles once it has one.
    #[must_use]
    pub fn owned_by(mut self, roles: impl IntoIterator<Item = Role>) -> Self {
        self.owner_roles = roles.into_iter().collect();
        self
    }

    /// Returns the type this is about.
    pub fn scope_type(&self) -> &ScopeType {
        &self.scope_type
    }

    /// Returns the role of a newcomer.
    pub fn default_role(&self) -> &Role {
        &self.default_role
    }

    /// Returns the roles that own a scope.
    pub fn owner_roles(&self) -> &[Role] {
        &self.owner_roles
    }

    pub(crate) fn is_owner(&self, member: &Member) -> bool {
        member.is_active() && self.owner_roles.contains(member.role())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_reads_back_what_it_displays() {
        let scope: Scope = "group:a:b".parse().unwrap();
        assert_eq!((scope.kind(), scope.id().as_str()), (&GROUP, "a:b"));
        assert_eq!(scope.to_string(), "group:a:b");
        assert!("group".parse::<Scope>().is_err());
        assert!("group:".parse::<Scope>().is_err());
    }
}
