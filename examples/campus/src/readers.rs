//! Whom something is for: everybody, or the members of a scope.

use std::fmt;
use std::str::FromStr;

use stoa_audit::{Entity, EntityId, EntityType};
use stoa_membership::{Scope, UserId};
use stoa_search::Tag;

use crate::app::{App, EVERYONE, Viewer};
use crate::backend::Backend;
use crate::error::Result;
use crate::groups::sql::GroupSql as _;

/// Whom something is for. Its text is the audience tag that they have, and what the rows keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Everybody on campus.
    Everyone,
    /// The active members of a scope.
    Members(Scope),
}

impl Readers {
    /// Says whether the viewer is one of them.
    pub fn include(&self, viewer: &Viewer) -> bool {
        match self {
            Self::Everyone => true,
            Self::Members(scope) => viewer.memberships.is_member(scope),
        }
    }

    /// The scope, if there is one.
    pub fn scope(&self) -> Option<&Scope> {
        match self {
            Self::Everyone => None,
            Self::Members(scope) => Some(scope),
        }
    }

    /// Everything the viewer is a reader of, as a JSON list of texts: what a statement takes.
    pub(crate) fn of(viewer: &Viewer) -> String {
        let texts: Vec<String> = viewer.memberships.tags().chain([EVERYONE.to_owned()]).collect();
        serde_json::Value::from(texts).to_string()
    }

    /// The tag of the documents they find.
    pub(crate) fn tag(&self) -> Result<Tag> {
        Ok(Tag::try_from(self.to_string())?)
    }

    /// The scope as an audit record names it.
    pub(crate) fn entity(&self) -> Result<Option<Entity>> {
        let Self::Members(scope) = self else { return Ok(None) };
        let kind = EntityType::try_from(scope.kind().as_str())?;
        Ok(Some(Entity::new(kind, EntityId::new(scope.id().as_str())?)))
    }

    /// Which of the people are readers now, in their order.
    pub(crate) async fn who<B: Backend>(
        &self,
        app: &App<B>,
        conn: &mut B::Connection,
        people: &[&str],
    ) -> Result<Vec<bool>> {
        let Self::Members(scope) = self else { return Ok(vec![true; people.len()]) };
        let pairs = people.iter().map(|id| Ok((UserId::new(*id)?, scope.clone()))).collect::<Result<Vec<_>>>()?;
        let roles = app.membership.check_many(conn, &pairs).await?;
        Ok(roles.iter().map(Option::is_some).collect())
    }

    /// How a page calls them.
    pub(crate) async fn name<B: Backend>(&self, conn: &mut B::Connection) -> Result<String> {
        let Self::Members(scope) = self else { return Ok("Everybody on campus".into()) };
        let id = scope.id().as_str();
        Ok(match scope.kind().as_str() {
            "batch" => format!("Class of {id}"),
            _ => conn.group(id).await?.map_or_else(|| id.to_owned(), |group| group.name),
        })
    }
}

impl fmt::Display for Readers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => formatter.write_str(EVERYONE),
            Self::Members(scope) => scope.fmt(formatter),
        }
    }
}

impl FromStr for Readers {
    type Err = stoa_membership::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == EVERYONE { Ok(Self::Everyone) } else { Ok(Self::Members(text.parse()?)) }
    }
}
