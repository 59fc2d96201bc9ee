//! The PostgreSQL backend.

mod begin;
mod feed;

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection, PgPool, Row, SqlStr};

use crate::{
    Changes, Cursor, Error, Event, Filter, ImportRow, Imported, Load, Member, Reason, Removed, Result, Role, Scope,
    ScopeId, ScopeType, Source, Standing, State, Store, Transition, UserId, Verb, Write, Written,
};

/// Keeps memberships in PostgreSQL 15 or later.
#[derive(Clone, Copy, Debug, Default)]
pub struct Postgres;

/// The schema of this crate, oldest change first. Released entries never change.
pub static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = Migrator::with_migrations(vec![migration(
        1,
        "initial",
        include_str!("../migrations/postgres/0001_initial.sql"),
    )]);
    migrator.dangerous_set_table_name("_stoa_membership_migrations"); // our own table: never the host's
    migrator
});

fn migration(version: i64, name: &'static str, sql: &'static str) -> Migration {
    Migration::new(version, name.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
}

impl Store for Postgres {
    type Connection = PgConnection;

    async fn find(&self, conn: &mut PgConnection, user: &UserId, scope: &Scope) -> Result<Option<Member>> {
        // Only columns that the primary key's index carries: the hot check never visits the table.
        sqlx::query(
            r#"
            SELECT user_id, scope_type, scope_id, role, state, expires_at, version, statement_timestamp() AS read_at
            FROM memberships_membership
            WHERE user_id = $1 AND scope_type = $2 AND scope_id = $3
            "#,
        )
        .bind(user.as_str())
        .bind(scope.kind().as_str())
        .bind(scope.id().as_str())
        .fetch_optional(conn)
        .await?
        .map(|row| member(&row))
        .transpose()
    }

    async fn hold(&self, conn: &mut PgConnection, user: &UserId, scope: &Scope) -> Result<Option<Member>> {
        // FOR SHARE: an UPDATE passes FOR KEY SHARE.
        sqlx::query(
            r#"
            SELECT user_id, scope_type, scope_id, role, state, expires_at, version, statement_timestamp() AS read_at
            FROM memberships_membership
            WHERE user_id = $1 AND scope_type = $2 AND scope_id = $3
            FOR SHARE
            "#,
        )
        .bind(user.as_str())
        .bind(scope.kind().as_str())
        .bind(scope.id().as_str())
        .fetch_optional(conn)
        .await?
        .map(|row| member(&row))
        .transpose()
    }

    async fn write(&self, conn: &mut PgConnection, write: &Write<'_>) -> Result<Written> {
        macro_rules! locked {
            ($($locks:tt)*) => { concat!($($locks)*, include_str!("postgres/write.sql")) };
        }
        const ALONE: &str = locked!(include_str!("postgres/write_alone.sql"));
        const GUARDED: &str = locked!(include_str!("postgres/write_guarded.sql"));
        const AGAIN: &str = locked!(include_str!("postgres/write_again.sql"));
        if write.needs_other_owner.is_empty() {
            return write_with(ALONE, conn, write).await;
        }
        if write.is_retry {
            let written = write_with(AGAIN, conn, write).await?;
            // Every other owner may be about to change: then there is nothing but to wait.
            if written != Written::LastOwner {
                return Ok(written);
            }
        }
        write_with(GUARDED, conn, write).await
    }

    async fn find_many(&self, conn: &mut PgConnection, pairs: &[(UserId, Scope)]) -> Result<Vec<Option<Member>>> {
        let users: Vec<&str> = pairs.iter().map(|(user, _)| user.as_str()).collect();
        let scope_types: Vec<&str> = pairs.iter().map(|(_, scope)| scope.kind().as_str()).collect();
        let scope_ids: Vec<&str> = pairs.iter().map(|(_, scope)| scope.id().as_str()).collect();
        // Only the rows that are there, each with its place: that of an absent one would be empty. The places are a parameter, for
        // the planner takes few rows for granted of an array, and looks each up in the index, but many of a function that counts.
        let places: Vec<i32> = (0..).take(pairs.len()).collect();
        let rows = sqlx::query(
            r#"
            SELECT place, role, state, expires_at, version, statement_timestamp() AS read_at
            FROM (
                SELECT unnest($1::text[]) AS user_id, unnest($2::text[]) AS scope_type, unnest($3::text[]) AS scope_id,
                    unnest($4::int[]) AS place
            ) AS pair
            JOIN memberships_membership AS membership
                ON membership.user_id = pair.user_id COLLATE "C"
                AND membership.scope_type = pair.scope_type COLLATE "C"
                AND membership.scope_id = pair.scope_id COLLATE "C"
            "#,
        )
        .bind(users)
        .bind(scope_types)
        .bind(scope_ids)
        .bind(places)
        .fetch_all(conn)
        .await?;
        let mut members = vec![None; pairs.len()];
        for row in &rows {
            let place = row.try_get::<i32, _>("place")?.cast_unsigned() as usize;
            let (user, scope) = pairs[place].clone();
            let standing = standing(row, "role", "state", "expires_at")?;
            members[place] = Some(Member::new(user, scope, standing, row.try_get("version")?, row.try_get("read_at")?));
        }
        Ok(members)
    }

    async fn list_by_user(
        &self,
        conn: &mut PgConnection,
        user: &UserId,
        filter: &Filter,
        after: Option<&Scope>,
        limit: u32,
    ) -> Result<Vec<Member>> {
        // Every scope is greater than that of the empty texts, which is none.
        sqlx::query(
            r#"
            SELECT user_id, scope_type, scope_id, role, state, expires_at, version, statement_timestamp() AS read_at
            FROM memberships_membership
            WHERE user_id = $1 AND (scope_type, scope_id) > ($2, $3)
                AND state = $4 AND coalesce(expires_at <= statement_timestamp(), false) = $5
                AND ($6::text IS NULL OR role = $6)
                AND ($7::text IS NULL OR scope_type = $7)
            ORDER BY scope_type, scope_id
            LIMIT $8
            "#,
        )
        .bind(user.as_str())
        .bind(after.map_or("", |after| after.kind().as_str()))
        .bind(after.map_or("", |after| after.id().as_str()))
        .bind(stored_state(filter.state))
        .bind(filter.state == State::Expired)
        .bind(filter.role.as_ref().map(Role::as_str))
        .bind(filter.scope_type.as_ref().map(ScopeType::as_str))
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?
        .iter()
        .map(member)
        .collect()
    }

    async fn list_by_scope(
        &self,
        conn: &mut PgConnection,
        scope: &Scope,
        filter: &Filter,
        after: Option<(&Role, &UserId)>,
        limit: u32,
    ) -> Result<Vec<Member>> {
        if filter.excludes(scope) {
            return Ok(Vec::new());
        }
        // One range of the index, whatever the filter: from behind `after` up to the end of the role.
        let (first, last) = filter.role_range();
        sqlx::query(
            r#"
            SELECT user_id, scope_type, scope_id, role, state, expires_at, version, statement_timestamp() AS read_at
            FROM memberships_membership
            WHERE scope_type = $1 AND scope_id = $2 AND state = $3 AND (role, user_id) > ($4, $5) AND role <= $6
                AND coalesce(expires_at <= statement_timestamp(), false) = $7
            ORDER BY role, user_id
            LIMIT $8
            "#,
        )
        .bind(scope.kind().as_str())
        .bind(scope.id().as_str())
        .bind(stored_state(filter.state))
        .bind(after.map_or(first, |(role, _)| role.as_str()))
        .bind(after.map_or("", |(_, user)| user.as_str()))
        .bind(last)
        .bind(filter.state == State::Expired)
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?
        .iter()
        .map(member)
        .collect()
    }

    async fn count(&self, conn: &mut PgConnection, scope: &Scope, filter: &Filter) -> Result<u64> {
        if filter.excludes(scope) {
            return Ok(0);
        }
        let (first, last) = filter.role_range();
        let count: i64 = sqlx::query_scalar(
            r#"
            SELECT count(*)
            FROM memberships_membership
            WHERE scope_type = $1 AND scope_id = $2 AND state = $3 AND role >= $4 AND role <= $5
                AND coalesce(expires_at <= statement_timestamp(), false) = $6
            "#,
        )
        .bind(scope.kind().as_str())
        .bind(scope.id().as_str())
        .bind(stored_state(filter.state))
        .bind(first)
        .bind(last)
        .bind(filter.state == State::Expired)
        .fetch_one(conn)
        .await?;
        Ok(count.cast_unsigned()) // a count is never negative
    }

    async fn history(
        &self,
        conn: &mut PgConnection,
        user: &UserId,
        scope: &Scope,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Transition>> {
        sqlx::query(
            r#"
            SELECT user_id, scope_type, scope_id, version, verb, before_role, before_state, before_expires_at,
                role, state, expires_at, actor, reason, changed_at
            FROM memberships_transition
            WHERE user_id = $1 AND scope_type = $2 AND scope_id = $3 AND version < $4
            ORDER BY version DESC
            LIMIT $5
            "#,
        )
        .bind(user.as_str())
        .bind(scope.kind().as_str())
        .bind(scope.id().as_str())
        .bind(before.unwrap_or(i64::MAX))
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?
        .iter()
        .map(transition)
        .collect()
    }

    async fn changes(&self, conn: &mut PgConnection, after: &Cursor, limit: u32) -> Result<Changes> {
        let after = feed::Position::parse(after.position()).ok_or(Error::Cursor)?;
        let closes_a_window = after.window.is_some();
        let (mut events, mut next) = read_feed(conn, after, limit).await?;
        if events.is_empty() && closes_a_window {
            // There was nothing left of a longer answer; there may be something newer.
            (events, next) = read_feed(conn, next, limit).await?;
        }
        Ok(Changes { events, next: Cursor::new(next.to_string()) })
    }

    async fn latest(&self, conn: &mut PgConnection) -> Result<Cursor> {
        let (now, own): (String, Option<String>) =
            sqlx::query_as("SELECT pg_current_snapshot()::text, pg_current_xact_id_if_assigned()::text")
                .fetch_one(conn)
                .await?;
        let now = feed::Snapshot::parse_from(&now, own.as_deref()).ok_or(Error::Corrupt { what: "snapshot" })?;
        Ok(Cursor::new(now.to_string()))
    }

    async fn import(&self, conn: &mut PgConnection, load: &Load<'_>) -> Result<Option<Imported>> {
        let rows = Columns::of(load.rows);
        let owner_types: Vec<&str> = load.owner_roles.iter().map(|(scope_type, _)| scope_type.as_str()).collect();
        let owner_roles: Vec<&str> = load.owner_roles.iter().map(|(_, role)| role.as_str()).collect();
        let mut tx = conn.begin().await?;
        // What is new first: after that every given row is there to be locked, also one that somebody else inserts meanwhile.
        let created: i64 = sqlx::query_scalar(include_str!("postgres/import_new.sql"))
            .bind(&rows.users)
            .bind(&rows.scope_types)
            .bind(&rows.scope_ids)
            .bind(&rows.roles)
            .bind(&rows.states)
            .bind(&rows.expires_at)
            .bind(load.by.actor().as_str())
            .bind(load.by.reason().map(Reason::as_str))
            .fetch_one(&mut *tx)
            .await?;
        let owned: Vec<(String, String)> = sqlx::query_as(include_str!("postgres/import_lock.sql"))
            .bind(&rows.users)
            .bind(&rows.scope_types)
            .bind(&rows.scope_ids)
            .bind(&owner_types)
            .bind(&owner_roles)
            .fetch_all(&mut *tx)
            .await?;
        let (updated, kept_banned): (i64, i64) = sqlx::query_as(include_str!("postgres/import_changed.sql"))
            .bind(&rows.users)
            .bind(&rows.scope_types)
            .bind(&rows.scope_ids)
            .bind(&rows.roles)
            .bind(&rows.states)
            .bind(&rows.expires_at)
            .bind(load.by.actor().as_str())
            .bind(load.by.reason().map(Reason::as_str))
            .bind(load.lifts_bans)
            .fetch_one(&mut *tx)
            .await?;
        if !are_owned(&mut tx, &owned, &owner_types, &owner_roles).await? {
            tx.rollback().await?;
            return Ok(None);
        }
        tx.commit().await?;
        // A count is never negative.
        let [created, updated, kept_banned] = [created, updated, kept_banned].map(i64::cast_unsigned);
        let unchanged = (load.rows.len() as u64).saturating_sub(created + updated + kept_banned);
        Ok(Some(Imported { created, updated, unchanged, kept_banned }))
    }

    async fn purge(&self, conn: &mut PgConnection, user: &UserId) -> Result<Removed> {
        let mut tx = conn.begin().await?;
        // The rows first: whoever is writing one is waited for, and the next statement sees the transition as well.
        let rows = sqlx::query(
            r#"
            DELETE FROM memberships_membership
            WHERE user_id = $1
            RETURNING user_id, scope_type, scope_id, role, state, expires_at, version, statement_timestamp() AS read_at
            "#,
        )
        .bind(user.as_str())
        .fetch_all(&mut *tx)
        .await?;
        let members: Vec<_> = rows.iter().map(member).collect::<Result<_>>()?;
        let (scope_types, scope_ids): (Vec<&str>, Vec<&str>) =
            members.iter().map(Member::scope).map(|scope| (scope.kind().as_str(), scope.id().as_str())).unzip();
        let (transitions, mentions): (i64, i64) = sqlx::query_as(include_str!("postgres/purge.sql"))
            .bind(user.as_str())
            .bind(scope_types)
            .bind(scope_ids)
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        // A count is never negative.
        Ok(Removed { members, transitions: transitions.cast_unsigned(), mentions: mentions.cast_unsigned() })
    }
}

/// Reads one page of the feed, and says where to go on.
async fn read_feed(conn: &mut PgConnection, after: feed::Position, limit: u32) -> Result<(Vec<Event>, feed::Position)> {
    let rows = if after.window.is_none() && after.seen.is_some() {
        // Whoever has kept up finds little that is new, by its transactions.
        sqlx::query(include_str!("postgres/changes_since.sql"))
            .bind(after.seen.as_ref().map(feed::Snapshot::to_string))
            .bind(i64::from(limit))
            .fetch_all(conn)
            .await?
    } else {
        // Whoever is far behind finds almost everything new, by its ids.
        sqlx::query(include_str!("postgres/changes_within.sql"))
            .bind(after.seen.as_ref().map(feed::Snapshot::to_string))
            .bind(after.window.as_ref().map(feed::Snapshot::to_string))
            .bind(after.id)
            .bind(i64::from(limit))
            .fetch_all(conn)
            .await?
    };
    let Some(last) = rows.last() else { return Err(Error::Corrupt { what: "feed" }) };
    let now = feed::Snapshot::parse_from(last.try_get("now")?, last.try_get("own")?);
    let now = now.ok_or(Error::Corrupt { what: "snapshot" })?;
    if after.is_ahead_of(&now) {
        return Err(Error::Cursor);
    }
    // Without an event there is one row all the same, which tells the snapshot.
    let last_id = last.try_get::<Option<i64>, _>("id")?;
    let is_full = last_id.is_some() && rows.len() == limit as usize;
    let events = rows.iter().filter(|_| last_id.is_some()).map(event).collect::<Result<_>>()?;
    let window = after.window.unwrap_or(now);
    let next = match last_id.filter(|_| is_full) {
        Some(id) => feed::Position { seen: after.seen, window: Some(window), id },
        None => feed::Position { seen: Some(window), window: None, id: 0 },
    };
    Ok((events, next))
}

/// Rows to import, column by column.
#[derive(Default)]
struct Columns<'a> {
    users: Vec<&'a str>,
    scope_types: Vec<&'a str>,
    scope_ids: Vec<&'a str>,
    roles: Vec<&'a str>,
    states: Vec<&'a str>,
    expires_at: Vec<Option<DateTime<Utc>>>,
}

impl<'a> Columns<'a> {
    fn of(rows: &'a [ImportRow]) -> Self {
        let mut columns = Self::default();
        for row in rows {
            columns.users.push(row.user().as_str());
            columns.scope_types.push(row.scope().kind().as_str());
            columns.scope_ids.push(row.scope().id().as_str());
            columns.roles.push(row.standing().role.as_str());
            columns.states.push(row.standing().state.as_str());
            columns.expires_at.push(row.standing().expires_at);
        }
        columns
    }
}

/// Says whether each of the scopes has an owner.
async fn are_owned(
    conn: &mut PgConnection,
    scopes: &[(String, String)],
    owner_types: &[&str],
    owner_roles: &[&str],
) -> Result<bool> {
    let (scope_types, scope_ids): (Vec<&str>, Vec<&str>) =
        scopes.iter().map(|(kind, id)| (kind.as_str(), id.as_str())).unzip();
    let are_owned = sqlx::query_scalar(
        r#"
        SELECT NOT EXISTS (
            SELECT
            FROM unnest($1::text[], $2::text[]) AS scope (scope_type, scope_id)
            WHERE NOT EXISTS (
                SELECT
                FROM memberships_membership AS membership
                JOIN unnest($3::text[], $4::text[]) AS owner_role (scope_type, role)
                    ON membership.scope_type = owner_role.scope_type COLLATE "C"
                    AND membership.role = owner_role.role COLLATE "C"
                WHERE membership.scope_type = scope.scope_type COLLATE "C"
                    AND membership.scope_id = scope.scope_id COLLATE "C" AND membership.state = 'active'
                    AND (membership.expires_at IS NULL OR membership.expires_at > statement_timestamp())
            )
        )
        "#,
    )
    .bind(scope_types)
    .bind(scope_ids)
    .bind(owner_types)
    .bind(owner_roles)
    .fetch_one(conn)
    .await?;
    Ok(are_owned)
}

/// An expired membership is stored as an active one.
fn stored_state(state: State) -> &'static str {
    match state {
        State::Expired => State::Active.as_str(),
        state => state.as_str(),
    }
}

