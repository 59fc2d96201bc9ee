//! A tour of memberships on an in-memory SQLite: `cargo run -p stoa-membership --example membership --features sqlite`.

use chrono::{TimeDelta, Utc};
use sqlx::sqlite::SqlitePoolOptions;
use stoa_membership::{
    By, Filter, Grant, Import, ImportRow, Membership, PageRequest, Reason, Role, Scope, Sqlite, State, UserId,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // An in-memory database lives as long as its only connection.
    let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
    stoa_membership::sqlite::MIGRATOR.run(&pool).await?;

    let membership = Membership::new(Sqlite);
    let (ada, bob, eve) = (UserId::new("ada")?, UserId::new("bob")?, UserId::new("eve")?);
    let (chess, member) = (Scope::group("chess")?, Role::new("member")?);
    let by_ada = By::user(&ada);

    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    membership.add(&mut tx, &ada, &chess, &Grant::new(Role::new("owner")?), &by_ada).await?;
    let joined = membership.join(&mut tx, &eve, &chess, &By::user(&eve)).await?;
    println!("eve is a member: {}", membership.is_member(&mut tx, &eve, &chess).await?);
    let refused = membership.leave(&mut tx, &ada, &chess, &by_ada).await.expect_err("ada is the last owner");
    println!("ada cannot leave: {refused}");

    // Only if eve's membership is still the one that ada looked at.
    let ban = by_ada.clone().because(Reason::new("spam")?).if_version(joined.version());
    membership.ban(&mut tx, &eve, &chess, &ban).await?;
    let refused = membership.join(&mut tx, &eve, &chess, &By::user(&eve)).await.expect_err("eve is banned");
    println!("eve cannot join: {refused}");
    let guest = Grant::new(member.clone()).until(Utc::now() + TimeDelta::days(7))?;
    let rows = [
        ImportRow::active(bob, chess.clone(), guest),
        ImportRow::active(eve.clone(), chess.clone(), Grant::new(member)),
    ];
    println!("imported: {:?}", membership.import(&mut tx, &Import::new(rows)?, &by_ada).await?);
    tx.commit().await?;

    let mut conn = pool.acquire().await?;
    for state in [State::Active, State::Banned] {
        let filter = Filter::default().state(state);
        for member in membership.list_by_scope(&mut conn, &chess, &filter, &PageRequest::first(10)).await?.items {
            println!("{state}: {} as {}", member.user(), member.role());
        }
    }
    println!("ada's audience tags: {:?}", membership.of(&mut conn, &ada).await?.tags().collect::<Vec<_>>());
    for change in membership.history(&mut conn, &eve, &chess, &PageRequest::first(10)).await?.items {
        println!("eve, version {}: {} to {}", change.version, change.verb, change.after.state);
    }
    Ok(())
}
