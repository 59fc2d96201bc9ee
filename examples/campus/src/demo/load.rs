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

use super::groups::Groups;
use super::people::{Somebody, somebody};
use super::rng::Rng;
use super::topics::BY_HAND;
use super::words;
use crate::app::App;
use crate::backend::Backend;
use crate::bulk::{Bulk, BulkSql as _};
use crate::caller::Caller;
use crate::directory::profile::Profile;
use crate::error::{Error, Result};
use crate::groups::posts::{self, Post, PostRow};
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
    /// 180,000 people and 200,000 posts: ready in minutes.
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
            Size::Ga => Some(Self { people: 180_000, groups: 400, posts: 200_000, days: 3 * 365, ..plan }),
        }
    }

    fn generated(&self) -> u64 {
        self.people.saturating_sub(super::PEOPLE as u64)
    }

    fn groups(&self) -> Groups {
        Groups::new(self.groups)
    }

    fn somebody(&self, number: u64) -> Somebody {
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
    /// Parts of the search index become one.
    Index,
}

impl Phase {
    const FIRST: Self = Self::Groups;

    fn as_str(self) -> &'static str {
        match self {
            Self::Groups => "groups",
            Self::People => "people",
            Self::Posts => "posts",
            Self::Index => "index",
        }
    }

    fn next(self) -> Option<Self> {
        match self {
            Self::Groups => Some(Self::People),
            Self::People => Some(Self::Posts),
            Self::Posts => Some(Self::Index),
            Self::Index => None,
        }
    }

    /// How many things it makes.
    fn total(self, plan: &Plan) -> u64 {
        match self {
            Self::Groups => plan.groups().len() as u64,
            Self::People => plan.generated(),
            Self::Posts => plan.posts,
            Self::Index => 1,
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
            let state = State { plan: *plan, phase: Phase::FIRST, done: 0 };
            if !super::make_with(app, Some((STATE, &written(&state)?))).await? {
                return Ok(false);
            }
            state
        }
    };
    let (committed, owners) = (written(&state)?, owners(&state.plan));
    let mut loading = Loading { app, state, committed, owners, progress: &mut progress };
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

/// The first two members of every group that is generated: its owner and its admin.
fn owners(plan: &Plan) -> Vec<Vec<u64>> {
    let groups = plan.groups();
    let mut owners = vec![Vec::new(); groups.len()];
    let mut missing = 2 * (groups.len() - BY_HAND.min(groups.len()));
    for number in 0..plan.generated() {
        if missing == 0 {
            break;
        }
        for group in groups.of(plan.seed, number, &plan.somebody(number)) {
            if group >= BY_HAND && owners[group].len() < 2 {
                owners[group].push(number);
                missing -= 1;
            }
        }
    }
    // A group that nobody cares about belongs to somebody all the same.
    for (group, owners) in owners.iter_mut().enumerate().skip(BY_HAND) {
        if owners.is_empty() {
            owners.push(Rng::of(plan.seed, "owner", group as u64).below(plan.generated().max(1)));
        }
    }
    owners
}

struct Loading<'a, B: Backend> {
    app: &'a App<B>,
    state: State,
    /// What the database says.
    committed: String,
    owners: Vec<Vec<u64>>,
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
            if phase == Phase::Index {
                self.app.search.compact(self.app.backend.pool(), Duration::from_hours(1)).await?;
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
        match self.state.phase {
            Phase::Groups => self.groups(&mut tx, range).await?,
            Phase::People => self.people(&mut tx, range).await?,
            Phase::Posts => self.posts(&mut tx, range).await?,
            Phase::Index => tx.analyze().await?,
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
            let owner = Caller::new(UserId::new(plan.somebody(self.owners[number][0]).id)?);
            documents.push(group.document()?);
            records.push(owner.record(crate::groups::CREATED, group.entity()?)?.after(&group)?);
            rows.push(group);
        }
        GROUPS.write(tx, &rows).await?;
        self.app.search.upsert_many(tx, &documents).await?;
        self.record(tx, &records).await
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
            joined.extend((BY_HAND..groups.len()).filter(|&group| self.owners[group] == [number]));
            joined.sort_unstable();
            joined.dedup();
            for group in joined {
                let scope = groups.scope(group)?;
                let place = self.owners[group].iter().position(|&one| one == number);
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
        let groups = plan.groups();
        let (mut rows, mut documents, mut records) = (Vec::new(), Vec::new(), Vec::new());
        for number in range {
            let post = post(plan, &groups, &self.owners, number);
            let author = Caller::new(UserId::new(&*post.author_id)?);
            documents.push(post.document()?);
            records.push(author.record(posts::CREATED, post.entity()?)?.after(&post)?);
            rows.push(post);
        }
        POSTS.write(tx, &rows.iter().map(PostRow::from).collect::<Vec<_>>()).await?;
        self.app.search.upsert_many(tx, &documents).await?;
        self.record(tx, &records).await
    }

    async fn record(&self, tx: &mut B::Connection, records: &[Record]) -> Result<()> {
        for some in records.chunks(RECORDS) {
            self.app.audit.record_many(tx, some).await?;
        }
        Ok(())
    }
}

/// How somebody stands to a group they care about, unless they run it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Active,
    Left,
    Banned,
}

fn standing(plan: &Plan, number: u64, group: usize) -> Standing {
    match Rng::of(plan.seed, "standing", number ^ ((group as u64) << 32)).below(200) {
        0..=3 => Standing::Left,
        4 => Standing::Banned,
        _ => Standing::Active,
    }
}

/// Makes a post up: by somebody, in a group that they are a member of.
fn post(plan: &Plan, groups: &Groups, owners: &[Vec<u64>], number: u64) -> Post {
    let mut rng = Rng::of(plan.seed, "post", number);
    let (author, group) = loop {
        // A large group has more members, and so more posts. Everybody has an interest, so that this ends.
        let author = rng.below(plan.generated().max(1));
        let somebody = plan.somebody(author);
        let joined = groups.of(plan.seed, author, &somebody);
        if joined.is_empty() {
            continue;
        }
        let group = joined[rng.index(joined.len())];
        if owners[group].contains(&author) || standing(plan, author, group) == Standing::Active {
            break (somebody, group);
        }
    };
    let topic = groups.topic(group);
    let (title, body) = (words::title(&mut rng, topic), words::body(&mut rng, topic));
    // The later the number, the later the moment: so ids grow with time as those of other posts do.
    let (span, posts) = (u64::from(plan.days) * 86_400_000, plan.posts);
    let slot = span / posts.max(1);
    let age = span * (posts - number) / posts.max(1) - rng.below(slot.max(1)).min(slot / 2);
    let millis = (plan.until / 1000).cast_unsigned().saturating_sub(age);
    Post {
        id: uuid::Builder::from_unix_timestamp_millis(millis, &rng.bytes()).into_uuid().to_string(),
        group_id: groups.id(group),
        group_kind: groups.kind(group),
        author_id: author.id,
        title,
        body,
        created_at: (millis * 1000).cast_signed(),
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
