//! A group, its roles and a proof, on an in-memory SQLite: `cargo run -p stoa-capabilities --example capabilities`.

use sqlx::{Sqlite, SqliteConnection as Conn, Transaction, sqlite::SqlitePoolOptions};
use stoa_capabilities::{Authorized, Capabilities, Facts, Matrix, Rule, Scoped, capabilities, scoped};

capabilities! {
    enum GroupCapability { CreatePost = "group.post.create", RemovePost = "group.post.remove" }
}

struct Roles; // as this host stores them

impl Facts for Roles {
    type Connection = Conn;
    type Actor = String;
    type Scope = String;
    type Role = String;
    type Error = sqlx::Error;

    async fn role(&self, conn: &mut Conn, user: &String, group: &String) -> sqlx::Result<Option<String>> {
        let find = sqlx::query_scalar("SELECT role FROM role WHERE user = $1 AND grp = $2");
        find.bind(user).bind(group).fetch_optional(conn).await
    }

    async fn role_many(&self, conn: &mut Conn, user: &String, groups: &[String]) -> sqlx::Result<Vec<Option<String>>> {
        let mut roles = Vec::new();
        for group in groups {
            roles.push(self.role(conn, user, group).await?); // with a server: one statement, `unnest` and a LEFT JOIN
        }
        Ok(roles)
    }

    async fn hold(&self, conn: &mut Conn, user: &String, group: &String) -> sqlx::Result<Option<String>> {
        self.role(conn, user, group).await // BEGIN IMMEDIATE keeps other writers out; on PostgreSQL add FOR SHARE
    }
}

type Tx<'tx> = Scoped<'tx, Transaction<'static, Sqlite>>;
type May<'tx, Cap> = Authorized<'tx, Cap, String, String>;

// Cannot be called without the check, nor in another transaction than the one that made it.
async fn create_post<'tx>(tx: &mut Tx<'tx>, may: &May<'tx, CreatePost>) -> sqlx::Result<()> {
    let insert = sqlx::query("INSERT INTO post (author, grp) VALUES ($1, $2)");
    insert.bind(may.actor()).bind(may.scope()).execute(&mut **tx).await.map(drop)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
    let tables = "CREATE TABLE post (author, grp); CREATE TABLE role AS SELECT 'ada' user, 'chess' grp, 'member' role";
    sqlx::raw_sql(tables).execute(&pool).await?;
    let member = Rule::new("member").grants([GroupCapability::CreatePost]);
    let owner = Rule::new("owner").inherits("member").grants([GroupCapability::RemovePost]);
    let capabilities = Capabilities::new(Roles, Matrix::new([member, owner])?);
    let (ada, chess) = ("ada".to_owned(), "chess".to_owned());
    scoped!(tx = pool.begin_with("BEGIN IMMEDIATE").await?);
    let may = capabilities.authorize(&mut tx, CreatePost, &ada, &chess).await?;
    create_post(&mut tx, &may).await?;
    println!("ada and removing: {}", capabilities.explain(&mut tx, GroupCapability::RemovePost, &ada, &chess).await?);
    Ok(tx.into_inner().commit().await?)
}
