//! The two databases campus runs on, and what a page needs of either.

use std::ops::DerefMut;
use std::str::FromStr;
use std::sync::LazyLock;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{PgConnection, PgPool, SqlStr, SqliteConnection, SqlitePool};
use {stoa_audit as audit, stoa_jobs_runner as jobs, stoa_membership as membership, stoa_search as search};

use crate::sql::Sql;

/// One database: where connections come from, and the crates' backends for it.
pub trait Backend: Clone + Send + Sync + 'static {
    /// What every verb of every crate works on; the host's own SQL is a trait on it.
    type Connection: Sql + Send;
    /// An open transaction; dropping it rolls it back.
    type Transaction: DerefMut<Target = Self::Connection> + Send;
    /// Lends connections to the pages and to the job runner.
    type Pool: membership::Source<Connection = Self::Connection, Transaction = Self::Transaction>
        + audit::Source<Connection = Self::Connection>
        + jobs::Source<Connection = Self::Connection>
        + search::Source<Connection = Self::Connection>;
    /// Memberships on this database.
    type Membership: membership::Store<Connection = Self::Connection> + Clone;
    /// Audit records on this database.
    type Audit: audit::LogStore<Connection = Self::Connection> + Clone;
    /// Jobs on this database.
    type Jobs: jobs::Store<Connection = Self::Connection> + Clone;
    /// Search on this database.
    type Search: search::Store<Connection = Self::Connection> + search::recommendation::Store + Clone;

    /// Returns the pool.
    fn pool(&self) -> &Self::Pool;
    /// Returns the crates' backends.
    fn stores(&self) -> (Self::Membership, Self::Audit, Self::Jobs, Self::Search);
    /// Brings the schema of the crates and of the host up to date.
    fn migrate(&self) -> impl Future<Output = Result<(), MigrateError>> + Send;
}

/// Campus on an embedded SQLite file.
#[derive(Clone, Debug)]
pub struct Sqlite(SqlitePool);

/// Campus on PostgreSQL.
#[derive(Clone, Debug)]
pub struct Postgres(PgPool);

impl Sqlite {
    /// Opens the file, creating it where it is missing.
    ///
    /// # Errors
    /// If the path is not a database, or cannot be opened.
    pub async fn open(path: &str) -> sqlx::Result<Self> {
        let options = SqliteConnectOptions::from_str(&format!("sqlite:{path}"))?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // WAL loses the last commits with NORMAL when the power fails; FULL keeps what was acknowledged.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10));
        Ok(Self(SqlitePoolOptions::new().max_connections(8).connect_with(options).await?))
    }

    /// Works on an open pool.
    pub fn new(pool: SqlitePool) -> Self {
        Self(pool)
    }
}

impl Postgres {
    /// Connects to the server.
    ///
    /// # Errors
    /// If the URL is malformed or the server does not answer.
    pub async fn open(url: &str) -> sqlx::Result<Self> {
        Ok(Self(PgPoolOptions::new().max_connections(16).connect(url).await?))
    }

    /// Works on an open pool.
    pub fn new(pool: PgPool) -> Self {
        Self(pool)
    }
}

impl Backend for Sqlite {
    type Connection = SqliteConnection;
    type Transaction = sqlx::Transaction<'static, sqlx::Sqlite>;
    type Pool = SqlitePool;
    type Membership = membership::Sqlite;
    type Audit = audit::Sqlite;
    type Jobs = jobs::Sqlite;
    type Search = search::Sqlite;

    fn pool(&self) -> &SqlitePool {
        &self.0
    }

    fn stores(&self) -> (membership::Sqlite, audit::Sqlite, jobs::Sqlite, search::Sqlite) {
        (membership::Sqlite, audit::Sqlite, jobs::Sqlite, search::Sqlite)
    }

    async fn migrate(&self) -> Result<(), MigrateError> {
        membership::sqlite::MIGRATOR.run(&self.0).await?;
        audit::sqlite::MIGRATOR.run(&self.0).await?;
        jobs::sqlite::MIGRATOR.run(&self.0).await?;
        search::sqlite::MIGRATOR.run(&self.0).await?;
        SQLITE_MIGRATOR.run(&self.0).await
    }
}

