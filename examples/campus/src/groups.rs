//! Groups: made, joined, left. [`posts::create`] is the flow that everything is for.

pub mod members;
pub mod notify;
pub mod posts;
pub mod sql;

pub(crate) mod api;
pub(crate) mod member_api;
pub(crate) mod member_pages;
pub(crate) mod pages;

use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use stoa_audit::{Action, Audited, Entity, EntityId, EntityType};
use stoa_capabilities::scoped;
use stoa_jobs_runner::Job as _;
use stoa_membership::{By, CHAPTER, GROUP, Grant, Role, Scope, ScopeId, ScopeType, Source as _};
use stoa_search::{Document, Tag};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::access::EditGroup;
use crate::app::{App, EVERYONE};
use crate::backend::Backend;
use crate::calendar::rsvp;
use crate::caller::Caller;
use crate::directory::sql::DirectorySql as _;
use crate::error::{Error, Result};
use crate::groups::sql::GroupSql;
use crate::recommender::{self, Act};
use crate::surface::Surface;
use crate::text::{line, line_if_any, text};

/// What groups bring.
pub const SURFACE: Surface = Surface {
    name: "groups",
    tables: &["campus_group", "campus_post", "campus_notification"],
    scopes: &["group", "chapter"],
    documents: Some("groups"),
    actions: &[
        CREATED,
        EDITED,
        JOINED,
        LEFT,
        posts::CREATED,
        posts::EDITED,
        posts::DELETED,
        members::BANNED,
        members::UNBANNED,
        members::REMOVED,
        members::ROLE_SET,
        members::INVITED,
    ],
    jobs: &[notify::NotifyGroup::KIND],
    capabilities: &[
        "group.post.read",
        "group.post.create",
        "group.member.read",
        "group.member.manage",
        "group.edit",
        "group.post.moderate",
    ],
    paths: &["/groups", "/posts", "/api/v1/groups", "/api/v1/posts"],
};

pub(crate) const CREATED: Action = Action::new("bits.groups.v1.GroupService/CreateGroup");
const EDITED: Action = Action::new("bits.groups.v1.GroupService/UpdateGroup");
const JOINED: Action = Action::new("bits.groups.v1.GroupService/JoinGroup");
const LEFT: Action = Action::new("bits.groups.v1.GroupService/LeaveGroup");

/// Creates a group inside the caller's transaction, with its first owner, found by everybody.
///
/// # Errors
/// [`Error::Invalid`] if the id is not a scope id, or taken; [`Error::Internal`].
pub async fn create<B: Backend>(app: &App<B>, tx: &mut B::Connection, group: &Group, owner: &Caller) -> Result<()> {
    let scope = group.scope()?;
    if !tx.insert_group(group).await? {
        return Err(Error::Invalid("there is a group of this id already".into()));
    }
    app.membership.add(tx, &owner.user, &scope, &Grant::new(Role::new("owner")?), &By::user(&owner.user)).await?;
    app.search.upsert(tx, &group.document()?).await?;
    app.audit.record(tx, &owner.record(CREATED, group.entity()?)?.after(group)?).await?;
    Ok(())
}

/// Creates a group, as anybody on campus may: whoever does is its first owner.
///
/// # Errors
/// [`Error::NotSignedIn`] if there is no such person; otherwise as [`create`].
pub async fn found<B: Backend>(app: &App<B>, caller: &Caller, group: &Group) -> Result<()> {
    let mut tx = app.begin().await?;
    tx.person(caller.user.as_str()).await?.ok_or(Error::NotSignedIn)?;
    create(app, &mut tx, group, caller).await?;
    app.commit(tx).await
}

/// Changes what a group says about itself. Its id and its kind stay.
///
/// # Errors
/// [`Error::NotFound`] if the caller is no member of it, or there is none; [`Error::Forbidden`] if they are, but do not run it;
/// [`Error::Internal`].
pub async fn edit<B: Backend>(app: &App<B>, caller: &Caller, scope: &Scope, description: Description) -> Result<Group> {
    scoped!(tx = app.begin().await?);
    if let Err(error) = app.group_capabilities.authorize(&mut tx, EditGroup, &caller.user, scope).await {
        return Err(refused(app, &mut tx, caller, scope, error).await);
    }
    let before = tx.lock_group(scope.id().as_str()).await?.ok_or(Error::NotFound)?;
    let Description { name, about: description, place } = description;
    let group = Group { name, description, place, ..before.clone() };
    if group == before {
        return Ok(before);
    }
    tx.update_group(&group).await?;
    app.search.upsert(&mut tx, &group.document()?).await?;
    app.audit.record(&mut tx, &caller.record(EDITED, group.entity()?)?.diff(&before, &group)?).await?;
    app.commit(tx.into_inner()).await?;
    Ok(group)
}

