//! The facade: what hosts call.

use tracing::instrument;

use crate::page::{Listing, MAX_LIMIT};
use crate::transition::{self, Command};
use crate::{
    BATCH, By, CHAPTER, Change, Changes, Cursor, Error, Filter, GROUP, Grant, Import, Imported, Load,
    MENTORSHIP_PROGRAMME, Member, MembershipSet, Page, PageRequest, Purged, Result, Role, Scope, ScopeId, ScopeKind,
    ScopeType, Standing, Store, Transition, UserId, Write, Written,
};

/// How often a verb reads again after another writer changed its row in between. Inside a transaction the first retry
/// already holds the row; only a bare connection among many can need more.
const ATTEMPTS: usize = 64;

/// The most pairs of one [`check_many`](Membership::check_many).
const MAX_PAIRS: usize = 10_000;

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

    /// Returns the membership whatever its state; `None` if there never was one.
    ///
    /// # Errors
    /// [`Error::Backend`] if the database failed.
    #[instrument(level = "debug", name = "membership.get", skip_all)]
    pub async fn get(&self, conn: &mut S::Connection, user: &UserId, scope: &Scope) -> Result<Option<Member>> {
        self.store.find(conn, user, scope).await
    }

    /// Answers [`role`](Self::role) for up to 10,000 pairs in one statement, in their order; a pair may occur twice.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there are more pairs; [`Error::Backend`] if the database failed.
    #[instrument(level = "debug", name = "membership.check_many", skip_all)]
    pub async fn check_many(&self, conn: &mut S::Connection, pairs: &[(UserId, Scope)]) -> Result<Vec<Option<Role>>> {
        if pairs.len() > MAX_PAIRS {
            return Err(Error::Invalid { what: "check", problem: "must not have more than 10000 pairs" });
        }
        Ok(self.store.find_many(conn, pairs).await?.into_iter().map(active_role).collect())
    }

    /// Returns every scope the user is an active member of.
    ///
    /// # Errors
    /// [`Error::Backend`] if the database failed.
    #[instrument(level = "debug", name = "membership.of", skip_all)]
    pub async fn of(&self, conn: &mut S::Connection, user: &UserId) -> Result<MembershipSet> {
        let active = self.store.list_by_user(conn, user, &Filter::default(), None, u32::MAX).await?;
        Ok(active.into_iter().collect())
    }

    /// Lists the memberships of a user that match the filter, in the byte order of their scopes, type first.
    ///
    /// # Errors
    /// [`Error::PageToken`] if the token is of another listing; [`Error::Backend`] if the database failed.
    #[instrument(level = "debug", name = "membership.list_by_user", skip_all)]
    pub async fn list_by_user(
        &self,
        conn: &mut S::Connection,
        user: &UserId,
        filter: &Filter,
        page: &PageRequest,
    ) -> Result<Page<Member>> {
        let listing = listing("user", user.as_str(), filter);
        let after = page.position(listing)?.map(|[kind, id]| scope_of(kind, id)).transpose()?;
        let items = self.store.list_by_user(conn, user, filter, after.as_ref(), page.limit + 1).await?;
        Ok(Page::of(items, page, listing, |member| {
            [member.scope().kind().to_string(), member.scope().id().to_string()]
        }))
    }

    /// Lists the memberships of a scope that match the filter, in the byte order of their roles, and of their users within
    /// a role.
    ///
    /// Walking the pages returns every member that nobody touches meanwhile exactly once. A page costs the same wherever it
    /// is in the listing, save one of expired members, which are looked for among the active ones.
    ///
    /// # Errors
    /// [`Error::PageToken`] if the token is of another listing; [`Error::Backend`] if the database failed.
    #[instrument(level = "debug", name = "membership.list_by_scope", skip_all)]
    pub async fn list_by_scope(
        &self,
        conn: &mut S::Connection,
        scope: &Scope,
        filter: &Filter,
        page: &PageRequest,
    ) -> Result<Page<Member>> {
        let listing = listing("scope", &scope.to_string(), filter);
        let after = page.position(listing)?.map(|[role, user]| member_of(role, user)).transpose()?;
        let after = after.as_ref().map(|(role, user)| (role, user));
        let items = self.store.list_by_scope(conn, scope, filter, after, page.limit + 1).await?;
        Ok(Page::of(items, page, listing, |member| [member.role().to_string(), member.user().to_string()]))
    }

    /// Counts the memberships of a scope that match the filter: as many as walking [`list_by_scope`](Self::list_by_scope) in
    /// the same snapshot would return.
    ///
    /// A scope that nobody ever joined has none. Nothing is held: the number may change right after.
    ///
    /// # Errors
    /// [`Error::Backend`] if the database failed.
    #[instrument(level = "debug", name = "membership.count", skip_all)]
    pub async fn count(&self, conn: &mut S::Connection, scope: &Scope, filter: &Filter) -> Result<u64> {
        self.store.count(conn, scope, filter).await
    }

    /// Lists what happened to a membership, newest first.
    ///
    /// # Errors
    /// [`Error::PageToken`] if the token is of another listing; [`Error::Backend`] if the database failed.
    #[instrument(level = "debug", name = "membership.history", skip_all)]
    pub async fn history(
        &self,
        conn: &mut S::Connection,
        user: &UserId,
        scope: &Scope,
        page: &PageRequest,
    ) -> Result<Page<Transition>> {
        let listing = Listing::new(&["history", user.as_str(), &scope.to_string()]);
        let version = |[version, _]: &[String; 2]| version.parse().map_err(|_| Error::PageToken);
        let before = page.position(listing)?.map(version).transpose()?;
        let items = self.store.history(conn, user, scope, before, page.limit + 1).await?;
        Ok(Page::of(items, page, listing, |transition| [transition.version.to_string(), String::new()]))
    }

    /// Reads what was committed after the cursor, up to `limit` events (held within 1 and 1,000): the feed for whoever derives
    /// something from memberships.
    ///
    /// Following [`Changes::next`] brings every committed event once, also one of a transaction that began early and
    /// committed late, and none that was rolled back; an answer without events has caught up. Keep the cursor in the transaction that applies the events, and they
    /// are applied exactly once. A transaction that itself changed memberships must commit before it reads the feed: only
    /// PostgreSQL can tell its own changes from committed ones.
    ///
    /// # Errors
    /// [`Error::Cursor`] if the cursor is of another database, or of a time that a snapshot has not seen yet;
    /// [`Error::Backend`] if the database failed.
    #[instrument(level = "debug", name = "membership.changes", skip_all)]
    pub async fn changes(&self, conn: &mut S::Connection, after: &Cursor, limit: u32) -> Result<Changes> {
        self.store.changes(conn, after, limit.clamp(1, MAX_LIMIT)).await
    }

    /// Returns the cursor behind everything committed so far, for whoever needs only what is to come.
    ///
    /// # Errors
    /// [`Error::Backend`] if the database failed.
    #[instrument(level = "debug", name = "membership.latest", skip_all)]
    pub async fn latest(&self, conn: &mut S::Connection) -> Result<Cursor> {
        self.store.latest(conn).await
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
        self.apply(conn, user, scope, Command::Add(grant), by).await
    }

    /// Lets the user in by their own will, with the default role of the scope's kind and no end.
    ///
    /// A former role does not come back.
    ///
    /// # Errors
    /// [`Error::Banned`] if the user is banned; [`Error::UnknownScopeType`]; [`Error::Backend`].
    #[instrument(level = "debug", name = "membership.join", skip_all)]
    pub async fn join(&self, conn: &mut S::Connection, user: &UserId, scope: &Scope, by: &By) -> Result<Change> {
        self.apply(conn, user, scope, Command::Join, by).await
    }

    /// Ends the membership by the user's own will. Whoever is banned stays banned.
    ///
    /// # Errors
    /// [`Error::NotMember`] if there is no membership; [`Error::LastOwner`]; [`Error::UnknownScopeType`]; [`Error::Backend`].
    #[instrument(level = "debug", name = "membership.leave", skip_all)]
    pub async fn leave(&self, conn: &mut S::Connection, user: &UserId, scope: &Scope, by: &By) -> Result<Change> {
        self.apply(conn, user, scope, Command::Leave, by).await
    }

    /// Ends somebody's membership. Whoever is banned stays banned.
    ///
    /// # Errors
    /// [`Error::NotMember`] if there is no membership; [`Error::LastOwner`]; [`Error::UnknownScopeType`]; [`Error::Backend`].
    #[instrument(level = "debug", name = "membership.remove", skip_all)]
    pub async fn remove(&self, conn: &mut S::Connection, user: &UserId, scope: &Scope, by: &By) -> Result<Change> {
        self.apply(conn, user, scope, Command::Remove, by).await
    }

    /// Shuts the user out until [`unban`](Self::unban) or [`add`](Self::add). A ban of a banned user only updates the reason.
    ///
    /// # Errors
    /// [`Error::LastOwner`] if the user is the last owner; [`Error::UnknownScopeType`]; [`Error::Backend`].
    #[instrument(level = "debug", name = "membership.ban", skip_all)]
    pub async fn ban(&self, conn: &mut S::Connection, user: &UserId, scope: &Scope, by: &By) -> Result<Change> {
        self.apply(conn, user, scope, Command::Ban, by).await
    }

    /// Lifts a ban. The user has left then, and may join again.
    ///
    /// # Errors
    /// [`Error::NotBanned`] if there is no ban; [`Error::UnknownScopeType`]; [`Error::Backend`].
    #[instrument(level = "debug", name = "membership.unban", skip_all)]
    pub async fn unban(&self, conn: &mut S::Connection, user: &UserId, scope: &Scope, by: &By) -> Result<Change> {
        self.apply(conn, user, scope, Command::Unban, by).await
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
        self.apply(conn, user, scope, Command::SetRole(role), by).await
    }

    /// Loads up to 100,000 memberships, all or none. Doing it again changes nothing.
    ///
    /// Each row is written as it is given, with [`Verb::Import`](crate::Verb::Import) in its history; a ban in the database
    /// stays unless the import is [`lifting_bans`](Import::lifting_bans).
    ///
    /// # Errors
    /// [`Error::LastOwner`] if a scope that has an owner would have none afterwards; [`Error::UnknownScopeType`];
    /// [`Error::Invalid`] if `by` asks for a version; [`Error::Backend`].
    #[instrument(level = "debug", name = "membership.import", skip_all)]
    pub async fn import(&self, conn: &mut S::Connection, import: &Import, by: &By) -> Result<Imported> {
        if by.version.is_some() {
            return Err(Error::Invalid { what: "import", problem: "must not ask for a version" });
        }
        import.rows.iter().try_for_each(|row| self.kind(row.scope.kind()).map(drop))?;
        let owner_roles: Vec<_> = self.kinds.iter().flat_map(owner_roles).collect();
        let load = Load { rows: &import.rows, lifts_bans: import.lifts_bans, by, owner_roles: &owner_roles };
        self.store.import(conn, &load).await?.ok_or(Error::LastOwner)
    }

    /// Erases a user: every membership, its history, and the user's name as the actor of others' changes.
    ///
    /// Nothing holds it up, the last-owner guard neither: [`Purged::ownerless`] names the scopes that need a new owner. What
    /// another transaction writes about the user meanwhile stays, as does the text of reasons in others' histories.
    ///
    /// # Errors
    /// [`Error::Backend`] if the database failed.
    #[instrument(level = "debug", name = "membership.purge_user", skip_all)]
    pub async fn purge_user(&self, conn: &mut S::Connection, user: &UserId) -> Result<Purged> {
        let removed = self.store.purge(conn, user).await?;
        let mut ownerless = Vec::new();
        for member in &removed.members {
            let kind = self.kind(member.scope().kind()).ok().filter(|kind| kind.is_owner(member));
            if let Some(kind) = kind
                && !self.is_owned(conn, member.scope(), kind).await?
            {
                ownerless.push(member.scope().clone());
            }
        }
        ownerless.sort();
        let memberships = removed.members.len() as u64;
        Ok(Purged { memberships, transitions: removed.transitions, mentions: removed.mentions, ownerless })
    }

    async fn is_owned(&self, conn: &mut S::Connection, scope: &Scope, kind: &ScopeKind) -> Result<bool> {
        for role in kind.owner_roles() {
            if self.store.count(conn, scope, &Filter::default().role(role.clone())).await? > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads the row, decides, and writes if the row is still what was read.
    async fn apply(
        &self,
        conn: &mut S::Connection,
        user: &UserId,
        scope: &Scope,
        command: Command<'_>,
        by: &By,
    ) -> Result<Change> {
        let kind = self.kind(scope.kind())?;
        for attempt in 0..ATTEMPTS {
            let before = self.store.find(conn, user, scope).await?;
            let expected = before.as_ref().map(Member::version);
            if by.version.is_some_and(|version| version != expected.unwrap_or(0)) {
                return Err(Error::Conflict);
            }
            let Some(standing) = transition::next(command, before.as_ref(), by, kind)? else {
                // `next` leaves a row as it is only where there is one.
                let after = before.clone().ok_or(Error::NotMember)?;
                return Ok(Change { before, after });
            };
            let needs_other_owner = owners_needed(kind, before.as_ref(), &standing);
            let verb = command.verb();
            let is_retry = attempt > 0;
            let write = Write { user, scope, expected, standing: &standing, verb, by, needs_other_owner, is_retry };
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
fn owners_needed<'a>(kind: &'a ScopeKind, before: Option<&Member>, next: &Standing) -> &'a [Role] {
    let Some(before) = before.filter(|before| kind.is_owner(before)) else { return &[] };
    let after = Member { standing: next.clone(), ..before.clone() };
    if kind.is_owner(&after) { &[] } else { kind.owner_roles() }
}

fn owner_roles(kind: &ScopeKind) -> impl Iterator<Item = (ScopeType, Role)> {
    kind.owner_roles().iter().map(|role| (kind.scope_type().clone(), role.clone()))
}

fn listing(what: &str, of: &str, filter: &Filter) -> Listing {
    let role = filter.role.as_ref().map_or("", Role::as_str);
    let scope_type = filter.scope_type.as_ref().map_or("", ScopeType::as_str);
    Listing::new(&[what, of, filter.state.as_str(), role, scope_type])
}

fn scope_of(kind: &str, id: &str) -> Result<Scope> {
    let parsed = ScopeType::new(kind).and_then(|kind| Ok(Scope::new(kind, ScopeId::new(id)?)));
    parsed.map_err(|_| Error::PageToken)
}

fn member_of(role: &str, user: &str) -> Result<(Role, UserId)> {
    let parsed = Role::new(role).and_then(|role| Ok((role, UserId::new(user)?)));
    parsed.map_err(|_| Error::PageToken)
}

fn active_role(member: Option<Member>) -> Option<Role> {
    member.filter(Member::is_active).map(|member| member.standing.role)
}

fn role(name: &'static str) -> Role {
    // The names in this file are within the bounds of a role.
    Role::new(name).expect("a valid role name")
}
