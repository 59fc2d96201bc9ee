//! The PostgreSQL backend.

mod begin;
#[cfg(feature = "seal")]
mod log;
mod retention;

use std::collections::{HashMap, HashSet};
use std::future::ready;
use std::slice;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, PgPool, Row, SqlStr};
use uuid::Uuid;

use crate::{
    Actions, Actor, Body, ClientAddress, Commitment, Digests, Entity, EntityId, EntityType, Entry, Error, Filter,
    NewRecord, Outcome, Record, RecordId, RequestContext, Result, Source, Store, StoredPrivate, Trust, UserId,
};

pub use retention::{Partition, Pruned, ROLES, create_partition, drop_partitions_before};

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
                record.id, record.at, action, actor_kind, actor_id, impersonator_id, on_behalf_of_id, outcome,
                entity_type, entity_id, scope_type, scope_id, request_id, trace_id, client_trust,
                client_commit, private_commit, before::text AS before, after::text AS after, leaf_hash,
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

/// The times say nothing that the ids do not: they name the partitions to look at.
macro_rules! list {
    () => {
        select!(
            r#"
    WHERE record.id >= $1 AND record.id < $2 AND record.at >= $3 AND record.at <= $4
        AND ($5::text IS NULL OR entity_type = $5 AND entity_id = $6)
        AND ($7::text IS NULL OR actor_kind = $7 AND actor_id = $8)
        AND ($9::text IS NULL OR scope_type = $9 AND scope_id = $10)
        AND ($11::text IS NULL OR action >= $11 AND action <= $12)
        AND ($13::text IS NULL OR outcome = $13)
    ORDER BY record.id DESC
    LIMIT $14
    "#
        )
    };
}

impl Store for Postgres {
    type Connection = PgConnection;

    async fn append(&self, conn: &mut PgConnection, record: &NewRecord<'_>) -> Result<RecordId> {
        let columns = Columns::of(record);
        if columns.key.is_some() {
            let written = compound(ONCE, &columns).bind(columns.key).fetch_optional(&mut *conn).await?;
            let written = written.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?;
            return Ok(under_keys(conn, slice::from_ref(record), &written).await?[0]);
        }
        if record.is_compound() {
            compound(PRIVATE, &columns).execute(conn).await?;
            return Ok(record.id);
        }
        sqlx::query(
            r#"
            INSERT INTO audit_record (
                id, at, action, actor_kind, actor_id, impersonator_id, on_behalf_of_id, outcome,
                entity_type, entity_id, scope_type, scope_id, request_id, trace_id, before, after, leaf_hash
            )
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15::json, $16::json, $17)
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
        .bind(columns.before)
        .bind(columns.after)
        .bind(columns.leaf_hash)
        .execute(conn)
        .await?;
        Ok(record.id)
    }

    async fn append_many(&self, conn: &mut PgConnection, records: &[NewRecord<'_>]) -> Result<Vec<RecordId>> {
        append(conn, records).await
    }

    async fn erase(
        &self,
        conn: &mut PgConnection,
        subject: &UserId,
        record: &NewRecord<'_>,
    ) -> Result<(u64, RecordId)> {
        let rows = [Columns::of(record)];
        let row = appending(ERASE, &rows).bind(subject.as_str()).fetch_one(&mut *conn).await?;
        let (erased, written): (i64, Option<Uuid>) = (row.try_get("erased")?, row.try_get("id")?);
        let ids = under_keys(conn, slice::from_ref(record), &written.into_iter().collect()).await?;
        Ok((erased.cast_unsigned(), ids[0]))
    }

    async fn find(&self, conn: &mut PgConnection, id: RecordId) -> Result<Option<Entry>> {
        // The id carries the time, which names the partition in which the record is.
        let row = sqlx::query(select!("WHERE record.id = $1 AND record.at = $2"))
            .bind(id.as_uuid())
            .bind(id.at())
            .fetch_optional(conn)
            .await?;
        row.as_ref().map(entry).transpose()
    }

    async fn list(&self, conn: &mut PgConnection, filter: &Filter, before: RecordId, limit: u32) -> Result<Vec<Entry>> {
        // Row by row: bodies are in memory once, not as rows and as entries.
        let rows = list(list!(), filter, before, limit).fetch(conn).map_err(Error::from);
        rows.and_then(|row| ready(entry(&row))).try_collect().await
    }
}

/// A page is planned anew for each call: a plan that knows which conditions are set takes the index for them.
fn list<'q>(
    statement: &'static str,
    filter: &'q Filter,
    before: RecordId,
    limit: u32,
) -> Query<'q, sqlx::Postgres, PgArguments> {
    let (since, until) = filter.ids();
    let (until, actor) = (until.min(before), filter.actor.as_ref());
    let (entity, scope, actions) = (filter.entity.as_ref(), filter.scope.as_ref(), filter.actions.as_ref());
    sqlx::query(statement)
        .persistent(false)
        .bind(*since.as_uuid())
        .bind(*until.as_uuid())
        .bind(since.at())
        .bind(until.at())
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

