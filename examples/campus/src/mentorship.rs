//! Mentorship: programmes, who takes part in them, and who is matched with whom.

pub mod matches;
pub mod matching;
pub mod pairing;
pub mod sql;

pub(crate) mod api;
pub(crate) mod pages;

use chrono::Utc;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use stoa_audit::{Action, Audited, Entity, EntityId, EntityType};
use stoa_capabilities::scoped;
use stoa_jobs_runner::Job as _;
use stoa_membership::{By, MENTORSHIP_PROGRAMME, Role, Scope, ScopeId, ScopeKind};
use stoa_search::{Document, Tag};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::access::{self, ManageMentorship, PlatformCapability};
use crate::app::{App, EVERYONE, Viewer};
use crate::backend::Backend;
use crate::caller::Caller;
use crate::directory::sql::DirectorySql as _;
use crate::error::{Error, Result};
use crate::mentorship::sql::MentorshipSql as _;
use crate::recommender::{self, Act};
use crate::retry::retried;
use crate::surface::Surface;
use crate::text::{line, text};

/// What the mentorship brings.
pub const SURFACE: Surface = Surface {
    name: "mentorship",
    tables: &[
        "campus_mentorship_programme",
        "campus_mentorship_profile",
        "campus_mentorship_term",
        "campus_mentorship_run",
        "campus_mentorship_preference",
        "campus_mentorship_match",
    ],
    scopes: &["mentorship_programme"],
    documents: Some(DOCUMENTS),
    actions: &[
        CREATED,
        STATE_SET,
        REGISTERED,
        PROFILE_UPDATED,
        WITHDRAWN,
        matching::STARTED,
        matches::PROPOSED,
        matches::ACCEPTED,
        matches::DECLINED,
        matches::APPROVED,
        matches::ENDED,
    ],
    jobs: &[matching::ScoreMentees::KIND, matching::AssignMatches::KIND],
    capabilities: &["platform.mentorship.manage"],
    paths: &["/mentorship", "/matches", "/api/v1/mentorship", "/api/v1/matches"],
};

/// Where programmes are found.
const DOCUMENTS: &str = "mentorship";

pub(crate) const CREATED: Action = Action::new("bits.mentorship.v1.ProgrammeService/CreateProgramme");
const STATE_SET: Action = Action::new("bits.mentorship.v1.ProgrammeService/SetState");
pub(crate) const REGISTERED: Action = Action::new("bits.mentorship.v1.ProfileService/Register");
const PROFILE_UPDATED: Action = Action::new("bits.mentorship.v1.ProfileService/UpdateProfile");
const WITHDRAWN: Action = Action::new("bits.mentorship.v1.ProfileService/Withdraw");

/// As the search and the recommender call the mentorship.
pub(crate) fn place() -> Result<stoa_search::Surface> {
    Ok(DOCUMENTS.try_into()?)
}

/// Ties are broken by numbers below this.
const SPREADS: u64 = 1_000_003;

/// What holds for the scopes of programmes: whoever joins is a mentee first.
pub(crate) fn programme_kind() -> Result<ScopeKind> {
    Ok(ScopeKind::new(MENTORSHIP_PROGRAMME, Role::new("mentee")?))
}

/// A programme to make, within its bounds.
#[derive(Clone, Debug)]
pub struct ProgrammeDraft {
    name: String,
    description: String,
    audience: Tag,
}

impl ProgrammeDraft {
    /// Parses a name of one line and 1 to 120 characters, a description of 1 to 4,000, and whom it is for: `campus:everyone` or a scope
    /// such as `batch:2018`.
    ///
    /// # Errors
    /// [`Error::Invalid`] says which is not what it has to be.
    pub fn new(name: &str, description: &str, audience: &str) -> Result<Self> {
        Ok(Self {
            name: line("the name", name, 120)?,
            description: text("the description", description, 4_000)?,
            audience: audience_tag(audience)?,
        })
    }
}

/// Everybody, or the members of a scope that is named in full.
pub(crate) fn audience_tag(audience: &str) -> Result<Tag> {
    let audience = audience.trim();
    let is_known = audience == EVERYONE || audience.parse::<Scope>().is_ok();
    let tag = Tag::try_from(audience).ok().filter(|_| is_known);
    tag.ok_or_else(|| Error::Invalid(format!("the audience must be {EVERYONE}, or a scope such as batch:2018")))
}

