//! The laws of `Facts`, and what a host does with the facade, on a SQLite file.

use std::ops::DerefMut;

use sqlx::{Connection as _, Sqlite, SqliteConnection, SqlitePool, Transaction};
use stoa_capabilities::{Authorized, Capabilities, Error, Facts, Matrix, Rule, Scoped, conformance, scoped};

stoa_capabilities::capabilities! {
    /// What one may do in a group.
    enum GroupCapability {
        /// Write a post.
        CreatePost = "group.post.create",
        /// Take a post down.
        RemovePost = "group.post.remove",
    }
}

type May<'tx, Cap> = Authorized<'tx, Cap, String, String>;
type SqliteTransaction = Transaction<'static, Sqlite>;

#[derive(Clone)]
struct Roles;

impl Facts for Roles {
    type Connection = SqliteConnection;
    type Actor = String;
    type Scope = String;
    type Role = String;
    type Error = sqlx::Error;

    async fn role(&self, conn: &mut SqliteConnection, actor: &String, scope: &String) -> sqlx::Result<Option<String>> {
        let find = sqlx::query_scalar("SELECT role FROM role WHERE actor = $1 AND scope = $2");
        find.bind(actor).bind(scope).fetch_optional(conn).await
    }

    async fn role_many(
        &self,
        conn: &mut SqliteConnection,
        actor: &String,
        scopes: &[String],
    ) -> sqlx::Result<Vec<Option<String>>> {
        let mut roles = Vec::new();
        for scope in scopes {
            roles.push(self.role(conn, actor, scope).await?);
        }
        Ok(roles)
    }

    async fn hold(&self, conn: &mut SqliteConnection, actor: &String, scope: &String) -> sqlx::Result<Option<String>> {
        self.role(conn, actor, scope).await
    }
}

struct Harness(testkit::Sqlite);

impl Harness {
    async fn new() -> Self {
        let database = testkit::sqlite(&[]).await;
        let schema = "CREATE TABLE role (actor TEXT, scope TEXT, role TEXT, PRIMARY KEY (actor, scope)) STRICT;
                      CREATE TABLE post (author TEXT, scope TEXT) STRICT;";
        sqlx::raw_sql(schema).execute(database.pool()).await.unwrap();
        Self(database)
    }
}

impl conformance::Harness for Harness {
    type Facts = Roles;
    type Transaction = SqliteTransaction;
    const CONCURRENT_WRITERS: bool = false;

    fn facts(&self) -> Roles {
        Roles
    }

    fn actor(&self, name: &str) -> String {
        name.to_owned()
    }

    fn scope(&self, name: &str) -> String {
        name.to_owned()
    }

    async fn begin(&self) -> SqliteTransaction {
        self.0.pool().begin_with("BEGIN IMMEDIATE").await.unwrap()
    }

    async fn commit(&self, tx: SqliteTransaction) {
        tx.commit().await.unwrap();
    }

    async fn grant(&self, conn: &mut SqliteConnection, actor: &String, scope: &String) {
        set_role(conn, actor, scope, "member").await;
    }

    async fn revoke(&self, conn: &mut SqliteConnection, actor: &String, scope: &String) {
        let delete = sqlx::query("DELETE FROM role WHERE actor = $1 AND scope = $2");
        delete.bind(actor).bind(scope).execute(conn).await.unwrap();
    }
}

stoa_capabilities::conformance!(Harness::new().await);

async fn set_role(conn: &mut SqliteConnection, actor: &str, scope: &str, role: &str) {
    let upsert = sqlx::query("INSERT OR REPLACE INTO role VALUES ($1, $2, $3)");
    upsert.bind(actor).bind(scope).bind(role).execute(conn).await.unwrap();
}

fn capabilities() -> Capabilities<Roles, GroupCapability> {
    let matrix = Matrix::new([
        Rule::new("member").grants([GroupCapability::CreatePost]),
        Rule::new("owner").inherits("member").grants([GroupCapability::RemovePost]),
    ]);
    Capabilities::new(Roles, matrix.unwrap())
}

