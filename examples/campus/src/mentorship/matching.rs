//! Matching runs: a job for each mentee finds the mentors who fit, and one that ends last assigns them.
//!
//! The database knows how far a run is, and not the queue: a mentee for whom nobody has scored is a row without choices, and a running
//! run is a row of which each programme has at most one. So a job may run any number of times, in any order, and start a run that died
//! again.

use std::collections::{BTreeMap, BTreeSet};

use chrono::Utc;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use stoa_audit::{Action, Actor, ActorName, Audited, Entity, EntityId, EntityType, Record};
use stoa_capabilities::scoped;
use stoa_jobs_runner::{Context, EnqueueOptions, Failure, Handler, Job};
use stoa_membership::{Filter, PageRequest, Role, Source as _};
use utoipa::ToSchema;
use uuid::Uuid;

use super::matches::{Match, PROPOSED};
use super::pairing::{self, Pair};
use super::sql::{MatchSql as _, MentorshipSql as _};
use super::{Profile, ProgrammeRole, programme_scope};
use crate::access::{self, ManageMentorship};
use crate::app::App;
use crate::backend::Backend;
use crate::caller::Caller;
use crate::error::{Error, Result};
use crate::notices;
use crate::retry::retried;

/// The queue of both kinds of jobs.
pub const QUEUE: &str = "mentorship_matching";

pub(crate) const STARTED: Action = Action::new("bits.mentorship.v1.MatchingService/StartRun");

/// No run has more jobs: of more mentees, each job scores for several.
const JOBS: usize = 10_000;
/// How many mentors a mentee is compared with, and how many of them are kept.
const COMPARED: i64 = 48;
const CHOICES: usize = 16;
/// How many rows are read at once.
const ROWS: u16 = 1_000;
/// How many matches are made in one transaction.
const BATCH: usize = 100;

/// Starts a matching run, or helps one along that is running: whoever has not been scored for gets a job, unless it waits already.
///
/// # Errors
/// [`Error::NotFound`] if the caller does not manage the mentorship, or there is no such programme; [`Error::Internal`].
pub async fn start<B: Backend>(app: &App<B>, caller: &Caller, programme_id: &str) -> Result<Run> {
    let run = retried(|| attempt_to_start(app, caller, programme_id)).await?;
    app.jobs.wake();
    Ok(run)
}

async fn attempt_to_start<B: Backend>(app: &App<B>, caller: &Caller, programme_id: &str) -> Result<Run> {
    scoped!(tx = app.begin().await?);
    drop(app.platform_capabilities.authorize(&mut tx, ManageMentorship, &caller.user, &access::platform()?).await?);
    let programme = tx.programme(programme_id).await?.ok_or(Error::NotFound)?;
    let id = Uuid::now_v7().to_string();
    let is_new = tx.insert_run(&id, programme_id, Utc::now().timestamp_micros()).await?;
    if is_new {
        tx.insert_preferences(&id, programme_id).await?;
    }
    let run = tx.newest_run(programme_id).await?.ok_or(Error::NotFound)?;
    if is_new {
        let record = caller.record(STARTED, run.entity()?)?.scope(programme.entity()?).after(&run)?;
        app.audit.record(&mut tx, &record).await?;
    }
    let undone = tx.undone(&run.id).await?;
    let jobs: Vec<_> = undone
        .chunks(undone.len().div_ceil(JOBS).max(1))
        .map(|mentees| {
            let options = EnqueueOptions::default().unique(format!("{} {}", run.id, mentees[0]));
            (ScoreMentees { run_id: run.id.clone(), mentees: mentees.to_vec() }, options)
        })
        .collect();
    if jobs.is_empty() && run.state == "running" {
        enqueue_assignment(app, &mut tx, &run.id).await?;
    } else {
        app.jobs.enqueue_many_with(&mut tx, &jobs).await?;
    }
    app.commit(tx.into_inner()).await?;
    Ok(run)
}

async fn enqueue_assignment<B: Backend>(app: &App<B>, conn: &mut B::Connection, run_id: &str) -> Result<()> {
    let job = AssignMatches { run_id: run_id.into() };
    app.jobs.enqueue_with(conn, &job, &EnqueueOptions::default().unique(run_id)).await?;
    Ok(())
}

/// Finds for some mentees the mentors who fit, and notes them as their choices.
#[derive(Debug, Serialize, Deserialize)]
pub struct ScoreMentees {
    /// The run.
    pub run_id: String,
    /// Whom to score for.
    pub mentees: Vec<String>,
}

impl Job for ScoreMentees {
    const KIND: &'static str = "mentorship.score";
    const QUEUE: &'static str = QUEUE;
}

impl<B: Backend> Handler<App<B>> for ScoreMentees {
    async fn run(self, context: &Context<App<B>>) -> Result<(), Failure> {
        Ok(score(context.state(), &self).await?)
    }
}

