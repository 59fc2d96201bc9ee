//! The facade: what hosts call.

use tracing::instrument;

use crate::transition::{self, Verb};
use crate::{
    BATCH, By, CHAPTER, Change, Error, GROUP, Grant, MENTORSHIP_PROGRAMME, Member, MembershipSet, Page, PageRequest,
    PageToken, Result, Role, Scope, ScopeKind, ScopeType, Store, UserId, Write, Written,
};

/// How often a verb reads again after another writer changed its row in between. Inside a transaction the first retry
/// already holds the row; only a bare connection among many can need more.
const ATTEMPTS: usize = 64;

/// Who belongs to what.
///
/// Every verb works on the connection it is given: inside a transaction it commits or rolls back with it.
#[derive(Clone, Debug)]
pub struct Membership<S> {
    store: S,
    kinds: Vec<ScopeKind>,
}

impl<S: Store> Membership<S> {
    /// Works on the store, knowing [`BATCH`], [`CHAPTER`], [`GROUP`] and [`MENTORSHIP_PROGRAMME`]: newcomers are `member`;
    /// a chapter and a group keep at least one `owner` once they have one.
    pub fn new(store: S) -> Self {
        let kinds = vec![
            ScopeKind::new(BATCH, role("member")),
            ScopeKind::new(CHAPTER, role("member")).owned_by([role("owner")]),
            ScopeKind::new(GROUP, role("member")).owned_by([role("owner")]),
            ScopeKind::new(MENTORSHIP_PROGRAMME, role("member")),
        ];
        Self { store, kinds }
    }

    /// Declares a kind of scope, or replaces what was declared about it.
    #[must_use]
    pub fn with_kind(mut self, kind: ScopeKind) -> Self {
        self.kinds.retain(|known| known.scope_type() != kind.scope_type());
        self.kinds.push(kind);
        self
    }

    /// Says whether the user is an active, unexpired member of the scope.
    ///
    /// # Errors
    /// [`Error::Backend`] if the database failed: a failure is never `false`.
    #[instrument(level = "debug", name = "membership.is_member", skip_all)]
    pub async fn is_member(&self, conn: &mut S::Connection, user: &UserId, scope: &Scope) -> Result<bool> {
        let member = self.store.find(conn, user, scope).await?;
        Ok(member.is_some_and(|member| member.is_active()))
    }

    /// Returns the role of an active, unexpired member; `None` for everybody else.
    ///
    /// # Errors
    /// [`Error::Backend`] if the database failed.
    #[instrument(level = "debug", name = "membership.role", skip_all)]
    pub async fn role(&self, conn: &mut S::Connection, user: &UserId, scope: &Scope) -> Result<Option<Role>> {
        Ok(active_role(self.store.find(conn, user, scope).await?))
    }

    /// Returns the role as [`role`](Self::role) does, and keeps others from changing the membership until the caller's
    /// transaction ends: a concurrent ban waits.
    ///
    /// Outside a transaction it holds nothing. An absent row cannot be held, and an expiry that passes meanwhile is no change.
    /// A transaction that goes on to change the row it holds may deadlock with another that does the same: PostgreSQL ends
    /// one of them with a retryable error.
    ///
    /// # Errors
    /// [`Error::Backend`] if the database failed.
    #[instrument(level = "debug", name = "membership.hold", skip_all)]
    pub async fn hold(&self, conn: &mut S::Connection, user: &UserId, scope: &Scope) -> Result<Option<Role>> {
        Ok(active_role(self.store.hold(conn, user, scope).await?))
    }

    /// Returns every scope the user is an active member of.
    ///
    /// # Errors
    /// [`Error::Backend`] if the database failed.
    #[instrument(level = "debug", name = "membership.of", skip_all)]
    pub async fn of(&self, conn: &mut S::Connection, user: &UserId) -> Result<MembershipSet> {
        Ok(self.store.list_by_user(conn, user).await?.into_iter().collect())
    }

    /// Lists the active members of a scope in the byte order of their user ids.
    ///
    /// Walking the pages returns every member that nobody touches meanwhile exactly once.
    ///
    /// # Errors
    /// [`Error::Backend`] if the database failed.
    #[instrument(level = "debug", name = "membership.list_by_scope", skip_all)]
    pub async fn list_by_scope(
        &self,
        conn: &mut S::Connection,
        scope: &Scope,
        page: &PageRequest,
    ) -> Result<Page<Member>> {
        let after = page.after.as_ref().map(|token| &token.user);
        // One row more than asked for tells whether there is a next page.
        let mut items = self.store.list_by_scope(conn, scope, after, page.limit + 1).await?;
        let has_next = items.len() > page.limit as usize;
        items.truncate(page.limit as usize);
        let last = items.last().filter(|_| has_next);
        let next = last.map(|member| PageToken { user: member.user().clone() });
        Ok(Page { items, next })
    }

    /// Counts the active, unexpired members of a scope: as many as walking [`list_by_scope`](Self::list_by_scope) in the same
    /// snapshot would return.
    ///
    /// A scope that nobody ever joined has none. Nothing is held: the number may change right after.
    ///
    /// # Errors
    /// [`Error::Backend`] if the database failed.
    #[instrument(level = "debug", name = "membership.count", skip_all)]
    pub async fn count(&self, conn: &mut S::Connection, scope: &Scope) -> Result<u64> {
        self.store.count(conn, scope).await
    }

    /// Makes the user an active member with the granted role and end, whatever was before: the administrative way in.
    ///
    /// It lifts a ban; [`Change::lifted_ban`] says so. Self-service goes through [`join`](Self::join).
    ///
    /// # Errors
    /// [`Error::LastOwner`] if it would demote the last owner; [`Error::UnknownScopeType`]; [`Error::Backend`].
    #[instrument(level = "debug", name = "membership.add", skip_all)]
    pub async fn add(
        &self,
        conn: &mut S::Connection,
        user: &UserId,
        scope: &Scope,
        grant: &Grant,
        by: &By,
    ) -> Result<Change> {
        self.apply(conn, user, scope, Verb::Add(grant), by).await
    }