/// What somebody is told who lacks a capability in a scope: its members know that it is there.
pub(crate) async fn refused<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    caller: &Caller,
    scope: &Scope,
    error: stoa_capabilities::Error,
) -> Error {
    match Error::from(error) {
        Error::NotFound => match app.membership.is_member(conn, &caller.user, scope).await {
            Ok(true) => Error::Forbidden,
            Ok(false) => Error::NotFound,
            Err(error) => error.into(),
        },
        other => other,
    }
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
        recommender::signal(app, &mut tx, &caller.user, &stoa_search::Surface::GROUPS, &group.id, Act::Join).await?;
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
        rsvp::forfeit(app, &mut tx, &caller.user, scope).await?;
        app.audit.record(&mut tx, &caller.record(LEFT, group.entity()?)?).await?;
    }
    app.commit(tx).await?;
    app.jobs.wake();
    Ok(())
}

/// The scope of a group: what kind it is of decides.
///
/// # Errors
/// [`Error::NotFound`] if there is no such group; [`Error::Internal`].
pub async fn scope<B: Backend>(app: &App<B>, id: &str) -> Result<Scope> {
    let mut conn = app.backend.pool().acquire().await?;
    find(&mut *conn, id).await?.scope()
}

/// Reads a group; what is no id names none.
pub(crate) async fn find<C: GroupSql>(conn: &mut C, id: &str) -> Result<Group> {
    ScopeId::new(id).map_err(|_| Error::NotFound)?;
    conn.group(id).await?.ok_or(Error::NotFound)
}

/// Reads up to one more than `limit` groups by name, those after the group of that id.
///
/// # Errors
/// [`Error::NotFound`] if there is no such group to go on from; [`Error::Internal`].
pub async fn list<C: GroupSql>(
    conn: &mut C,
    kind: Option<GroupKind>,
    after: Option<&str>,
    limit: u8,
) -> Result<Vec<Group>> {
    let (name, id) = match after {
        Some(after) => {
            let after = find(conn, after).await?;
            (after.name, after.id)
        }
        None => (String::new(), String::new()),
    };
    let limit = i64::from(limit) + 1;
    Ok(match kind {
        Some(kind) => conn.groups_of_kind(kind.as_str(), &name, &id, limit).await?,
        None => conn.groups(&name, &id, limit).await?,
    })
}

/// What kind of group: it decides whose scope the group is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum GroupKind {
    /// Whoever likes the same thing. Its scope is `group:<id>`.
    #[default]
    Interest,
    /// The alumni of a city or a batch. Its scope is `chapter:<id>`.
    Chapter,
}

impl GroupKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Interest, Self::Chapter];

    /// The kind of the group whose scope this is.
    pub fn of(scope: &Scope) -> Self {
        if *scope.kind() == CHAPTER { Self::Chapter } else { Self::Interest }
    }

    /// Returns the stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Interest => "interest",
            Self::Chapter => "chapter",
        }
    }

    /// Returns the scope of the group of this kind with this id.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is no id.
    pub fn scope(self, id: &str) -> Result<Scope> {
        Ok(Scope::new(self.scope_type(), ScopeId::new(id)?))
    }

    /// The kind of group whose members make this scope, if it is one of a group.
    pub fn of_scope(scope: &Scope) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.scope_type() == *scope.kind())
    }

    /// Returns the type of the scopes of such groups.
    pub fn scope_type(self) -> ScopeType {
        match self {
            Self::Interest => GROUP,
            Self::Chapter => CHAPTER,
        }
    }
}

impl TryFrom<&str> for GroupKind {
    type Error = Error;

    fn try_from(name: &str) -> Result<Self> {
        let kind = Self::ALL.into_iter().find(|kind| kind.as_str() == name);
        kind.ok_or_else(|| Error::Invalid("the kind of a group is interest or chapter".into()))
    }
}

impl TryFrom<String> for GroupKind {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.as_str().try_into()
    }
}

