//! Fresh PostgreSQL databases, cloned from a migrated template.

use std::env;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::{self, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Result};
use tokio::sync::OnceCell;

use crate::{Cluster, Durability};

/// Names the environment variable that names the server to use instead of a cluster of our own.
pub const DATABASE_URL_VARIABLE: &str = "STOA_TEST_DATABASE_URL";

/// The names of test databases: this, the owner's process id, `_`, a counter.
const PREFIX: &str = "stoa_test_";

/// A fresh, migrated PostgreSQL database, dropped with this value.
#[derive(Debug)]
pub struct Postgres {
    pool: PgPool,
    name: String,
    url: String,
    server: PgConnectOptions,
}

/// Creates a fresh database with these migrations.
///
/// They run once per distinct list, in a template that every later call clones, whichever process calls.
///
/// # Panics
/// If there is no server to be had (the message says how to get one), or a migration fails.
pub async fn postgres(migrators: &[&Migrator]) -> Postgres {
    static SWEPT: OnceCell<()> = OnceCell::const_new();
    let server = server();
    SWEPT.get_or_init(|| async { sweep(&server).await.expect("the server lists its databases") }).await;
    Postgres::create(server, migrators).await
}

impl Cluster {
    /// Creates a fresh database on this cluster, as [`postgres`] does on the shared one.
    pub async fn database(&self, migrators: &[&Migrator]) -> Postgres {
        Postgres::create(options(&self.url("postgres")), migrators).await
    }

    /// Creates an empty database of this name, in place of one that has it. Nobody drops it.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn named(&self, name: &'static str) -> PgPool {
        let mut conn = PgConnection::connect(&self.url("postgres")).await.expect("the server answers");
        for statement in [format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"), format!("CREATE DATABASE {name}")] {
            execute(&mut conn, statement).await.expect("the superuser may");
        }
        PgPoolOptions::new().max_connections(32).connect_lazy_with(options(&self.url(name)))
    }
}

impl Postgres {
    /// At most 32 connections, opened when first used.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// For a pool of one's own, or another process.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Gives up a transaction at every moment of its beginning, and looks at what that leaves.
    ///
    /// # Panics
    /// If it leaves a connection in the pool that is within a transaction.
    pub async fn give_up_beginning<T, F: Future<Output = T>>(&self, begin: impl Fn(PgPool) -> F) {
        let pool =
            self.pool.options().clone().max_connections(1).connect_lazy_with((*self.pool.connect_options()).clone());
        let mut patience = 0;
        let mut is_given_up = true;
        while is_given_up {
            is_given_up = tokio::select! {
                biased;
                tx = begin(pool.clone()) => { drop(tx); false }
                () = async { for _ in 0..patience { tokio::task::yield_now().await } } => true,
            };
            patience += 1 + patience / 16;
            let mut conn = pool.acquire().await.expect("its connection comes back");
            let mut moments = Vec::new();
            for _ in 0..2 {
                let moment: String =
                    sqlx::query_scalar("SELECT now()::text").fetch_one(&mut *conn).await.expect("the server answers");
                moments.push(moment);
            }
            assert_ne!(moments[0], moments[1], "time stands still within a transaction; given up after {patience}");
        }
    }

    async fn create(server: PgConnectOptions, migrators: &[&Migrator]) -> Self {
        let name = create(&server, migrators).await.expect("the server creates databases for us");
        let options = server.clone().database(&name);
        let url = options.to_url_lossy().to_string();
        let pool = PgPoolOptions::new().max_connections(32).connect_lazy_with(options);
        Self { pool, name, url, server }
    }
}

impl Drop for Postgres {
    /// Waits until the database is gone. If it cannot be dropped, a later process sweeps it.
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // We may be inside a runtime, which must not be blocked on from within: hence a thread with its own.
        let dropping = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let dropping = async {
                    let mut conn = PgConnection::connect_with(&server).await?;
                    execute(&mut conn, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await
                };
                tokio::time::timeout(Duration::from_secs(10), dropping).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
            })
        });
        let _ = dropping.join();
    }
}

/// The server that the environment names, or else one cluster for this process.
fn server() -> PgConnectOptions {
    // Never dropped, as no static is: it ends with the process all the same. If it does not start, every test says why.
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    if let Ok(url) = env::var(DATABASE_URL_VARIABLE) {
        return options(&url);
    }
    options(&CLUSTER.get_or_init(|| Cluster::start(Durability::Fast)).url("postgres"))
}

