//! Groups: made, joined, left. [`posts::create`] is the flow that everything is for.

pub mod members;
pub mod notify;
pub mod posts;
pub mod sql;

pub(crate) mod api;
pub(crate) mod member_pages;
pub(crate) mod pages;

use serde::Serialize;
use sqlx::FromRow;
use stoa_audit::{Action, Entity, EntityId, EntityType};
use stoa_jobs_runner::Job as _;
use stoa_membership::{By, Grant, Role, Scope};
use stoa_search::{Document, Tag};
use utoipa::ToSchema;

use crate::app::{App, EVERYONE};
use crate::backend::Backend;
use crate::caller::Caller;
use crate::directory::sql::DirectorySql as _;
use crate::error::{Error, Result};
use crate::groups::sql::GroupSql as _;
use crate::surface::Surface;

/// What groups bring.
pub const SURFACE: Surface = Surface {
    name: "groups",
    tables: &["campus_group", "campus_post", "campus_notification"],
    scopes: &["group"],
    documents: Some("groups"),
    actions: &[
        CREATED,
        JOINED,
        LEFT,
        posts::CREATED,
        members::BANNED,
        members::UNBANNED,
        members::REMOVED,
        members::ROLE_SET,
        members::INVITED,
    ],
    jobs: &[notify::NotifyGroup::KIND],
    capabilities: &["group.post.read", "group.post.create", "group.member.read", "group.member.manage"],
    paths: &["/groups", "/posts", "/api/v1/groups", "/api/v1/posts"],
};

pub(crate) const CREATED: Action = Action::new("bits.groups.v1.GroupService/CreateGroup");
const JOINED: Action = Action::new("bits.groups.v1.GroupService/JoinGroup");
const LEFT: Action = Action::new("bits.groups.v1.GroupService/LeaveGroup");

/// Creates a group inside the caller's transaction, with its first owner, found by everybody.
///
/// # Errors
/// [`Error::Invalid`] if the id is not a scope id; [`Error::Internal`].
pub async fn create<B: Backend>(app: &App<B>, tx: &mut B::Connection, group: &Group, owner: &Caller) -> Result<()> {
    let scope = Scope::group(&group.id)?;
    tx.insert_group(group).await?;
    app.membership.add(tx, &owner.user, &scope, &Grant::new(Role::new("owner")?), &By::user(&owner.user)).await?;
    app.search.upsert(tx, &group.document()?).await?;
    app.audit.record(tx, &owner.record(CREATED, group.entity()?)?).await?;
    Ok(())
}

/// Lets somebody into a group by their own will.
///
/// # Errors
/// [`Error::NotSignedIn`] if there is no such person; [`Error::NotFound`] if there is no such group; [`Error::Membership`] if they are banned from it.
pub async fn join<B: Backend>(app: &App<B>, caller: &Caller, scope: &Scope) -> Result<()> {
    let mut tx = app.begin().await?;
    tx.person(caller.user.as_str()).await?.ok_or(Error::NotSignedIn)?;
    let group = tx.group(scope.id().as_str()).await?.ok_or(Error::NotFound)?;
    let change = app.membership.join(&mut tx, &caller.user, scope, &By::user(&caller.user)).await?;
    if !change.is_unchanged() {
        app.audit.record(&mut tx, &caller.record(JOINED, group.entity()?)?).await?;
    }
    app.commit(tx).await
}

/// Lets somebody out of a group.
///
/// # Errors
/// [`Error::NotSignedIn`] if there is no such person; [`Error::NotFound`] if there is no such group; [`Error::Membership`] if they are no member, or its last owner.
pub async fn leave<B: Backend>(app: &App<B>, caller: &Caller, scope: &Scope) -> Result<()> {
    let mut tx = app.begin().await?;
    tx.person(caller.user.as_str()).await?.ok_or(Error::NotSignedIn)?;
    let group = tx.group(scope.id().as_str()).await?.ok_or(Error::NotFound)?;
    let change = app.membership.leave(&mut tx, &caller.user, scope, &By::user(&caller.user)).await?;
    if !change.is_unchanged() {
        app.audit.record(&mut tx, &caller.record(LEFT, group.entity()?)?).await?;
    }
    app.commit(tx).await
}

/// A place to post in.
#[derive(Clone, Debug, FromRow, Serialize, ToSchema)]
pub struct Group {
    /// Also the id of its scope.
    pub id: String,
    /// As it is called.
    pub name: String,
    /// What it is about.
    pub description: String,
}

impl Group {
    /// The group as it is found: by everybody.
    pub(crate) fn document(&self) -> Result<Document> {
        Ok(Document::new(stoa_search::Surface::GROUPS, self.id.as_str().try_into()?)
            .title(&self.name)
            .body(&self.description)
            .url(format!("/groups/{}", self.id))
            .audience([Tag::try_from(EVERYONE)?]))
    }

    pub(crate) fn entity(&self) -> Result<Entity> {
        Ok(Entity::new(EntityType::from_static("group"), EntityId::new(&*self.id)?))
    }
}

/// A group's scope; what is no id names no group.
pub(crate) fn group_scope(id: &str) -> Result<Scope> {
    Scope::group(id).map_err(|_| Error::NotFound)
}
