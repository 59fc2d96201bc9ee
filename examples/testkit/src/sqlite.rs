//! Fresh SQLite databases in temporary files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use tempfile::TempDir;

/// A fresh, migrated SQLite database in a file, removed with this value.
#[derive(Debug)]
pub struct Sqlite {
    pool: SqlitePool,
    path: PathBuf,
    url: String,
    _directory: TempDir,
}

/// Creates a fresh database with these migrations. Nothing is flushed to disk: for tests.
///
/// # Panics
/// If the temporary directory is not writable, or a migration fails.
pub async fn sqlite(migrators: &[&Migrator]) -> Sqlite {
    Sqlite::create(SqliteSynchronous::Off, migrators).await
}

/// Creates a fresh database whose commits are flushed as in production: for benches.
///
/// # Panics
/// As [`sqlite`].
pub async fn sqlite_durable(migrators: &[&Migrator]) -> Sqlite {
    Sqlite::create(SqliteSynchronous::Full, migrators).await
}

impl Sqlite {
    /// At most 16 connections, with a write-ahead log, foreign keys and a busy timeout of ten seconds.
    pub fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// For a pool of one's own, or another process.
    pub fn url(&self) -> &str {
        &self.url
    }

    async fn create(synchronous: SqliteSynchronous, migrators: &[&Migrator]) -> Self {
        let directory = tempfile::Builder::new().prefix("stoa-sqlite-").tempdir();
        let directory = directory.expect("the temporary directory is writable");
        let path = directory.path().join("test.db");
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(Duration::from_secs(10))
            .foreign_keys(true)
            .synchronous(synchronous);
        let pool = SqlitePoolOptions::new().max_connections(16).connect_lazy_with(options);
        for migrator in migrators {
            migrator.run(&pool).await.expect("migrations apply to an empty database");
        }
        let url = format!("sqlite://{}", path.display());
        Self { pool, path, url, _directory: directory }
    }
}