async fn insert_post<'tx, T>(tx: &mut Scoped<'tx, T>, may: &May<'tx, CreatePost>) -> sqlx::Result<()>
where
    T: DerefMut<Target = SqliteConnection>,
{
    let insert = sqlx::query("INSERT INTO post VALUES ($1, $2)");
    insert.bind(may.actor()).bind(may.scope()).execute(&mut **tx).await.map(drop)
}

async fn count_posts(conn: &mut SqliteConnection) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM post").fetch_one(conn).await.unwrap()
}

/// What a handler does: it owns what it uses and is spawned.
async fn create_post(
    pool: SqlitePool,
    actor: String,
    scope: String,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    scoped!(tx = pool.begin_with("BEGIN IMMEDIATE").await?);
    let may = capabilities().authorize(&mut tx, CreatePost, &actor, &scope).await?;
    insert_post(&mut tx, &may).await?;
    insert_post(&mut tx, &may).await?;
    tx.into_inner().commit().await?;
    Ok(())
}

#[tokio::test]
async fn a_member_writes_in_a_spawned_task() {
    let harness = Harness::new().await;
    let mut conn = harness.0.pool().acquire().await.unwrap();
    set_role(&mut conn, "ada", "chess", "member").await;
    tokio::spawn(create_post(harness.0.pool().clone(), "ada".to_owned(), "chess".to_owned())).await.unwrap().unwrap();
    assert_eq!(count_posts(&mut conn).await, 2);
}

#[tokio::test]
async fn roles_decide_and_after_a_denial_the_transaction_is_usable() {
    let harness = Harness::new().await;
    let (capabilities, chess) = (capabilities(), "chess".to_owned());
    scoped!(tx = conformance::Harness::begin(&harness).await);
    for (actor, role) in [("ada", "owner"), ("bob", "member"), ("zoe", "ghost")] {
        set_role(&mut tx, actor, &chess, role).await;
    }
    for (actor, creates, removes) in
        [("ada", true, true), ("bob", true, false), ("zoe", false, false), ("eve", false, false)]
    {
        let actor = actor.to_owned();
        for (capability, expected) in [(GroupCapability::CreatePost, creates), (GroupCapability::RemovePost, removes)] {
            assert_eq!(capabilities.check(&mut tx, capability, &actor, &chess).await.unwrap(), expected);
        }
        match capabilities.authorize(&mut tx, CreatePost, &actor, &chess).await {
            Ok(may) => assert!(creates && may.actor() == &actor && may.scope() == &chess),
            Err(error) => assert!(!creates && matches!(error, Error::Denied)),
        }
        let may = capabilities.authorize(&mut tx, RemovePost, &actor, &chess).await;
        assert_eq!(may.is_ok(), removes);
    }
    tx.into_inner().commit().await.unwrap();
}

#[tokio::test]
async fn a_denial_says_the_same_whether_the_scope_exists_or_not() {
    let harness = Harness::new().await;
    let capabilities = capabilities();
    scoped!(tx = conformance::Harness::begin(&harness).await);
    set_role(&mut tx, "ada", "chess", "owner").await;
    let eve = "eve".to_owned();
    for scope in ["chess", "no such group"] {
        let denied = capabilities.authorize(&mut tx, CreatePost, &eve, &scope.to_owned()).await.err().unwrap();
        assert_eq!((denied.to_string(), format!("{denied:?}")), ("not allowed".to_owned(), "Denied".to_owned()));
    }
}

#[tokio::test]
async fn a_failing_database_is_an_error_that_keeps_its_cause() {
    let pool = SqlitePool::connect("sqlite::memory:").await.unwrap();
    let (capabilities, ada) = (capabilities(), "ada".to_owned());
    scoped!(tx = pool.begin().await.unwrap());
    let errors = [
        capabilities.check(&mut tx, GroupCapability::CreatePost, &ada, &ada).await.err(),
        capabilities.authorize(&mut tx, CreatePost, &ada, &ada).await.err(),
    ];
    for error in errors {
        let error = error.unwrap();
        let source = std::error::Error::source(&error).unwrap();
        assert!(source.downcast_ref::<sqlx::Error>().is_some());
    }
}

