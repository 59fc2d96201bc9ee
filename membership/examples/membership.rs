//! A tour of memberships on an in-memory SQLite: `cargo run -p stoa-membership --example membership`.

use sqlx::sqlite::SqlitePoolOptions;
use stoa_membership::{By, Filter, Grant, Membership, PageRequest, Role, Scope, Sqlite, UserId};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // An in-memory database lives as long as its only connection.
    let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
    stoa_membership::sqlite::MIGRATOR.run(&pool).await?;

    let membership = Membership::new(Sqlite);
    let (ada, eve) = (UserId::new("ada")?, UserId::new("eve")?);
    let chess = Scope::group("chess")?;
    let by_ada = By::user(&ada);

    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    membership.add(&mut tx, &ada, &chess, &Grant::new(Role::new("owner")?), &by_ada).await?;
    membership.join(&mut tx, &eve, &chess, &By::user(&eve)).await?;
    println!("eve is a member: {}", membership.is_member(&mut tx, &eve, &chess).await?);

    let refused = membership.leave(&mut tx, &ada, &chess, &By::user(&eve)).await.expect_err("ada is the last owner");
    println!("ada cannot leave: {refused}");

    membership.ban(&mut tx, &eve, &chess, &by_ada).await?;
    let refused = membership.join(&mut tx, &eve, &chess, &By::user(&eve)).await.expect_err("eve is banned");
    println!("eve cannot join: {refused}");
    tx.commit().await?;

    let mut conn = pool.acquire().await?;
    for member in membership.list_by_scope(&mut conn, &chess, &Filter::default(), &PageRequest::first(10)).await?.items
    {
        println!("{} is {} of {}", member.user(), member.role(), member.scope());
    }
    println!("ada's audience tags: {:?}", membership.of(&mut conn, &ada).await?.tags().collect::<Vec<_>>());
    Ok(())
}
