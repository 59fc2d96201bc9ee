//! Matches: proposed, accepted, approved, and over at some time.

use chrono::Utc;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use stoa_audit::{Action, Audited, Entity, EntityId, EntityType};
use stoa_capabilities::scoped;
use stoa_membership::UserId;
use utoipa::ToSchema;
use uuid::Uuid;

use super::sql::{MatchSql as _, MentorshipSql as _};
use super::{Profile, ProgrammeRole, pairing, parsed_id, programme_scope};
use crate::access::{self, ManageMentorship};
use crate::app::{App, Viewer};
use crate::backend::Backend;
use crate::caller::Caller;
use crate::error::{Error, Result};
use crate::notices::{self, Notice};
use crate::retry::retried;

pub(crate) const PROPOSED: Action = Action::new("bits.mentorship.v1.MatchService/Propose");
pub(crate) const ACCEPTED: Action = Action::new("bits.mentorship.v1.MatchService/Accept");
pub(crate) const DECLINED: Action = Action::new("bits.mentorship.v1.MatchService/Decline");
pub(crate) const APPROVED: Action = Action::new("bits.mentorship.v1.MatchService/Approve");
pub(crate) const ENDED: Action = Action::new("bits.mentorship.v1.MatchService/End");

/// Proposes to somebody of the other role in a programme that both take part in. It takes a place with both of them at once: whoever
/// has none left cannot be asked.
///
/// # Errors
/// [`Error::NotFound`] if either does not take part, or they have the same role; [`Error::Conflict`] if one of them has no place left, or
/// the two were matched before.
pub async fn propose<B: Backend>(app: &App<B>, caller: &Caller, programme_id: &str, other: &UserId) -> Result<Match> {
    retried(|| attempt_to_propose(app, caller, programme_id, other)).await
}

async fn attempt_to_propose<B: Backend>(
    app: &App<B>,
    caller: &Caller,
    programme_id: &str,
    other: &UserId,
) -> Result<Match> {
    let mut tx = app.begin().await?;
    let own = participant(app, &mut tx, programme_id, &caller.user).await?;
    let theirs = participant(app, &mut tx, programme_id, other).await?;
    if own.role == theirs.role {
        return Err(Error::NotFound);
    }
    let is_mentor = own.role == ProgrammeRole::Mentor.as_str();
    let (mentor, mentee) = if is_mentor { (&own, &theirs) } else { (&theirs, &own) };
    let proposed = Match::new(mentor, mentee, &own.role, pairing::score(mentor, mentee).unwrap_or_default(), None);
    // Everybody takes places in this order, so that two who ask for the same do not wait for each other.
    for (profile, role) in [(mentee, ProgrammeRole::Mentee), (mentor, ProgrammeRole::Mentor)] {
        if !tx.take_place(programme_id, &profile.user_id, role.as_str()).await? {
            let whose = if profile.user_id == own.user_id { "you have" } else { "they have" };
            return Err(Error::Conflict(format!("{whose} no place left for another match")));
        }
    }
    if !tx.insert_match(&proposed).await? {
        return Err(Error::Conflict("you two have been matched here before".into()));
    }
    app.audit.record(&mut tx, &caller.record(PROPOSED, proposed.entity()?)?.after(&proposed)?).await?;
    let notice = proposed.notice("propose", "Somebody proposes a mentorship to you")?;
    notices::tell(app, &mut tx, &[other.as_str()], &notice).await?;
    app.commit(tx).await?;
    app.jobs.wake();
    Ok(proposed)
}

/// Somebody's profile in a programme that they are an active member of.
async fn participant<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    programme_id: &str,
    user: &UserId,
) -> Result<Profile> {
    let profile = conn.mentorship_profile(programme_id, user.as_str()).await?.ok_or(Error::NotFound)?;
    let role = app.membership.role(conn, user, &programme_scope(programme_id)?).await?;
    role.filter(|role| role.as_str() == profile.role).map(|_| profile).ok_or(Error::NotFound)
}

/// Carries out a decision about a match.
///
/// # Errors
/// [`Error::NotFound`] if the caller is neither of the two nor of the staff, or there is no such match; [`Error::Forbidden`] if it is not
/// theirs to decide; [`Error::Conflict`] if the match is not in a state for it.
pub async fn decide<B: Backend>(app: &App<B>, caller: &Caller, id: &str, decision: Decision) -> Result<Match> {
    retried(|| attempt_to_decide(app, caller, id, decision)).await
}

async fn attempt_to_decide<B: Backend>(app: &App<B>, caller: &Caller, id: &str, decision: Decision) -> Result<Match> {
    scoped!(tx = app.begin().await?);
    let before = tx.mentorship_match(&parsed_id(id)?).await?.ok_or(Error::NotFound)?;
    let platform = access::platform()?;
    let may = app.platform_capabilities.authorize(&mut tx, ManageMentorship, &caller.user, &platform).await;
    let is_staff = match may {
        Ok(_) => true,
        Err(stoa_capabilities::Error::Denied) => false,
        Err(error) => return Err(error.into()),
    };
    let side = before.side(caller.user.as_str());
    if side.is_none() && !is_staff {
        return Err(Error::NotFound);
    }
    let state = before.after_decision(decision, side, is_staff)?;
    let after = Match { state: state.into(), changed_at: Utc::now().timestamp_micros(), ..before.clone() };
    if !tx.move_match(&before.id, &before.state, &after.state, after.changed_at).await? {
        return Err(Error::Conflict("somebody else changed this in the meantime: nothing was done".into()));
    }
    if matches!(decision, Decision::Decline | Decision::End) {
        tx.free_place(&after.programme_id, &after.mentee_user_id).await?;
        tx.free_place(&after.programme_id, &after.mentor_user_id).await?;
    }
    let record = caller.record(decision.action(), after.entity()?)?.diff(&before, &after)?;
    app.audit.record(&mut tx, &record).await?;
    let notice = after.notice(decision.as_str(), &format!("A mentorship of yours is {}", after.state))?;
    let both = [&*after.mentor_user_id, &*after.mentee_user_id];
    let others: Vec<&str> = both.into_iter().filter(|person| *person != caller.user.as_str()).collect();
    notices::tell(app, &mut tx, &others, &notice).await?;
    app.commit(tx.into_inner()).await?;
    app.jobs.wake();
    Ok(after)
}

