//! A host outside the workspace: one crate, one backend, and nothing else of ours.

use sqlx::sqlite::SqlitePool;
use stoa_membership::{By, Membership, Scope, Sqlite, UserId};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = SqlitePool::connect("sqlite::memory:").await?;
    stoa_membership::sqlite::MIGRATOR.run(&pool).await?;
    let membership = Membership::new(Sqlite);
    let (ada, chess) = (UserId::new("ada")?, Scope::group("chess")?);
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    assert!(!membership.is_member(&mut tx, &ada, &chess).await?);
    membership.join(&mut tx, &ada, &chess, &By::user(&ada)).await?;
    assert!(membership.is_member(&mut tx, &ada, &chess).await?);
    tx.commit().await?;
    Ok(())
}
