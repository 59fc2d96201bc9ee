//! The members of a group, in the hands of its owners and admins.

use chrono::{DateTime, Utc};
use serde::Serialize;
use stoa_audit::{Action, Audited, Entity, EntityId, EntityType, Record};
use stoa_capabilities::scoped;
use stoa_membership::{self as membership, By, Change, Grant, Member, Reason, Role, Scope, State, UserId};

use crate::access::ManageMembers;
use crate::app::App;
use crate::backend::Backend;
use crate::calendar::rsvp;
use crate::caller::Caller;
use crate::directory::sql::DirectorySql as _;
use crate::error::{Error, Result};
use crate::groups::sql::GroupSql as _;

pub(crate) const BANNED: Action = Action::new("bits.groups.v1.MembershipService/BanMember");
pub(crate) const UNBANNED: Action = Action::new("bits.groups.v1.MembershipService/UnbanMember");
pub(crate) const REMOVED: Action = Action::new("bits.groups.v1.MembershipService/RemoveMember");
pub(crate) const ROLE_SET: Action = Action::new("bits.groups.v1.MembershipService/SetRole");
pub(crate) const INVITED: Action = Action::new("bits.groups.v1.MembershipService/InviteGuest");

/// How often a decision is tried. Two decisions about the same person both hold the row before either changes it, and PostgreSQL
/// ends one of them.
const ATTEMPTS: usize = 3;

/// What an owner or an admin may do to a membership.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Shut them out.
    Ban(Reason),
    /// Let them join again.
    Unban,
    /// End the membership.
    Remove,
    /// Give another role.
    SetRole(Role),
    /// Let them in until then. A ban is not lifted on the way.
    Invite(DateTime<Utc>),
}

impl Decision {
    const fn action(&self) -> Action {
        match self {
            Self::Ban(_) => BANNED,
            Self::Unban => UNBANNED,
            Self::Remove => REMOVED,
            Self::SetRole(_) => ROLE_SET,
            Self::Invite(_) => INVITED,
        }
    }

    /// The role it gives, if it gives one.
    fn role(&self) -> Result<Option<Role>> {
        match self {
            Self::SetRole(role) => Ok(Some(role.clone())),
            Self::Invite(_) => Ok(Some(Role::new("member")?)),
            Self::Ban(_) | Self::Unban | Self::Remove => Ok(None),
        }
    }
}

/// Carries a decision out, checked and recorded in one transaction, if the membership is still at the version that the actor saw
/// (0: there was none).
///
/// # Errors
/// [`Error::NotFound`] if the actor does not manage the group, or there is no such group; [`Error::Forbidden`] if they do, but
/// not over this person or up to that role; [`Error::Invalid`] if there is no such person; [`Error::Membership`] if the version has
/// moved on, or the verb refuses.
pub async fn decide<B: Backend>(
    app: &App<B>,
    actor: &Caller,
    group: &Scope,
    person: &UserId,
    version: i64,
    decision: &Decision,
) -> Result<()> {
    let mut attempts = 1;
    loop {
        match attempt(app, actor, group, person, version, decision).await {
            Err(error) if error.is_retryable() && attempts < ATTEMPTS => attempts += 1,
            result => return result,
        }
    }
}

async fn attempt<B: Backend>(
    app: &App<B>,
    actor: &Caller,
    group: &Scope,
    person: &UserId,
    version: i64,
    decision: &Decision,
) -> Result<()> {
    scoped!(tx = app.begin().await?);
    drop(app.group_capabilities.authorize(&mut tx, ManageMembers, &actor.user, group).await?);
    // From here on the actor is known to manage the group, and may be told more.
    let allowed = match decision.role()? {
        None => {
            app.group_capabilities.authorize_over(&mut tx, ManageMembers, &actor.user, group, person).await.map(drop)
        }
        Some(role) => app
            .group_capabilities
            .authorize_grant(&mut tx, ManageMembers, &actor.user, group, person, &role)
            .await
            .map(drop),
    };
    allowed.map_err(|error| match Error::from(error) {
        Error::NotFound => Error::Forbidden,
        other => other,
    })?;
    tx.group(group.id().as_str()).await?.ok_or(Error::NotFound)?;
    tx.person(person.as_str()).await?.ok_or_else(|| Error::Invalid("there is no such person".into()))?;

    let by = By::user(&actor.user).if_version(version);
    let change = match decision {
        Decision::Ban(reason) => app.membership.ban(&mut tx, person, group, &by.because(reason.clone())).await?,
        Decision::Unban => app.membership.unban(&mut tx, person, group, &by).await?,
        Decision::Remove => app.membership.remove(&mut tx, person, group, &by).await?,
        Decision::SetRole(role) => app.membership.set_role(&mut tx, person, group, role, &by).await?,
        Decision::Invite(until) => {
            let standing = app.membership.get(&mut tx, person, group).await?;
            if standing.is_some_and(|member| member.state() == State::Banned) {
                return Err(membership::Error::Banned.into());
            }
            let grant = Grant::new(Role::new("member")?).until(*until)?;
            app.membership.add(&mut tx, person, group, &grant, &by).await?
        }
    };
    if !change.is_unchanged() {
        if !change.after().is_active() {
            rsvp::forfeit(app, &mut tx, person, group).await?;
        }
        app.audit.record(&mut tx, &record(decision.action(), actor, &change)?).await?;
    }
    app.commit(tx.into_inner()).await?;
    app.jobs.wake();
    Ok(())
}

fn record(action: Action, actor: &Caller, change: &Change) -> Result<Record> {
    let after = change.after();
    let scope = after.scope();
    let group = Entity::new(EntityType::new(scope.kind().as_str())?, EntityId::new(scope.id().as_str())?);
    let member = Entity::new(EntityType::from_static("member"), EntityId::new(after.user().as_str())?);
    let record = actor.record(action, member)?.scope(group).after(&Standing::of(after))?;
    Ok(match change.before() {
        Some(before) => record.before(&Standing::of(before))?,
        None => record,
    })
}

/// What of a membership an audit record holds.
#[derive(Serialize)]
pub(crate) struct Standing<'a> {
    state: &'a str,
    role: &'a str,
    expires_at: Option<String>,
}

impl<'a> Standing<'a> {
    pub(crate) fn of(member: &'a Member) -> Self {
        let expires_at = member.expires_at().map(|end| end.to_rfc3339());
        Self { state: member.state().as_str(), role: member.role().as_str(), expires_at }
    }
}

impl Audited for Standing<'_> {
    const FIELDS: &'static [&'static str] = &["state", "role", "expires_at"];
}