/// Makes a programme: open, found by its audience.
///
/// # Errors
/// [`Error::NotFound`] if the caller does not manage the mentorship; [`Error::Internal`].
pub async fn create<B: Backend>(app: &App<B>, caller: &Caller, draft: ProgrammeDraft) -> Result<Programme> {
    scoped!(tx = app.begin().await?);
    drop(app.platform_capabilities.authorize(&mut tx, ManageMentorship, &caller.user, &access::platform()?).await?);
    let programme = Programme {
        id: Uuid::now_v7().to_string(),
        name: draft.name,
        description: draft.description,
        audience: draft.audience.to_string(),
        state: "open".into(),
        created_by: caller.user.to_string(),
        created_at: Utc::now().timestamp_micros(),
    };
    tx.insert_programme(&programme).await?;
    app.search.upsert(&mut tx, &programme.document()?).await?;
    app.audit.record(&mut tx, &caller.record(CREATED, programme.entity()?)?.after(&programme)?).await?;
    app.commit(tx.into_inner()).await?;
    Ok(programme)
}

/// Opens a programme for registrations, or closes it.
///
/// # Errors
/// [`Error::NotFound`] if the caller does not manage the mentorship, or there is no such programme; [`Error::Internal`].
pub async fn set_state<B: Backend>(app: &App<B>, caller: &Caller, id: &str, state: ProgrammeState) -> Result<()> {
    scoped!(tx = app.begin().await?);
    drop(app.platform_capabilities.authorize(&mut tx, ManageMentorship, &caller.user, &access::platform()?).await?);
    let before = tx.programme(id).await?.ok_or(Error::NotFound)?;
    if tx.set_programme_state(id, state.as_str()).await? {
        let after = Programme { state: state.as_str().into(), ..before.clone() };
        app.audit.record(&mut tx, &caller.record(STATE_SET, after.entity()?)?.diff(&before, &after)?).await?;
    }
    app.commit(tx.into_inner()).await
}

/// Registers somebody as a mentor or a mentee, or replaces what their profile says.
///
/// # Errors
/// [`Error::NotSignedIn`] if there is no such person; [`Error::NotFound`] if there is no programme for them; [`Error::Conflict`] if it is
/// closed, they have the other role, or more matches than there would be room for; [`Error::Membership`] if they are banned from it.
pub async fn register<B: Backend>(app: &App<B>, caller: &Caller, id: &str, draft: &ProfileDraft) -> Result<()> {
    retried(|| attempt_to_register(app, caller, id, draft)).await
}

async fn attempt_to_register<B: Backend>(app: &App<B>, caller: &Caller, id: &str, draft: &ProfileDraft) -> Result<()> {
    let mut tx = app.begin().await?;
    tx.person(caller.user.as_str()).await?.ok_or(Error::NotSignedIn)?;
    let memberships = app.membership.of(&mut tx, &caller.user).await?;
    let programme = tx.programme(id).await?.ok_or(Error::NotFound)?;
    let scope = programme_scope(id)?;
    let is_for_them = programme.audience == EVERYONE || memberships.tags().any(|tag| tag == programme.audience);
    if !is_for_them && !memberships.is_member(&scope) {
        return Err(Error::NotFound);
    }
    let by = By::user(&caller.user);
    let after = draft.profile(&programme.id, caller.user.as_str());
    let record = match tx.mentorship_profile(id, caller.user.as_str()).await? {
        None if programme.state != ProgrammeState::Open.as_str() => {
            return Err(Error::Conflict("this programme takes nobody new at the moment".into()));
        }
        None => {
            app.membership.join(&mut tx, &caller.user, &scope, &by).await?;
            app.membership.set_role(&mut tx, &caller.user, &scope, &Role::new(draft.role.as_str())?, &by).await?;
            if !tx.insert_profile(&after).await? {
                return Err(Error::Conflict("you have just registered: nothing was done".into()));
            }
            caller.record(REGISTERED, after.entity()?)?.after(&after)?
        }
        Some(before) if before.role != after.role => {
            return Err(Error::Conflict(format!("you take part as a {}: withdraw first", before.role)));
        }
        Some(before) => {
            app.membership.join(&mut tx, &caller.user, &scope, &by).await?;
            if before.says_the_same_as(&after) {
                return Ok(());
            }
            if !tx.update_mentorship_profile(&after).await? {
                return Err(Error::Conflict("you have more matches than that: end one first".into()));
            }
            for term in before.terms() {
                tx.delete_term(id, &after.user_id, term).await?;
            }
            caller.record(PROFILE_UPDATED, after.entity()?)?.diff(&before, &after)?
        }
    };
    for term in after.terms() {
        tx.insert_term(id, &after.user_id, term).await?;
    }
    app.audit.record(&mut tx, &record.scope(programme.entity()?)).await?;
    recommender::signal(app, &mut tx, &caller.user, &place()?, id, Act::Join).await?;
    app.commit(tx).await
}

