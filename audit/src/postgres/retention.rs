//! Partitions and retention, for the host to schedule.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::{Error, Result};

/// How to keep the application from everything but adding and reading records and erasing personal data: statements to adapt and
/// to run once, by a superuser.
pub const ROLES: &str = include_str!("roles.sql");

/// What became of a partition that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Partition {
    /// It is new.
    Created,
    /// It was there.
    Exists,
    /// Records of that month are in the default partition already, where they stay: make partitions ahead of their month.
    Occupied,
}

/// A month that retention has removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// When it began.
    pub from: DateTime<Utc>,
    /// When it ended.
    pub until: DateTime<Utc>,
    /// How many records it had.
    pub records: i64,
}

/// Makes the partition of the month, in UTC, that this moment is in, as append-only as all others.
///
/// Call it ahead, say once a day for the next month, as the owner of the tables and outside other transactions: it waits until all
/// transactions end that have recorded something, and new ones wait for it. Set a `lock_timeout` if some of yours are long.
///
/// # Errors
/// [`Error::Backend`] if the database fails, or the role does not own the tables.
pub async fn create_partition(conn: &mut PgConnection, month: DateTime<Utc>) -> Result<Partition> {
    let outcome: String = sqlx::query_scalar("SELECT audit_create_partition($1)").bind(month).fetch_one(conn).await?;
    match outcome.as_str() {
        "created" => Ok(Partition::Created),
        "exists" => Ok(Partition::Exists),
        "occupied" => Ok(Partition::Occupied),
        _ => Err(Error::Corrupt { what: "partition" }),
    }
}

/// Drops the partitions of all months that had ended by this moment, with the personal data and the keys of their records, and
/// writes into `audit_pruned` which months these were, so that a missing record can be told from a pruned one.
///
/// It waits as [`create_partition`] does. Records in the default partition stay. Where a sealer works on the log, it first has to
/// have come to the end of these months: a record that goes without a leaf leaves no trace.
///
/// # Errors
/// [`Error::Unsealed`] if the log is in use and one of the months holds records that are not sealed yet: then nothing was
/// dropped. Otherwise as [`create_partition`].
pub async fn drop_partitions_before(conn: &mut PgConnection, moment: DateTime<Utc>) -> Result<Vec<Pruned>> {
    let months: Vec<(DateTime<Utc>, DateTime<Utc>, i64, i64)> =
        sqlx::query_as("SELECT from_at, until_at, coalesce(records, 0), unsealed FROM audit_drop_partitions($1)")
            .bind(moment)
            .fetch_all(conn)
            .await?;
    let unsealed: u64 = months.iter().map(|(.., unsealed)| unsealed.unsigned_abs()).sum();
    if unsealed > 0 {
        return Err(Error::Unsealed { records: unsealed });
    }
    Ok(months.into_iter().map(|(from, until, records, _)| Pruned { from, until, records }).collect())
}
