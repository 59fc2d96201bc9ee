//! The SQLite backend.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection, Row, SqlStr, SqliteConnection, SqlitePool};

use crate::{
    Changes, Cursor, Error, Event, Filter, ImportRow, Imported, Load, Member, Reason, Removed, Result, Role, Scope,
    ScopeId, ScopeType, Source, Standing, State, Store, Transition, UserId, Verb, Write, Written,
};

/// Keeps memberships in SQLite. A transaction that writes must begin with `BEGIN IMMEDIATE`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sqlite;

/// The schema of this crate, oldest change first. Released entries never change.
pub static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator =
        Migrator::with_migrations(vec![migration(1, "initial", include_str!("../migrations/sqlite/0001_initial.sql"))]);
    migrator.dangerous_set_table_name("_stoa_membership_migrations"); // our own table: never the host's
    migrator
});

fn migration(version: i64, name: &'static str, sql: &'static str) -> Migration {
    Migration::new(version, name.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
}

impl Store for Sqlite {
    type Connection = SqliteConnection;

    async fn find(&self, conn: &mut SqliteConnection, user: &UserId, scope: &Scope) -> Result<Option<Member>> {
        sqlx::query(
            r#"
            SELECT user_id, scope_type, scope_id, role, state, expires_at, version, CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS read_at
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

    async fn hold(&self, conn: &mut SqliteConnection, user: &UserId, scope: &Scope) -> Result<Option<Member>> {
        // A transaction that may write is the only one: nobody can change the row before it ends.
        self.find(conn, user, scope).await
    }

    async fn write(&self, conn: &mut SqliteConnection, write: &Write<'_>) -> Result<Written> {
        let owner_roles: Vec<&str> = write.needs_other_owner.iter().map(Role::as_str).collect();
        // `fetch_all`: `fetch_optional` leaves the statement at its first row, and outside a transaction the error of the commit
        // that comes after would be lost.
        let rows = sqlx::query(include_str!("sqlite/write.sql"))
            .bind(write.user.as_str())
            .bind(write.scope.kind().as_str())
            .bind(write.scope.id().as_str())
            .bind(write.expected)
            .bind(write.standing.role.as_str())
            .bind(write.standing.state.as_str())
            .bind(write.standing.expires_at.map(|at| at.timestamp_micros()))
            .bind(write.verb.as_str())
            .bind(write.by.actor().as_str())
            .bind(write.by.reason().map(Reason::as_str))
            .bind(serde_json::json!(owner_roles).to_string())
            .fetch_all(&mut *conn)
            .await?;
        match rows.first() {
            Some(row) => Ok(Written::Done { version: row.try_get("version")?, at: time(row.try_get("changed_at")?)? }),
            None if version(conn, write).await? == write.expected => Ok(Written::LastOwner),
            None => Ok(Written::Stale),
        }
    }

    async fn find_many(&self, conn: &mut SqliteConnection, pairs: &[(UserId, Scope)]) -> Result<Vec<Option<Member>>> {
        let keys: Vec<_> =
            pairs.iter().map(|(user, scope)| [user.as_str(), scope.kind().as_str(), scope.id().as_str()]).collect();
        // Only the rows that are there, each with its place: that of an absent one would be empty.
        let rows = sqlx::query(
            r#"
            SELECT pair.key AS place, role, state, expires_at, version, CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS read_at
            FROM json_each($1) AS pair
            CROSS JOIN memberships_membership AS membership
                ON membership.user_id = pair.value ->> 0
                AND membership.scope_type = pair.value ->> 1
                AND membership.scope_id = pair.value ->> 2
            "#,
        )
        .bind(serde_json::json!(keys).to_string())
        .fetch_all(conn)
        .await?;
        let mut members = vec![None; pairs.len()];
        for row in &rows {
            let place = row.try_get::<u32, _>("place")? as usize;
            let (user, scope) = pairs[place].clone();
            let standing = standing(row, "role", "state", "expires_at")?;
            let read_at = time(row.try_get("read_at")?)?;
            members[place] = Some(Member::new(user, scope, standing, row.try_get("version")?, read_at));
        }
        Ok(members)
    }

    async fn list_by_user(
        &self,
        conn: &mut SqliteConnection,
        user: &UserId,
        filter: &Filter,
        after: Option<&Scope>,
        limit: u32,
    ) -> Result<Vec<Member>> {
        // Every scope is greater than that of the empty texts, which is none.
        sqlx::query(
            r#"
            SELECT user_id, scope_type, scope_id, role, state, expires_at, version, CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS read_at
            FROM memberships_membership
            WHERE user_id = $1 AND (scope_type, scope_id) > ($2, $3)
                AND state = $4 AND coalesce(expires_at <= CAST(unixepoch('subsec') * 1000000 AS INTEGER), false) = $5
                AND ($6 IS NULL OR role = $6)
                AND ($7 IS NULL OR scope_type = $7)
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
        conn: &mut SqliteConnection,
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
            SELECT user_id, scope_type, scope_id, role, state, expires_at, version, CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS read_at
            FROM memberships_membership
            WHERE scope_type = $1 AND scope_id = $2 AND state = $3 AND (role, user_id) > ($4, $5) AND role <= $6
                AND coalesce(expires_at <= CAST(unixepoch('subsec') * 1000000 AS INTEGER), false) = $7
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

    async fn count(&self, conn: &mut SqliteConnection, scope: &Scope, filter: &Filter) -> Result<u64> {
        if filter.excludes(scope) {
            return Ok(0);
        }
        let (first, last) = filter.role_range();
        let count: i64 = sqlx::query_scalar(
            r#"
            SELECT count(*)
            FROM memberships_membership
            WHERE scope_type = $1 AND scope_id = $2 AND state = $3 AND role >= $4 AND role <= $5
                AND coalesce(expires_at <= CAST(unixepoch('subsec') * 1000000 AS INTEGER), false) = $6
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
        conn: &mut SqliteConnection,
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

    async fn changes(&self, conn: &mut SqliteConnection, after: &Cursor, limit: u32) -> Result<Changes> {
        // One writer at a time: the order of the ids is the order of commits.
        let after: i64 = match after.position() {
            "" => 0,
            position => position.parse().ok().filter(|id| *id >= 0).ok_or(Error::Cursor)?,
        };
        // Without an event there is one row all the same, which tells the last id ever given out.
        let rows = sqlx::query(
            r#"
            SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'memberships_transition'), 0) AS latest, page.*
            FROM (SELECT 1)
            LEFT JOIN (SELECT * FROM memberships_transition WHERE id > $1 ORDER BY id LIMIT $2) AS page
            ORDER BY page.id
            "#,
        )
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?;
        let Some(last) = rows.last() else { return Err(Error::Corrupt { what: "feed" }) };
        if after > last.try_get("latest")? {
            return Err(Error::Cursor);
        }
        let last_id = last.try_get::<Option<i64>, _>("id")?;
        let events = rows.iter().filter(|_| last_id.is_some()).map(event).collect::<Result<_>>()?;
        Ok(Changes { events, next: Cursor::new(last_id.unwrap_or(after).to_string()) })
    }

    async fn latest(&self, conn: &mut SqliteConnection) -> Result<Cursor> {
        let latest: Option<i64> =
            sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'memberships_transition'")
                .fetch_optional(conn)
                .await?;
        Ok(Cursor::new(latest.unwrap_or(0).to_string()))
    }

    async fn import(&self, conn: &mut SqliteConnection, load: &Load<'_>) -> Result<Option<Imported>> {
        let rows: Vec<_> = load.rows.iter().map(fields).collect();
        let rows = serde_json::Value::from(rows).to_string();
        let touched: BTreeSet<_> = load.rows.iter().map(ImportRow::scope).collect();
        let touched: Vec<_> = touched.iter().map(|scope| [scope.kind().as_str(), scope.id().as_str()]).collect();
        let touched = serde_json::json!(touched).to_string();
        let owner_roles: Vec<_> =
            load.owner_roles.iter().map(|(scope_type, role)| [scope_type.as_str(), role.as_str()]).collect();
        let owner_roles = serde_json::json!(owner_roles).to_string();

        // It reads before it writes: outside a transaction, a deferred one would fail at once if somebody wrote in between.
        let mut tx =
            if conn.is_in_transaction() { conn.begin().await? } else { conn.begin_with("BEGIN IMMEDIATE").await? };
        let owned = owned_scopes(&mut tx, &touched, &owner_roles).await?;
        let versions: Vec<i64> = sqlx::query_scalar(include_str!("sqlite/import.sql"))
            .bind(&rows)
            .bind(load.by.actor().as_str())
            .bind(load.by.reason().map(Reason::as_str))
            .bind(load.lifts_bans)
            .fetch_all(&mut *tx)
            .await?;
        // What still differs was kept.
        let kept_banned: i64 = sqlx::query_scalar(
            r#"
            SELECT count(*)
            FROM json_each($1) AS given
            JOIN memberships_membership AS membership
                ON membership.user_id = given.value ->> 0
                AND membership.scope_type = given.value ->> 1
                AND membership.scope_id = given.value ->> 2
            WHERE (membership.role, membership.state, membership.expires_at)
                IS NOT (given.value ->> 3, given.value ->> 4, given.value ->> 5)
            "#,
        )
        .bind(&rows)
        .fetch_one(&mut *tx)
        .await?;
        if !owned.is_subset(&owned_scopes(&mut tx, &touched, &owner_roles).await?) {
            tx.rollback().await?;
            return Ok(None);
        }
        tx.commit().await?;
        let created = versions.iter().filter(|version| **version == 1).count() as u64;
        let updated = versions.len() as u64 - created;
        let kept_banned = kept_banned.cast_unsigned(); // a count is never negative
        let unchanged = (load.rows.len() as u64).saturating_sub(created + updated + kept_banned);
        Ok(Some(Imported { created, updated, unchanged, kept_banned }))
    }

    async fn purge(&self, conn: &mut SqliteConnection, user: &UserId) -> Result<Removed> {
        let mut tx = conn.begin().await?;
        let rows = sqlx::query(
            r#"
            DELETE FROM memberships_membership
            WHERE user_id = $1
            RETURNING user_id, scope_type, scope_id, role, state, expires_at, version, CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS read_at
            "#,
        )
        .bind(user.as_str())
        .fetch_all(&mut *tx)
        .await?;
        let members: Vec<_> = rows.iter().map(member).collect::<Result<_>>()?;
        let forgotten = sqlx::query("DELETE FROM memberships_transition WHERE user_id = $1")
            .bind(user.as_str())
            .execute(&mut *tx)
            .await?;
        let unnamed = sqlx::query("UPDATE memberships_transition SET actor = NULL WHERE actor = $1")
            .bind(user.as_str())
            .execute(&mut *tx)
            .await?;
        let scopes: Vec<_> =
            members.iter().map(Member::scope).map(|scope| [scope.kind().as_str(), scope.id().as_str()]).collect();
        sqlx::query(
            r#"
            INSERT INTO memberships_transition (scope_type, scope_id, verb, changed_at)
            SELECT value ->> 0, value ->> 1, 'purge', CAST(unixepoch('subsec') * 1000000 AS INTEGER)
            FROM json_each($1)
            "#,
        )
        .bind(serde_json::json!(scopes).to_string())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Removed { members, transitions: forgotten.rows_affected(), mentions: unnamed.rows_affected() })
    }
}

async fn version(conn: &mut SqliteConnection, write: &Write<'_>) -> Result<Option<i64>> {
    let version = sqlx::query_scalar(
        r#"
        SELECT version
        FROM memberships_membership
        WHERE user_id = $1 AND scope_type = $2 AND scope_id = $3
        "#,
    )
    .bind(write.user.as_str())
    .bind(write.scope.kind().as_str())
    .bind(write.scope.id().as_str())
    .fetch_optional(conn)
    .await?;
    Ok(version)
}

fn fields(row: &ImportRow) -> serde_json::Value {
    let (scope, standing) = (row.scope(), row.standing());
    serde_json::json!([
        row.user().as_str(),
        scope.kind().as_str(),
        scope.id().as_str(),
        standing.role.as_str(),
        standing.state.as_str(),
        standing.expires_at.map(|at| at.timestamp_micros()),
    ])
}

/// Returns those of the scopes that have an owner.
async fn owned_scopes(
    conn: &mut SqliteConnection,
    scopes: &str,
    owner_roles: &str,
) -> Result<BTreeSet<(String, String)>> {
    // A cross join is one whose order SQLite keeps. In its own it would read every member of a scope to find the owners.
    let owned: Vec<_> = sqlx::query_as(
        r#"
        SELECT DISTINCT scope_type, scope_id
        FROM json_each($1) AS scope
        CROSS JOIN json_each($2) AS owner_role
            ON owner_role.value ->> 0 = scope.value ->> 0
        CROSS JOIN memberships_membership
            ON scope_type = scope.value ->> 0 AND scope_id = scope.value ->> 1
            AND state = 'active' AND role = owner_role.value ->> 1
        WHERE expires_at IS NULL OR expires_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER)
        "#,
    )
    .bind(scopes)
    .bind(owner_roles)
    .fetch_all(conn)
    .await?;
    Ok(owned.into_iter().collect())
}

/// An expired membership is stored as an active one.
fn stored_state(state: State) -> &'static str {
    match state {
        State::Expired => State::Active.as_str(),
        state => state.as_str(),
    }
}

fn member(row: &SqliteRow) -> Result<Member> {
    let version = row.try_get("version")?;
    Ok(Member::new(
        user(row)?,
        scope(row)?,
        standing(row, "role", "state", "expires_at")?,
        version,
        time(row.try_get("read_at")?)?,
    ))
}

fn transition(row: &SqliteRow) -> Result<Transition> {
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
        at: time(row.try_get("changed_at")?)?,
    })
}

