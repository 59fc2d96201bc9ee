//! Retention, for the host to schedule.

use chrono::{DateTime, Utc};
use sqlx::{Connection, SqliteConnection};

use crate::{Error, RecordId, Result};

/// Removes up to `at_most` of the oldest records from before this moment, with their personal data and keys, and returns how
/// many went. Call it again until that is none.
///
/// It first writes the moment into `audit_pruned`. The database refuses to delete a record that is not from before a moment there,
/// and to change or delete such a moment; so a missing record can be told from a pruned one.
///
/// Where a sealer works on the log, it first has to have come past that moment: a record that goes without a leaf leaves no trace.
///
/// # Errors
/// [`Error::Unsealed`] if the log is in use and records from before this moment are not sealed yet: then nothing was removed, nor
/// was the moment written down. [`Error::Backend`] if the database fails.
pub async fn prune_before(conn: &mut SqliteConnection, moment: DateTime<Utc>, at_most: u32) -> Result<u64> {
    let floor = *RecordId::floor(moment).as_uuid();
    let moment = moment.timestamp_micros();
    let mut tx = conn.begin().await?;
    // The sealer goes by `seq`; without a checkpoint there is nothing to compare with, and nothing is counted.
    let unsealed: i64 = sqlx::query_scalar(
        r#"
        SELECT count(*)
        FROM audit_record
        WHERE seq > (SELECT cursor_place FROM audit_checkpoint ORDER BY tree_size DESC LIMIT 1) AND at < $1
        "#,
    )
    .bind(moment)
    .fetch_one(&mut *tx)
    .await?;
    if unsealed > 0 {
        return Err(Error::Unsealed { records: unsealed.unsigned_abs() });
    }
    sqlx::query(
        r#"
        INSERT INTO audit_pruned (until_at)
        SELECT $1
        WHERE $1 > coalesce((SELECT max(until_at) FROM audit_pruned), 0)
        "#,
    )
    .bind(moment)
    .execute(&mut *tx)
    .await?;
    // The oldest by id, which begins with the time and has an index.
    for statement in [
        r#"
        DELETE FROM audit_private
        WHERE record_id IN (SELECT id FROM audit_record WHERE at < $1 AND id < $2 ORDER BY id LIMIT $3)
        "#,
        r#"
        DELETE FROM audit_idempotency
        WHERE record_id IN (SELECT id FROM audit_record WHERE at < $1 AND id < $2 ORDER BY id LIMIT $3)
        "#,
    ] {
        sqlx::query(statement).bind(moment).bind(floor).bind(at_most).execute(&mut *tx).await?;
    }
    let removed = sqlx::query(
        r#"
        DELETE FROM audit_record
        WHERE id IN (SELECT id FROM audit_record WHERE at < $1 AND id < $2 ORDER BY id LIMIT $3)
        "#,
    )
    .bind(moment)
    .bind(floor)
    .bind(at_most)
    .execute(&mut *tx)
    .await?
    .rows_affected();
    tx.commit().await?;
    Ok(removed)
}
