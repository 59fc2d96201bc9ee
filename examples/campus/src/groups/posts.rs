//! Posts in groups. [`create`] is what the five crates are for.

use std::ops::DerefMut;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::FromRow;
use stoa_audit::{Action, Audited, Entity, EntityId, EntityType};
use stoa_capabilities::{Authorized, Scoped, scoped};
use stoa_membership::{Scope, UserId};
use stoa_search::{Document, Surface, Tag};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::access::{CreatePost, GroupCapability, ModeratePosts};
use crate::app::{App, Viewer};
use crate::backend::Backend;
use crate::caller::Caller;
use crate::error::{Error, Result};
use crate::groups::notify::NotifyGroup;
use crate::groups::sql::GroupSql;
use crate::groups::{GroupKind, refused};
use crate::text::{line, moment, moment_if_any, text};

pub(crate) const CREATED: Action = Action::new("bits.groups.v1.PostService/CreatePost");
pub(crate) const EDITED: Action = Action::new("bits.groups.v1.PostService/UpdatePost");
pub(crate) const DELETED: Action = Action::new("bits.groups.v1.PostService/DeletePost");

/// A post to write, within its bounds.
#[derive(Clone, Debug)]
pub struct Draft {
    title: String,
    body: String,
}

impl Draft {
    /// Parses a title of one line and 1 to 200 characters, and a body of 1 to 20,000.
    ///
    /// # Errors
    /// [`Error::Invalid`] says which is not what it has to be.
    pub fn new(title: &str, body: &str) -> Result<Self> {
        Ok(Self { title: line("the title", title, 200)?, body: text("the post", body, 20_000)? })
    }
}

/// Creates a group post: checked, stored, searchable, recorded and announced in one transaction, or not at all.
///
/// # Errors
/// [`Error::NotFound`] if the author may not post there, or there is no such group; [`Error::Internal`].
pub async fn create<B: Backend>(app: &App<B>, author: &Caller, group: &Scope, draft: Draft) -> Result<Post> {
    scoped!(tx = app.begin().await?);
    let post = publish(app, &mut tx, author, group, draft).await?;
    app.commit(tx.into_inner()).await?;
    app.jobs.wake();
    Ok(post)
}

/// The five steps, in a transaction that the caller commits.
///
/// # Errors
/// As [`create`].
pub async fn publish<B: Backend>(
    app: &App<B>,
    tx: &mut Scoped<'_, B::Transaction>,
    author: &Caller,
    group: &Scope,
    draft: Draft,
) -> Result<Post> {
    let may = app.group_capabilities.authorize(tx, CreatePost, &author.user, group).await?;
    let post = insert(tx, &may, draft).await?;
    app.search.upsert(tx, &post.document()?).await?;
    app.audit.record(tx, &author.record(CREATED, post.entity()?)?.after(&post)?).await?;
    app.jobs.enqueue(tx, &NotifyGroup { post_id: post.id.clone() }).await?;
    Ok(post)
}

/// Stores the row. The proof says who writes, and where: neither is an argument that a caller could get wrong.
///
/// # Errors
/// [`Error::Internal`].
pub async fn insert<'tx, T, C>(
    tx: &mut Scoped<'tx, T>,
    may: &Authorized<'tx, CreatePost, Scope, UserId>,
    draft: Draft,
) -> Result<Post>
where
    T: DerefMut<Target = C>,
    C: GroupSql,
{
    let post = Post {
        id: Uuid::now_v7().to_string(),
        group_id: may.scope().id().to_string(),
        group_kind: GroupKind::of(may.scope()),
        author_id: may.actor().to_string(),
        title: draft.title,
        body: draft.body,
        created_at: Utc::now().timestamp_micros(),
        edited_at: None,
    };
    tx.insert_post(&post).await?;
    Ok(post)
}

/// Reads a post as the viewer may: whoever is no member of its group is told the same as if there were none.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Internal`].
pub async fn read<B: Backend>(app: &App<B>, conn: &mut B::Connection, viewer: &Viewer, id: &str) -> Result<Post> {
    let post = find(conn, id).await?;
    let may_read = app.group_capabilities.check(conn, GroupCapability::ReadPosts, &viewer.user, &post.scope()?).await?;
    if may_read { Ok(post) } else { Err(Error::NotFound) }
}

