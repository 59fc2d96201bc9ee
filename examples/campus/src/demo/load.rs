//! Loading a generated campus, in as many transactions as it takes.
//!
//! Everything is made of a seed and a number, and after every transaction the database says how far it has come: a load that was
//! interrupted goes on where it stopped, and makes what it would have made.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use chrono::{NaiveTime, Utc};
use serde::{Deserialize, Serialize};
use stoa_audit::Record;
use stoa_membership::{By, Grant, Import, ImportRow, Role, Scope, UserId};

use super::cast::{Cast, Standing, standing};
use super::groups::Groups;
use super::people::{Somebody, somebody};
use super::rng::Rng;
use super::signals::Stage;
use super::topics::BY_HAND;
use super::{board, events, market, mentoring, news, signals, words};
use crate::app::App;
use crate::backend::Backend;
use crate::bulk::{Bulk, BulkSql as _};
use crate::caller::Caller;
use crate::directory::profile::Profile;
use crate::error::{Error, Result};
use crate::groups::posts::{self, Post, PostRow};
use crate::recommender;
use crate::sql::MetaSql as _;

/// The fact about a database that says how far its demo has come.
const STATE: &str = "demo_state";

/// What it says when nothing is left to do.
const READY: &str = "ready";

/// The audit log takes so many records in one statement.
const RECORDS: usize = 1_000;

/// How large a campus to generate beside the one that is written by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// As it is called.
    pub size: Size,
    /// People in all.
    pub people: u64,
    /// Groups in all.
    pub groups: u64,
    /// Posts that are generated.
    pub posts: u64,
    /// Over so many days they were written.
    pub days: u32,
    /// So many people or posts are committed at a time.
    pub chunk: u64,
    /// Another seed, another campus.
    pub seed: u64,
    /// Nothing is younger: microseconds since 1970 in UTC.
    pub until: i64,
}

/// A size of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    /// Nothing at all.
    None,
    /// A few hundred people: ready in seconds.
    Small,
    /// 180,000 people, and 200,000 documents beside their profiles: ready in minutes.
    Ga,
}

impl Plan {
    /// The campus of that size as of today; none for [`Size::None`].
    #[must_use]
    pub fn of(size: Size) -> Option<Self> {
        let today = Utc::now().date_naive().and_time(NaiveTime::MIN).and_utc().timestamp_micros();
        let plan = Self { size, people: 300, groups: 20, posts: 600, days: 365, chunk: 5_000, seed: 7, until: today };
        match size {
            Size::None => None,
            Size::Small => Some(plan),
            Size::Ga => {
                let plan = Self { people: 180_000, groups: 400, posts: 0, days: 3 * 365, ..plan };
                // Whatever is no post is made of the numbers of people and groups.
                Some(Self { posts: 200_000 - plan.documents(), ..plan })
            }
        }
    }

    /// How many documents of all surfaces there are in the end, beside the profile of everybody.
    #[must_use]
    pub fn documents(&self) -> u64 {
        super::DOCUMENTS
            + self.groups().len() as u64
            + self.posts
            + events::count(self)
            + news::count(self)
            + board::count(self)
            + market::count_published(self)
            + mentoring::COUNT
    }

    pub(super) fn generated(&self) -> u64 {
        self.people.saturating_sub(super::PEOPLE as u64)
    }

    pub(super) fn groups(&self) -> Groups {
        Groups::new(self.groups)
    }

    pub(super) fn somebody(&self, number: u64) -> Somebody {
        somebody(self.seed, number, self.groups().chapters)
    }
}

/// What is loaded, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The groups.
    Groups,
    /// The people and what they are members of.
    People,
    /// What they wrote.
    Posts,
    /// What is planned, and who comes.
    Events,
    /// What is announced.
    News,
    /// The jobs board.
    Board,
    /// Partners, and what they offer.
    Market,
    /// Programmes, who takes part, and the first matches.
    Mentorship,
    /// What people have looked at, liked, joined and answered to.
    Signals,
    /// Parts of the search index become one.
    Index,
    /// What the people whom a visitor can be may like.
    Recommendations,
}

