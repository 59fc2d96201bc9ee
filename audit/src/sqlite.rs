//! The SQLite backend.

#[cfg(feature = "seal")]
mod log;
mod retention;

use std::future::ready;
use std::sync::LazyLock;

use futures_util::TryStreamExt;
use serde::Serialize;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Connection, Row, SqlStr, SqliteConnection, SqlitePool};
use uuid::Uuid;

use crate::{
    Actions, Actor, Body, ClientAddress, Commitment, Digests, Entity, EntityId, EntityType, Entry, Error, Filter,
    NewRecord, Outcome, Record, RecordId, RequestContext, Result, Source, Store, StoredPrivate, Trust, UserId,
};

pub use retention::prune_before;

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
    ($conditions:expr) => {
        concat!(
            r#"
            SELECT
                record.id, record.at, action, actor_kind, actor_id, impersonator_id, on_behalf_of_id, outcome,
                entity_type, entity_id, scope_type, scope_id, request_id, trace_id, client_trust,
                client_commit, private_commit, before, after, leaf_hash,
                client.subject AS client_subject, client.salt AS client_salt, client.body AS client_body,
                private.subject AS private_subject, private.salt AS private_salt, private.body AS private_body
            FROM audit_record AS record
            LEFT JOIN audit_private AS client ON client.record_id = record.id AND client.part = 'client'
            LEFT JOIN audit_private AS private ON private.record_id = record.id AND private.part = 'personal'
            "#,
            $conditions
        )
    };
}

/// Lists records; the condition that is always there chooses the index.
macro_rules! list {
    ($condition:literal) => {
        select!(concat!(
            "WHERE ",
            $condition,
            r#"
                AND record.id >= $1 AND record.id < $2
                AND ($3 IS NULL OR entity_type = $3 AND entity_id = $4)
                AND ($5 IS NULL OR actor_kind = $5 AND actor_id = $6)
                AND ($7 IS NULL OR scope_type = $7 AND scope_id = $8)
                AND ($9 IS NULL OR action >= $9 AND action <= $10)
                AND ($11 IS NULL OR outcome = $11)
            ORDER BY record.id DESC
            LIMIT $12
            "#
        ))
    };
}

impl Store for Sqlite {
    type Connection = SqliteConnection;

    async fn append(&self, conn: &mut SqliteConnection, record: &NewRecord<'_>) -> Result<RecordId> {
        let columns = Columns::of(record);
        if !record.is_compound() {
            insert_record(conn, &columns).await?;
            return Ok(record.id);
        }
        let mut tx = conn.begin().await?;
        let id = claim_key(&mut tx, &columns).await?.unwrap_or(record.id);
        if id == record.id {
            insert_record(&mut tx, &columns).await?;
            insert_private(&mut tx, &columns, "client").await?;
            insert_private(&mut tx, &columns, "personal").await?;
        }
        tx.commit().await?;
        Ok(id)
    }

    async fn append_many(&self, conn: &mut SqliteConnection, records: &[NewRecord<'_>]) -> Result<Vec<RecordId>> {
        append(conn, records).await
    }

    async fn erase(
        &self,
        conn: &mut SqliteConnection,
        subject: &UserId,
        record: &NewRecord<'_>,
    ) -> Result<(u64, RecordId)> {
        let mut tx = conn.begin().await?;
        let erased = sqlx::query("DELETE FROM audit_private WHERE subject = $1")
            .bind(subject.as_str())
            .execute(&mut *tx)
            .await?
            .rows_affected();
        let id = self.append(&mut tx, record).await?;
        tx.commit().await?;
        Ok((erased, id))
    }

    async fn find(&self, conn: &mut SqliteConnection, id: RecordId) -> Result<Option<Entry>> {
        let row = sqlx::query(select!("WHERE record.id = $1")).bind(id.as_uuid()).fetch_optional(conn).await?;
        row.as_ref().map(entry).transpose()
    }

    async fn list(
        &self,
        conn: &mut SqliteConnection,
        filter: &Filter,
        before: RecordId,
        limit: u32,
    ) -> Result<Vec<Entry>> {
        // Row by row: bodies are in memory once, not as rows and as entries.
        let rows = list(statement(filter), filter, before, limit).fetch(conn).map_err(Error::from);
        rows.and_then(|row| ready(entry(&row))).try_collect().await
    }
}

/// SQLite plans before it knows what is bound, so the condition that finds least is written out. A prefix is looked
/// for in the log itself, which is in order, while its range of names would have to be sorted for each page.
fn statement(filter: &Filter) -> &'static str {
    if filter.entity.is_some() {
        list!("entity_type = $3 AND entity_id = $4")
    } else if filter.actor.is_some() {
        list!("actor_kind = $5 AND actor_id = $6")
    } else if filter.scope.is_some() {
        list!("scope_type = $7 AND scope_id = $8")
    } else if filter.actions.as_ref().is_some_and(|actions| actions.first() == actions.last()) {
        list!("action = $9")
    } else if filter.outcome.is_some_and(|outcome| outcome != Outcome::Succeeded) {
        list!("outcome = $11")
    } else {
        list!("true")
    }
}