/// Each statement is atomic by itself, and writing the same choices again changes nothing: a transaction would only cost time.
async fn score<B: Backend>(app: &App<B>, job: &ScoreMentees) -> Result<()> {
    let mut conn = app.backend.pool().acquire().await?;
    let Some(run) = conn.run(&job.run_id).await?.filter(|run| run.state == "running") else { return Ok(()) };
    for mentee in &job.mentees {
        let choices = match conn.mentorship_profile(&run.programme_id, mentee).await? {
            Some(mentee) => choices(&mut *conn, &mentee).await?,
            // Whoever has withdrawn meanwhile wants nobody.
            None => Vec::new(),
        };
        conn.set_choices(&run.id, mentee, &serde_json::json!(choices).to_string()).await?;
    }
    // The choices above are committed. Of jobs that end together the last to look sees those of all; of several that see them, one
    // stores the job; and a job that dies here runs again.
    if conn.is_scored(&run.id).await? {
        enqueue_assignment(app, &mut conn, &run.id).await?;
        app.jobs.wake();
    }
    Ok(())
}

/// The mentors who fit a mentee best, with their scores.
async fn choices<C: super::sql::MentorshipSql>(conn: &mut C, mentee: &Profile) -> Result<Vec<(String, i64)>> {
    let mut interests = [""; 8];
    for (place, interest) in interests.iter_mut().zip(mentee.interests.lines()) {
        *place = interest;
    }
    let mentors = conn.candidates(mentee, &interests, COMPARED).await?;
    let mut choices: Vec<(String, i64)> = mentors
        .into_iter()
        .filter_map(|mentor| pairing::score(&mentor, mentee).map(|score| (mentor.user_id, score)))
        .collect();
    // The database offered them in an order of the mentee's own, which a stable sort keeps among equals.
    choices.sort_by_key(|(_, score)| -score);
    choices.truncate(CHOICES);
    Ok(choices)
}

/// Assigns mentees to mentors from the choices of a run, and ends it.
#[derive(Debug, Serialize, Deserialize)]
pub struct AssignMatches {
    /// The run.
    pub run_id: String,
}

impl Job for AssignMatches {
    const KIND: &'static str = "mentorship.assign";
    const QUEUE: &'static str = QUEUE;
}

impl<B: Backend> Handler<App<B>> for AssignMatches {
    async fn run(self, context: &Context<App<B>>) -> Result<(), Failure> {
        let app = context.state();
        let mut tx = app.read().await?;
        let Some(run) = tx.run(&self.run_id).await.map_err(Error::from)?.filter(|run| run.state == "running") else {
            return Ok(());
        };
        if !tx.is_scored(&run.id).await.map_err(Error::from)? {
            // Whoever scores last enqueues this again.
            return Ok(());
        }
        let facts = Facts::load(app, &mut tx, &run).await?;
        drop(tx);
        context.progress("assigning");
        let (facts, pairs) = tokio::task::spawn_blocking(move || {
            let pairs = pairing::assign(&facts.mentors, &facts.mentees, &facts.choices, &facts.past);
            (facts, pairs)
        })
        .await?;
        for (number, batch) in pairs.chunks(BATCH).enumerate() {
            if context.is_cancelled() {
                return Err(Failure::release());
            }
            retried(|| make_matches(app, &run, &facts, batch)).await?;
            context.progress(format!("{} of {} matches", (number * BATCH + batch.len()), pairs.len()));
        }
        let mut tx = app.begin().await?;
        tx.finish_run(&run.id, Utc::now().timestamp_micros()).await.map_err(Error::from)?;
        Ok(app.commit(tx).await?)
    }
}

/// What an assignment follows from.
struct Facts {
    mentors: BTreeMap<String, Profile>,
    mentees: BTreeMap<String, Profile>,
    choices: Vec<Pair>,
    past: BTreeSet<(String, String)>,
}

impl Facts {
    /// Reads them, as they are at one moment.
    async fn load<B: Backend>(app: &App<B>, tx: &mut B::Connection, run: &Run) -> Result<Self> {
        let mentors = free(app, tx, &run.programme_id, ProgrammeRole::Mentor).await?;
        let mentees = free(app, tx, &run.programme_id, ProgrammeRole::Mentee).await?;
        let mut choices = Vec::new();
        let mut after = String::new();
        loop {
            let page = tx.preferences(&run.id, &after, ROWS.into()).await?;
            let is_last = page.len() < usize::from(ROWS);
            for preference in page {
                let chosen: Vec<(String, i64)> =
                    serde_json::from_str(&preference.choices.unwrap_or_default()).unwrap_or_default();
                let pair = |(mentor, score)| Pair { mentor, mentee: preference.mentee_user_id.clone(), score };
                choices.extend(chosen.into_iter().map(pair));
                after.clone_from(&preference.mentee_user_id);
            }
            if is_last {
                break;
            }
        }
        let mut past = BTreeSet::new();
        for state in ["declined", "ended"] {
            let mut before: Option<String> = None;
            loop {
                let page = tx.matches_in(&run.programme_id, state, before.as_deref(), ROWS.into()).await?;
                before = page.last().filter(|_| page.len() == usize::from(ROWS)).map(|last| last.id.clone());
                past.extend(page.into_iter().map(|past| (past.mentor_user_id, past.mentee_user_id)));
                if before.is_none() {
                    break;
                }
            }
        }
        Ok(Self { mentors, mentees, choices, past })
    }
}

