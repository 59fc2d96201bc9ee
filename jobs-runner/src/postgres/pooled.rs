//! A server behind a pooler.

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool};

use crate::{Result, Source};

/// A server behind a pooler that lends its connections for one transaction each and knows nothing of prepared statements, such as
/// PgBouncer before 1.21 with `pool_mode = transaction`.
///
/// Nothing happens outside of a transaction and nothing outlives one: no prepared statement is expected to be there still, nobody
/// listens, and no session is ever locked or set. Runners take it as their source, and a host begins with it the transactions
/// that enqueue. Run the migrations without the pooler.
///
/// PgBouncer from 1.21 on with `max_prepared_statements` above 0 keeps track of prepared statements: there an ordinary `PgPool`
/// serves, and is faster. Either way [`Runner::listen`](crate::Runner::listen) needs a connection that is no pooler's.
#[derive(Clone, Debug)]
pub struct Pooled(PgPool);

impl Pooled {
    /// Connects to the same database as the pool, and as often, with what a pooler needs: no cache of prepared statements, and no
    /// startup parameter that it would refuse.
    pub fn new(pool: &PgPool) -> Self {
        let options = PgConnectOptions::clone(&pool.connect_options());
        let options = options.statement_cache_capacity(0).extra_float_digits(None);
        Self(pool.options().clone().min_connections(0).connect_lazy_with(options))
    }
}

impl Source for Pooled {
    type Connection = PgConnection;
    type Guard = sqlx::pool::PoolConnection<sqlx::Postgres>;
    type Transaction = sqlx::Transaction<'static, sqlx::Postgres>;

    async fn acquire(&self) -> Result<Self::Guard> {
        Ok(self.0.acquire().await?)
    }

    async fn begin(&self) -> Result<Self::Transaction> {
        Ok(super::begin::begin(&self.0, include_str!("begin.sql")).await?)
    }

    async fn begin_snapshot(&self) -> Result<Self::Transaction> {
        Ok(super::begin::begin(&self.0, include_str!("begin_snapshot.sql")).await?)
    }

    async fn commit(&self, tx: Self::Transaction) -> Result<()> {
        Ok(tx.commit().await?)
    }

    async fn begin_turn(&self) -> Result<Option<Self::Transaction>> {
        Ok(Some(self.begin().await?))
    }

    async fn notify(&self) -> Result<()> {
        let mut tx = self.begin().await?;
        super::wake::notify(&mut tx).await?;
        self.commit(tx).await
    }
}
