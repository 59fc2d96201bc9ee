//! The laws of `Facts` on PostgreSQL, and why a savepoint has a brand of its own.

use sqlx::{Connection as _, PgConnection, Postgres, Transaction};
use stoa_capabilities::{Facts, conformance};

struct Roles;

impl Facts for Roles {
    type Connection = PgConnection;
    type Actor = String;
    type Scope = String;
    type Role = String;
    type Error = sqlx::Error;

    async fn role(&self, conn: &mut PgConnection, actor: &String, scope: &String) -> sqlx::Result<Option<String>> {
        let find = sqlx::query_scalar("SELECT role FROM role WHERE actor = $1 AND scope = $2 AND active");
        find.bind(actor).bind(scope).fetch_optional(conn).await
    }

    async fn role_many(
        &self,
        conn: &mut PgConnection,
        actor: &String,
        scopes: &[String],
    ) -> sqlx::Result<Vec<Option<String>>> {
        let find = sqlx::query_scalar(
            "SELECT role FROM unnest($2) WITH ORDINALITY AS asked (scope, position)
             LEFT JOIN role ON role.scope = asked.scope AND actor = $1 AND active ORDER BY position",
        );
        find.bind(actor).bind(scopes).fetch_all(conn).await
    }

    async fn hold(&self, conn: &mut PgConnection, actor: &String, scope: &String) -> sqlx::Result<Option<String>> {
        let hold = sqlx::query_scalar("SELECT role FROM role WHERE actor = $1 AND scope = $2 AND active FOR SHARE");
        hold.bind(actor).bind(scope).fetch_optional(conn).await
    }
}

struct Harness(testkit::Postgres);

impl Harness {
    async fn new() -> Self {
        let database = testkit::postgres(&[]).await;
        let schema = "CREATE TABLE role (actor text, scope text, role text NOT NULL, active boolean NOT NULL)";
        sqlx::raw_sql(schema).execute(database.pool()).await.unwrap();
        Self(database)
    }
}

impl conformance::Harness for Harness {
    type Facts = Roles;
    type Transaction = Transaction<'static, Postgres>;
    const CONCURRENT_WRITERS: bool = true;

    fn facts(&self) -> Roles {
        Roles
    }

    fn actor(&self, name: &str) -> String {
        name.to_owned()
    }

    fn scope(&self, name: &str) -> String {
        name.to_owned()
    }

    async fn begin(&self) -> Transaction<'static, Postgres> {
        self.0.pool().begin().await.unwrap()
    }

    async fn commit(&self, tx: Transaction<'static, Postgres>) {
        tx.commit().await.unwrap();
    }

    async fn grant(&self, conn: &mut PgConnection, actor: &String, scope: &String) {
        let insert = sqlx::query("INSERT INTO role VALUES ($1, $2, 'member', true)");
        insert.bind(actor).bind(scope).execute(conn).await.unwrap();
    }

    async fn revoke(&self, conn: &mut PgConnection, actor: &String, scope: &String) {
        // Not a DELETE: an update of these columns is what FOR KEY SHARE would let pass.
        let update = sqlx::query("UPDATE role SET active = false WHERE actor = $1 AND scope = $2");
        update.bind(actor).bind(scope).execute(conn).await.unwrap();
    }
}

stoa_capabilities::conformance!(Harness::new().await);

#[tokio::test]
async fn rolling_back_to_a_savepoint_releases_what_was_held_since() {
    use conformance::Harness as _;

    let harness = Harness::new().await;
    let (ada, chess) = (harness.actor("ada"), harness.scope("chess"));
    let mut tx = harness.begin().await;
    harness.grant(&mut tx, &ada, &chess).await;
    harness.commit(tx).await;

    let mut tx = harness.begin().await;
    let mut savepoint = tx.begin().await.unwrap();
    assert!(Roles.hold(&mut savepoint, &ada, &chess).await.unwrap().is_some());
    savepoint.rollback().await.unwrap();

    let mut other = harness.begin().await;
    sqlx::query("SET LOCAL lock_timeout = '10s'").execute(&mut *other).await.unwrap();
    harness.revoke(&mut other, &ada, &chess).await;
    harness.commit(other).await;
    assert!(Roles.role(&mut tx, &ada, &chess).await.unwrap().is_none());
}
