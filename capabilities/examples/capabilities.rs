//! A group, its roles and a proof, on an in-memory SQLite: `cargo run -p stoa-capabilities --example capabilities`.

use sqlx::{Sqlite, SqliteConnection, Transaction};
use stoa_capabilities::{Authorized, Capabilities, Facts, Matrix, Rule, Scoped, capabilities, scoped};

capabilities! {
    /// What one may do in a group.
    pub enum GroupCapability {
        /// Write a post.
        CreatePost = "group.post.create",
        /// Take a post down.
        RemovePost = "group.post.remove",
    }
}

/// Roles as this host stores them.
struct Roles;

impl Facts for Roles {
    type Connection = SqliteConnection;
    type Actor = String;
    type Scope = String;
    type Role = String;
    type Error = sqlx::Error;

    async fn role(&self, conn: &mut SqliteConnection, user: &String, group: &String) -> sqlx::Result<Option<String>> {
        let find = sqlx::query_scalar("SELECT role FROM role WHERE user = $1 AND grp = $2");
        find.bind(user).bind(group).fetch_optional(conn).await
    }

    async fn hold(&self, conn: &mut SqliteConnection, user: &String, group: &String) -> sqlx::Result<Option<String>> {
        self.role(conn, user, group).await // BEGIN IMMEDIATE keeps other writers out; on PostgreSQL add FOR SHARE
    }
}

type Tx<'tx> = Scoped<'tx, Transaction<'static, Sqlite>>;

/// Cannot be called without the check, nor in another transaction than the one that made it.
async fn create_post<'tx>(tx: &mut Tx<'tx>, may: &Authorized<'tx, CreatePost, String, String>) -> sqlx::Result<()> {
    let insert = sqlx::query("INSERT INTO post (author, grp) VALUES ($1, $2)");
    insert.bind(may.actor()).bind(may.scope()).execute(&mut **tx).await.map(drop)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // An in-memory database lives as long as its only connection.
    let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
    sqlx::raw_sql("CREATE TABLE role (user, grp, role); CREATE TABLE post (author, grp);").execute(&pool).await?;
    sqlx::query("INSERT INTO role VALUES ('ada', 'chess', 'member')").execute(&pool).await?;

    let member = Rule::new("member").grants([GroupCapability::CreatePost]);
    let owner = Rule::new("owner").inherits("member").grants([GroupCapability::RemovePost]);
    let capabilities = Capabilities::new(Roles, Matrix::new([member, owner])?);
    let (ada, chess) = ("ada".to_owned(), "chess".to_owned());

    scoped!(tx = pool.begin_with("BEGIN IMMEDIATE").await?);
    let may = capabilities.authorize(&mut tx, CreatePost, &ada, &chess).await?;
    create_post(&mut tx, &may).await?;
    println!("ada may remove: {}", capabilities.check(&mut tx, GroupCapability::RemovePost, &ada, &chess).await?);
    tx.into_inner().commit().await?;
    Ok(())
}
