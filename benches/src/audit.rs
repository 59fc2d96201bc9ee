//! A record beside a bare INSERT of the same bytes into the same indexes.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use stoa_audit::{Action, Actor, Audit, Audited, Entity, EntityId, EntityType, Postgres, Record, postgres};
use testkit::{Cluster, Durability};

use crate::case::Target;
use crate::timing::{median, percentile, times};
use crate::{Case, Setup};

const CREATED: Action = Action::new("bits.bench.v1.PostService/CreatePost");

#[derive(serde::Serialize)]
struct Post {
    title: String,
    body: String,
}

impl Audited for Post {
    const FIELDS: &'static [&'static str] = &["title", "body"];
}

/// Measures the audit cases.
pub async fn compare(setup: &Setup) -> Vec<Case> {
    let cluster = Cluster::start(Durability::Durable);
    let pool = sqlx::PgPool::connect(&cluster.url("postgres")).await.expect("the server answers");
    postgres::MIGRATOR.run(&pool).await.expect("the schema is sound");
    // The same columns, defaults, constraints, indexes and partitions, without the triggers.
    sqlx::raw_sql(
        r#"
        CREATE TABLE bare (LIKE audit_record INCLUDING ALL) PARTITION BY RANGE (at);
        CREATE TABLE bare_default PARTITION OF bare DEFAULT;
        "#,
    )
    .execute(&pool)
    .await
    .expect("the table is new");
    let mut conn = PgConnection::connect(&cluster.url("postgres")).await.expect("the server answers");

    let audit = Audit::new(Postgres);
    let post = Post { title: "A title of some words".into(), body: "x".repeat(400) };
    let json = serde_json::to_string(&post).expect("it serialises");
    let actor = Actor::user("user-1").expect("an id within the bounds");
    let calls = setup.size(1000, 100);
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..=setup.rounds() {
        // Call by call in turns: a checkpoint in one block would not be in the other.
        let (mut record_times, mut bare_times): (Vec<Duration>, Vec<Duration>) = Default::default();
        for call in 0..calls {
            let id = format!("{round}-{call}");
            record_times.extend(
                times(1, async |_| {
                    let entity = Entity::new(
                        EntityType::from_static("post"),
                        EntityId::new(&*id).expect("an id within the bounds"),
                    );
                    let record = Record::new(CREATED, &actor, entity).after(&post).expect("a body within the bounds");
                    audit.record(&mut conn, &record).await.expect("the server answers");
                })
                .await,
            );
            bare_times.extend(times(1, async |_| insert(&mut conn, &id, &json).await).await);
        }
        if round > 0 {
            ours.push(percentile(record_times, 50));
            bare.push(percentile(bare_times, 50));
        }
    }
    vec![
        Case::ratio("audit.record_pg_p50", median(ours), "us", "bare INSERT", median(bare), Target::AtMost(1.15))
            .note("one writer, fsync on"),
    ]
}

async fn insert(conn: &mut PgConnection, id: &str, json: &str) {
    sqlx::query(
        r#"
        INSERT INTO bare (
            id, at, action, actor_kind, actor_id, impersonator_id, on_behalf_of_id, outcome,
            entity_type, entity_id, scope_type, scope_id, request_id, trace_id, client_ip, client_trust, before, after
        )
        VALUES (
            $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15::inet, $16, $17::json, $18::json
        )
        "#,
    )
    .bind(sqlx::types::Uuid::now_v7())
    .bind(sqlx::types::chrono::Utc::now())
    .bind(CREATED.as_str())
    .bind("user")
    .bind("user-1")
    .bind(None::<&str>)
    .bind(None::<&str>)
    .bind("succeeded")
    .bind("post")
    .bind(id)
    .bind(None::<&str>)
    .bind(None::<&str>)
    .bind(None::<&str>)
    .bind(None::<&str>)
    .bind(None::<&str>)
    .bind(None::<&str>)
    .bind(None::<&str>)
    .bind(json)
    .execute(conn)
    .await
    .expect("the server answers");
}