    /// Lets the user in by their own will, with the default role of the scope's kind and no end.
    ///
    /// A former role does not come back.
    ///
    /// # Errors
    /// [`Error::Banned`] if the user is banned; [`Error::UnknownScopeType`]; [`Error::Backend`].
    #[instrument(level = "debug", name = "membership.join", skip_all)]
    pub async fn join(&self, conn: &mut S::Connection, user: &UserId, scope: &Scope) -> Result<Change> {
        self.apply(conn, user, scope, Verb::Join, &By::user(user)).await
    }

    /// Ends the membership by the user's own will. Whoever is banned stays banned.
    ///
    /// # Errors
    /// [`Error::NotMember`] if there is no membership; [`Error::LastOwner`]; [`Error::UnknownScopeType`]; [`Error::Backend`].
    #[instrument(level = "debug", name = "membership.leave", skip_all)]
    pub async fn leave(&self, conn: &mut S::Connection, user: &UserId, scope: &Scope) -> Result<Change> {
        self.apply(conn, user, scope, Verb::Leave, &By::user(user)).await
    }

    /// Ends somebody's membership. Whoever is banned stays banned.
    ///
    /// # Errors
    /// [`Error::NotMember`] if there is no membership; [`Error::LastOwner`]; [`Error::UnknownScopeType`]; [`Error::Backend`].
    #[instrument(level = "debug", name = "membership.remove", skip_all)]
    pub async fn remove(&self, conn: &mut S::Connection, user: &UserId, scope: &Scope, by: &By) -> Result<Change> {
        self.apply(conn, user, scope, Verb::Remove, by).await
    }

    /// Shuts the user out until [`unban`](Self::unban) or [`add`](Self::add). A ban of a banned user only updates the reason.
    ///
    /// # Errors
    /// [`Error::LastOwner`] if the user is the last owner; [`Error::UnknownScopeType`]; [`Error::Backend`].
    #[instrument(level = "debug", name = "membership.ban", skip_all)]
    pub async fn ban(&self, conn: &mut S::Connection, user: &UserId, scope: &Scope, by: &By) -> Result<Change> {
        self.apply(conn, user, scope, Verb::Ban, by).await
    }

    /// Lifts a ban. The user has left then, and may join again.
    ///
    /// # Errors
    /// [`Error::NotBanned`] if there is no ban; [`Error::UnknownScopeType`]; [`Error::Backend`].
    #[instrument(level = "debug", name = "membership.unban", skip_all)]
    pub async fn unban(&self, conn: &mut S::Connection, user: &UserId, scope: &Scope, by: &By) -> Result<Change> {
        self.apply(conn, user, scope, Verb::Unban, by).await
    }

    /// Changes the role of an active member and keeps the end.
    ///
    /// # Errors
    /// [`Error::NotMember`]; [`Error::Banned`]; [`Error::LastOwner`]; [`Error::UnknownScopeType`]; [`Error::Backend`].
    #[instrument(level = "debug", name = "membership.set_role", skip_all)]
    pub async fn set_role(
        &self,
        conn: &mut S::Connection,
        user: &UserId,
        scope: &Scope,
        role: &Role,
        by: &By,
    ) -> Result<Change> {
        self.apply(conn, user, scope, Verb::SetRole(role), by).await
    }

    /// Reads the row, decides, and writes if the row is still what was read.
    async fn apply(
        &self,
        conn: &mut S::Connection,
        user: &UserId,
        scope: &Scope,
        verb: Verb<'_>,
        by: &By,
    ) -> Result<Change> {
        let kind = self.kind(scope.kind())?;
        for _ in 0..ATTEMPTS {
            let before = self.store.find(conn, user, scope).await?;
            let Some(standing) = transition::next(verb, before.as_ref(), by, kind)? else {
                // `next` leaves a row as it is only where there is one.
                let after = before.clone().ok_or(Error::NotMember)?;
                return Ok(Change { before, after });
            };
            let expected = before.as_ref().map(|before| before.version);
            let needs_other_owner = owners_needed(kind, before.as_ref(), &standing);
            let write = Write { user, scope, expected, standing: &standing, by, needs_other_owner };
            match self.store.write(conn, &write).await? {
                Written::Done { version, at } => {
                    let after = Member::new(user.clone(), scope.clone(), standing, version, at);
                    return Ok(Change { before, after });
                }
                Written::LastOwner => return Err(Error::LastOwner),
                Written::Stale => {}
            }
        }
        Err(Error::Contended)
    }

    fn kind(&self, scope_type: &ScopeType) -> Result<&ScopeKind> {
        self.kinds.iter().find(|kind| kind.scope_type() == scope_type).ok_or(Error::UnknownScopeType)
    }
}

/// The roles one of which somebody else must hold: none unless an owner stops being one.
fn owners_needed<'a>(kind: &'a ScopeKind, before: Option<&Member>, next: &crate::Standing) -> &'a [Role] {
    let Some(before) = before.filter(|before| kind.is_owner(before)) else { return &[] };
    let after = Member { standing: next.clone(), ..before.clone() };
    if kind.is_owner(&after) { &[] } else { kind.owner_roles() }
}

fn active_role(member: Option<Member>) -> Option<Role> {
    member.filter(Member::is_active).map(|member| member.standing.role)
}

fn role(name: &'static str) -> Role {
    // The names in this file are within the bounds of a role.
    Role::new(name).expect("a valid role name")
}
