//! Which memberships a listing or a count is about.

use crate::{Member, Role, Scope, ScopeType, State};

/// The greatest text that a role's 64 bytes can hold: sixteen times the last character.
const LAST_ROLE: &str = "\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\
                         \u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}";

/// Which memberships a listing or a count is about: those that match all of it. By default the active ones.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filter {
    /// Where they stand, by the database's clock.
    pub state: State,
    /// What the members are; `None`: anything.
    pub role: Option<Role>,
    /// Of what type their scopes are; `None`: any.
    pub scope_type: Option<ScopeType>,
}

impl Default for Filter {
    fn default() -> Self {
        Self { state: State::Active, role: None, scope_type: None }
    }
}

impl Filter {
    /// Those that stand so.
    #[must_use]
    pub fn state(self, state: State) -> Self {
        Self { state, ..self }
    }

    /// Only those with the role.
    #[must_use]
    pub fn role(self, role: Role) -> Self {
        Self { role: Some(role), ..self }
    }

    /// Only those of scopes of the type.
    #[must_use]
    pub fn scope_type(self, scope_type: ScopeType) -> Self {
        Self { scope_type: Some(scope_type), ..self }
    }

    /// Says whether nothing of the scope can match.
    pub fn excludes(&self, scope: &Scope) -> bool {
        self.scope_type.as_ref().is_some_and(|scope_type| scope_type != scope.kind())
    }

    /// Returns the first and the last role that can match, in byte order: bounds of one range of an index.
    pub fn role_range(&self) -> (&str, &str) {
        match &self.role {
            Some(role) => (role.as_str(), role.as_str()),
            None => ("", LAST_ROLE),
        }
    }

    /// Says whether the membership matched when it was read.
    pub fn matches(&self, member: &Member) -> bool {
        self.state == member.state()
            && self.role.as_ref().is_none_or(|role| role == member.role())
            && self.scope_type.as_ref().is_none_or(|scope_type| scope_type == member.scope().kind())
    }
}
