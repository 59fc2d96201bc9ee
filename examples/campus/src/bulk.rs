//! Many rows in one statement.
//!
//! Both databases take the rows as one JSON array, and each takes it apart with functions of its own: so a statement is written
//! twice here, and its rows once.

use serde::Serialize;
use sqlx::{PgConnection, Result, SqliteConnection};

/// A statement for many rows, in the words of either database. Its only argument is a JSON array of objects.
pub(crate) struct Bulk {
    /// Takes the array apart with `json_to_recordset($1::json)`.
    pub(crate) postgres: &'static str,
    /// Takes the array apart with `json_each($1)`.
    pub(crate) sqlite: &'static str,
}

impl Bulk {
    /// Runs the statement for the rows, and says how many of them it wrote.
    pub(crate) async fn write<C: BulkSql + ?Sized>(&self, conn: &mut C, rows: &[impl Serialize + Sync]) -> Result<u64> {
        if rows.is_empty() {
            return Ok(0);
        }
        conn.write_rows(self, &json(rows)?).await
    }

    /// Runs the statement for the rows, and returns the only column of what it answers.
    pub(crate) async fn read<C: BulkSql + ?Sized>(
        &self,
        conn: &mut C,
        rows: &[impl Serialize + Sync],
    ) -> Result<Vec<String>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        conn.read_rows(self, &json(rows)?).await
    }
}

fn json(rows: &[impl Serialize]) -> Result<String> {
    serde_json::to_string(rows).map_err(|error| sqlx::Error::Encode(error.into()))
}

/// A connection that takes many rows at once.
#[expect(private_interfaces, reason = "statements are written within campus")]
pub trait BulkSql: Send {
    /// Runs a statement that writes.
    fn write_rows(&mut self, bulk: &Bulk, rows: &str) -> impl Future<Output = Result<u64>> + Send;
    /// Runs a statement that answers with one column of texts.
    fn read_rows(&mut self, bulk: &Bulk, rows: &str) -> impl Future<Output = Result<Vec<String>>> + Send;
    /// Lets the planner of the database look at what was loaded.
    fn analyze(&mut self) -> impl Future<Output = Result<()>> + Send;
}

#[expect(private_interfaces, reason = "as above")]
impl BulkSql for PgConnection {
    async fn write_rows(&mut self, bulk: &Bulk, rows: &str) -> Result<u64> {
        Ok(sqlx::query(bulk.postgres).bind(rows).execute(self).await?.rows_affected())
    }

    async fn read_rows(&mut self, bulk: &Bulk, rows: &str) -> Result<Vec<String>> {
        sqlx::query_scalar(bulk.postgres).bind(rows).fetch_all(self).await
    }

    async fn analyze(&mut self) -> Result<()> {
        // Autovacuum would come to it in a minute; until then every plan is a guess.
        sqlx::raw_sql("ANALYZE").execute(self).await?;
        Ok(())
    }
}

#[expect(private_interfaces, reason = "as above")]
impl BulkSql for SqliteConnection {
    async fn write_rows(&mut self, bulk: &Bulk, rows: &str) -> Result<u64> {
        Ok(sqlx::query(bulk.sqlite).bind(rows).execute(self).await?.rows_affected())
    }

    async fn read_rows(&mut self, bulk: &Bulk, rows: &str) -> Result<Vec<String>> {
        sqlx::query_scalar(bulk.sqlite).bind(rows).fetch_all(self).await
    }

    async fn analyze(&mut self) -> Result<()> {
        // Its plans follow the indexes alone, and every statement is written for that.
        Ok(())
    }
}