/// Takes somebody out of a programme by their own will.
///
/// # Errors
/// [`Error::NotFound`] if they do not take part; [`Error::Conflict`] if they still have a match.
pub async fn withdraw<B: Backend>(app: &App<B>, caller: &Caller, id: &str) -> Result<()> {
    let mut tx = app.begin().await?;
    let programme = tx.programme(id).await?.ok_or(Error::NotFound)?;
    let before = tx.mentorship_profile(id, caller.user.as_str()).await?.ok_or(Error::NotFound)?;
    if !tx.delete_profile(id, caller.user.as_str()).await? {
        return Err(Error::Conflict("you still have a match here: decline or end it first".into()));
    }
    for term in before.terms() {
        tx.delete_term(id, &before.user_id, term).await?;
    }
    match app.membership.leave(&mut tx, &caller.user, &programme_scope(id)?, &By::user(&caller.user)).await {
        // Whoever was removed meanwhile takes their profile along.
        Ok(_) | Err(stoa_membership::Error::NotMember) => {}
        Err(error) => return Err(error.into()),
    }
    let record = caller.record(WITHDRAWN, before.entity()?)?.scope(programme.entity()?).before(&before)?;
    app.audit.record(&mut tx, &record).await?;
    app.commit(tx).await
}

/// Reads a programme as the viewer may: those it is for, those who take part, and the staff; and says whether they are of the staff.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Internal`].
pub async fn read<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    viewer: &Viewer,
    id: &str,
) -> Result<(Programme, bool)> {
    let programme = conn.programme(&parsed_id(id)?).await?.ok_or(Error::NotFound)?;
    let manages = manages(app, conn, viewer).await?;
    let is_for_them = programme.audience == EVERYONE || viewer.memberships.tags().any(|tag| tag == programme.audience);
    if manages || is_for_them || viewer.memberships.is_member(&programme_scope(&programme.id)?) {
        Ok((programme, manages))
    } else {
        Err(Error::NotFound)
    }
}

/// Reads the newest programmes before `before` that the viewer may see.
///
/// # Errors
/// [`Error::Internal`].
pub async fn list<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    viewer: &Viewer,
    before: Option<&str>,
    limit: i64,
) -> Result<Vec<Programme>> {
    if manages(app, conn, viewer).await? {
        return Ok(conn.programmes(before, limit).await?);
    }
    let mut found = Vec::new();
    for tag in viewer.memberships.tags().chain([EVERYONE.to_owned()]) {
        found.extend(conn.programmes_for(&tag, before, limit).await?);
    }
    for scope in viewer.memberships.scopes().filter(|scope| scope.kind() == &MENTORSHIP_PROGRAMME) {
        let is_next = before.is_none_or(|before| scope.id().as_str() < before);
        if is_next && !found.iter().any(|programme| programme.id == scope.id().as_str()) {
            found.extend(conn.programme(scope.id().as_str()).await?);
        }
    }
    found.sort_by(|a, b| b.id.cmp(&a.id));
    found.truncate(usize::try_from(limit).unwrap_or_default());
    Ok(found)
}

/// Says whether the viewer manages the mentorship.
pub(crate) async fn manages<B: Backend>(app: &App<B>, conn: &mut B::Connection, viewer: &Viewer) -> Result<bool> {
    let platform = access::platform()?;
    Ok(app.platform_capabilities.check(conn, PlatformCapability::ManageMentorship, &viewer.user, &platform).await?)
}

/// The scope of a programme; what is no id names none.
pub(crate) fn programme_scope(id: &str) -> Result<Scope> {
    Ok(Scope::new(MENTORSHIP_PROGRAMME, ScopeId::new(id).map_err(|_| Error::NotFound)?))
}