impl Phase {
    /// All of them, in their order.
    pub const ALL: [Self; 11] = [
        Self::Groups,
        Self::People,
        Self::Posts,
        Self::Events,
        Self::News,
        Self::Board,
        Self::Market,
        Self::Mentorship,
        Self::Signals,
        Self::Index,
        Self::Recommendations,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Groups => "groups",
            Self::People => "people",
            Self::Posts => "posts",
            Self::Events => "events",
            Self::News => "announcements",
            Self::Board => "openings",
            Self::Market => "partners",
            Self::Mentorship => "mentorship",
            Self::Signals => "signals",
            Self::Index => "index",
            Self::Recommendations => "recommendations",
        }
    }

    fn next(self) -> Option<Self> {
        let mut phases = Self::ALL.into_iter().skip_while(|phase| *phase != self);
        phases.nth(1)
    }

    /// How many things it makes.
    fn total(self, plan: &Plan) -> u64 {
        match self {
            Self::Groups => plan.groups().len() as u64,
            Self::People => plan.generated(),
            Self::Posts => plan.posts,
            Self::Events => events::count(plan),
            Self::News => news::count(plan),
            Self::Board => board::count(plan),
            Self::Market => market::count(plan),
            Self::Mentorship => mentoring::count(plan),
            Self::Signals => signals::count(plan),
            Self::Index | Self::Recommendations => 1,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// How far a load has come, as the database says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    plan: Plan,
    phase: Phase,
    done: u64,
}

/// How far a load has come, for a progress bar.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What is being loaded.
    pub phase: Phase,
    /// How much of it is done.
    pub done: u64,
    /// How much of it there is.
    pub total: u64,
}

/// Makes the demo: the campus that is written by hand, and a generated one around it. A database that holds anything else is left
/// alone, and a load that was interrupted goes on.
///
/// Returns whether there was anything to do.
///
/// # Errors
/// [`Error::Invalid`] if the demo of this database is of another size and not ready, or another process makes it;
/// [`Error::Internal`], and then the next call goes on where this one stopped.
pub async fn load<B: Backend>(app: &App<B>, plan: &Plan, mut progress: impl FnMut(Progress) + Send) -> Result<bool> {
    let state = match unfinished(app).await? {
        Some(state) if state.plan.size != plan.size => {
            return Err(Error::Invalid(format!(
                "the demo of size {} was interrupted in this database: ask for that size to finish it, or take another database",
                name(state.plan.size),
            )));
        }
        Some(state) => state,
        None => {
            let state = State { plan: *plan, phase: Phase::ALL[0], done: 0 };
            if !super::make_with(app, Some((STATE, &written(&state)?))).await? {
                return Ok(false);
            }
            state
        }
    };
    let (committed, cast) = (written(&state)?, Cast::of(&state.plan));
    let mut loading = Loading { app, state, committed, cast, stage: None, progress: &mut progress };
    loading.run().await?;
    Ok(true)
}

/// Says which size of demo was begun in this database and is not ready.
///
/// # Errors
/// [`Error::Invalid`] if a release that is no longer known began it; [`Error::Internal`].
pub async fn interrupted<B: Backend>(app: &App<B>) -> Result<Option<Plan>> {
    Ok(unfinished(app).await?.map(|state| state.plan))
}

async fn unfinished<B: Backend>(app: &App<B>) -> Result<Option<State>> {
    let state = app.read().await?.meta(STATE).await?;
    let Some(state) = state.filter(|state| state != READY) else { return Ok(None) };
    let unknown = |_| Error::Invalid("the demo of this database was begun by another release: take another".into());
    serde_json::from_str(&state).map(Some).map_err(unknown)
}

fn written(state: &State) -> Result<String> {
    serde_json::to_string(state).map_err(|error| Error::Internal(error.into()))
}

fn name(size: Size) -> &'static str {
    match size {
        Size::None => "none",
        Size::Small => "small",
        Size::Ga => "ga",
    }
}

struct Loading<'a, B: Backend> {
    app: &'a App<B>,
    state: State,
    /// What the database says.
    committed: String,
    cast: Cast,
    /// What signals are of; found when they come.
    stage: Option<Stage>,
    progress: &'a mut (dyn FnMut(Progress) + Send),
}

