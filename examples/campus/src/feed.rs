//! The feed: what was written in every scope of somebody's, newest first.

pub mod sql;

pub(crate) mod api;
pub(crate) mod pages;

use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;

use crate::app::Viewer;
use crate::error::Result;
use crate::feed::sql::FeedSql;
use crate::groups::GroupKind;
use crate::groups::posts::Post;
use crate::surface::Surface;

/// What the feed brings: it reads the posts of the groups, and writes nothing.
pub const SURFACE: Surface = Surface {
    name: "feed",
    tables: &[],
    scopes: &["group", "chapter"],
    documents: Some("feed"),
    actions: &[],
    jobs: &[],
    capabilities: &[],
    paths: &["/feed", "/api/v1/feed"],
};

/// A post, and where and by whom.
#[derive(Clone, Debug, FromRow, Serialize, ToSchema)]
pub struct Item {
    /// The post.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub post: Post,
    /// As its group is called.
    pub group_name: String,
    /// As its author wants to be called.
    pub author_name: String,
}

/// Reads the newest posts of all groups that the viewer is an active member of, as the viewer's own transaction sees them.
///
/// # Errors
/// [`Error::Internal`](crate::error::Error::Internal).
pub async fn newest<C: FeedSql>(conn: &mut C, viewer: &Viewer, limit: u8) -> Result<Vec<Item>> {
    before(conn, viewer, None, limit).await
}

/// As [`newest`], of those before the post with this id: ids grow with time.
///
/// # Errors
/// As [`newest`].
pub async fn before<C: FeedSql>(conn: &mut C, viewer: &Viewer, id: Option<&str>, limit: u8) -> Result<Vec<Item>> {
    let scopes = viewer.memberships.scopes();
    let groups = scopes.filter_map(|scope| {
        let kind = GroupKind::of_scope(scope)?;
        Some((kind.as_str(), scope.id().as_str()))
    });
    let (kinds, ids): (Vec<_>, Vec<_>) = groups.unzip();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    // Every id is made of digits, letters and hyphens, all of them less than a tilde.
    Ok(conn.feed(&kinds, &ids, id.unwrap_or("~"), limit.into()).await?)
}