/// An id from outside; what is none names nothing.
pub(crate) fn parsed_id(id: &str) -> Result<String> {
    Ok(Uuid::parse_str(id).map_err(|_| Error::NotFound)?.to_string())
}

/// Whether a programme takes registrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProgrammeState {
    /// It does.
    Open,
    /// It does not.
    Closed,
}

impl ProgrammeState {
    /// Returns the stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// What one is in a programme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProgrammeRole {
    /// Gives time.
    Mentor,
    /// Asks for it.
    Mentee,
}

impl ProgrammeRole {
    /// Returns the stored name, which is also that of the role in the scope.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mentor => "mentor",
            Self::Mentee => "mentee",
        }
    }
}

/// A programme.
#[derive(Clone, Debug, FromRow, Serialize, ToSchema)]
pub struct Programme {
    /// A UUID of version 7: ids grow with time.
    pub id: String,
    /// As it is called.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// The audience tag of whoever may take part.
    pub audience: String,
    /// `open` or `closed`.
    pub state: String,
    /// Who made it.
    pub created_by: String,
    /// When.
    #[serde(serialize_with = "crate::http::api::moment")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: i64,
}

impl Programme {
    /// The programme as it is found.
    ///
    /// # Errors
    /// [`Error::Internal`] if an id is out of bounds; those of stored programmes are not.
    pub fn document(&self) -> Result<Document> {
        let tags = [self.audience.clone(), programme_scope(&self.id)?.to_string(), access::platform()?.to_string()];
        Ok(Document::new(place()?, self.id.as_str().try_into()?)
            .title(&self.name)
            .body(&self.description)
            .url(format!("/mentorship/{}", self.id))
            .audience(tags.into_iter().map(Tag::try_from).collect::<Result<Vec<_>, _>>()?))
    }

    pub(crate) fn entity(&self) -> Result<Entity> {
        Ok(Entity::new(EntityType::from_static("mentorship_programme"), EntityId::new(&*self.id)?))
    }
}

/// What of a programme an audit record may hold.
impl Audited for Programme {
    const FIELDS: &'static [&'static str] = &["name", "audience", "state"];
}

/// What somebody says of themselves, within its bounds.
#[derive(Clone, Debug)]
pub struct ProfileDraft {
    role: ProgrammeRole,
    skills: String,
    interests: String,
    languages: String,
    batch_year: i64,
    goals: String,
    capacity: i64,
}

impl ProfileDraft {
    /// Parses lists of up to 8 terms between commas, of 1 to 40 characters each; a year from 1900 to 2100; goals of up to 2,000
    /// characters; and for how many a mentor has time, 1 to 20. A mentee names an interest, a mentor a skill, both a language.
    ///
    /// # Errors
    /// [`Error::Invalid`] says which is not what it has to be.
    pub fn new(role: ProgrammeRole, profile: &ProfileInput) -> Result<Self> {
        let (skills, interests) = (terms("skills", &profile.skills)?, terms("interests", &profile.interests)?);
        let languages = terms("languages", &profile.languages)?;
        let needed = match role {
            ProgrammeRole::Mentor => &skills,
            ProgrammeRole::Mentee => &interests,
        };
        if needed.is_empty() || languages.is_empty() {
            return Err(Error::Invalid(
                "a mentor names a skill, a mentee an interest, and both a language that they speak".into(),
            ));
        }
        if !(1900..=2100).contains(&profile.batch_year) {
            return Err(Error::Invalid("the year must be 1900 to 2100".into()));
        }
        let capacity = match role {
            ProgrammeRole::Mentor => profile.capacity,
            ProgrammeRole::Mentee => 1,
        };
        if !(1..=20).contains(&capacity) {
            return Err(Error::Invalid("a mentor has time for 1 to 20".into()));
        }
        let goals =
            if profile.goals.trim().is_empty() { String::new() } else { text("the goals", &profile.goals, 2_000)? };
        Ok(Self { role, skills, interests, languages, batch_year: profile.batch_year, goals, capacity })
    }

    pub(crate) fn profile(&self, programme_id: &str, user_id: &str) -> Profile {
        Profile {
            programme_id: programme_id.into(),
            user_id: user_id.into(),
            role: self.role.as_str().into(),
            skills: self.skills.clone(),
            interests: self.interests.clone(),
            languages: self.languages.clone(),
            batch_year: self.batch_year,
            goals: self.goals.clone(),
            capacity: self.capacity,
            taken: 0,
            spread: spread(user_id),
        }
    }
}

