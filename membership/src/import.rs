//! Bulk loads.

use crate::{Error, Grant, Result, Role, Scope, Standing, State, UserId};

/// The most rows of one import.
const MAX_ROWS: usize = 100_000;

/// Memberships to be loaded at once, as they are elsewhere.
#[derive(Clone, Debug)]
pub struct Import {
    pub(crate) rows: Vec<ImportRow>,
    pub(crate) lifts_bans: bool,
}

impl Import {
    /// Takes up to 100,000 memberships, in any order. A ban that stands in the database is left alone.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there are more, or two of the same user and scope.
    pub fn new(rows: impl IntoIterator<Item = ImportRow>) -> Result<Self> {
        let mut rows: Vec<_> = rows.into_iter().take(MAX_ROWS + 1).collect();
        if rows.len() > MAX_ROWS {
            return Err(Error::Invalid { what: "import", problem: "must not have more than 100000 rows" });
        }
        // In the order in which guarded writes lock, so that they and other imports wait for one another instead of for ever.
        rows.sort_by(|one, other| one.key().cmp(&other.key()));
        if rows.windows(2).any(|pair| pair[0].key() == pair[1].key()) {
            return Err(Error::Invalid { what: "import", problem: "must not name a membership twice" });
        }
        Ok(Self { rows, lifts_bans: false })
    }

    /// Overwrites bans, too.
    #[must_use]
    pub fn lifting_bans(self) -> Self {
        Self { lifts_bans: true, ..self }
    }
}

/// One membership to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportRow {
    pub(crate) user: UserId,
    pub(crate) scope: Scope,
    pub(crate) standing: Standing,
}

impl ImportRow {
    /// A membership with a role, and perhaps an end.
    pub fn active(user: UserId, scope: Scope, grant: Grant) -> Self {
        let standing = Standing { role: grant.role, state: State::Active, expires_at: grant.expires_at };
        Self { user, scope, standing }
    }

    /// A ban, and the role it ended.
    pub fn banned(user: UserId, scope: Scope, role: Role) -> Self {
        Self { user, scope, standing: Standing { role, state: State::Banned, expires_at: None } }
    }

    /// A former membership, and its role.
    pub fn left(user: UserId, scope: Scope, role: Role) -> Self {
        Self { user, scope, standing: Standing { role, state: State::Left, expires_at: None } }
    }

    /// Returns the user.
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// Returns the scope.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Returns how the membership stands.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    fn key(&self) -> (&UserId, &Scope) {
        (&self.user, &self.scope)
    }
}

/// What an import did with its rows; their sum is the number of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Memberships that were not there before.
    pub created: u64,
    /// Memberships that stood otherwise.
    pub updated: u64,
    /// Memberships that stood so already.
    pub unchanged: u64,
    /// Bans left standing against the import.
    pub kept_banned: u64,
}