/// A place to post in.
#[derive(Clone, Debug, PartialEq, Eq, FromRow, Serialize, ToSchema)]
pub struct Group {
    /// Also the id of its scope.
    pub id: String,
    /// What kind of group.
    #[sqlx(try_from = "String")]
    pub kind: GroupKind,
    /// As it is called.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// The city or the batch that a chapter is of; empty if it is of none.
    pub place: String,
}

/// A group to make, as it comes from outside.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
pub struct NewGroup {
    /// Lower-case letters, digits and hyphens; made of the name without it.
    #[serde(default)]
    #[schema(max_length = 64)]
    pub id: String,
    /// `interest` or `chapter`.
    #[serde(default)]
    pub kind: String,
    /// One line.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// What it is about.
    #[schema(min_length = 1, max_length = 2000)]
    pub description: String,
    /// The city or the batch that a chapter is of.
    #[serde(default)]
    #[schema(max_length = 100)]
    pub place: String,
}

/// What a group says about itself, within its bounds.
#[derive(Clone, Debug)]
pub struct Description {
    name: String,
    about: String,
    place: String,
}

impl Description {
    /// Parses a name of one line and 1 to 100 characters, a description of 1 to 2000, and a place of at most 100.
    ///
    /// # Errors
    /// [`Error::Invalid`] says which is not what it has to be.
    pub fn new(name: &str, description: &str, place: &str) -> Result<Self> {
        Ok(Self {
            name: line("the name", name, 100)?,
            about: text("the description", description, 2000)?,
            place: line_if_any("the place", place, 100)?,
        })
    }
}

impl TryFrom<&NewGroup> for Group {
    type Error = Error;

    fn try_from(new: &NewGroup) -> Result<Self> {
        let Description { name, about: description, place } =
            Description::new(&new.name, &new.description, &new.place)?;
        let kind = if new.kind.is_empty() { GroupKind::default() } else { new.kind.as_str().try_into()? };
        let id = if new.id.is_empty() { id_of(&name) } else { chosen(&new.id)? };
        Ok(Self { id, kind, name, description, place })
    }
}

/// An id that reads like the name, and is nobody else's.
fn id_of(name: &str) -> String {
    let plain = name.to_ascii_lowercase().replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
    let words: Vec<_> = plain.split('-').filter(|word| !word.is_empty()).collect();
    // Cut at a character: all of them are ASCII by now.
    let slug: String = words.join("-").chars().take(40).collect();
    let suffix = Uuid::new_v4().simple().to_string();
    let slug = if slug.is_empty() { "group" } else { slug.trim_end_matches('-') };
    format!("{slug}-{}", &suffix[..8])
}

fn chosen(id: &str) -> Result<String> {
    let is_plain = id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if (2..=64).contains(&id.len()) && is_plain && !id.starts_with('-') && !id.ends_with('-') && id != "new" {
        Ok(id.to_owned())
    } else {
        Err(Error::Invalid("an id is 2 to 64 lower-case letters, digits and hyphens between them".into()))
    }
}

impl Group {
    /// Whose members read it.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the id is not a scope id; that of a stored group is one.
    pub fn scope(&self) -> Result<Scope> {
        self.kind.scope(&self.id)
    }

    /// The group as it is found: by everybody.
    pub(crate) fn document(&self) -> Result<Document> {
        let body =
            if self.place.is_empty() { &self.description } else { &format!("{}\n{}", self.description, self.place) };
        Ok(Document::new(stoa_search::Surface::GROUPS, self.id.as_str().try_into()?)
            .title(&self.name)
            .body(body)
            .url(format!("/groups/{}", self.id))
            .audience([Tag::try_from(EVERYONE)?]))
    }

    pub(crate) fn entity(&self) -> Result<Entity> {
        Ok(Entity::new(EntityType::from_static("group"), EntityId::new(&*self.id)?))
    }
}

impl Audited for Group {
    const FIELDS: &'static [&'static str] = &["kind", "name", "description", "place"];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_like_the_name() {
        let id = id_of("  Chess & Go (Lisbon) — évening ");
        assert_eq!(&id[..id.len() - 8], "chess-go-lisbon-vening-");
        assert!(id_of("囲碁").starts_with("group-") && chosen(&id).is_ok());
        assert!(id_of(&"a b".repeat(60)).len() <= 49);
        for bad in ["a", "-a", "a-", "A1", "new", "a b", "é1", &"a".repeat(65)] {
            assert!(chosen(bad).is_err(), "{bad}");
        }
    }
}
