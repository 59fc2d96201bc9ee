//! Showing what was recommended: what the viewer may see now, and is not theirs already.

use std::collections::HashMap;

use chrono::Utc;
use stoa_membership::{BATCH, Scope, State, UserId};
use stoa_search::Surface as Place;
use stoa_search::recommendation as store;

use super::sql::RecommenderSql as _;
use super::why::Why;
use super::{as_user, candidates};
use crate::app::{App, Viewer};
use crate::backend::Backend;
use crate::calendar::sql::CalendarSql as _;
use crate::error::Result;
use crate::groups::GroupKind;
use crate::groups::sql::GroupSql as _;
use crate::marketplace::sql::MarketplaceSql as _;
use crate::openings::sql::OpeningSql as _;

/// So many candidates are looked at.
const CANDIDATES: usize = 30;

/// Something the viewer may like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recommended {
    /// Its id on its surface.
    pub id: String,
    /// As it is called.
    pub title: String,
    /// Its page.
    pub url: Option<String>,
    /// Why, for people.
    pub why: String,
}

/// Reads what is recommended to the viewer on a surface, best first. It checks everything anew in the transaction of the page: memberships,
/// bans and audiences may have changed since the candidates were made.
///
/// # Errors
/// [`Error::Internal`](crate::error::Error::Internal).
pub async fn read<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    viewer: &Viewer,
    place: &Place,
    limit: usize,
) -> Result<Vec<Recommended>> {
    let own = store::UserId::new(viewer.user.as_str())?;
    let shown = shown(app, conn, viewer, place, &own, limit).await?;
    if !shown.is_empty() {
        return Ok(shown);
    }
    // For whoever has none: what is popular in their class.
    let Some(class) = viewer.memberships.scopes().find(|scope| scope.kind() == &BATCH) else { return Ok(shown) };
    self::shown(app, conn, viewer, place, &as_user(class)?, limit).await
}

async fn shown<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    viewer: &Viewer,
    place: &Place,
    of: &store::UserId,
    limit: usize,
) -> Result<Vec<Recommended>> {
    let found = candidates(app).read(conn, of, place, &viewer.audience()?, CANDIDATES).await?;
    let mut names = HashMap::new();
    let mut shown = Vec::new();
    for candidate in found {
        if shown.len() == limit {
            break;
        }
        let id = candidate.entity_id.as_str();
        let Some(why) = candidate.reason.as_ref().and_then(|reason| Why::parse(reason.as_str())) else { continue };
        if !holds(app, conn, viewer, place, id, &why).await? || !is_news(app, conn, viewer, place, id).await? {
            continue;
        }
        let Some((title, url)) = conn.titled(place.as_str(), id).await? else { continue };
        let why = in_words::<B::Connection>(conn, place, &why, &mut names).await?;
        shown.push(Recommended { id: id.to_owned(), title, url, why });
    }
    Ok(shown)
}

/// Whether the reason is true now: nobody learns by it of a scope that they are not in, or that somebody has left.
async fn holds<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    viewer: &Viewer,
    place: &Place,
    id: &str,
    why: &Why,
) -> Result<bool> {
    let Why::In(scope) = why else { return Ok(true) };
    if !viewer.memberships.is_member(scope) {
        return Ok(false);
    }
    if *place != Place::DIRECTORY {
        return Ok(true);
    }
    let Ok(other) = UserId::new(id) else { return Ok(false) };
    Ok(app.membership.is_member(conn, &other, scope).await?)
}

/// Whether it is neither the viewer's already nor closed to them.
async fn is_news<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    viewer: &Viewer,
    place: &Place,
    id: &str,
) -> Result<bool> {
    if *place == Place::GROUPS {
        let Some(group) = conn.group(id).await? else { return Ok(false) };
        let scope = group.scope()?;
        let own = app.membership.get(conn, &viewer.user, &scope).await?;
        return Ok(own.is_none_or(|own| !own.is_active() && own.state() != State::Banned));
    }
    if *place == Place::EVENTS {
        let Some(event) = conn.event(id).await? else { return Ok(false) };
        let has_answered = conn.rsvp(id, viewer.user.as_str()).await?.is_some();
        return Ok(!has_answered && !event.is_over() && event.cancelled_at.is_none());
    }
    if *place == Place::JOBS {
        return Ok(conn.opening(id).await?.is_none_or(|opening| opening.author_id != viewer.user.as_str()));
    }
    if *place == Place::MARKETPLACE {
        let Some(deal) = conn.deal(id).await? else { return Ok(false) };
        let is_taken = conn.redemption_of(viewer.user.as_str(), id).await?.is_some();
        return Ok(!is_taken && deal.is_open(Utc::now()));
    }
    if *place == Place::FEED {
        return Ok(conn.post(id).await?.is_none_or(|post| post.author_id != viewer.user.as_str()));
    }
    Ok(*place != Place::DIRECTORY || id != viewer.user.as_str())
}

async fn in_words<C: crate::sql::Sql>(
    conn: &mut C,
    place: &Place,
    why: &Why,
    names: &mut HashMap<Scope, String>,
) -> Result<String> {
    Ok(match why {
        Why::In(scope) => {
            if !names.contains_key(scope) {
                let name = match scope.kind() {
                    _ if GroupKind::of_scope(scope).is_some() => {
                        conn.group(scope.id().as_str()).await?.map(|group| group.name)
                    }
                    kind if kind == &BATCH => Some(format!("the class of {}", scope.id())),
                    _ => None,
                };
                names.insert(scope.clone(), name.unwrap_or_else(|| "the same group".into()));
            }
            let name = &names[scope];
            if *place == Place::DIRECTORY {
                format!("You are both in {name}")
            } else {
                format!("Because you are in {name}")
            }
        }
        Why::Class(1) => "Somebody of your class is in it".into(),
        Why::Class(people) => format!("{people} people of your class are in it"),
        Why::Together(1) => "Somebody who liked what you liked was here".into(),
        Why::Together(people) => format!("{people} people who liked what you liked were here"),
        Why::Like if *place == Place::DIRECTORY => "Has to do with what you read lately".into(),
        Why::Like => "Like what you read lately".into(),
        Why::Profile => "Fits your profile".into(),
    })
}
