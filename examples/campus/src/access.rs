//! Who may do what on campus, and where the facts come from.

use stoa_capabilities::{self as capabilities, Facts, Matrix, Rule};
use stoa_membership::{self as membership, Membership, Role, Scope, ScopeId, ScopeKind, ScopeType, UserId};

use crate::error::{Error, Result};
use crate::marketplace::PARTNER;

/// The campus as a whole: whoever works for it is a member of this scope, with the role `staff`.
pub const PLATFORM: ScopeType = ScopeType::from_static("platform");

capabilities::capabilities! {
    /// What one may do in a group.
    pub enum GroupCapability {
        /// Read its posts.
        ReadPosts = "group.post.read",
        /// Write a post into it.
        CreatePost = "group.post.create",
        /// See who its members are.
        ReadMembers = "group.member.read",
        /// See who was a member or is banned, and change the memberships of those below.
        ManageMembers = "group.member.manage",
        /// See its events, and answer whether one comes.
        AttendEvents = "group.event.attend",
        /// Plan an event, change it, call it off.
        CreateEvent = "group.event.create",
        /// Change what it says about itself.
        EditGroup = "group.edit",
        /// Delete what others wrote into it.
        ModeratePosts = "group.post.moderate",
        /// Put an opening on its jobs board.
        CreateOpening = "group.opening.create",
    }
}

capabilities::capabilities! {
    /// What one may do on the campus as a whole.
    pub enum PlatformCapability {
        /// See the job queue.
        ReadJobs = "platform.jobs.read",
        /// Retry, cancel, discard and delete jobs; pause and resume queues.
        ManageJobs = "platform.jobs.manage",
        /// See the audit records.
        ReadAudit = "platform.audit.read",
        /// Plan an event for everybody, change it, call it off.
        CreateCampusEvent = "platform.event.create",
        /// Write announcements, publish and withdraw them.
        ManageAnnouncements = "platform.announcement.manage",
        /// Take an opening off the jobs board, whoever wrote it.
        CloseOpening = "platform.opening.close",
        /// See how large the search index is.
        ReadSearch = "platform.search.read",
        /// Make mentorship programmes, match who takes part, approve matches.
        ManageMentorship = "platform.mentorship.manage",
        /// Make partners of the marketplace, and say who acts for them.
        ManageMarketplace = "platform.marketplace.manage",
    }
}

capabilities::capabilities! {
    /// What one may do for a partner of the marketplace.
    pub enum PartnerCapability {
        /// Write deals, publish and withdraw them.
        ManageDeals = "partner.deal.manage",
        /// Take the codes of people who come.
        VerifyCodes = "partner.code.verify",
    }
}

/// Roles at a partner.
pub(crate) fn partner_matrix() -> capabilities::Result<Matrix<PartnerCapability>> {
    Matrix::new([
        Rule::new("clerk").grants([PartnerCapability::VerifyCodes]),
        Rule::new("agent").inherits("clerk").grants([PartnerCapability::ManageDeals]),
    ])
}

/// Roles in a group.
pub(crate) fn group_matrix() -> capabilities::Result<Matrix<GroupCapability>> {
    Matrix::new([
        Rule::new("member").grants([
            GroupCapability::ReadPosts,
            GroupCapability::CreatePost,
            GroupCapability::ReadMembers,
            GroupCapability::AttendEvents,
            GroupCapability::CreateOpening,
        ]),
        Rule::new("admin").inherits("member").grants([
            GroupCapability::ManageMembers,
            GroupCapability::EditGroup,
            GroupCapability::ModeratePosts,
            GroupCapability::CreateEvent,
        ]),
        Rule::new("owner").inherits("admin"),
    ])
}

/// Roles on the platform.
pub(crate) fn platform_matrix() -> capabilities::Result<Matrix<PlatformCapability>> {
    Matrix::new([Rule::new("staff").grants([
        PlatformCapability::ReadJobs,
        PlatformCapability::ReadAudit,
        PlatformCapability::CreateCampusEvent,
        PlatformCapability::ManageAnnouncements,
        PlatformCapability::CloseOpening,
        PlatformCapability::ManageJobs,
        PlatformCapability::ReadSearch,
        PlatformCapability::ManageMentorship,
        PlatformCapability::ManageMarketplace,
    ])])
}

/// The scope of the campus as a whole.
pub(crate) fn platform() -> membership::Result<Scope> {
    Ok(Scope::new(PLATFORM, ScopeId::new("campus")?))
}

/// What holds for the platform scope.
pub(crate) fn platform_kind() -> membership::Result<ScopeKind> {
    Ok(ScopeKind::new(PLATFORM, Role::new("staff")?))
}

/// The roles that mean something in a scope, the lowest first.
fn roles(scope: &Scope) -> &'static [&'static str] {
    match scope.kind() {
        kind if kind == &PLATFORM => &["staff", "manager", "hr", "payroll"],
        kind if kind == &PARTNER => &["clerk", "agent"],
        kind if kind == &membership::MENTORSHIP_PROGRAMME => &["mentee", "mentor"],
        kind if kind == &membership::GROUP || kind == &membership::CHAPTER => &["member", "admin", "owner"],
        _ => &["member"],
    }
}

/// The role of whoever is let into a scope without another.
pub(crate) fn lowest_role(scope: &Scope) -> membership::Result<Role> {
    Role::new(roles(scope)[0])
}

/// Refuses a role that would mean nothing in the scope.
pub(crate) fn check_role(scope: &Scope, role: &Role) -> Result<()> {
    let known = roles(scope);
    if known.contains(&role.as_str()) {
        return Ok(());
    }
    Err(Error::Invalid(format!("the role in {scope} must be one of: {}", known.join(", "))))
}

/// Answers `stoa-capabilities` from `stoa-membership`: neither crate knows of the other.
#[derive(Clone, Debug)]
pub struct MemberFacts<S>(
    /// Who belongs to what.
    pub Membership<S>,
);

impl<S: membership::Store> Facts for MemberFacts<S> {
    type Connection = S::Connection;
    type Actor = UserId;
    type Scope = Scope;
    type Error = membership::Error;
    type Role = Role;

    async fn role(&self, conn: &mut S::Connection, actor: &UserId, scope: &Scope) -> membership::Result<Option<Role>> {
        self.0.role(conn, actor, scope).await
    }

    async fn role_many(
        &self,
        conn: &mut S::Connection,
        actor: &UserId,
        scopes: &[Scope],
    ) -> membership::Result<Vec<Option<Role>>> {
        let pairs: Vec<_> = scopes.iter().map(|scope| (actor.clone(), scope.clone())).collect();
        self.0.check_many(conn, &pairs).await
    }

    async fn hold(&self, conn: &mut S::Connection, actor: &UserId, scope: &Scope) -> membership::Result<Option<Role>> {
        self.0.hold(conn, actor, scope).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who may what in a group is a file that a reviewer sees change.
    #[test]
    fn the_group_matrix_is_the_reviewed_one() {
        assert_eq!(group_matrix().unwrap().diff(include_str!("access_group.txt")), "");
    }
}
