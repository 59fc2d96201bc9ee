//! A tour of the audit log on an in-memory SQLite: `cargo run -p stoa-audit --example audit --features sqlite`.

use serde::Serialize;
use sqlx::sqlite::SqlitePoolOptions;
use stoa_audit::{Action, Actor, Audit, Audited, Entity, EntityType, Filter, PageRequest, Record, Sqlite, UserId};

const GROUP_RENAMED: Action = Action::new("bits.groups.v1.GroupService/RenameGroup");
const GROUP: EntityType = EntityType::from_static("group");

#[derive(Serialize)]
struct Group {
    name: &'static str,
    invite_code: &'static str,
}

impl Audited for Group {
    const FIELDS: &'static [&'static str] = &["name"];
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // An in-memory database lives as long as its only connection.
    let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
    stoa_audit::sqlite::MIGRATOR.run(&pool).await?;

    let audit = Audit::new(Sqlite);
    let old = Group { name: "Chess", invite_code: "QXH-2" };
    let new = Group { name: "Chess and Go", ..old };
    let renamed = Record::new(GROUP_RENAMED, &Actor::user("ada")?, Entity::new(GROUP, 1))
        .impersonator(UserId::new("support-7")?)
        .before(&old)?
        .after(&new)?;
    println!("{} stays with the group", new.invite_code);

    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    audit.record(&mut tx, &renamed).await?;
    drop(tx); // rolled back: it was not renamed, and nothing says it was

    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    let receipt = audit.record(&mut tx, &renamed).await?;
    tx.commit().await?;
    println!("recorded as {} at {}", receipt.id(), receipt.id().at());

    let mut conn = pool.acquire().await?;
    let of_group = Filter::new().entity(Entity::new(GROUP, 1));
    for entry in audit.list(&mut conn, &of_group, &PageRequest::first(10)).await?.items {
        let text = |body: &Option<stoa_audit::Body>| body.as_ref().map_or("-".into(), ToString::to_string);
        let record = &entry.record;
        println!("{} did {}: {} -> {}", record.actor, record.action, text(&record.before), text(&record.after));
    }

    let refused = sqlx::query("DELETE FROM audit_record").execute(&mut *conn).await.expect_err("append-only");
    println!("the database refuses: {refused}");
    Ok(())
}
