//! The SQLite backend.

use std::sync::LazyLock;

use serde::Serialize;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqlStr, SqliteConnection, SqlitePool};
use uuid::Uuid;

use crate::{
    Actor, Body, ClientAddress, Entity, EntityId, EntityType, Entry, Error, Record, RecordId, RequestContext, Result,
    Source, Store, Trust,
};

/// Keeps records in SQLite. A transaction that writes must begin with `BEGIN IMMEDIATE`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sqlite;

/// The schema of this crate, oldest change first. Released entries never change.
pub static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator =
        Migrator::with_migrations(vec![migration(1, "initial", include_str!("../migrations/sqlite/0001_initial.sql"))]);
    migrator.dangerous_set_table_name("_stoa_audit_migrations"); // our own table: never the host's
    migrator
});

fn migration(version: i64, name: &'static str, sql: &'static str) -> Migration {
    Migration::new(version, name.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
}

/// Selects whole records, as [`entry`] reads them.
macro_rules! select {
    ($conditions:literal) => {
        concat!(
            r#"
            SELECT
                id, at, action, actor_kind, actor_id, impersonator_id, on_behalf_of_id, outcome,
                entity_type, entity_id, scope_type, scope_id, request_id, trace_id,
                client_ip, client_trust, before, after
            FROM audit_record
            "#,
            $conditions
        )
    };
}

impl Store for Sqlite {
    type Connection = SqliteConnection;

    async fn append(&self, conn: &mut SqliteConnection, id: RecordId, record: &Record) -> Result<()> {
        let columns = Columns::of(id, record);
        sqlx::query(
            r#"
            INSERT INTO audit_record (
                id, at, action, actor_kind, actor_id, impersonator_id, on_behalf_of_id, outcome,
                entity_type, entity_id, scope_type, scope_id, request_id, trace_id,
                client_ip, client_trust, before, after
            )
            VALUES (
                $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
                $15, $16, $17, $18
            )
            "#,
        )
        .bind(columns.id)
        .bind(columns.at)
        .bind(columns.action)
        .bind(columns.actor_kind)
        .bind(columns.actor_id)
        .bind(columns.impersonator_id)
        .bind(columns.on_behalf_of_id)
        .bind(columns.outcome)
        .bind(columns.entity_type)
        .bind(columns.entity_id)
        .bind(columns.scope_type)
        .bind(columns.scope_id)
        .bind(columns.request_id)
        .bind(columns.trace_id)
        .bind(columns.client_ip)
        .bind(columns.client_trust)
        .bind(columns.before)
        .bind(columns.after)
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn append_many(&self, conn: &mut SqliteConnection, records: &[(RecordId, &Record)]) -> Result<()> {
        let rows: Vec<Columns<'_>> = records.iter().map(|&(id, record)| Columns::of(id, record)).collect();
        let rows = serde_json::to_string(&rows).map_err(|error| Error::Backend(error.into()))?;
        // Ordered by `key`, the place in the list, so that `seq` follows the caller's order.
        sqlx::query(
            r#"
            INSERT INTO audit_record (
                id, at, action, actor_kind, actor_id, impersonator_id, on_behalf_of_id, outcome,
                entity_type, entity_id, scope_type, scope_id, request_id, trace_id,
                client_ip, client_trust, before, after
            )
            SELECT
                unhex(value ->> 'id', '-'), value ->> 'at', value ->> 'action', value ->> 'actor_kind', value ->> 'actor_id',
                value ->> 'impersonator_id', value ->> 'on_behalf_of_id', value ->> 'outcome',
                value ->> 'entity_type', value ->> 'entity_id', value ->> 'scope_type', value ->> 'scope_id',
                value ->> 'request_id', value ->> 'trace_id', value ->> 'client_ip', value ->> 'client_trust',
                value ->> 'before', value ->> 'after'
            FROM json_each($1)
            ORDER BY key
            "#,
        )
        .bind(rows)
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn find(&self, conn: &mut SqliteConnection, id: RecordId) -> Result<Option<Entry>> {
        let row = sqlx::query(select!("WHERE id = $1")).bind(id.as_uuid()).fetch_optional(conn).await?;
        row.as_ref().map(entry).transpose()
    }

    async fn list_by_entity(
        &self,
        conn: &mut SqliteConnection,
        entity: &Entity,
        before: RecordId,
        limit: u32,
    ) -> Result<Vec<Entry>> {
        let rows = sqlx::query(select!(
            "WHERE entity_type = $1 AND entity_id = $2 AND id < $3
            ORDER BY id DESC
            LIMIT $4"
        ))
        .bind(entity.kind().as_str())
        .bind(entity.id().as_str())
        .bind(before.as_uuid())
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?;
        rows.iter().map(entry).collect()
    }

    async fn list_recent(&self, conn: &mut SqliteConnection, before: RecordId, limit: u32) -> Result<Vec<Entry>> {
        let rows = sqlx::query(select!(
            "WHERE id < $1
            ORDER BY id DESC
            LIMIT $2"
        ))
        .bind(before.as_uuid())
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?;
        rows.iter().map(entry).collect()
    }
}

impl Source for SqlitePool {
    type Connection = SqliteConnection;
    type Guard = sqlx::pool::PoolConnection<sqlx::Sqlite>;
    type Transaction = sqlx::Transaction<'static, sqlx::Sqlite>;

    async fn acquire(&self) -> Result<Self::Guard> {
        Ok(SqlitePool::acquire(self).await?)
    }

    async fn begin(&self) -> Result<Self::Transaction> {
        Ok(self.begin_with("BEGIN IMMEDIATE").await?)
    }

    async fn begin_snapshot(&self) -> Result<Self::Transaction> {
        Ok(SqlitePool::begin(self).await?)
    }

    async fn commit(&self, tx: Self::Transaction) -> Result<()> {
        Ok(tx.commit().await?)
    }
}

/// One record as the columns that hold it.
#[derive(Serialize)]
struct Columns<'a> {
    id: Uuid,
    at: i64,
    action: &'a str,
    actor_kind: &'static str,
    actor_id: &'a str,
    impersonator_id: Option<&'a str>,
    on_behalf_of_id: Option<&'a str>,
    outcome: &'static str,
    entity_type: &'a str,
    entity_id: &'a str,
    scope_type: Option<&'a str>,
    scope_id: Option<&'a str>,
    request_id: Option<&'a str>,
    trace_id: Option<&'a str>,
    client_ip: Option<String>,
    client_trust: Option<&'static str>,
    before: Option<&'a str>,
    after: Option<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(id: RecordId, record: &'a Record) -> Self {
        let (scope, request) = (record.scope.as_ref(), &record.request);
        Self {
            id: *id.as_uuid(),
            at: id.at().timestamp_micros(),
            action: record.action.as_str(),
            actor_kind: record.actor.kind(),
            actor_id: record.actor.id(),
            impersonator_id: record.impersonator.as_ref().map(AsRef::as_ref),
            on_behalf_of_id: record.on_behalf_of.as_ref().map(AsRef::as_ref),
            outcome: record.outcome.as_str(),
            entity_type: record.entity.kind().as_str(),
            entity_id: record.entity.id().as_str(),
            scope_type: scope.map(|scope| scope.kind().as_str()),
            scope_id: scope.map(|scope| scope.id().as_str()),
            request_id: request.request_id.as_ref().map(AsRef::as_ref),
            trace_id: request.trace_id.as_ref().map(AsRef::as_ref),
            client_ip: request.client.map(|client| client.ip.to_string()),
            client_trust: request.client.map(|client| client.trust.as_str()),
            before: record.before.as_ref().map(AsRef::as_ref),
            after: record.after.as_ref().map(AsRef::as_ref),
        }
    }
}

fn entry(row: &SqliteRow) -> Result<Entry> {
    let id = corrupt("id", RecordId::try_from(row.try_get::<Uuid, _>("id")?))?;
    if id.at().timestamp_micros() != row.try_get::<i64, _>("at")? {
        return Err(Error::Corrupt { what: "at" });
    }
    let actor = Actor::from_parts(row.try_get("actor_kind")?, row.try_get("actor_id")?);
    let record = Record {
        action: parsed(row, "action")?,
        actor: corrupt("actor", actor)?,
        impersonator: optional(row, "impersonator_id")?,
        on_behalf_of: optional(row, "on_behalf_of_id")?,
        outcome: parsed(row, "outcome")?,
        entity: Entity::new(parsed(row, "entity_type")?, parsed::<EntityId>(row, "entity_id")?),
        scope: scope(row)?,
        request: RequestContext {
            request_id: optional(row, "request_id")?,
            trace_id: optional(row, "trace_id")?,
            client: client(row)?,
        },
        before: row.try_get::<Option<String>, _>("before")?.map(Body::from_stored),
        after: row.try_get::<Option<String>, _>("after")?.map(Body::from_stored),
    };
    Ok(Entry { id, record })
}

fn scope(row: &SqliteRow) -> Result<Option<Entity>> {
    match (optional::<EntityType>(row, "scope_type")?, optional::<EntityId>(row, "scope_id")?) {
        (Some(kind), Some(id)) => Ok(Some(Entity::new(kind, id))),
        (None, None) => Ok(None),
        _ => Err(Error::Corrupt { what: "scope" }),
    }
}

fn client(row: &SqliteRow) -> Result<Option<ClientAddress>> {
    match (row.try_get::<Option<&str>, _>("client_ip")?, optional::<Trust>(row, "client_trust")?) {
        (Some(ip), Some(trust)) => Ok(Some(ClientAddress { ip: corrupt("client_ip", ip.parse())?, trust })),
        (None, None) => Ok(None),
        _ => Err(Error::Corrupt { what: "client" }),
    }
}

fn parsed<'r, T: TryFrom<&'r str>>(row: &'r SqliteRow, name: &'static str) -> Result<T> {
    corrupt(name, T::try_from(row.try_get(name)?))
}

fn optional<'r, T: TryFrom<&'r str>>(row: &'r SqliteRow, name: &'static str) -> Result<Option<T>> {
    corrupt(name, row.try_get::<Option<&str>, _>(name)?.map(T::try_from).transpose())
}

fn corrupt<T, E>(what: &'static str, parsed: Result<T, E>) -> Result<T> {
    parsed.map_err(|_| Error::Corrupt { what })
}