fn options(url: &str) -> PgConnectOptions {
    url.parse().unwrap_or_else(|error| panic!("{DATABASE_URL_VARIABLE} should be a PostgreSQL URL: {error}"))
}

async fn create(server: &PgConnectOptions, migrators: &[&Migrator]) -> Result<String> {
    let mut conn = PgConnection::connect_with(server).await?;
    let template = template_name(migrators);
    if !exists(&mut conn, &template).await? {
        create_template(&mut conn, server, &template, migrators).await?;
    }
    let name = fresh_name();
    execute(&mut conn, format!("CREATE DATABASE {name} TEMPLATE {template}")).await?;
    conn.close().await?;
    Ok(name)
}

/// Migrates an ordinary test database and publishes it by renaming it: a process that dies on the way leaves something to
/// sweep, never half a template.
async fn create_template(
    conn: &mut PgConnection,
    server: &PgConnectOptions,
    template: &str,
    migrators: &[&Migrator],
) -> Result<()> {
    // One process works, the others wait: many start at the same moment.
    sqlx::query("SELECT pg_advisory_lock(hashtextextended($1, 0))").bind(template).execute(&mut *conn).await?;
    if !exists(conn, template).await? {
        let name = fresh_name();
        execute(conn, format!("CREATE DATABASE {name} TEMPLATE template0")).await?;
        let pool = PgPoolOptions::new().max_connections(1).connect_with(server.clone().database(&name)).await?;
        for migrator in migrators {
            migrator.run(&pool).await.expect("migrations apply to an empty database");
        }
        pool.close().await;
        // A template can be cloned only while nobody is connected to it.
        execute(conn, format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")).await?;
        execute(conn, format!("ALTER DATABASE {name} RENAME TO {template}")).await?;
    }
    sqlx::query("SELECT pg_advisory_unlock(hashtextextended($1, 0))").bind(template).execute(conn).await?;
    Ok(())
}

/// Two lists of migrators share a template if, and only if, they would build the same.
fn template_name(migrators: &[&Migrator]) -> String {
    let mut hasher = DefaultHasher::new();
    for migrator in migrators {
        migrator.table_name.hash(&mut hasher);
        for migration in migrator.iter() {
            (migration.version, &migration.checksum).hash(&mut hasher);
        }
    }
    format!("stoa_template_{:016x}", hasher.finish())
}

fn fresh_name() -> String {
    static CREATED: AtomicU32 = AtomicU32::new(0);
    format!("{PREFIX}{}_{}", process::id(), CREATED.fetch_add(1, Ordering::Relaxed))
}

/// Drops the databases of processes that died before they could.
async fn sweep(server: &PgConnectOptions) -> Result<()> {
    let mut conn = PgConnection::connect_with(server).await?;
    let names: Vec<String> = sqlx::query_scalar("SELECT datname FROM pg_database WHERE starts_with(datname, $1)")
        .bind(PREFIX)
        .fetch_all(&mut conn)
        .await?;
    for name in names.iter().filter(|name| owner(name).is_some_and(is_gone)) {
        // Fails if somebody is connected, or sweeps as we do: both are theirs to finish.
        let _ = execute(&mut conn, format!("DROP DATABASE {name}")).await;
    }
    conn.close().await
}

fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('_').next()?.parse().ok()
}

/// Our own id counts as gone: this process has created nothing yet, so its databases are a predecessor's.
fn is_gone(pid: u32) -> bool {
    let is_alive = if Path::new("/proc/self").exists() {
        Path::new("/proc").join(pid.to_string()).exists()
    } else {
        let ps = Command::new("ps").args(["-p", &pid.to_string()]).stdout(Stdio::null()).status();
        ps.is_ok_and(|status| status.success())
    };
    pid == process::id() || !is_alive
}

async fn exists(conn: &mut PgConnection, database: &str) -> Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(database)
        .fetch_one(conn)
        .await
}

/// Runs a statement that names a database, which no placeholder can: every such name is one that [`sweep`] or
/// [`template_name`] vouches for, in lower-case letters, digits and underscores.
async fn execute(conn: &mut PgConnection, statement: String) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(conn).await.map(|_| ())
}