/// One record with rows in other tables: personal data, as most records of people have, and a key: in place of a batch of one.
macro_rules! compound {
    ($claimed:literal, $condition:literal, $source:literal) => {
        concat!(
            "WITH ",
            $claimed,
            r#"
            private AS (
                INSERT INTO audit_private (record_id, part, at, subject, salt, body)
                SELECT $1, part, $2, subject, salt, body
                FROM (VALUES ('client', $21::text, $22::bytea, $23::bytea), ('personal', $24, $25, $26)) AS private (part, subject, salt, body)
                WHERE salt IS NOT NULL
            "#,
            $condition,
            r#"
            )
            INSERT INTO audit_record (
                id, at, action, actor_kind, actor_id, impersonator_id, on_behalf_of_id, outcome,
                entity_type, entity_id, scope_type, scope_id, request_id, trace_id, client_trust,
                client_commit, private_commit, before, after, leaf_hash
            )
            SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18::json, $19::json, $20
            "#,
            $source
        )
    };
}

const PRIVATE: &str = compound!("", "", "");

/// Of a key that is taken, nothing is written.
const ONCE: &str = compound!(
    r#"
    claimed AS (
        INSERT INTO audit_idempotency (actor_kind, actor_id, action, key, record_id, at)
        VALUES ($4, $5, $3, $27, $1, $2)
        ON CONFLICT DO NOTHING
        RETURNING record_id
    ),
    "#,
    "AND EXISTS (SELECT FROM claimed)",
    "FROM claimed RETURNING id"
);

fn compound<'q>(statement: &'static str, columns: &Columns<'q>) -> Query<'q, sqlx::Postgres, PgArguments> {
    sqlx::query(statement)
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
        .bind(columns.client_commit)
        .bind(columns.private_commit)
        .bind(columns.before)
        .bind(columns.after)
        .bind(columns.leaf_hash)
        .bind(columns.client_subject)
        .bind(columns.client_salt)
        .bind(columns.client_body.map(str::as_bytes))
        .bind(columns.private_subject)
        .bind(columns.private_salt)
        .bind(columns.private_body.map(str::as_bytes))
}

/// Adds records, and does and reads something else in the same statement.
macro_rules! append {
    ($before:literal, $answer:literal) => {
        concat!("WITH ", $before, include_str!("postgres/append.sql"), $answer)
    };
}

const APPEND: &str = append!("", "SELECT id FROM written");

const ERASE: &str = append!(
    "erased AS (DELETE FROM audit_private WHERE subject = $28 RETURNING record_id), ",
    "SELECT (SELECT count(*) FROM erased) AS erased, (SELECT id FROM written) AS id"
);

async fn append(conn: &mut PgConnection, records: &[NewRecord<'_>]) -> Result<Vec<RecordId>> {
    let rows: Vec<Columns<'_>> = records.iter().map(Columns::of).collect();
    let written = appending(APPEND, &rows).fetch_all(&mut *conn).await?;
    let written = written.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?;
    under_keys(conn, records, &written).await
}

fn appending<'q>(statement: &'static str, rows: &'q [Columns<'_>]) -> Query<'q, sqlx::Postgres, PgArguments> {
    sqlx::query(statement)
        .bind(column(rows, |row| row.id))
        .bind(column(rows, |row| row.at))
        .bind(column(rows, |row| row.action))
        .bind(column(rows, |row| row.actor_kind))
        .bind(column(rows, |row| row.actor_id))
        .bind(column(rows, |row| row.impersonator_id))
        .bind(column(rows, |row| row.on_behalf_of_id))
        .bind(column(rows, |row| row.outcome))
        .bind(column(rows, |row| row.entity_type))
        .bind(column(rows, |row| row.entity_id))
        .bind(column(rows, |row| row.scope_type))
        .bind(column(rows, |row| row.scope_id))
        .bind(column(rows, |row| row.request_id))
        .bind(column(rows, |row| row.trace_id))
        .bind(column(rows, |row| row.client_trust))
        .bind(column(rows, |row| row.client_commit))
        .bind(column(rows, |row| row.private_commit))
        .bind(column(rows, |row| row.before))
        .bind(column(rows, |row| row.after))
        .bind(column(rows, |row| row.leaf_hash))
        .bind(column(rows, |row| row.key))
        .bind(column(rows, |row| row.client_subject))
        .bind(column(rows, |row| row.client_salt))
        .bind(column(rows, |row| row.client_body))
        .bind(column(rows, |row| row.private_subject))
        .bind(column(rows, |row| row.private_salt))
        .bind(column(rows, |row| row.private_body))
}

