//! A record beside a bare INSERT of the same bytes into the same indexes: alone, among sixteen writers, beside a locked chain, and
//! after an UPDATE; sealing and verifying; and the memory of an export.

mod export;
mod record;
mod sealing;
mod writers;

use sqlx::{Connection, PgConnection, PgPool};
use stoa_audit::{Action, Actor, Audit, Audited, Entity, EntityId, EntityType, Postgres, Record, postgres};
use testkit::{Cluster, Durability};

use crate::{Case, Setup};

pub use export::peak;

const CREATED: Action = Action::new("bits.bench.v1.PostService/CreatePost");

#[derive(serde::Serialize)]
struct Post {
    title: String,
    body: String,
}

impl Post {
    fn new() -> Self {
        Self { title: "A title of some words".into(), body: "x".repeat(400) }
    }
}

impl Audited for Post {
    const FIELDS: &'static [&'static str] = &["title", "body"];
}

/// Measures the audit cases.
pub async fn compare(setup: &Setup) -> Vec<Case> {
    let (cluster, url) = database().await;
    let mut cases = record::compare(setup, &url).await;
    cases.extend(writers::compare(setup, &url).await);
    drop(cluster);
    let (cluster, url) = database().await;
    cases.extend(sealing::compare(setup, &url).await);
    drop(cluster);
    let (_cluster, url) = database().await;
    cases.push(export::compare(setup, &url).await);
    cases
}

/// Starts a server with the schema, and with `bare`: the same columns, defaults, constraints, indexes and partitions, without
/// the triggers.
async fn database() -> (Cluster, String) {
    let cluster = Cluster::start(Durability::Durable);
    let url = cluster.url("postgres");
    let pool = PgPool::connect(&url).await.expect("the server answers");
    postgres::MIGRATOR.run(&pool).await.expect("the schema is sound");
    sqlx::raw_sql(
        r#"
        CREATE TABLE bare (LIKE audit_record INCLUDING ALL) PARTITION BY RANGE (at);
        CREATE TABLE bare_default PARTITION OF bare DEFAULT;
        "#,
    )
    .execute(&pool)
    .await
    .expect("the table is new");
    pool.close().await;
    (cluster, url)
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("the server answers")
}

/// Makes and writes one record, as a handler does.
async fn record(conn: &mut PgConnection, actor: &Actor, id: usize, post: &Post) {
    let record = Record::new(CREATED, actor, entity(id)).after(post).expect("a body within the bounds");
    Audit::new(Postgres).record(conn, &record).await.expect("the server answers");
}

fn entity(id: usize) -> Entity {
    Entity::new(EntityType::from_static("post"), EntityId::new(id.to_string()).expect("an id within the bounds"))
}

const BARE: &str = r#"
    INSERT INTO bare (
        id, at, action, actor_kind, actor_id, impersonator_id, on_behalf_of_id, outcome,
        entity_type, entity_id, scope_type, scope_id, request_id, trace_id, before, after, leaf_hash
    )
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15::json, $16::json, $17)
"#;

/// Writes the row of the same record; its body is there already, and so is its hash.
async fn insert(conn: &mut PgConnection, statement: &'static str, id: usize, json: &str) {
    sqlx::query(statement)
        .bind(sqlx::types::Uuid::now_v7())
        .bind(sqlx::types::chrono::Utc::now())
        .bind(CREATED.as_str())
        .bind("user")
        .bind("user-1")
        .bind(None::<&str>)
        .bind(None::<&str>)
        .bind("succeeded")
        .bind("post")
        .bind(id.to_string())
        .bind(None::<&str>)
        .bind(None::<&str>)
        .bind(None::<&str>)
        .bind(None::<&str>)
        .bind(None::<&str>)
        .bind(json)
        .bind(&[7_u8; 32][..])
        .execute(conn)
        .await
        .expect("the server answers");
}