fn event(row: &SqliteRow) -> Result<Event> {
    match row.try_get::<Option<&str>, _>("user_id")? {
        Some(_) => Ok(Event::Changed(transition(row)?)),
        None => Ok(Event::Purged { scope: scope(row)?, at: time(row.try_get("changed_at")?)? }),
    }
}

fn user(row: &SqliteRow) -> Result<UserId> {
    UserId::new(row.try_get::<&str, _>("user_id")?).map_err(|_| Error::Corrupt { what: "user id" })
}

fn scope(row: &SqliteRow) -> Result<Scope> {
    let kind = ScopeType::new(row.try_get::<&str, _>("scope_type")?);
    let id = ScopeId::new(row.try_get::<&str, _>("scope_id")?);
    Ok(Scope::new(
        kind.map_err(|_| Error::Corrupt { what: "scope type" })?,
        id.map_err(|_| Error::Corrupt { what: "scope id" })?,
    ))
}

fn standing(row: &SqliteRow, role: &str, state: &str, expires_at: &str) -> Result<Standing> {
    Ok(Standing {
        role: Role::new(row.try_get::<&str, _>(role)?).map_err(|_| Error::Corrupt { what: "role" })?,
        state: State::stored(row.try_get(state)?)?,
        expires_at: row.try_get::<Option<i64>, _>(expires_at)?.map(time).transpose()?,
    })
}

fn time(micros: i64) -> Result<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros).ok_or(Error::Corrupt { what: "time" })
}

impl Source for SqlitePool {
    type Connection = SqliteConnection;
    type Guard = sqlx::pool::PoolConnection<sqlx::Sqlite>;
    type Transaction = sqlx::Transaction<'static, sqlx::Sqlite>;

    async fn acquire(&self) -> Result<Self::Guard> {
        Ok(sqlx::Pool::acquire(self).await?)
    }

    async fn begin(&self) -> Result<Self::Transaction> {
        Ok(self.begin_with("BEGIN IMMEDIATE").await?)
    }

    async fn begin_snapshot(&self) -> Result<Self::Transaction> {
        Ok(sqlx::Pool::begin(self).await?)
    }

    async fn commit(&self, tx: Self::Transaction) -> Result<()> {
        Ok(tx.commit().await?)
    }
}