fn member(row: &PgRow) -> Result<Member> {
    let version = row.try_get("version")?;
    Ok(Member::new(
        user(row)?,
        scope(row)?,
        standing(row, "role", "state", "expires_at")?,
        version,
        row.try_get("read_at")?,
    ))
}

fn transition(row: &PgRow) -> Result<Transition> {
    let before = row.try_get::<Option<&str>, _>("before_state")?;
    let before = before.map(|_| standing(row, "before_role", "before_state", "before_expires_at")).transpose()?;
    let actor = row.try_get::<Option<&str>, _>("actor")?.map(UserId::new).transpose();
    let reason = row.try_get::<Option<&str>, _>("reason")?.map(Reason::new).transpose();
    Ok(Transition {
        user: user(row)?,
        scope: scope(row)?,
        version: row.try_get("version")?,
        verb: Verb::stored(row.try_get("verb")?)?,
        before,
        after: standing(row, "role", "state", "expires_at")?,
        actor: actor.map_err(|_| Error::Corrupt { what: "actor" })?,
        reason: reason.map_err(|_| Error::Corrupt { what: "reason" })?,
        at: time(row.try_get_unchecked("changed_at")?)?,
    })
}

fn event(row: &PgRow) -> Result<Event> {
    match row.try_get::<Option<&str>, _>("user_id")? {
        Some(_) => Ok(Event::Changed(transition(row)?)),
        None => Ok(Event::Purged { scope: scope(row)?, at: time(row.try_get_unchecked("changed_at")?)? }),
    }
}