/// Says under which ids records stand, of which these were written.
async fn under_keys(
    conn: &mut PgConnection,
    records: &[NewRecord<'_>],
    written: &HashSet<Uuid>,
) -> Result<Vec<RecordId>> {
    if written.len() == records.len() {
        return Ok(records.iter().map(|record| record.id).collect());
    }
    let repeated = records.iter().filter(|record| !written.contains(record.id.as_uuid()));
    let first = first_under_keys(conn, &repeated.map(Columns::of).collect::<Vec<_>>()).await?;
    // A key that was there a moment ago can only be gone if retention has just removed it.
    let gone = || Error::Backend("a key was removed while it was used".into());
    let stands = |record: &NewRecord<'_>| {
        if written.contains(record.id.as_uuid()) {
            return Ok(record.id);
        }
        first.get(record.id.as_uuid()).copied().ok_or_else(gone)
    };
    records.iter().map(stands).collect()
}

/// Finds the records that were written under keys before. It takes a statement of its own: the first one may have waited for
/// the other transaction, and does not see what that has committed meanwhile.
async fn first_under_keys(conn: &mut PgConnection, rows: &[Columns<'_>]) -> Result<HashMap<Uuid, RecordId>> {
    let found: Vec<(Uuid, Uuid)> = sqlx::query_as(
        r#"
        SELECT new.id, used.record_id
        FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[]) AS new (id, actor_kind, actor_id, action, key)
        JOIN audit_idempotency AS used USING (actor_kind, actor_id, action, key)
        "#,
    )
    .bind(column(rows, |row| row.id))
    .bind(column(rows, |row| row.actor_kind))
    .bind(column(rows, |row| row.actor_id))
    .bind(column(rows, |row| row.action))
    .bind(column(rows, |row| row.key))
    .fetch_all(conn)
    .await?;
    found.into_iter().map(|(id, first)| Ok((id, corrupt("record_id", RecordId::try_from(first))?))).collect()
}

impl Source for PgPool {
    type Connection = PgConnection;
    type Guard = sqlx::pool::PoolConnection<sqlx::Postgres>;
    type Transaction = sqlx::Transaction<'static, sqlx::Postgres>;

