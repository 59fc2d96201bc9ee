//! A sample of the members of a scope, and what they are in besides: the same for everybody in it, so it is read once a batch.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use stoa_membership::{BATCH, Filter, PageRequest, Scope};

use crate::app::App;
use crate::backend::Backend;
use crate::error::Result;
use crate::groups::GroupKind;
use crate::recommender::sql::RecommenderSql as _;

/// So many members stand for all.
const SAMPLE: u32 = 60;
/// So many of those who did something with a document stand for all, and so much of what else they did.
const PEERS: i64 = 60;
const NEIGHBOURS: i64 = 100;
/// More scopes or documents than this are not kept in memory.
const KEPT: usize = 20_000;

/// A sample of a scope's members.
#[derive(Debug, Default)]
pub(super) struct Circle {
    /// Who.
    pub(super) members: Vec<String>,
    /// How many of them are in which group.
    pub(super) groups: BTreeMap<String, u32>,
}

/// Surfaces, ids and how many people did something with both.
type Neighbours = Arc<Vec<(String, String, i64)>>;

/// What was read in this batch, for all people whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Circles {
    circles: HashMap<Scope, Arc<Circle>>,
    neighbours: HashMap<(String, String), Neighbours>,
}

/// Whether a scope tells anything of what its members have in common.
pub(super) fn tells(scope: &Scope) -> bool {
    GroupKind::of_scope(scope).is_some() || scope.kind() == &BATCH
}

impl Circles {
    /// Reads a circle, once.
    pub(super) async fn of<B: Backend>(
        &mut self,
        app: &App<B>,
        conn: &mut B::Connection,
        scope: &Scope,
    ) -> Result<Arc<Circle>> {
        if let Some(circle) = self.circles.get(scope) {
            return Ok(circle.clone());
        }
        let page = app.membership.list_by_scope(conn, scope, &Filter::default(), &PageRequest::first(SAMPLE)).await?;
        let mut circle = Circle::default();
        for member in page.items {
            for scope in app.membership.of(conn, member.user()).await?.scopes() {
                if GroupKind::of_scope(scope).is_some() {
                    *circle.groups.entry(scope.id().to_string()).or_default() += 1;
                }
            }
            circle.members.push(member.user().to_string());
        }
        if self.circles.len() >= KEPT {
            self.circles.clear();
        }
        let circle = Arc::new(circle);
        self.circles.insert(scope.clone(), circle.clone());
        Ok(circle)
    }

    /// Reads what goes together with a document, once.
    pub(super) async fn neighbours<B: Backend>(
        &mut self,
        conn: &mut B::Connection,
        document: &(String, String),
    ) -> Result<Neighbours> {
        if let Some(neighbours) = self.neighbours.get(document) {
            return Ok(neighbours.clone());
        }
        if self.neighbours.len() >= KEPT {
            self.neighbours.clear();
        }
        let neighbours = Arc::new(conn.neighbours(&document.0, &document.1, PEERS, NEIGHBOURS).await?);
        self.neighbours.insert(document.clone(), neighbours.clone());
        Ok(neighbours)
    }

    /// The classes that were read: their popular groups are for whoever has no candidates of their own.
    pub(super) fn classes(&self) -> impl Iterator<Item = (&Scope, &Circle)> {
        self.circles.iter().filter(|(scope, _)| scope.kind() == &BATCH).map(|(scope, circle)| (scope, &**circle))
    }
}