#[tokio::test]
async fn a_savepoint_has_proofs_of_its_own_and_the_outer_ones_still_hold_after_it() {
    let harness = Harness::new().await;
    let (capabilities, ada, chess) = (capabilities(), "ada".to_owned(), "chess".to_owned());
    scoped!(tx = conformance::Harness::begin(&harness).await);
    set_role(&mut tx, &ada, &chess, "member").await;
    let outer = capabilities.authorize(&mut tx, CreatePost, &ada, &chess).await.unwrap();
    for keep in [true, false] {
        scoped!(savepoint = tx.begin().await.unwrap());
        let inner = capabilities.authorize(&mut savepoint, CreatePost, &ada, &chess).await.unwrap();
        insert_post(&mut savepoint, &inner).await.unwrap();
        let savepoint = savepoint.into_inner();
        if keep { savepoint.commit().await.unwrap() } else { savepoint.rollback().await.unwrap() }
    }
    insert_post(&mut tx, &outer).await.unwrap();
    assert_eq!(count_posts(&mut tx).await, 2);
    tx.into_inner().commit().await.unwrap();
}

/// A host that is generic over its database, as an application that runs on two of them is.
trait Backend: Clone + Send + Sync + 'static {
    type Connection: Send;
    type Transaction: DerefMut<Target = Self::Connection> + Send;
    type Facts: Facts<Connection = Self::Connection, Actor = String, Scope = String>;

    fn begin(&self) -> impl Future<Output = Self::Transaction> + Send;
    fn commit(&self, tx: Self::Transaction) -> impl Future<Output = ()> + Send;
    fn insert_post<'tx>(
        &self,
        tx: &mut Scoped<'tx, Self::Transaction>,
        may: &May<'tx, CreatePost>,
    ) -> impl Future<Output = ()> + Send;
}

async fn create_post_anywhere<B: Backend>(
    backend: B,
    capabilities: Capabilities<B::Facts, GroupCapability>,
    actor: String,
    scope: String,
) -> Result<(), Error> {
    scoped!(tx = backend.begin().await);
    let may = capabilities.authorize(&mut tx, CreatePost, &actor, &scope).await?;
    backend.insert_post(&mut tx, &may).await;
    backend.commit(tx.into_inner()).await;
    Ok(())
}

impl Backend for SqlitePool {
    type Connection = SqliteConnection;
    type Transaction = SqliteTransaction;
    type Facts = Roles;

    async fn begin(&self) -> SqliteTransaction {
        self.begin_with("BEGIN IMMEDIATE").await.unwrap()
    }

    async fn commit(&self, tx: SqliteTransaction) {
        tx.commit().await.unwrap();
    }

    async fn insert_post<'tx>(&self, tx: &mut Scoped<'tx, SqliteTransaction>, may: &May<'tx, CreatePost>) {
        insert_post(tx, may).await.unwrap();
    }
}

fn spawn_anywhere<B: Backend>(
    backend: B,
    capabilities: Capabilities<B::Facts, GroupCapability>,
) -> tokio::task::JoinHandle<Result<(), Error>> {
    tokio::spawn(create_post_anywhere(backend, capabilities, "ada".to_owned(), "chess".to_owned()))
}

#[tokio::test]
async fn a_host_that_is_generic_over_its_database_spawns_it_too() {
    let harness = Harness::new().await;
    let mut conn = harness.0.pool().acquire().await.unwrap();
    assert!(matches!(spawn_anywhere(harness.0.pool().clone(), capabilities()).await.unwrap(), Err(Error::Denied)));
    set_role(&mut conn, "ada", "chess", "member").await;
    spawn_anywhere(harness.0.pool().clone(), capabilities()).await.unwrap().unwrap();
    assert_eq!(count_posts(&mut conn).await, 1);
}
