//! The PostgreSQL backend.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row, SqlStr};
use uuid::Uuid;

use crate::{
    Actor, Body, ClientAddress, Entity, EntityId, EntityType, Entry, Error, Record, RecordId, RequestContext, Result,
    Source, Store, Trust,
};

/// Keeps records in PostgreSQL 15 or later.
#[derive(Clone, Copy, Debug, Default)]
pub struct Postgres;

/// The schema of this crate, oldest change first. Released entries never change.
pub static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = Migrator::with_migrations(vec![migration(
        1,
        "initial",
        include_str!("../migrations/postgres/0001_initial.sql"),
    )]);
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
                host(client_ip) AS client_ip, client_trust, before::text AS before, after::text AS after
            FROM audit_record
            "#,
            $conditions
        )
    };
}

impl Store for Postgres {
    type Connection = PgConnection;

    async fn append(&self, conn: &mut PgConnection, id: RecordId, record: &Record) -> Result<()> {
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
                $15::inet, $16, $17::json, $18::json
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

    async fn append_many(&self, conn: &mut PgConnection, records: &[(RecordId, &Record)]) -> Result<()> {
        let rows: Vec<Columns<'_>> = records.iter().map(|&(id, record)| Columns::of(id, record)).collect();
        sqlx::query(
            r#"
            INSERT INTO audit_record (
                id, at, action, actor_kind, actor_id, impersonator_id, on_behalf_of_id, outcome,
                entity_type, entity_id, scope_type, scope_id, request_id, trace_id,
                client_ip, client_trust, before, after
            )
            SELECT
                id, at, action, actor_kind, actor_id, impersonator_id, on_behalf_of_id, outcome,
                entity_type, entity_id, scope_type, scope_id, request_id, trace_id,
                client_ip::inet, client_trust, before::json, after::json
            FROM unnest(
                $1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[],
                $15::text[], $16::text[], $17::text[], $18::text[]
            ) AS record (
                id, at, action, actor_kind, actor_id, impersonator_id, on_behalf_of_id, outcome,
                entity_type, entity_id, scope_type, scope_id, request_id, trace_id,
                client_ip, client_trust, before, after
            )
            "#,
        )
        .bind(column(&rows, |row| row.id))
        .bind(column(&rows, |row| row.at))
        .bind(column(&rows, |row| row.action))
        .bind(column(&rows, |row| row.actor_kind))
        .bind(column(&rows, |row| row.actor_id))
        .bind(column(&rows, |row| row.impersonator_id))
        .bind(column(&rows, |row| row.on_behalf_of_id))
        .bind(column(&rows, |row| row.outcome))
        .bind(column(&rows, |row| row.entity_type))
        .bind(column(&rows, |row| row.entity_id))
        .bind(column(&rows, |row| row.scope_type))
        .bind(column(&rows, |row| row.scope_id))
        .bind(column(&rows, |row| row.request_id))
        .bind(column(&rows, |row| row.trace_id))
        .bind(column(&rows, |row| row.client_ip.clone()))
        .bind(column(&rows, |row| row.client_trust))
        .bind(column(&rows, |row| row.before))
        .bind(column(&rows, |row| row.after))
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn find(&self, conn: &mut PgConnection, id: RecordId) -> Result<Option<Entry>> {
        // The id says when it was minted, and so in which partition the record is.
        let row = sqlx::query(select!("WHERE at = $1 AND id = $2"))
            .bind(id.at())
            .bind(id.as_uuid())
            .fetch_optional(conn)
            .await?;
        row.as_ref().map(entry).transpose()
    }

    async fn list_by_entity(
        &self,
        conn: &mut PgConnection,
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

    async fn list_recent(&self, conn: &mut PgConnection, before: RecordId, limit: u32) -> Result<Vec<Entry>> {
        // By time and id, as in the primary key; it is the order of ids, for an id begins with its time.
        let rows = sqlx::query(select!(
            "WHERE (at, id) < ($1, $2)
            ORDER BY at DESC, id DESC
            LIMIT $3"
        ))
        .bind(before.at())
        .bind(before.as_uuid())
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?;
        rows.iter().map(entry).collect()
    }
}

impl Source for PgPool {
    type Connection = PgConnection;
    type Guard = sqlx::pool::PoolConnection<sqlx::Postgres>;
    type Transaction = sqlx::Transaction<'static, sqlx::Postgres>;

    async fn acquire(&self) -> Result<Self::Guard> {
        Ok(PgPool::acquire(self).await?)
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

/// One record as the columns that hold it.
struct Columns<'a> {
    id: Uuid,
    at: DateTime<Utc>,
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
            at: id.at(),
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

fn column<'a, T>(rows: &[Columns<'a>], value: impl Fn(&Columns<'a>) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

fn entry(row: &PgRow) -> Result<Entry> {
    let id = corrupt("id", RecordId::try_from(row.try_get::<Uuid, _>("id")?))?;
    if id.at() != row.try_get::<DateTime<Utc>, _>("at")? {
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

fn scope(row: &PgRow) -> Result<Option<Entity>> {
    match (optional::<EntityType>(row, "scope_type")?, optional::<EntityId>(row, "scope_id")?) {
        (Some(kind), Some(id)) => Ok(Some(Entity::new(kind, id))),
        (None, None) => Ok(None),
        _ => Err(Error::Corrupt { what: "scope" }),
    }
}

fn client(row: &PgRow) -> Result<Option<ClientAddress>> {
    match (row.try_get::<Option<&str>, _>("client_ip")?, optional::<Trust>(row, "client_trust")?) {
        (Some(ip), Some(trust)) => Ok(Some(ClientAddress { ip: corrupt("client_ip", ip.parse())?, trust })),
        (None, None) => Ok(None),
        _ => Err(Error::Corrupt { what: "client" }),
    }
}

fn parsed<'r, T: TryFrom<&'r str>>(row: &'r PgRow, name: &'static str) -> Result<T> {
    corrupt(name, T::try_from(row.try_get(name)?))
}

fn optional<'r, T: TryFrom<&'r str>>(row: &'r PgRow, name: &'static str) -> Result<Option<T>> {
    corrupt(name, row.try_get::<Option<&str>, _>(name)?.map(T::try_from).transpose())
}

fn corrupt<T, E>(what: &'static str, parsed: Result<T, E>) -> Result<T> {
    parsed.map_err(|_| Error::Corrupt { what })
}
