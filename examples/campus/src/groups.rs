//! Groups: made, joined, left.

use stoa_audit::{Action, Actor, Entity, EntityId, EntityType, Record};
use stoa_membership::{By, Grant, Role, Scope, UserId};
use stoa_search::{Document, Surface, Tag};

use crate::app::{App, EVERYONE};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::model::Group;
use crate::sql::Sql as _;

const CREATED: Action = Action::new("bits.groups.v1.GroupService/CreateGroup");
const JOINED: Action = Action::new("bits.groups.v1.GroupService/JoinGroup");
const LEFT: Action = Action::new("bits.groups.v1.GroupService/LeaveGroup");

/// Creates a group inside the caller's transaction, with its first owner, found by everybody.
///
/// # Errors
/// [`Error::Invalid`] if the id is not a scope id; [`Error::Internal`].
pub async fn create<B: Backend>(app: &App<B>, tx: &mut B::Connection, group: &Group, owner: &UserId) -> Result<()> {
    let scope = Scope::group(&group.id)?;
    tx.insert_group(group).await?;
    app.membership.add(tx, owner, &scope, &Grant::new(Role::new("owner")?), &By::user(owner)).await?;
    app.search.upsert(tx, &group.document()?).await?;
    app.audit.record(tx, &Record::new(CREATED, &Actor::user(owner.as_str())?, group.entity()?)).await?;
    Ok(())
}

/// Lets somebody into a group by their own will.
///
/// # Errors
/// [`Error::NotSignedIn`] if there is no such person; [`Error::NotFound`] if there is no such group; [`Error::Membership`] if they are banned from it.
pub async fn join<B: Backend>(app: &App<B>, user: &UserId, scope: &Scope) -> Result<()> {
    let mut tx = app.begin().await?;
    tx.person(user.as_str()).await?.ok_or(Error::NotSignedIn)?;
    let group = tx.group(scope.id().as_str()).await?.ok_or(Error::NotFound)?;
    let change = app.membership.join(&mut tx, user, scope, &By::user(user)).await?;
    if !change.is_unchanged() {
        app.audit.record(&mut tx, &Record::new(JOINED, &Actor::user(user.as_str())?, group.entity()?)).await?;
    }
    app.commit(tx).await
}

/// Lets somebody out of a group.
///
/// # Errors
/// [`Error::NotSignedIn`] if there is no such person; [`Error::NotFound`] if there is no such group; [`Error::Membership`] if they are no member, or its last owner.
pub async fn leave<B: Backend>(app: &App<B>, user: &UserId, scope: &Scope) -> Result<()> {
    let mut tx = app.begin().await?;
    tx.person(user.as_str()).await?.ok_or(Error::NotSignedIn)?;
    let group = tx.group(scope.id().as_str()).await?.ok_or(Error::NotFound)?;
    let change = app.membership.leave(&mut tx, user, scope, &By::user(user)).await?;
    if !change.is_unchanged() {
        app.audit.record(&mut tx, &Record::new(LEFT, &Actor::user(user.as_str())?, group.entity()?)).await?;
    }
    app.commit(tx).await
}

impl Group {
    fn document(&self) -> Result<Document> {
        Ok(Document::new(Surface::GROUPS, self.id.as_str().try_into()?)
            .title(&self.name)
            .body(&self.description)
            .url(format!("/groups/{}", self.id))
            .audience([Tag::try_from(EVERYONE)?]))
    }

    fn entity(&self) -> Result<Entity> {
        Ok(Entity::new(EntityType::from_static("group"), EntityId::new(&*self.id)?))
    }
}