fn user(row: &PgRow) -> Result<UserId> {
    UserId::new(row.try_get::<&str, _>("user_id")?).map_err(|_| Error::Corrupt { what: "user id" })
}

fn scope(row: &PgRow) -> Result<Scope> {
    let kind = ScopeType::new(row.try_get::<&str, _>("scope_type")?);
    let id = ScopeId::new(row.try_get::<&str, _>("scope_id")?);
    Ok(Scope::new(
        kind.map_err(|_| Error::Corrupt { what: "scope type" })?,
        id.map_err(|_| Error::Corrupt { what: "scope id" })?,
    ))
}

fn standing(row: &PgRow, role: &str, state: &str, expires_at: &str) -> Result<Standing> {
    Ok(Standing {
        role: Role::new(row.try_get::<&str, _>(role)?).map_err(|_| Error::Corrupt { what: "role" })?,
        state: State::stored(row.try_get(state)?)?,
        expires_at: row.try_get_unchecked::<Option<i64>, _>(expires_at)?.map(time).transpose()?,
    })
}

/// Takes a time as the server sends it, in microseconds since 2000: its own reach further than chrono's, `infinity` above all,
/// and there the driver's decoding panics.
fn time(micros: i64) -> Result<DateTime<Utc>> {
    const YEAR_2000: i64 = 946_684_800_000_000;
    let time = micros.checked_add(YEAR_2000).and_then(DateTime::from_timestamp_micros);
    time.ok_or(Error::Corrupt { what: "time" })
}