/// Those of a role who have room and are active members of the programme.
async fn free<B: Backend>(
    app: &App<B>,
    tx: &mut B::Connection,
    programme_id: &str,
    role: ProgrammeRole,
) -> Result<BTreeMap<String, Profile>> {
    let scope = programme_scope(programme_id)?;
    let filter = Filter::default().role(Role::new(role.as_str())?);
    let mut active = BTreeSet::new();
    let mut request = PageRequest::first(ROWS.into());
    loop {
        let page = app.membership.list_by_scope(tx, &scope, &filter, &request).await?;
        active.extend(page.items.iter().map(|member| member.user().to_string()));
        let Some(next) = page.next else { break };
        request = PageRequest::first(ROWS.into()).after(next);
    }
    let mut profiles = BTreeMap::new();
    let mut after = String::new();
    loop {
        let page = tx.free_profiles(programme_id, role.as_str(), &after, ROWS.into()).await?;
        let is_last = page.len() < usize::from(ROWS);
        for profile in page {
            after.clone_from(&profile.user_id);
            if active.contains(&profile.user_id) {
                profiles.insert(profile.user_id.clone(), profile);
            }
        }
        if is_last {
            return Ok(profiles);
        }
    }
}

/// Makes some matches in one transaction. Whoever has no place left by now, and whoever was matched by somebody else, is passed over.
async fn make_matches<B: Backend>(app: &App<B>, run: &Run, facts: &Facts, pairs: &[Pair]) -> Result<()> {
    let matching = Actor::System(ActorName::new("mentorship-matching")?);
    let mut tx = app.begin().await?;
    let mut records = Vec::new();
    for pair in pairs {
        let (Some(mentor), Some(mentee)) = (facts.mentors.get(&pair.mentor), facts.mentees.get(&pair.mentee)) else {
            continue;
        };
        if !tx.take_place(&run.programme_id, &pair.mentee, ProgrammeRole::Mentee.as_str()).await? {
            continue;
        }
        if !tx.take_place(&run.programme_id, &pair.mentor, ProgrammeRole::Mentor.as_str()).await? {
            tx.free_place(&run.programme_id, &pair.mentee).await?;
            continue;
        }
        let proposed = Match::new(mentor, mentee, "matching", pair.score, Some(&run.id));
        if tx.insert_match(&proposed).await? {
            let notice = proposed.notice("propose", "The matching has found somebody for you")?;
            notices::tell(app, &mut tx, &[&pair.mentor, &pair.mentee], &notice).await?;
            records.push(Record::new(PROPOSED, &matching, proposed.entity()?).scope(run.entity()?).after(&proposed)?);
        } else {
            tx.free_place(&run.programme_id, &pair.mentee).await?;
            tx.free_place(&run.programme_id, &pair.mentor).await?;
        }
    }
    app.audit.record_many(&mut tx, &records).await?;
    app.commit(tx).await
}

/// A matching run.
#[derive(Clone, Debug, FromRow, Serialize, ToSchema)]
pub struct Run {
    /// A UUID of version 7: ids grow with time.
    pub id: String,
    /// Where.
    pub programme_id: String,
    /// `running` or `done`.
    pub state: String,
    /// How many mentees had no match when it began.
    pub mentees: i64,
    /// How many matches it proposed, once it is done.
    pub matched: i64,
    /// When it began.
    #[serde(serialize_with = "crate::http::api::moment")]
    #[schema(value_type = String, format = DateTime)]
    pub started_at: i64,
    /// When it was done.
    #[serde(serialize_with = "crate::http::api::maybe_moment", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<i64>,
}

impl Run {
    fn entity(&self) -> Result<Entity> {
        Ok(Entity::new(EntityType::from_static("mentorship_run"), EntityId::new(&*self.id)?))
    }
}

/// What of a run an audit record may hold.
impl Audited for Run {
    const FIELDS: &'static [&'static str] = &["programme_id", "mentees"];
}

/// Whom a mentee would choose.
#[derive(Clone, Debug, FromRow)]
pub struct Preference {
    /// Who chooses.
    pub mentee_user_id: String,
    /// A JSON list of mentors and scores, the best first; none as long as nobody has scored.
    pub choices: Option<String>,
}