impl Backend for Postgres {
    type Connection = PgConnection;
    type Transaction = sqlx::Transaction<'static, sqlx::Postgres>;
    type Pool = PgPool;
    type Membership = membership::Postgres;
    type Audit = audit::Postgres;
    type Jobs = jobs::Postgres;
    type Search = search::Postgres;

    fn pool(&self) -> &PgPool {
        &self.0
    }

    fn stores(&self) -> (membership::Postgres, audit::Postgres, jobs::Postgres, search::Postgres) {
        (membership::Postgres, audit::Postgres, jobs::Postgres, search::Postgres)
    }

    async fn migrate(&self) -> Result<(), MigrateError> {
        membership::postgres::MIGRATOR.run(&self.0).await?;
        audit::postgres::MIGRATOR.run(&self.0).await?;
        jobs::postgres::MIGRATOR.run(&self.0).await?;
        search::postgres::MIGRATOR.run(&self.0).await?;
        POSTGRES_MIGRATOR.run(&self.0).await
    }
}

/// The host's own schema on SQLite, oldest change first, in the tracking table that sqlx gives every host.
pub static SQLITE_MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    migrator(&[
        (1, "initial", include_str!("../migrations/sqlite/0001_initial.sql")),
        (2, "directory", include_str!("../migrations/sqlite/0002_directory.sql")),
        (3, "openings", include_str!("../migrations/sqlite/0003_openings.sql")),
        (4, "groups", include_str!("../migrations/sqlite/0004_groups.sql")),
        (5, "calendar", include_str!("../migrations/sqlite/0005_calendar.sql")),
        (6, "announcements", include_str!("../migrations/sqlite/0006_announcements.sql")),
        (7, "recommender", include_str!("../migrations/sqlite/0007_recommender.sql")),
        (10, "staff", include_str!("../migrations/sqlite/0010_staff.sql")),
        (8, "mentorship", include_str!("../migrations/sqlite/0008_mentorship.sql")),
        (9, "marketplace", include_str!("../migrations/sqlite/0009_marketplace.sql")),
        (11, "notifications", include_str!("../migrations/sqlite/0011_notifications.sql")),
        (12, "whatsapp", include_str!("../migrations/sqlite/0012_whatsapp.sql")),
        (13, "told", include_str!("../migrations/sqlite/0013_told.sql")),
        (14, "settled", include_str!("../migrations/sqlite/0014_settled.sql")),
    ])
});

/// The host's own schema on PostgreSQL.
pub static POSTGRES_MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    migrator(&[
        (1, "initial", include_str!("../migrations/postgres/0001_initial.sql")),
        (2, "directory", include_str!("../migrations/postgres/0002_directory.sql")),
        (3, "openings", include_str!("../migrations/postgres/0003_openings.sql")),
        (4, "groups", include_str!("../migrations/postgres/0004_groups.sql")),
        (5, "calendar", include_str!("../migrations/postgres/0005_calendar.sql")),
        (6, "announcements", include_str!("../migrations/postgres/0006_announcements.sql")),
        (7, "recommender", include_str!("../migrations/postgres/0007_recommender.sql")),
        (10, "staff", include_str!("../migrations/postgres/0010_staff.sql")),
        (8, "mentorship", include_str!("../migrations/postgres/0008_mentorship.sql")),
        (9, "marketplace", include_str!("../migrations/postgres/0009_marketplace.sql")),
        (11, "notifications", include_str!("../migrations/postgres/0011_notifications.sql")),
        (12, "whatsapp", include_str!("../migrations/postgres/0012_whatsapp.sql")),
        (13, "told", include_str!("../migrations/postgres/0013_told.sql")),
        (14, "settled", include_str!("../migrations/postgres/0014_settled.sql")),
    ])
});

/// Each change by the number and the name of its file.
fn migrator(changes: &[(i64, &'static str, &'static str)]) -> Migrator {
    let migrations = changes.iter().map(|&(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
    });
    Migrator::with_migrations(migrations.collect())
}
