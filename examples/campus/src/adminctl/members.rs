//! `adminctl members`.

mod file;

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde_json::json;
use stoa_audit::{Action, Entity, EntityId, EntityType};
use stoa_membership::{
    self as membership, By, CHAPTER, Change, Filter, GROUP, Grant, Import, Member, PageRequest, Reason, Role,
};
use stoa_membership::{Imported, Scope, State, UserId};

use super::{Outcome, Output, record};
use crate::access::{self, PLATFORM};
use crate::app::App;
use crate::backend::Backend;
use crate::cli::Bar;
use crate::directory::sql::DirectorySql as _;
use crate::error::{Error, Result};
use crate::groups::members::{BANNED, Standing};
use crate::groups::sql::GroupSql as _;

const ADDED: Action = Action::new("bits.groups.v1.MembershipService/AddMember");
const IMPORTED: Action = Action::new("bits.groups.v1.MembershipService/ImportMembers");

/// So many members are read at a time.
const PAGE: u32 = 1_000;
/// So many memberships are committed at a time.
const BATCH: usize = 10_000;
/// How often a change is tried that the database ends in favour of another.
const ATTEMPTS: usize = 3;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Lists the members of a scope, by role and id.
    List {
        /// Such as `group:chess`, `batch:2012` or `platform:campus`.
        scope: Scope,
        /// Those who stand so: `active`, `banned`, `expired` or `left`.
        #[arg(long, default_value = "active")]
        state: State,
        /// Only those with this role.
        #[arg(long)]
        role: Option<Role>,
        /// At most so many.
        #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
        limit: u64,
    },
    /// Makes somebody a member, whatever was before: it lifts a ban.
    Add {
        /// Such as `group:chess`, or `platform:campus` with the role `staff`.
        scope: Scope,
        /// Their id.
        person: UserId,
        /// Default: the lowest of the scope.
        #[arg(long)]
        role: Option<Role>,
        /// When the membership ends by itself, in RFC 3339.
        #[arg(long, value_name = "TIME")]
        until: Option<DateTime<Utc>>,
    },
    /// Shuts somebody out.
    Ban {
        /// Such as `group:chess`.
        scope: Scope,
        /// Their id.
        person: UserId,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        because: Option<Reason>,
    },
    /// Loads memberships from a file. Bad lines are named, and then nothing is written.
    ///
    /// The first line names the columns: `scope` and `person`, and if wanted `role`, `state` (active, banned or left) and `until`
    /// (RFC 3339). A ban in the database stays.
    Import {
        /// In RFC 4180, in UTF-8.
        file: PathBuf,
    },
}

pub(super) async fn run<B: Backend>(app: &App<B>, command: Command, output: Output) -> Result<Outcome> {
    match command {
        Command::List { scope, state, role, limit } => {
            let mut filter = Filter::default().state(state);
            if let Some(role) = role {
                filter = filter.role(role);
            }
            list(app, &scope, &filter, limit, output).await
        }
        Command::Add { scope, person, role, until } => {
            let role = role.map_or_else(|| access::lowest_role(&scope), Ok)?;
            access::check_role(&scope, &role)?;
            let mut grant = Grant::new(role);
            if let Some(until) = until {
                grant = grant.until(until)?;
            }
            change(app, &scope, &person, ADDED, &What::Add(grant), output).await
        }
        Command::Ban { scope, person, because } => {
            change(app, &scope, &person, BANNED, &What::Ban(because), output).await
        }
        Command::Import { file } => import(app, &file, output).await,
    }
}

async fn list<B: Backend>(app: &App<B>, scope: &Scope, filter: &Filter, limit: u64, output: Output) -> Result<Outcome> {
    let mut tx = app.read().await?;
    let (mut listed, mut request) = (0, PageRequest::first(PAGE));
    loop {
        let page = app.membership.list_by_scope(&mut tx, scope, filter, &request).await?;
        for member in page.items {
            if listed == limit {
                return Ok(Outcome::Done);
            }
            show(&member, output);
            listed += 1;
        }
        match page.next {
            Some(next) => request = PageRequest::first(PAGE).after(next),
            None => return Ok(if listed == 0 { Outcome::Nothing } else { Outcome::Done }),
        }
    }
}

fn show(member: &Member, output: Output) {
    let until = member.expires_at().map(|end| end.to_rfc3339());
    let value = json!({
        "scope": member.scope().to_string(),
        "person": member.user().as_str(),
        "role": member.role().as_str(),
        "state": member.state().as_str(),
        "until": until,
    });
    let until = until.map(|until| format!("  until {until}")).unwrap_or_default();
    output.line(&value, format_args!("{:<8} {:<8} {}{until}", member.state().as_str(), member.role(), member.user()));
}

enum What {
    Add(Grant),
    Ban(Option<Reason>),
}

