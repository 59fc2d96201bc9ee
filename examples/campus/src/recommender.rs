//! What somebody may like: made in the background of what people do, and shown with the reason.
//!
//! Whoever does something leaves a [`signal`] in the same transaction. A batch ([`run`]) turns signals and changes of memberships into what
//! each person did lately, and makes new candidates for whoever is concerned. [`read`] shows of these what the viewer may
//! see *now*: a candidate is a hint, never a permission.

pub mod read;
pub mod run;
pub mod sql;

mod circle;
mod score;
mod why;

use chrono::{NaiveDate, Utc};
use stoa_membership::UserId;
use stoa_search::recommendation::{self as store, CandidateStore, Signal, SignalKey, SignalKind, SignalRecorder};
use stoa_search::{EntityId, Surface as Place};
use tokio::sync::Semaphore;

pub use self::read::{Recommended, read};
pub use self::run::{Progress, run};
use crate::app::App;
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::surface::Surface;

/// What the recommender brings. It has no pages of its own: home shows what it makes.
pub const SURFACE: Surface = Surface {
    name: "recommender",
    tables: &["campus_taste", "campus_recommend_due"],
    scopes: &[],
    documents: None,
    actions: &[],
    jobs: &[],
    capabilities: &[],
    paths: &[],
};

/// Where something is recommended.
pub(crate) const PLACES: [Place; 6] =
    [Place::GROUPS, Place::FEED, Place::EVENTS, Place::JOBS, Place::MARKETPLACE, Place::DIRECTORY];

/// What somebody does that says what they like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Looked at it; counted once a day.
    View,
    /// Liked it.
    Like,
    /// Joined it.
    Join,
    /// Will come to it.
    Rsvp,
    /// Took up what it offers.
    Redeem,
}

impl Act {
    fn name(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Like => "like",
            Self::Join => "join",
            Self::Rsvp => "rsvp",
            Self::Redeem => "redeem",
        }
    }

    fn weight(self) -> f32 {
        if self == Self::View { 1.0 } else { 3.0 }
    }
}

/// Records what somebody does, in the transaction in which they do it.
///
/// # Errors
/// [`Error::Internal`] if the database fails, or the id is none of a document.
pub async fn signal<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    user: &UserId,
    place: &Place,
    entity_id: &str,
    act: Act,
) -> Result<()> {
    if let Some(signal) = signal_of(user, place, entity_id, act, Utc::now().date_naive())? {
        recorder(app).record(conn, &signal).await?;
    }
    Ok(())
}

/// What [`signal`] records on that day.
pub(crate) fn signal_of(
    user: &UserId,
    place: &Place,
    entity_id: &str,
    act: Act,
    day: NaiveDate,
) -> Result<Option<Signal>> {
    let mut key = format!("{} {user} {place} {entity_id}", act.name());
    if act == Act::View {
        key = format!("{key} {day}");
    }
    // Names so long that they leave no room for a key are nobody's; one signal less does no harm.
    let Ok(key) = SignalKey::new(key) else { return Ok(None) };
    let (user, entity) = (store::UserId::new(user.as_str())?, EntityId::new(entity_id)?);
    let signal = Signal::new(key, user, place.clone(), entity, SignalKind::new(act.name())?).weight(act.weight());
    Ok(Some(signal))
}

/// Records many signals, of which those that are there already count once.
pub(crate) async fn record_many<B: Backend>(app: &App<B>, conn: &mut B::Connection, signals: &[Signal]) -> Result<()> {
    for some in signals.chunks(store::MAX_SIGNALS) {
        recorder(app).record_many(conn, some).await?;
    }
    Ok(())
}

/// Records that somebody looked at something, after the page was read and beside the answer: a page never waits for it, nor fails by it.
///
/// When more come at once than a few writers can take, some are not counted.
pub(crate) fn viewed<B: Backend>(app: &App<B>, user: &UserId, place: &Place, entity_id: &str) {
    static WRITERS: Semaphore = Semaphore::const_new(2);
    let Ok(writer) = WRITERS.try_acquire() else { return };
    let (app, user, place, entity_id) = (app.clone(), user.clone(), place.clone(), entity_id.to_owned());
    tokio::spawn(async move {
        let _writer = writer;
        let recorded = async {
            let mut tx = app.begin().await?;
            signal(&app, &mut tx, &user, &place, &entity_id, Act::View).await?;
            app.commit(tx).await
        };
        if let Err(error) = recorded.await {
            tracing::debug!(error = &error as &dyn std::error::Error, "a view was not counted");
        }
    });
}

fn recorder<B: Backend>(app: &App<B>) -> SignalRecorder<B::Search> {
    SignalRecorder::new(app.backend.stores().3)
}

fn candidates<B: Backend>(app: &App<B>) -> CandidateStore<B::Search> {
    CandidateStore::new(app.backend.stores().3)
}

/// As whom the candidates of a whole scope are kept, for its members who have none of their own. No person's id begins like this.
fn as_user(scope: &stoa_membership::Scope) -> Result<store::UserId> {
    store::UserId::new(format!("~{scope}")).map_err(Error::from)
}