    async fn acquire(&self) -> Result<Self::Guard> {
        Ok(PgPool::acquire(self).await?)
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
    client_trust: Option<&'static str>,
    client_commit: Option<&'a [u8]>,
    private_commit: Option<&'a [u8]>,
    before: Option<&'a str>,
    after: Option<&'a str>,
    leaf_hash: &'a [u8],
    key: Option<&'a str>,
    client_subject: Option<&'a str>,
    client_salt: Option<&'a [u8]>,
    client_body: Option<&'a str>,
    private_subject: Option<&'a str>,
    private_salt: Option<&'a [u8]>,
    private_body: Option<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(new: &'a NewRecord<'_>) -> Self {
        let (record, client, private) = (new.record, new.client.as_ref(), new.personal.as_ref());
        let (scope, request) = (record.scope.as_ref(), &record.request);
        Self {
            id: *new.id.as_uuid(),
            at: new.id.at(),
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
            client_commit: client.map(|client| &client.commitment.as_bytes()[..]),
            private_commit: private.map(|private| &private.commitment.as_bytes()[..]),
            before: record.before.as_ref().map(AsRef::as_ref),
            after: record.after.as_ref().map(AsRef::as_ref),
            leaf_hash: &new.leaf,
            key: record.key.as_ref().map(AsRef::as_ref),
            client_subject: client.and_then(|client| client.subject).map(AsRef::as_ref),
            client_salt: client.map(|client| &client.salt[..]),
            client_body: client.map(|client| &*client.body),
            private_subject: private.and_then(|private| private.subject).map(AsRef::as_ref),
            private_salt: private.map(|private| &private.salt[..]),
            private_body: private.map(|private| &*private.body),
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

fn digests(row: &PgRow) -> Result<Digests> {
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

fn scope(row: &PgRow) -> Result<Option<Entity>> {
    match (optional::<EntityType>(row, "scope_type")?, optional::<EntityId>(row, "scope_id")?) {
        (Some(kind), Some(id)) => Ok(Some(Entity::new(kind, id))),
        (None, None) => Ok(None),
        _ => Err(Error::Corrupt { what: "scope" }),
    }
}

fn client(row: &PgRow, made: Option<Commitment>) -> Result<Option<ClientAddress>> {
    match (made, optional::<Trust>(row, "client_trust")?) {
        (Some(made), Some(trust)) => {
            Ok(Some(ClientAddress { ip: StoredPrivate::address(address(row)?, made)?, trust }))
        }
        (None, None) => Ok(None),
        _ => Err(Error::Corrupt { what: "client" }),
    }
}

fn address(row: &PgRow) -> Result<Option<StoredPrivate>> {
    let subject = row.try_get("client_subject")?;
    let (salt, body) = (row.try_get("client_salt")?, row.try_get("client_body")?);
    Ok(Option::zip(salt, body).map(|(salt, body)| StoredPrivate { subject, salt, body }))
}

fn private(row: &PgRow) -> Result<Option<StoredPrivate>> {
    let subject = row.try_get("private_subject")?;
    let (salt, body) = (row.try_get("private_salt")?, row.try_get("private_body")?);
    Ok(Option::zip(salt, body).map(|(salt, body)| StoredPrivate { subject, salt, body }))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Audit;

    const EXPLAIN: &str = concat!("EXPLAIN ", list!());

    /// Each condition has an index, also among rows that are all alike but for it.
    #[tokio::test]
    async fn the_planner_has_an_index_for_every_condition() {
        const DONE: crate::Action = crate::Action::new("test.posts.v1.PostService/CreatePost");
        const RARE: crate::Action = crate::Action::new("test.users.v1.UserService/DeleteUser");
        let database = testkit::postgres(&[&MIGRATOR]).await;
        let audit = Audit::new(Postgres);
        let mut conn = database.pool().acquire().await.unwrap();
        let post = |id: i64| Entity::new(EntityType::from_static("post"), id);
        let user = |id: String| Actor::user(id).unwrap();
        let mut records: Vec<Record> = (0..3000)
            .map(|index| {
                Record::new(DONE, &user(format!("user-{}", index % 100)), post(index % 100)).scope(post(index % 50))
            })
            .collect();
        records.push(Record::new(RARE, &user("eve".into()), post(1)).outcome(Outcome::Denied));
        audit.record_many(&mut conn, &records).await.unwrap();
        sqlx::query("ANALYZE audit_record").execute(&mut *conn).await.unwrap();
        let now = Utc::now();
        for (filter, index) in [
            (Filter::new(), "audit_record_default_pkey"),
            (Filter::new().since(now - chrono::TimeDelta::hours(1)).until(now), "audit_record_default_pkey"),
            (Filter::new().entity(post(7)), "audit_record_default_entity_type_entity_id_id_idx"),
            (Filter::new().actor(user("user-7".into())), "audit_record_default_actor_kind_actor_id_id_idx"),
            (Filter::new().scope(post(7)), "audit_record_default_scope_type_scope_id_id_idx"),
            (Filter::new().outcome(Outcome::Denied), "audit_record_default_outcome_id_idx"),
            (Filter::new().actions(Actions::named(&RARE)), "audit_record_default_action_id_idx"),
            (
                Filter::new().actions(Actions::starting_with("test.users.").unwrap()),
                "audit_record_default_action_id_idx",
            ),
        ] {
            let lines = list(EXPLAIN, &filter, RecordId::END, 21).fetch_all(&mut *conn).await.unwrap();
            let plan: Vec<&str> = lines.iter().map(|line| line.get(0)).collect();
            let plan = plan.join("\n");
            assert!(plan.contains(&format!("{index} ")), "{filter:?}\n{plan}");
            assert!(!plan.contains("Seq Scan on audit_record"), "{filter:?}\n{plan}");
        }
    }
}
