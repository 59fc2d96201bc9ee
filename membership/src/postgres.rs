//! The PostgreSQL backend.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row, SqlStr};

use crate::{
    Error, Member, Reason, Result, Role, Scope, ScopeId, ScopeType, Source, Standing, State, Store, UserId, Write,
    Written,
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
        match write.expected {
            None => insert(conn, write).await,
            Some(expected) if write.needs_other_owner.is_empty() => update(conn, write, expected).await,
            Some(expected) => update_guarded(conn, write, expected).await,
        }
    }

    async fn list_by_user(&self, conn: &mut PgConnection, user: &UserId) -> Result<Vec<Member>> {
        sqlx::query(
            r#"
            SELECT user_id, scope_type, scope_id, role, state, expires_at, version, statement_timestamp() AS read_at
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
        conn: &mut PgConnection,
        scope: &Scope,
        after: Option<&UserId>,
        limit: u32,
    ) -> Result<Vec<Member>> {
        // Every user id is greater than the empty text, which is none.
        sqlx::query(
            r#"
            SELECT user_id, scope_type, scope_id, role, state, expires_at, version, statement_timestamp() AS read_at
            FROM memberships_membership
            WHERE scope_type = $1 AND scope_id = $2 AND state = 'active' AND user_id > $3
                AND (expires_at IS NULL OR expires_at > statement_timestamp())
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

    async fn count(&self, conn: &mut PgConnection, scope: &Scope) -> Result<u64> {
        let count: i64 = sqlx::query_scalar(
            r#"
            SELECT count(*)
            FROM memberships_membership
            WHERE scope_type = $1 AND scope_id = $2 AND state = 'active'
                AND (expires_at IS NULL OR expires_at > statement_timestamp())
            "#,
        )
        .bind(scope.kind().as_str())
        .bind(scope.id().as_str())
        .fetch_one(conn)
        .await?;
        Ok(count.cast_unsigned()) // a count is never negative
    }
}

async fn insert(conn: &mut PgConnection, write: &Write<'_>) -> Result<Written> {
    let row = sqlx::query(
        r#"
        INSERT INTO memberships_membership
            (user_id, scope_type, scope_id, role, state, expires_at, version, changed_by, reason, created_at, changed_at)
        VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $8, statement_timestamp(), statement_timestamp())
        ON CONFLICT DO NOTHING
        RETURNING version, changed_at
        "#,
    )
    .bind(write.user.as_str())
    .bind(write.scope.kind().as_str())
    .bind(write.scope.id().as_str())
    .bind(write.standing.role.as_str())
    .bind(write.standing.state.as_str())
    .bind(write.standing.expires_at)
    .bind(write.by.actor().as_str())
    .bind(write.by.reason().map(Reason::as_str))
    .fetch_optional(conn)
    .await?;
    row.map_or(Ok(Written::Stale), |row| done(&row))
}

async fn update(conn: &mut PgConnection, write: &Write<'_>, expected: i64) -> Result<Written> {
    // The row is locked before its version is compared, so that a caller in a transaction who finds it stale holds it by
    // then and succeeds at the second attempt.
    let row = sqlx::query(
        r#"
        WITH held AS MATERIALIZED (
            SELECT version
            FROM memberships_membership
            WHERE user_id = $1 AND scope_type = $2 AND scope_id = $3
            FOR UPDATE
        )
        UPDATE memberships_membership AS membership
        SET role = $5, state = $6, expires_at = $7, version = membership.version + 1,
            changed_by = $8, reason = $9, changed_at = statement_timestamp()
        FROM held
        WHERE user_id = $1 AND scope_type = $2 AND scope_id = $3 AND held.version = $4
        RETURNING membership.version, changed_at
        "#,
    )
    .bind(write.user.as_str())
    .bind(write.scope.kind().as_str())
    .bind(write.scope.id().as_str())
    .bind(expected)
    .bind(write.standing.role.as_str())
    .bind(write.standing.state.as_str())
    .bind(write.standing.expires_at)
    .bind(write.by.actor().as_str())
    .bind(write.by.reason().map(Reason::as_str))
    .fetch_optional(conn)
    .await?;
    row.map_or(Ok(Written::Stale), |row| done(&row))
}

async fn update_guarded(conn: &mut PgConnection, write: &Write<'_>, expected: i64) -> Result<Written> {
    // A count of the other owners without locks would let two owners leave at once (write skew). All owners' rows and the
    // written one are locked in the order of their users: whoever comes second waits, and then counts what is left.
    let roles: Vec<&str> = write.needs_other_owner.iter().map(Role::as_str).collect();
    let row = sqlx::query(
        r#"
        WITH held AS MATERIALIZED (
            SELECT user_id, version
            FROM memberships_membership
            WHERE scope_type = $2 AND scope_id = $3 AND state = 'active'
                AND (user_id = $1 OR role = ANY($10) AND (expires_at IS NULL OR expires_at > statement_timestamp()))
            ORDER BY user_id
            FOR UPDATE
        ),
        verdict AS (
            SELECT
                EXISTS (SELECT FROM held WHERE user_id = $1 AND version = $4) AS is_current,
                EXISTS (SELECT FROM held WHERE user_id <> $1) AS is_owned
        ),
        updated AS (
            UPDATE memberships_membership AS membership
            SET role = $5, state = $6, expires_at = $7, version = membership.version + 1,
                changed_by = $8, reason = $9, changed_at = statement_timestamp()
            FROM verdict
            WHERE user_id = $1 AND scope_type = $2 AND scope_id = $3 AND is_current AND is_owned
            RETURNING membership.version, changed_at
        )
        SELECT is_current, is_owned, version, changed_at
        FROM verdict LEFT JOIN updated ON true
        "#,
    )
    .bind(write.user.as_str())
    .bind(write.scope.kind().as_str())
    .bind(write.scope.id().as_str())
    .bind(expected)
    .bind(write.standing.role.as_str())
    .bind(write.standing.state.as_str())
    .bind(write.standing.expires_at)
    .bind(write.by.actor().as_str())
    .bind(write.by.reason().map(Reason::as_str))
    .bind(roles)
    .fetch_one(conn)
    .await?;
    if !row.try_get::<bool, _>("is_current")? {
        return Ok(Written::Stale);
    }
    if !row.try_get::<bool, _>("is_owned")? {
        return Ok(Written::LastOwner);
    }
    done(&row)
}

fn done(row: &PgRow) -> Result<Written> {
    Ok(Written::Done { version: row.try_get("version")?, at: row.try_get("changed_at")? })
}

fn member(row: &PgRow) -> Result<Member> {
    let standing = Standing {
        role: Role::new(row.try_get::<&str, _>("role")?).map_err(|_| Error::Corrupt { what: "role" })?,
        state: State::try_from(row.try_get::<&str, _>("state")?)?,
        expires_at: row.try_get::<Option<DateTime<Utc>>, _>("expires_at")?,
    };
    let scope_type =
        ScopeType::new(row.try_get::<&str, _>("scope_type")?).map_err(|_| Error::Corrupt { what: "scope type" })?;
    let scope_id =
        ScopeId::new(row.try_get::<&str, _>("scope_id")?).map_err(|_| Error::Corrupt { what: "scope id" })?;
    let user = UserId::new(row.try_get::<&str, _>("user_id")?).map_err(|_| Error::Corrupt { what: "user id" })?;
    Ok(Member::new(user, Scope::new(scope_type, scope_id), standing, row.try_get("version")?, row.try_get("read_at")?))
}

impl Source for PgPool {
    type Connection = PgConnection;
    type Guard = sqlx::pool::PoolConnection<sqlx::Postgres>;
    type Transaction = sqlx::Transaction<'static, sqlx::Postgres>;

    async fn acquire(&self) -> Result<Self::Guard> {
        Ok(sqlx::Pool::acquire(self).await?)
    }

    async fn begin(&self) -> Result<Self::Transaction> {
        Ok(self.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?)
    }

    async fn begin_snapshot(&self) -> Result<Self::Transaction> {
        Ok(self.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
    }

    async fn commit(&self, tx: Self::Transaction) -> Result<()> {
        Ok(tx.commit().await?)
    }
}