fn list<'q>(
    statement: &'static str,
    filter: &'q Filter,
    before: RecordId,
    limit: u32,
) -> Query<'q, sqlx::Sqlite, SqliteArguments> {
    let (since, until) = filter.ids();
    let (until, actor) = (until.min(before), filter.actor.as_ref());
    let (entity, scope, actions) = (filter.entity.as_ref(), filter.scope.as_ref(), filter.actions.as_ref());
    sqlx::query(statement)
        .bind(*since.as_uuid())
        .bind(*until.as_uuid())
        .bind(entity.map(|entity| entity.kind().as_str()))
        .bind(entity.map(|entity| entity.id().as_str()))
        .bind(actor.map(Actor::kind))
        .bind(actor.map(Actor::id))
        .bind(scope.map(|scope| scope.kind().as_str()))
        .bind(scope.map(|scope| scope.id().as_str()))
        .bind(actions.map(Actions::first))
        .bind(actions.map(Actions::last))
        .bind(filter.outcome.map(Outcome::as_str))
        .bind(i64::from(limit))
}

/// Writes down a key that is new, or says under which id it stands. Without a key there is nothing to say.
async fn claim_key(conn: &mut SqliteConnection, columns: &Columns<'_>) -> Result<Option<RecordId>> {
    let Some(key) = columns.key else { return Ok(None) };
    let claimed = sqlx::query(
        r#"
        INSERT INTO audit_idempotency (actor_kind, actor_id, action, key, record_id, at)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT DO NOTHING
        "#,
    )
    .bind(columns.actor_kind)
    .bind(columns.actor_id)
    .bind(columns.action)
    .bind(key)
    .bind(columns.id)
    .bind(columns.at)
    .execute(&mut *conn)
    .await?;
    if claimed.rows_affected() > 0 {
        return Ok(None);
    }
    let first: Uuid = sqlx::query_scalar(
        r#"
        SELECT record_id
        FROM audit_idempotency
        WHERE actor_kind = $1 AND actor_id = $2 AND action = $3 AND key = $4
        "#,
    )
    .bind(columns.actor_kind)
    .bind(columns.actor_id)
    .bind(columns.action)
    .bind(key)
    .fetch_one(conn)
    .await?;
    corrupt("record_id", RecordId::try_from(first)).map(Some)
}