/// Reads a match as the viewer may: the two it is about, and the staff; and says whether they are of the staff.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Internal`].
pub async fn read<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    viewer: &Viewer,
    id: &str,
) -> Result<(Match, bool)> {
    let found = conn.mentorship_match(&parsed_id(id)?).await?.ok_or(Error::NotFound)?;
    let manages = super::manages(app, conn, viewer).await?;
    if manages || found.side(viewer.user.as_str()).is_some() { Ok((found, manages)) } else { Err(Error::NotFound) }
}

/// What can be decided about a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Whoever was asked says yes; to a proposal of the matching, the mentor.
    Accept,
    /// Either of the two says no, as long as nothing is approved.
    Decline,
    /// The staff lets an accepted match begin.
    Approve,
    /// Either of the two, or the staff, lets it be over.
    End,
}

impl Decision {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Accept, Self::Decline, Self::Approve, Self::End];

    /// Returns its name, as forms and JSON have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Decline => "decline",
            Self::Approve => "approve",
            Self::End => "end",
        }
    }

    const fn action(self) -> Action {
        match self {
            Self::Accept => ACCEPTED,
            Self::Decline => DECLINED,
            Self::Approve => APPROVED,
            Self::End => ENDED,
        }
    }
}

/// A mentor and a mentee.
#[derive(Clone, Debug, FromRow, Serialize, ToSchema)]
pub struct Match {
    /// A UUID of version 7: ids grow with time.
    pub id: String,
    /// Where.
    pub programme_id: String,
    /// Who gives time.
    pub mentor_user_id: String,
    /// Who asks for it.
    pub mentee_user_id: String,
    /// `proposed`, `accepted`, `approved`, `declined` or `ended`.
    pub state: String,
    /// `mentor`, `mentee` or `matching`.
    pub proposed_by: String,
    /// How well they fit: the more the better.
    pub score: i64,
    /// The run that proposed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// When it was proposed.
    #[serde(serialize_with = "crate::http::api::moment")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: i64,
    /// When its state last changed.
    #[serde(serialize_with = "crate::http::api::moment")]
    #[schema(value_type = String, format = DateTime)]
    pub changed_at: i64,
}

impl Match {
    pub(super) fn new(mentor: &Profile, mentee: &Profile, proposed_by: &str, score: i64, run: Option<&str>) -> Self {
        let now = Utc::now().timestamp_micros();
        Self {
            id: Uuid::now_v7().to_string(),
            programme_id: mentor.programme_id.clone(),
            mentor_user_id: mentor.user_id.clone(),
            mentee_user_id: mentee.user_id.clone(),
            state: "proposed".into(),
            proposed_by: proposed_by.into(),
            score,
            run_id: run.map(Into::into),
            created_at: now,
            changed_at: now,
        }
    }

    /// What somebody is in it.
    pub fn side(&self, user_id: &str) -> Option<ProgrammeRole> {
        if self.mentor_user_id == user_id {
            Some(ProgrammeRole::Mentor)
        } else {
            (self.mentee_user_id == user_id).then_some(ProgrammeRole::Mentee)
        }
    }

    /// The state that a decision leads to: the whole state machine.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if it is not theirs to decide; [`Error::Conflict`] if the state does not allow it.
    pub fn after_decision(
        &self,
        decision: Decision,
        side: Option<ProgrammeRole>,
        is_staff: bool,
    ) -> Result<&'static str> {
        let asked = if self.proposed_by == "mentor" { ProgrammeRole::Mentee } else { ProgrammeRole::Mentor };
        let may = match decision {
            Decision::Accept => side == Some(asked),
            Decision::Decline => side.is_some(),
            Decision::Approve => is_staff,
            Decision::End => side.is_some() || is_staff,
        };
        if !may {
            return Err(Error::Forbidden);
        }
        match (&*self.state, decision) {
            ("proposed", Decision::Accept) => Ok("accepted"),
            ("proposed" | "accepted", Decision::Decline) => Ok("declined"),
            ("accepted", Decision::Approve) => Ok("approved"),
            ("approved", Decision::End) => Ok("ended"),
            (state, decision) => {
                Err(Error::Conflict(format!("the match is {state}: there is nothing to {}", decision.as_str())))
            }
        }
    }

    /// What one of the two is told of it, as long as they take part.
    pub(super) fn notice(&self, what: &str, title: &str) -> Result<Notice> {
        Ok(Notice {
            kind: format!("mentorship.{what}"),
            entity: self.id.clone(),
            title: title.into(),
            url: format!("/matches/{}", self.id),
            scope: programme_scope(&self.programme_id)?.to_string(),
        })
    }

    pub(crate) fn entity(&self) -> Result<Entity> {
        Ok(Entity::new(EntityType::from_static("mentorship_match"), EntityId::new(&*self.id)?))
    }
}

/// What of a match an audit record may hold.
impl Audited for Match {
    const FIELDS: &'static [&'static str] =
        &["programme_id", "mentor_user_id", "mentee_user_id", "state", "proposed_by"];
}