/// A profile as it comes from outside.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
pub struct ProfileInput {
    /// What they know, between commas.
    #[serde(default)]
    #[schema(max_length = 400)]
    pub skills: String,
    /// What they want to learn or talk about, between commas.
    #[serde(default)]
    #[schema(max_length = 400)]
    pub interests: String,
    /// What they speak, between commas.
    #[schema(max_length = 400)]
    pub languages: String,
    /// The year of their class.
    #[schema(minimum = 1900, maximum = 2100)]
    pub batch_year: i64,
    /// What they hope for.
    #[serde(default)]
    #[schema(max_length = 2000)]
    pub goals: String,
    /// For how many a mentor has time.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 20)]
    pub capacity: i64,
}

const fn one() -> i64 {
    1
}

/// Terms between commas: in lower case, each once, sorted, one a line.
fn terms(what: &str, input: &str) -> Result<String> {
    let mut terms = Vec::new();
    for term in input.split(',').map(str::trim).filter(|term| !term.is_empty()) {
        let term = line(&format!("each of the {what}"), &term.to_lowercase(), 40)?;
        terms.push(term.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    terms.sort_unstable();
    terms.dedup();
    if terms.len() > 8 {
        return Err(Error::Invalid(format!("there must be no more than 8 {what}")));
    }
    Ok(terms.join("\n"))
}

/// A number of somebody's own, the same on every machine: FNV-1a.
fn spread(user_id: &str) -> i64 {
    let hash = user_id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    i64::try_from(hash % SPREADS).unwrap_or_default()
}

/// What somebody who takes part says of themselves.
#[derive(Clone, Debug, FromRow, Serialize)]
pub struct Profile {
    /// Where.
    pub programme_id: String,
    /// Who.
    pub user_id: String,
    /// `mentor` or `mentee`.
    pub role: String,
    /// What they know: terms, one a line, sorted.
    pub skills: String,
    /// What they want to learn or talk about, likewise.
    pub interests: String,
    /// What they speak, likewise.
    pub languages: String,
    /// The year of their class.
    pub batch_year: i64,
    /// What they hope for.
    pub goals: String,
    /// How many matches they may have at once.
    pub capacity: i64,
    /// How many they have.
    pub taken: i64,
    /// A number of their own that breaks ties.
    pub spread: i64,
}

impl Profile {
    pub(crate) fn entity(&self) -> Result<Entity> {
        Ok(Entity::new(EntityType::from_static("mentorship_profile"), EntityId::new(&*self.user_id)?))
    }

    /// What others can find them by: the skills of a mentor.
    pub(crate) fn terms(&self) -> impl Iterator<Item = &str> {
        self.skills.lines().filter(|_| self.role == ProgrammeRole::Mentor.as_str())
    }

    fn says_the_same_as(&self, other: &Self) -> bool {
        let said = |profile: &Self| {
            let Self { skills, interests, languages, batch_year, goals, capacity, .. } = profile.clone();
            (skills, interests, languages, batch_year, goals, capacity)
        };
        said(self) == said(other)
    }
}

/// What of a profile an audit record may hold: what people say of themselves stays theirs.
impl Audited for Profile {
    const FIELDS: &'static [&'static str] = &["role", "capacity"];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_sorted_and_each_there_once() {
        assert_eq!(terms("skills", " Rust,  public   Speaking,rust ,").unwrap(), "public speaking\nrust");
        assert_eq!(terms("skills", "").unwrap(), "");
        for bad in ["a\0b".to_owned(), "x".repeat(41), "a,b,c,d,e,f,g,h,i".to_owned()] {
            assert!(matches!(terms("skills", &bad), Err(Error::Invalid(_))), "{bad:?}");
        }
    }

    #[test]
    fn whom_a_programme_is_for_has_a_name() {
        for good in [EVERYONE, "batch:2018", " group:chess "] {
            assert!(audience_tag(good).is_ok(), "{good}");
        }
        for bad in ["", "everyone", "batch:", "Batch 2018", "batch:\0"] {
            assert!(matches!(audience_tag(bad), Err(Error::Invalid(_))), "{bad:?}");
        }
    }
}