impl<B: Backend> Loading<'_, B> {
    async fn run(&mut self) -> Result<()> {
        loop {
            let State { plan, phase, done } = self.state;
            let total = phase.total(&plan);
            (self.progress)(Progress { phase, done, total });
            if done >= total {
                let Some(next) = phase.next() else { return Ok(()) };
                self.state = State { phase: next, done: 0, ..self.state };
                continue;
            }
            let range = done..total.min(done + plan.chunk.max(1));
            match phase {
                Phase::Signals if self.stage.is_none() => self.stage = Some(Stage::of(&plan, &self.cast)?),
                Phase::Index => {
                    self.app.search.compact(self.app.backend.pool(), Duration::from_hours(1)).await?;
                }
                Phase::Recommendations => {
                    let known: Vec<String> = super::people().into_iter().map(|person| person.id).collect();
                    recommender::run::prepare(self.app, &known).await?;
                }
                _ => {}
            }
            self.step(range).await?;
        }
    }

    /// Makes some things of the present phase, and says so, in one transaction.
    async fn step(&mut self, range: Range<u64>) -> Result<()> {
        let mut tx = self.app.begin().await?;
        let next = State { done: range.end, ..self.state };
        let is_over = next.phase.next().is_none() && next.done == next.phase.total(&next.plan);
        let value = if is_over { READY.to_owned() } else { written(&next)? };
        // First, so that of two processes the second waits here, and finds that it was not the first.
        if !tx.replace_meta(STATE, &self.committed, &value).await? {
            return Err(Error::Invalid("another process is making the demo of this database".into()));
        }
        let (plan, cast) = (&self.state.plan, &self.cast);
        match self.state.phase {
            Phase::Groups => self.groups(&mut tx, range).await?,
            Phase::People => self.people(&mut tx, range).await?,
            Phase::Posts => self.posts(&mut tx, range).await?,
            Phase::Events => events::write(self.app, &mut tx, plan, cast, range).await?,
            Phase::News => news::write(self.app, &mut tx, plan, range).await?,
            Phase::Board => board::write(self.app, &mut tx, plan, cast, range).await?,
            Phase::Market => market::write(self.app, &mut tx, plan, cast, range).await?,
            Phase::Mentorship => mentoring::write(self.app, &mut tx, plan, cast, range).await?,
            Phase::Signals => {
                if let Some(stage) = &self.stage {
                    signals::write(self.app, &mut tx, plan, (cast, stage), range).await?;
                }
            }
            Phase::Index => tx.analyze().await?,
            Phase::Recommendations => {}
        }
        self.app.commit(tx).await?;
        (self.state, self.committed) = (next, value);
        Ok(())
    }

    async fn groups(&self, tx: &mut B::Connection, range: Range<u64>) -> Result<()> {
        let plan = &self.state.plan;
        let groups = plan.groups();
        let (mut rows, mut documents, mut records) = (Vec::new(), Vec::new(), Vec::new());
        for number in range.filter_map(|number| usize::try_from(number).ok()) {
            let Some(group) = groups.group(number) else { continue };
            let owner = Caller::new(UserId::new(plan.somebody(self.cast.owners[number][0]).id)?);
            documents.push(group.document()?);
            records.push(owner.record(crate::groups::CREATED, group.entity()?)?.after(&group)?);
            rows.push(group);
        }
        GROUPS.write(tx, &rows).await?;
        self.app.search.upsert_many(tx, &documents).await?;
        record_many(self.app, tx, &records).await
    }

    async fn people(&self, tx: &mut B::Connection, range: Range<u64>) -> Result<()> {
        let plan = &self.state.plan;
        let groups = plan.groups();
        let (owner, admin, member) = (Role::new("owner")?, Role::new("admin")?, Role::new("member")?);
        let (mut rows, mut documents, mut memberships) = (Vec::new(), Vec::new(), Vec::new());
        for number in range {
            let somebody = plan.somebody(number);
            let user = UserId::new(&*somebody.id)?;
            let batch: Scope = format!("batch:{}", somebody.batch).parse()?;
            memberships.push(ImportRow::active(user.clone(), batch, Grant::new(member.clone())));
            let mut joined = groups.of(plan.seed, number, &somebody);
            joined.extend((BY_HAND..groups.len()).filter(|&group| self.cast.owners[group] == [number]));
            joined.sort_unstable();
            joined.dedup();
            for group in joined {
                let scope = groups.scope(group)?;
                let place = self.cast.owners[group].iter().position(|&one| one == number);
                memberships.push(match (place, standing(plan, number, group)) {
                    (Some(0), _) => ImportRow::active(user.clone(), scope, Grant::new(owner.clone())),
                    (Some(_), _) => ImportRow::active(user.clone(), scope, Grant::new(admin.clone())),
                    (None, Standing::Active) => ImportRow::active(user.clone(), scope, Grant::new(member.clone())),
                    (None, Standing::Left) => ImportRow::left(user.clone(), scope, member.clone()),
                    (None, Standing::Banned) => ImportRow::banned(user.clone(), scope, member.clone()),
                });
            }
            let profile = somebody.profile();
            documents.push(profile.document()?);
            rows.push(PersonRow { city_key: profile.city_key(), profile });
        }
        PEOPLE.write(tx, &rows).await?;
        let by = By::user(&UserId::new("demo")?);
        self.app.membership.import(tx, &Import::new(memberships)?, &by).await?;
        self.app.search.upsert_many(tx, &documents).await?;
        Ok(())
    }

    async fn posts(&self, tx: &mut B::Connection, range: Range<u64>) -> Result<()> {
        let plan = &self.state.plan;
        let (mut rows, mut documents, mut records) = (Vec::new(), Vec::new(), Vec::new());
        for number in range {
            let post = post(plan, &self.cast.owners, number);
            let author = Caller::new(UserId::new(&*post.author_id)?);
            documents.push(post.document()?);
            records.push(author.record(posts::CREATED, post.entity()?)?.after(&post)?);
            rows.push(post);
        }
        POSTS.write(tx, &rows.iter().map(PostRow::from).collect::<Vec<_>>()).await?;
        self.app.search.upsert_many(tx, &documents).await?;
        record_many(self.app, tx, &records).await
    }
}

