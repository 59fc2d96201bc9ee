//! The SQLite backend.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqlStr, SqliteConnection, SqlitePool};

use crate::{
    Error, Member, Reason, Result, Role, Scope, ScopeId, ScopeType, Source, Standing, State, Store, UserId, Write,
    Written,
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
        match write.expected {
            None => insert(conn, write).await,
            Some(expected) if write.needs_other_owner.is_empty() => update(conn, write, expected).await,
            Some(expected) => update_guarded(conn, write, expected).await,
        }
    }

    async fn list_by_user(&self, conn: &mut SqliteConnection, user: &UserId) -> Result<Vec<Member>> {
        sqlx::query(
            r#"
            SELECT user_id, scope_type, scope_id, role, state, expires_at, version, CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS read_at
            FROM memberships_membership
            WHERE user_id = $1
            ORDER BY scope_type, scope_id
            "#,
        )
        .bind(user.as_str())
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
        after: Option<&UserId>,
        limit: u32,
    ) -> Result<Vec<Member>> {
        // Every user id is greater than the empty text, which is none.
        sqlx::query(
            r#"
            SELECT user_id, scope_type, scope_id, role, state, expires_at, version, CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS read_at
            FROM memberships_membership
            WHERE scope_type = $1 AND scope_id = $2 AND state = 'active' AND user_id > $3
                AND (expires_at IS NULL OR expires_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER))
            ORDER BY user_id
            LIMIT $4
            "#,
        )
        .bind(scope.kind().as_str())
        .bind(scope.id().as_str())
        .bind(after.map_or("", UserId::as_str))
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?
        .iter()
        .map(member)
        .collect()
    }

    async fn count(&self, conn: &mut SqliteConnection, scope: &Scope) -> Result<u64> {
        let count: i64 = sqlx::query_scalar(
            r#"
            SELECT count(*)
            FROM memberships_membership
            WHERE scope_type = $1 AND scope_id = $2 AND state = 'active'
                AND (expires_at IS NULL OR expires_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER))
            "#,
        )
        .bind(scope.kind().as_str())
        .bind(scope.id().as_str())
        .fetch_one(conn)
        .await?;
        Ok(count.cast_unsigned()) // a count is never negative
    }
}

async fn insert(conn: &mut SqliteConnection, write: &Write<'_>) -> Result<Written> {
    // `fetch_all`, here and below: `fetch_optional` leaves the statement at its first row, and outside a transaction the error
    // of the commit that comes after would be lost.
    let rows = sqlx::query(
        r#"
        INSERT INTO memberships_membership
            (user_id, scope_type, scope_id, role, state, expires_at, version, changed_by, reason, created_at, changed_at)
        VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $8, CAST(unixepoch('subsec') * 1000000 AS INTEGER), CAST(unixepoch('subsec') * 1000000 AS INTEGER))
        ON CONFLICT DO NOTHING
        RETURNING version, changed_at
        "#,
    )
    .bind(write.user.as_str())
    .bind(write.scope.kind().as_str())
    .bind(write.scope.id().as_str())
    .bind(write.standing.role.as_str())
    .bind(write.standing.state.as_str())
    .bind(write.standing.expires_at.map(|at| at.timestamp_micros()))
    .bind(write.by.actor().as_str())
    .bind(write.by.reason().map(Reason::as_str))
    .fetch_all(conn)
    .await?;
    rows.first().map_or(Ok(Written::Stale), done)
}

async fn update(conn: &mut SqliteConnection, write: &Write<'_>, expected: i64) -> Result<Written> {
    let rows = sqlx::query(
        r#"
        UPDATE memberships_membership
        SET role = $5, state = $6, expires_at = $7, version = version + 1,
            changed_by = $8, reason = $9, changed_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER)
        WHERE user_id = $1 AND scope_type = $2 AND scope_id = $3 AND version = $4
        RETURNING version, changed_at
        "#,
    )
    .bind(write.user.as_str())
    .bind(write.scope.kind().as_str())
    .bind(write.scope.id().as_str())
    .bind(expected)
    .bind(write.standing.role.as_str())
    .bind(write.standing.state.as_str())
    .bind(write.standing.expires_at.map(|at| at.timestamp_micros()))
    .bind(write.by.actor().as_str())
    .bind(write.by.reason().map(Reason::as_str))
    .fetch_all(conn)
    .await?;
    rows.first().map_or(Ok(Written::Stale), done)
}

async fn update_guarded(conn: &mut SqliteConnection, write: &Write<'_>, expected: i64) -> Result<Written> {
    // One statement is alone on the database: nobody else can leave between the count and the write.
    let roles: Vec<&str> = write.needs_other_owner.iter().map(Role::as_str).collect();
    let rows = sqlx::query(
        r#"
        UPDATE memberships_membership
        SET role = $5, state = $6, expires_at = $7, version = version + 1,
            changed_by = $8, reason = $9, changed_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER)
        WHERE user_id = $1 AND scope_type = $2 AND scope_id = $3 AND version = $4
            AND EXISTS (
                SELECT 1
                FROM memberships_membership
                WHERE scope_type = $2 AND scope_id = $3 AND state = 'active' AND user_id <> $1
                    AND role IN (SELECT value FROM json_each($10))
                    AND (expires_at IS NULL OR expires_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER))
            )
        RETURNING version, changed_at
        "#,
    )
    .bind(write.user.as_str())
    .bind(write.scope.kind().as_str())
    .bind(write.scope.id().as_str())
    .bind(expected)
    .bind(write.standing.role.as_str())
    .bind(write.standing.state.as_str())
    .bind(write.standing.expires_at.map(|at| at.timestamp_micros()))
    .bind(write.by.actor().as_str())
    .bind(write.by.reason().map(Reason::as_str))
    .bind(serde_json::json!(roles).to_string())
    .fetch_all(&mut *conn)
    .await?;
    match rows.first() {
        Some(row) => done(row),
        None if version(conn, write).await? == Some(expected) => Ok(Written::LastOwner),
        None => Ok(Written::Stale),
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

fn done(row: &SqliteRow) -> Result<Written> {
    Ok(Written::Done { version: row.try_get("version")?, at: time(row.try_get("changed_at")?)? })
}

fn member(row: &SqliteRow) -> Result<Member> {
    let standing = Standing {
        role: Role::new(row.try_get::<&str, _>("role")?).map_err(|_| Error::Corrupt { what: "role" })?,
        state: State::try_from(row.try_get::<&str, _>("state")?)?,
        expires_at: row.try_get::<Option<i64>, _>("expires_at")?.map(time).transpose()?,
    };
    let scope_type =
        ScopeType::new(row.try_get::<&str, _>("scope_type")?).map_err(|_| Error::Corrupt { what: "scope type" })?;
    let scope_id =
        ScopeId::new(row.try_get::<&str, _>("scope_id")?).map_err(|_| Error::Corrupt { what: "scope id" })?;
    let user = UserId::new(row.try_get::<&str, _>("user_id")?).map_err(|_| Error::Corrupt { what: "user id" })?;
    Ok(Member::new(
        user,
        Scope::new(scope_type, scope_id),
        standing,
        row.try_get("version")?,
        time(row.try_get("read_at")?)?,
    ))
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
