//! Hearing of what others commit.

use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, SqlitePool};
use tokio::time::sleep;

use crate::{Error, Result};

/// How often a quiet database is looked at, which takes about a hundredth of a core.
const QUIET: Duration = Duration::from_millis(20);
/// And a busy one, for every change makes workers look for jobs.
const BUSY: Duration = Duration::from_millis(40);

pub(super) async fn listen(pool: &SqlitePool, heard: impl Fn() + Send + Sync) -> Result<()> {
    let options = pool.connect_options();
    if !options.get_filename().exists() {
        // A database in memory: nobody else can write to it.
        return std::future::pending().await;
    }
    // Not one of the pool's, for that may have a single one, and the number means something only to the connection that reads it.
    let mut conn = SqliteConnection::connect_with(&options).await?;
    let (mut seen, mut pause) = (None, QUIET);
    loop {
        match version(&mut conn).await {
            Ok(version) if seen.replace(version) == Some(version) => pause = QUIET,
            Ok(_) => {
                heard();
                pause = (pause * 2).min(BUSY);
            }
            // Somebody has the file for themselves.
            Err(error) if error.is_retryable() => {}
            Err(error) => return Err(error),
        }
        sleep(pause).await;
    }
}

/// A number that changes with every commit of another connection, whichever process it is in.
async fn version(conn: &mut SqliteConnection) -> Result<i64, Error> {
    Ok(sqlx::query_scalar("PRAGMA data_version").fetch_one(conn).await?)
}