/// Writes with the statement that locks what has to be.
async fn write_with(statement: &'static str, conn: &mut PgConnection, write: &Write<'_>) -> Result<Written> {
    let owner_roles: Vec<&str> = write.needs_other_owner.iter().map(Role::as_str).collect();
    let row = sqlx::query(statement)
        .bind(write.user.as_str())
        .bind(write.scope.kind().as_str())
        .bind(write.scope.id().as_str())
        .bind(write.expected)
        .bind(write.standing.role.as_str())
        .bind(write.standing.state.as_str())
        .bind(write.standing.expires_at)
        .bind(write.verb.as_str())
        .bind(write.by.actor().as_str())
        .bind(write.by.reason().map(Reason::as_str))
        .bind(owner_roles)
        .fetch_one(conn)
        .await?;
    if !row.try_get::<bool, _>("is_current")? {
        return Ok(Written::Stale);
    }
    if !row.try_get::<bool, _>("is_owned")? {
        return Ok(Written::LastOwner);
    }
    match row.try_get::<Option<i64>, _>("version")? {
        // Somebody else inserted the row meanwhile.
        None => Ok(Written::Stale),
        Some(version) => Ok(Written::Done { version, at: row.try_get("changed_at")? }),
    }
}

impl Source for PgPool {
    type Connection = PgConnection;
    type Guard = sqlx::pool::PoolConnection<sqlx::Postgres>;
    type Transaction = sqlx::Transaction<'static, sqlx::Postgres>;

    async fn acquire(&self) -> Result<Self::Guard> {
        Ok(sqlx::Pool::acquire(self).await?)
    }

    async fn begin(&self) -> Result<Self::Transaction> {
        Ok(begin::begin(self, "BEGIN ISOLATION LEVEL READ COMMITTED").await?)
    }

    async fn begin_snapshot(&self) -> Result<Self::Transaction> {
        Ok(begin::begin(self, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
    }

    async fn commit(&self, tx: Self::Transaction) -> Result<()> {
        Ok(tx.commit().await?)
    }
}