async fn insert_record(conn: &mut SqliteConnection, columns: &Columns<'_>) -> Result<()> {
    sqlx::query(
        r#"
        INSERT INTO audit_record (
            id, at, action, actor_kind, actor_id, impersonator_id, on_behalf_of_id, outcome,
            entity_type, entity_id, scope_type, scope_id, request_id, trace_id, client_trust,
            client_commit, private_commit, before, after, leaf_hash
        )
        VALUES (
            $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,
            unhex($16), unhex($17), $18, $19, unhex($20)
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
    .bind(columns.client_trust)
    .bind(columns.client_commit.as_deref())
    .bind(columns.private_commit.as_deref())
    .bind(columns.before)
    .bind(columns.after)
    .bind(&*columns.leaf_hash)
    .execute(conn)
    .await?;
    Ok(())
}

async fn insert_private(conn: &mut SqliteConnection, columns: &Columns<'_>, part: &'static str) -> Result<()> {
    let (subject, salt, body) = match part {
        "client" => (columns.client_subject, columns.client_salt.as_deref(), columns.client_body),
        _ => (columns.private_subject, columns.private_salt.as_deref(), columns.private_body),
    };
    let Some(salt) = salt else { return Ok(()) };
    sqlx::query(
        r#"
        INSERT INTO audit_private (record_id, part, at, subject, salt, body)
        VALUES ($1, $2, $3, $4, unhex($5), $6)
        "#,
    )
    .bind(columns.id)
    .bind(part)
    .bind(columns.at)
    .bind(subject)
    .bind(salt)
    .bind(body.map(str::as_bytes))
    .execute(conn)
    .await?;
    Ok(())
}

/// Adds records in one statement, or, where they have rows elsewhere too, in a savepoint.
async fn append(conn: &mut SqliteConnection, records: &[NewRecord<'_>]) -> Result<Vec<RecordId>> {
    let rows: Vec<Columns<'_>> = records.iter().map(Columns::of).collect();
    let rows = serde_json::to_string(&rows).map_err(|error| Error::Backend(error.into()))?;
    if !records.iter().any(NewRecord::is_compound) {
        insert_records(conn, &rows).await?;
        return Ok(records.iter().map(|record| record.id).collect());
    }
    let mut tx = conn.begin().await?;
    let ids = claim_keys(&mut tx, &rows).await?;
    insert_records(&mut tx, &rows).await?;
    insert_privates(&mut tx, &rows).await?;
    tx.commit().await?;
    Ok(ids)
}

/// Writes down the keys that are new, and says under which ids the records stand.
async fn claim_keys(conn: &mut SqliteConnection, rows: &str) -> Result<Vec<RecordId>> {
    sqlx::query(
        r#"
        INSERT INTO audit_idempotency (actor_kind, actor_id, action, key, record_id, at)
        SELECT
            value ->> 'actor_kind', value ->> 'actor_id', value ->> 'action', value ->> 'key',
            unhex(value ->> 'id', '-'), value ->> 'at'
        FROM json_each($1) AS new
        WHERE value ->> 'key' IS NOT NULL
        ORDER BY new.key
        ON CONFLICT DO NOTHING
        "#,
    )
    .bind(rows)
    .execute(&mut *conn)
    .await?;
    let ids: Vec<Uuid> = sqlx::query_scalar(
        r#"
        SELECT coalesce(used.record_id, unhex(value ->> 'id', '-'))
        FROM json_each($1) AS new
        LEFT JOIN audit_idempotency AS used ON used.actor_kind = value ->> 'actor_kind'
            AND used.actor_id = value ->> 'actor_id' AND used.action = value ->> 'action' AND used.key = value ->> 'key'
        ORDER BY new.key
        "#,
    )
    .bind(rows)
    .fetch_all(conn)
    .await?;
    ids.into_iter().map(|id| corrupt("record_id", RecordId::try_from(id))).collect()
}

/// Adds the records whose keys are their own. Ordered by `key`, the place in the list, so that `seq` follows the caller's order.
async fn insert_records(conn: &mut SqliteConnection, rows: &str) -> Result<()> {
    sqlx::query(
        r#"
        INSERT INTO audit_record (
            id, at, action, actor_kind, actor_id, impersonator_id, on_behalf_of_id, outcome,
            entity_type, entity_id, scope_type, scope_id, request_id, trace_id, client_trust,
            client_commit, private_commit, before, after, leaf_hash
        )
        SELECT
            unhex(value ->> 'id', '-'), value ->> 'at', value ->> 'action', value ->> 'actor_kind', value ->> 'actor_id',
            value ->> 'impersonator_id', value ->> 'on_behalf_of_id', value ->> 'outcome',
            value ->> 'entity_type', value ->> 'entity_id', value ->> 'scope_type', value ->> 'scope_id',
            value ->> 'request_id', value ->> 'trace_id', value ->> 'client_trust',
            unhex(value ->> 'client_commit'), unhex(value ->> 'private_commit'),
            value ->> 'before', value ->> 'after', unhex(value ->> 'leaf_hash')
        FROM json_each($1) AS new
        WHERE value ->> 'key' IS NULL OR unhex(value ->> 'id', '-') = (
            SELECT record_id
            FROM audit_idempotency AS used
            WHERE used.actor_kind = value ->> 'actor_kind' AND used.actor_id = value ->> 'actor_id'
                AND used.action = value ->> 'action' AND used.key = value ->> 'key'
        )
        ORDER BY new.key
        "#,
    )
    .bind(rows)
    .execute(conn)
    .await?;
    Ok(())
}

async fn insert_privates(conn: &mut SqliteConnection, rows: &str) -> Result<()> {
    sqlx::query(
        r#"
        INSERT INTO audit_private (record_id, part, at, subject, salt, body)
        SELECT unhex(value ->> 'id', '-'), 'client', value ->> 'at', value ->> 'client_subject',
            unhex(value ->> 'client_salt'), CAST(value ->> 'client_body' AS BLOB)
        FROM json_each($1)
        WHERE value ->> 'client_salt' IS NOT NULL
            AND EXISTS (SELECT 1 FROM audit_record WHERE id = unhex(value ->> 'id', '-'))
        UNION ALL
        SELECT unhex(value ->> 'id', '-'), 'personal', value ->> 'at', value ->> 'private_subject',
            unhex(value ->> 'private_salt'), CAST(value ->> 'private_body' AS BLOB)
        FROM json_each($1)
        WHERE value ->> 'private_salt' IS NOT NULL
            AND EXISTS (SELECT 1 FROM audit_record WHERE id = unhex(value ->> 'id', '-'))
        "#,
    )
    .bind(rows)
    .execute(conn)
    .await?;
    Ok(())
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
    client_trust: Option<&'static str>,
    client_commit: Option<String>,
    private_commit: Option<String>,
    before: Option<&'a str>,
    after: Option<&'a str>,
    leaf_hash: String,
    key: Option<&'a str>,
    client_subject: Option<&'a str>,
    client_salt: Option<String>,
    client_body: Option<&'a str>,
    private_subject: Option<&'a str>,
    private_salt: Option<String>,
    private_body: Option<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(new: &'a NewRecord<'_>) -> Self {
        let (record, client, private) = (new.record, new.client.as_ref(), new.personal.as_ref());
        let (scope, request) = (record.scope.as_ref(), &record.request);
        Self {
            id: *new.id.as_uuid(),
            at: new.id.at().timestamp_micros(),
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
            client_trust: request.client.map(|client| client.trust.as_str()),
            client_commit: client.map(|client| hex(client.commitment.as_bytes())),
            private_commit: private.map(|private| hex(private.commitment.as_bytes())),
            before: record.before.as_ref().map(AsRef::as_ref),
            after: record.after.as_ref().map(AsRef::as_ref),
            leaf_hash: hex(&new.leaf),
            key: record.key.as_ref().map(AsRef::as_ref),
            client_subject: client.and_then(|client| client.subject).map(AsRef::as_ref),
            client_salt: client.map(|client| hex(&client.salt)),
            client_body: client.map(|client| &*client.body),
            private_subject: private.and_then(|private| private.subject).map(AsRef::as_ref),
            private_salt: private.map(|private| hex(&private.salt)),
            private_body: private.map(|private| &*private.body),
        }
    }
}

/// JSON carries no bytes.
fn hex(bytes: &[u8]) -> String {
    let digit = |four: u8| char::from_digit(four.into(), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

fn entry(row: &SqliteRow) -> Result<Entry> {
    let id = corrupt("id", RecordId::try_from(row.try_get::<Uuid, _>("id")?))?;
    if id.at().timestamp_micros() != row.try_get::<i64, _>("at")? {
        return Err(Error::Corrupt { what: "at" });
    }
    let digests = digests(row)?;
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
            client: client(row, digests.client)?,
        },
        before: row.try_get::<Option<String>, _>("before")?.map(Body::from_stored),
        after: row.try_get::<Option<String>, _>("after")?.map(Body::from_stored),
        personal: digests.personal.map(|made| StoredPrivate::fields(private(row)?, made)).transpose()?,
        key: None,
    };
    Ok(Entry { id, record, digests })
}

fn digests(row: &SqliteRow) -> Result<Digests> {
    let commitment = |name| -> Result<Option<Commitment>> {
        let stored = row.try_get::<Option<&[u8]>, _>(name)?.map(TryInto::try_into).transpose();
        Ok(corrupt(name, stored)?.map(Commitment::from_stored))
    };
    Ok(Digests {
        client: commitment("client_commit")?,
        personal: commitment("private_commit")?,
        leaf: corrupt("leaf_hash", row.try_get::<&[u8], _>("leaf_hash")?.try_into())?,
    })
}

fn scope(row: &SqliteRow) -> Result<Option<Entity>> {
    match (optional::<EntityType>(row, "scope_type")?, optional::<EntityId>(row, "scope_id")?) {
        (Some(kind), Some(id)) => Ok(Some(Entity::new(kind, id))),
        (None, None) => Ok(None),
        _ => Err(Error::Corrupt { what: "scope" }),
    }
}

fn client(row: &SqliteRow, made: Option<Commitment>) -> Result<Option<ClientAddress>> {
    match (made, optional::<Trust>(row, "client_trust")?) {
        (Some(made), Some(trust)) => {
            Ok(Some(ClientAddress { ip: StoredPrivate::address(address(row)?, made)?, trust }))
        }
        (None, None) => Ok(None),
        _ => Err(Error::Corrupt { what: "client" }),
    }
}

fn address(row: &SqliteRow) -> Result<Option<StoredPrivate>> {
    let subject = row.try_get("client_subject")?;
    let (salt, body) = (row.try_get("client_salt")?, row.try_get("client_body")?);
    Ok(Option::zip(salt, body).map(|(salt, body)| StoredPrivate { subject, salt, body }))
}

fn private(row: &SqliteRow) -> Result<Option<StoredPrivate>> {
    let subject = row.try_get("private_subject")?;
    let (salt, body) = (row.try_get("private_salt")?, row.try_get("private_body")?);
    Ok(Option::zip(salt, body).map(|(salt, body)| StoredPrivate { subject, salt, body }))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Each condition that is written out has its index, in the order of the listing.
    #[tokio::test]
    async fn the_planner_has_an_index_for_every_condition() {
        let database = testkit::sqlite(&[&MIGRATOR]).await;
        let mut conn = database.pool().acquire().await.unwrap();
        for (statement, index) in [
            (concat!("EXPLAIN QUERY PLAN ", list!("entity_type = $3 AND entity_id = $4")), "audit_record_entity_idx"),
            (concat!("EXPLAIN QUERY PLAN ", list!("actor_kind = $5 AND actor_id = $6")), "audit_record_actor_idx"),
            (concat!("EXPLAIN QUERY PLAN ", list!("scope_type = $7 AND scope_id = $8")), "audit_record_scope_idx"),
            (concat!("EXPLAIN QUERY PLAN ", list!("action = $9")), "audit_record_action_idx"),
            (concat!("EXPLAIN QUERY PLAN ", list!("outcome = $11")), "audit_record_outcome_idx"),
            (concat!("EXPLAIN QUERY PLAN ", list!("true")), "sqlite_autoindex_audit_record_1"),
        ] {
            let filter = Filter::new();
            let lines = list(statement, &filter, RecordId::END, 21).fetch_all(&mut *conn).await.unwrap();
            let plan: Vec<&str> = lines.iter().map(|line| line.get("detail")).collect();
            assert!(plan[0].contains(index), "{plan:?}");
            assert!(!plan.iter().any(|line| line.contains("TEMP B-TREE")), "{plan:?}");
        }
    }
}
