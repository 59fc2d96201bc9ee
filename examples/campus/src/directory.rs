//! The people of the campus: who they are, and what of it each lets whom see.

pub mod profile;
pub mod sql;

pub(crate) mod api;
pub(crate) mod pages;

use sqlx::FromRow;
use stoa_audit::{Action, Entity, EntityId, EntityType};
use stoa_membership::UserId;

use crate::app::{App, Viewer};
use crate::backend::Backend;
use crate::caller::Caller;
use crate::directory::profile::{Field, Profile, Shown, Update, Visibility};
use crate::directory::sql::{DirectorySql, Listing};
use crate::error::{Error, Result};
use crate::surface::Surface;

/// What the directory brings.
pub const SURFACE: Surface = Surface {
    name: "directory",
    tables: &["campus_person"],
    scopes: &["batch"],
    documents: Some("directory"),
    actions: &[EDITED],
    jobs: &[],
    capabilities: &[],
    paths: &["/directory", "/me", "/api/v1/directory", "/api/v1/me"],
};

const EDITED: Action = Action::new("bits.directory.v1.ProfileService/UpdateProfile");

/// Somebody on campus.
#[derive(Clone, Debug, FromRow)]
pub struct Person {
    /// Also their user id in every crate.
    pub id: String,
    /// As they want to be called.
    pub name: String,
    /// What they do, in a few words.
    pub headline: String,
}

/// Makes somebody findable, inside the caller's transaction: by what everybody may see of them, and by nothing else.
///
/// # Errors
/// [`Error::NotFound`] if there is no such person; [`Error::Internal`].
pub async fn index<B: Backend>(app: &App<B>, tx: &mut B::Connection, id: &str) -> Result<()> {
    let profile = tx.profile(id).await?.ok_or(Error::NotFound)?;
    app.search.upsert(tx, &profile.document()?).await?;
    Ok(())
}

/// Changes the caller's own profile.
///
/// # Errors
/// [`Error::NotSignedIn`] if there is no such person; [`Error::Internal`].
pub async fn edit<B: Backend>(app: &App<B>, caller: &Caller, update: Update) -> Result<Profile> {
    let mut tx = app.begin().await?;
    let before = tx.lock_profile(caller.user.as_str()).await?.ok_or(Error::NotSignedIn)?;
    let after = update.applied_to(&before);
    if after == before {
        return Ok(before);
    }
    tx.update_profile(&after).await?;
    app.search.upsert(&mut tx, &after.document()?).await?;
    let entity = Entity::new(EntityType::from_static("person"), EntityId::new(&*after.id)?);
    let subject = stoa_audit::UserId::new(caller.user.as_str())?;
    let record = caller.record(EDITED, entity)?.diff(&before, &after)?.personal(subject, &after)?;
    app.audit.record(&mut tx, &record).await?;
    app.commit(tx).await?;
    Ok(after)
}

/// Reads what the viewer may see of somebody, in the viewer's own transaction.
///
/// # Errors
/// [`Error::NotFound`] if there is no such person; [`Error::Internal`].
pub async fn read<B: Backend>(app: &App<B>, conn: &mut B::Connection, viewer: &Viewer, id: &str) -> Result<Shown> {
    let user = UserId::new(id).map_err(|_| Error::NotFound)?;
    let profile = conn.profile(id).await?.ok_or(Error::NotFound)?;
    if viewer.user == user {
        return Ok(profile.shown(|_| true));
    }
    let is_in_batch = profile.is_batch_of(viewer)?;
    // Whoever shows nothing to connections need not be asked for them.
    let asks = Field::ALL.into_iter().any(|field| profile.visibility(field) == Visibility::Connections);
    let is_connected = asks && {
        let theirs = app.membership.of(conn, &user).await?;
        theirs.scopes().any(|scope| profile::connects(scope) && viewer.memberships.is_member(scope))
    };
    Ok(profile.shown(|visibility| match visibility {
        Visibility::Everyone => true,
        Visibility::Batch => is_in_batch,
        Visibility::Connections => is_connected,
        Visibility::Nobody => false,
    }))
}

/// Whom to list, as asked from outside.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Only those of this city, of whom the viewer may know it; empty: anywhere.
    pub city: String,
    /// Only those of this batch, of whom the viewer may know it.
    pub batch: Option<i64>,
    /// Those after this person.
    pub after: Option<String>,
}

/// Reads up to one more than `limit` people by name, and of each what everybody or the viewer's batch may see.
///
/// # Errors
/// [`Error::NotFound`] if there is no such person to go on from; [`Error::Invalid`] if the city is none; [`Error::Internal`].
pub async fn list<C: DirectorySql>(conn: &mut C, viewer: &Viewer, wanted: &Wanted, limit: u8) -> Result<Vec<Shown>> {
    let city = profile::city_key(&crate::text::line_if_any("the city", &wanted.city, 100)?);
    let (name, id) = match wanted.after.as_deref().filter(|after| !after.is_empty()) {
        Some(after) => {
            UserId::new(after).map_err(|_| Error::NotFound)?;
            let after = conn.person(after).await?.ok_or(Error::NotFound)?;
            (after.name, after.id)
        }
        None => (String::new(), String::new()),
    };
    let listing =
        Listing { name, id, city, batch: wanted.batch, batches: profile::batches(viewer), limit: i64::from(limit) + 1 };
    let found = match (listing.city.is_empty(), listing.batch) {
        (false, _) => conn.people_of_city(&listing).await?,
        (true, Some(_)) => conn.people_of_batch(&listing).await?,
        (true, None) => conn.profiles(&listing).await?,
    };
    let shown = found.into_iter().map(|profile| {
        let is_own = profile.id == viewer.person.id;
        let is_in_batch = profile.is_batch_of(viewer)?;
        Ok(profile.shown(|visibility| {
            is_own || visibility == Visibility::Everyone || (visibility == Visibility::Batch && is_in_batch)
        }))
    });
    shown.collect()
}