/// Changes one membership, with its record. The database names whoever did it `adminctl`.
async fn change<B: Backend>(
    app: &App<B>,
    scope: &Scope,
    person: &UserId,
    action: Action,
    what: &What,
    output: Output,
) -> Result<Outcome> {
    let mut attempt = 1;
    let change = loop {
        match try_change(app, scope, person, action.clone(), what).await {
            Err(error) if error.is_retryable() && attempt < ATTEMPTS => attempt += 1,
            Err(Error::NotFound) => {
                eprintln!("adminctl: there is no {scope}, or no {person}");
                return Ok(Outcome::Nothing);
            }
            changed => break changed?,
        }
    };
    show(change.after(), output);
    Ok(if change.is_unchanged() { Outcome::Nothing } else { Outcome::Done })
}

async fn try_change<B: Backend>(
    app: &App<B>,
    scope: &Scope,
    person: &UserId,
    action: Action,
    what: &What,
) -> Result<Change> {
    let mut tx = app.begin().await?;
    tx.person(person.as_str()).await?.ok_or(Error::NotFound)?;
    if [GROUP, CHAPTER].contains(scope.kind()) {
        tx.group(scope.id().as_str())
            .await?
            .filter(|group| group.kind.scope_type() == *scope.kind())
            .ok_or(Error::NotFound)?;
    }
    let by = by()?;
    let change = match what {
        What::Add(grant) => app.membership.add(&mut tx, person, scope, grant, &by).await?,
        What::Ban(Some(reason)) => app.membership.ban(&mut tx, person, scope, &by.because(reason.clone())).await?,
        What::Ban(None) => app.membership.ban(&mut tx, person, scope, &by).await?,
    };
    if !change.is_unchanged() {
        let member = Entity::new(EntityType::from_static("member"), EntityId::new(person.as_str())?);
        let mut record = record(action, member)?.scope(entity(scope)?).after(&Standing::of(change.after()))?;
        if let Some(before) = change.before() {
            record = record.before(&Standing::of(before))?;
        }
        app.audit.record(&mut tx, &record).await?;
    }
    app.commit(tx).await?;
    Ok(change)
}

fn by() -> membership::Result<By> {
    Ok(By::user(&UserId::new("adminctl")?))
}

fn entity(scope: &Scope) -> Result<Entity> {
    let kind = if scope.kind() == &PLATFORM { "platform" } else { scope.kind().as_str() };
    Ok(Entity::new(EntityType::new(kind)?, EntityId::new(scope.id().as_str())?))
}

async fn import<B: Backend>(app: &App<B>, path: &Path, output: Output) -> Result<Outcome> {
    let rows = file::read(app, path).await?;
    let total = rows.len() as u64;
    let bar = Bar::of(total);
    let mut sum = Imported::default();
    let mut rows = rows.into_iter();
    loop {
        let batch = Import::new(rows.by_ref().take(BATCH))?;
        let imported = import_batch(app, &batch, path).await?;
        let size = imported.created + imported.updated + imported.unchanged + imported.kept_banned;
        if size == 0 {
            break;
        }
        sum.created += imported.created;
        sum.updated += imported.updated;
        sum.unchanged += imported.unchanged;
        sum.kept_banned += imported.kept_banned;
        bar.set(total - rows.len() as u64, total, format!("{} of {total}", total - rows.len() as u64));
    }
    drop(bar);
    let Imported { created, updated, unchanged, kept_banned } = sum;
    let value = json!({
        "created": created, "updated": updated, "unchanged": unchanged, "kept_banned": kept_banned,
    });
    output.line(
        &value,
        format_args!(
            "{created} memberships created, {updated} updated, {unchanged} unchanged, {kept_banned} bans kept"
        ),
    );
    Ok(if created + updated == 0 { Outcome::Nothing } else { Outcome::Done })
}

/// Loads some memberships in one transaction, with one record if that changed anything.
async fn import_batch<B: Backend>(app: &App<B>, batch: &Import, path: &Path) -> Result<Imported> {
    let mut attempt = 1;
    loop {
        match try_import(app, batch, path).await {
            Err(error) if error.is_retryable() && attempt < ATTEMPTS => attempt += 1,
            imported => return imported,
        }
    }
}

async fn try_import<B: Backend>(app: &App<B>, batch: &Import, path: &Path) -> Result<Imported> {
    let mut tx = app.begin().await?;
    let imported = app.membership.import(&mut tx, batch, &by()?).await?;
    if imported.created + imported.updated > 0 {
        // It is named by its file, as far as that is a name.
        let name: String = path.file_name().unwrap_or_default().to_string_lossy().chars().take(30).collect();
        let name = EntityId::new(name).or_else(|_| EntityId::new("members"))?;
        app.audit.record(&mut tx, &record(IMPORTED, Entity::new(EntityType::from_static("import"), name))?).await?;
    }
    app.commit(tx).await?;
    Ok(imported)
}