/// Records what was made, in as many statements as it takes.
pub(super) async fn record_many<B: Backend>(app: &App<B>, tx: &mut B::Connection, records: &[Record]) -> Result<()> {
    for some in records.chunks(RECORDS) {
        app.audit.record_many(tx, some).await?;
    }
    Ok(())
}

/// Where a post was written, and by whom.
fn authored(plan: &Plan, groups: &Groups, owners: &[Vec<u64>], number: u64) -> (Somebody, usize) {
    let mut rng = Rng::of(plan.seed, "author", number);
    loop {
        // A large group has more members, and so more posts. Everybody has an interest, so that this ends.
        let author = rng.below(plan.generated().max(1));
        let somebody = plan.somebody(author);
        let joined = groups.of(plan.seed, author, &somebody);
        if joined.is_empty() {
            continue;
        }
        let group = joined[rng.index(joined.len())];
        if owners[group].contains(&author) || standing(plan, author, group) == Standing::Active {
            return (somebody, group);
        }
    }
}

/// The group and the id of a post, without what it says.
pub(super) fn post_id(plan: &Plan, owners: &[Vec<u64>], number: u64) -> (usize, String) {
    (authored(plan, &plan.groups(), owners, number).1, dated(plan, number).1)
}

/// When a post was written, in microseconds, and its id.
fn dated(plan: &Plan, number: u64) -> (i64, String) {
    let mut rng = Rng::of(plan.seed, "post", number);
    // The later the number, the later the moment: so ids grow with time as those of other posts do.
    let (span, posts) = (u64::from(plan.days) * 86_400_000, plan.posts);
    let slot = span / posts.max(1);
    let age = span * (posts - number) / posts.max(1) - rng.below(slot.max(1)).min(slot / 2);
    let millis = (plan.until / 1000).cast_unsigned().saturating_sub(age);
    let created_at = (millis * 1000).cast_signed();
    (created_at, super::id(created_at, &mut rng))
}

/// Makes a post up: by somebody, in a group that they are a member of.
fn post(plan: &Plan, owners: &[Vec<u64>], number: u64) -> Post {
    let groups = plan.groups();
    let (author, group) = authored(plan, &groups, owners, number);
    let (created_at, id) = dated(plan, number);
    let (mut rng, topic) = (Rng::of(plan.seed, "words", number), groups.topic(group));
    Post {
        id,
        group_id: groups.id(group),
        group_kind: groups.kind(group),
        author_id: author.id,
        title: words::title(&mut rng, topic),
        body: words::body(&mut rng, topic),
        created_at,
        edited_at: None,
    }
}

#[derive(Serialize)]
struct PersonRow {
    #[serde(flatten)]
    profile: Profile,
    city_key: String,
}

const GROUPS: Bulk = Bulk {
    postgres: r#"
        INSERT INTO campus_group (id, kind, name, description, place)
        SELECT id, kind, name, description, place
        FROM json_to_recordset($1::json) AS row (id text, kind text, name text, description text, place text)
    "#,
    sqlite: r#"
        INSERT INTO campus_group (id, kind, name, description, place)
        SELECT value ->> 'id', value ->> 'kind', value ->> 'name', value ->> 'description', value ->> 'place'
        FROM json_each($1)
    "#,
};

const PEOPLE: Bulk = Bulk {
    postgres: r#"
        INSERT INTO campus_person (id, name, headline, city, city_key, employer, batch_year, email)
        SELECT id, name, headline, city, city_key, employer, batch_year, email
        FROM json_to_recordset($1::json) AS row (
            id text, name text, headline text, city text, city_key text, employer text, batch_year bigint, email text
        )
    "#,
    sqlite: r#"
        INSERT INTO campus_person (id, name, headline, city, city_key, employer, batch_year, email)
        SELECT value ->> 'id', value ->> 'name', value ->> 'headline', value ->> 'city', value ->> 'city_key',
            value ->> 'employer', value ->> 'batch_year', value ->> 'email'
        FROM json_each($1)
    "#,
};

const POSTS: Bulk = Bulk {
    postgres: r#"
        INSERT INTO campus_post (id, group_id, author_id, title, body, created_at)
        SELECT id, group_id, author_id, title, body, created_at
        FROM json_to_recordset($1::json)
            AS row (id text, group_id text, author_id text, title text, body text, created_at bigint)
    "#,
    sqlite: r#"
        INSERT INTO campus_post (id, group_id, author_id, title, body, created_at)
        SELECT value ->> 'id', value ->> 'group_id', value ->> 'author_id', value ->> 'title', value ->> 'body',
            value ->> 'created_at'
        FROM json_each($1)
    "#,
};