/// Changes what a post says. Only its author does, as long as they may write in its group.
///
/// # Errors
/// [`Error::NotFound`] if the caller may not read the post, or there is none; [`Error::Forbidden`] if they may, but did not write it;
/// [`Error::Internal`].
pub async fn edit<B: Backend>(app: &App<B>, caller: &Caller, id: &str, draft: Draft) -> Result<Post> {
    scoped!(tx = app.begin().await?);
    let known = find(&mut *tx, id).await?;
    let scope = known.scope()?;
    drop(app.group_capabilities.authorize(&mut tx, CreatePost, &caller.user, &scope).await?);
    if known.author_id != caller.user.as_str() {
        return Err(Error::Forbidden);
    }
    let before = tx.lock_post(&known.id).await?.ok_or(Error::NotFound)?;
    if (&before.title, &before.body) == (&draft.title, &draft.body) {
        return Ok(before);
    }
    let edited_at = Some(Utc::now().timestamp_micros());
    let post = Post { title: draft.title, body: draft.body, edited_at, ..before.clone() };
    tx.update_post(&post).await?;
    app.search.upsert(&mut tx, &post.document()?).await?;
    app.audit.record(&mut tx, &caller.record(EDITED, post.entity()?)?.diff(&before, &post)?).await?;
    app.commit(tx.into_inner()).await?;
    Ok(post)
}

/// Deletes a post: by its author, or by whoever moderates its group. Nobody finds it any more from the same commit on.
///
/// # Errors
/// As [`edit`].
pub async fn delete<B: Backend>(app: &App<B>, caller: &Caller, id: &str) -> Result<Post> {
    scoped!(tx = app.begin().await?);
    let known = find(&mut *tx, id).await?;
    let scope = known.scope()?;
    let may = if known.author_id == caller.user.as_str() {
        app.group_capabilities.authorize(&mut tx, CreatePost, &caller.user, &scope).await.map(drop)
    } else {
        app.group_capabilities.authorize(&mut tx, ModeratePosts, &caller.user, &scope).await.map(drop)
    };
    if let Err(error) = may {
        return Err(refused(app, &mut tx, caller, &scope, error).await);
    }
    // Of two who delete it at once, the second finds nothing, and records nothing.
    if !tx.delete_post(&known.id).await? {
        return Err(Error::NotFound);
    }
    app.search.remove(&mut tx, &Surface::FEED, &known.id.as_str().try_into()?).await?;
    app.audit.record(&mut tx, &caller.record(DELETED, known.entity()?)?.before(&known)?).await?;
    app.commit(tx.into_inner()).await?;
    Ok(known)
}

async fn find<C: GroupSql>(conn: &mut C, id: &str) -> Result<Post> {
    let id = Uuid::parse_str(id).map_err(|_| Error::NotFound)?;
    conn.post(&id.to_string()).await?.ok_or(Error::NotFound)
}

/// What a member wrote into a group.
#[derive(Clone, Debug, FromRow, Serialize, ToSchema)]
pub struct Post {
    /// A UUID of version 7: ids grow with time.
    pub id: String,
    /// Where.
    pub group_id: String,
    /// What kind of group that is.
    #[sqlx(try_from = "String")]
    pub group_kind: GroupKind,
    /// Who.
    pub author_id: String,
    /// One line.
    pub title: String,
    /// Plain text.
    pub body: String,
    /// When: in the row, microseconds since 1970 in UTC.
    #[serde(serialize_with = "moment")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: i64,
    /// When it was last changed, if it was.
    #[serde(serialize_with = "moment_if_any")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub edited_at: Option<i64>,
}

impl Post {
    /// Whose members read it.
    ///
    /// # Errors
    /// As [`document`](Self::document).
    pub fn scope(&self) -> Result<Scope> {
        self.group_kind.scope(&self.group_id)
    }

    /// The post as it is found: by the members of its group.
    ///
    /// # Errors
    /// [`Error::Internal`] if an id is out of bounds; those of stored posts are not.
    pub fn document(&self) -> Result<Document> {
        Ok(Document::new(Surface::FEED, self.id.as_str().try_into()?)
            .title(&self.title)
            .body(&self.body)
            .url(format!("/posts/{}", self.id))
            .recency(DateTime::from_timestamp_micros(self.created_at).unwrap_or_default())
            .audience([Tag::try_from(self.scope()?.to_string())?]))
    }

    /// The post as an audit record names it.
    ///
    /// # Errors
    /// As [`document`](Self::document).
    pub fn entity(&self) -> Result<Entity> {
        Ok(Entity::new(EntityType::from_static("post"), EntityId::new(&*self.id)?))
    }
}

/// A post as a statement for many takes it.
#[derive(Serialize)]
pub(crate) struct PostRow<'a> {
    id: &'a str,
    group_id: &'a str,
    author_id: &'a str,
    title: &'a str,
    body: &'a str,
    created_at: i64,
}

impl<'a> From<&'a Post> for PostRow<'a> {
    fn from(post: &'a Post) -> Self {
        let Post { id, group_id, author_id, title, body, created_at, .. } = post;
        Self { id, group_id, author_id, title, body, created_at: *created_at }
    }
}

/// What of a post an audit record may hold.
impl Audited for Post {
    const FIELDS: &'static [&'static str] = &["group_id", "author_id", "title"];
}
