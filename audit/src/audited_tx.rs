//! A guard that lets nothing commit unaudited by oversight.

use std::ops::{Deref, DerefMut};

use crate::Receipt;

/// What can be committed and rolled back: sqlx's transactions, [`memory::Transaction`](crate::memory::Transaction), or the host's own.
///
/// Dropping it without either has to roll it back.
pub trait Commit: Sized {
    /// What can go wrong.
    type Error;

    /// Commits.
    fn commit(self) -> impl Future<Output = Result<(), Self::Error>> + Send;
    /// Rolls back.
    fn rollback(self) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
impl<DB: sqlx::Database> Commit for sqlx::Transaction<'_, DB> {
    type Error = sqlx::Error;

    async fn commit(self) -> Result<(), sqlx::Error> {
        sqlx::Transaction::commit(self).await
    }

    async fn rollback(self) -> Result<(), sqlx::Error> {
        sqlx::Transaction::rollback(self).await
    }
}

impl Commit for crate::memory::Transaction {
    type Error = crate::Error;

    async fn commit(self) -> Result<(), crate::Error> {
        self.keep();
        Ok(())
    }

    async fn rollback(self) -> Result<(), crate::Error> {
        Ok(())
    }
}

/// A transaction that commits only for a [`Receipt`].
///
/// It dereferences to the connection, as what it wraps does. Dropping it rolls back.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use stoa_audit::{Action, Actor, Audit, AuditedTx, Entity, EntityType, Memory, Record, Source, memory};
/// # let (audit, database) = (Audit::new(Memory), memory::Database::default());
/// # const RENAMED: Action = Action::new("bits.groups.v1.GroupService/RenameGroup");
/// # let record = Record::new(RENAMED, &Actor::user("ada")?, Entity::new(EntityType::from_static("group"), 1));
/// let mut tx = AuditedTx::new(database.begin().await?);
/// // … write on `tx` …
/// let receipt = audit.record(&mut tx, &record).await?;
/// tx.commit(receipt).await?;
/// # Ok(())
/// # }
/// ```
///
/// Without a record there is no receipt, and without a receipt this does not compile:
///
/// ```compile_fail,E0061
/// # use stoa_audit::{AuditedTx, Source, memory};
/// # async fn example(database: memory::Database) -> Result<(), stoa_audit::Error> {
/// let tx = AuditedTx::new(database.begin().await?);
/// tx.commit().await?;
/// # Ok(())
/// # }
/// ```
///
/// A receipt is good for one commit:
///
/// ```compile_fail,E0382
/// # use stoa_audit::{AuditedTx, Receipt, Source, memory};
/// # async fn example(database: memory::Database, receipt: Receipt) -> Result<(), stoa_audit::Error> {
/// AuditedTx::new(database.begin().await?).commit(receipt).await?;
/// AuditedTx::new(database.begin().await?).commit(receipt).await?;
/// # Ok(())
/// # }
/// ```
///
/// Nor can what is inside be taken out and committed past the guard. The receipt is not tied to the transaction, though: a record
/// is written through a plain connection, which does not know in whose hands it is. What the guard prevents is forgetting, not fraud.
///
/// # With `stoa-capabilities`
/// The brand goes around the guard: `scoped!(tx = AuditedTx::new(pool.begin().await?));`. It dereferences to the connection
/// through both, proofs are made on it as on any branded transaction, and the end is
/// `tx.into_inner().commit(receipt).await?`.
#[derive(Debug)]
#[must_use = "dropping a transaction rolls it back"]
pub struct AuditedTx<T> {
    tx: T,
}

impl<T: Commit> AuditedTx<T> {
    /// Guards a transaction that has begun.
    pub fn new(tx: T) -> Self {
        Self { tx }
    }

    /// Commits what the receipt's record speaks of.
    ///
    /// # Errors
    /// Those of the transaction.
    pub async fn commit(self, receipt: Receipt) -> Result<(), T::Error> {
        tracing::debug!(audit.record = %receipt.id(), "committed");
        self.tx.commit().await
    }

    /// Commits without a record, and logs a warning with the reason.
    ///
    /// # Errors
    /// Those of the transaction.
    pub async fn commit_unaudited(self, reason: &str) -> Result<(), T::Error> {
        tracing::warn!(audit.reason = ?reason, "committing without an audit record");
        self.tx.commit().await
    }

    /// Rolls back.
    ///
    /// # Errors
    /// Those of the transaction.
    pub async fn rollback(self) -> Result<(), T::Error> {
        self.tx.rollback().await
    }
}

impl<T: Deref> Deref for AuditedTx<T> {
    type Target = T::Target;

    fn deref(&self) -> &T::Target {
        &self.tx
    }
}

impl<T: DerefMut> DerefMut for AuditedTx<T> {
    fn deref_mut(&mut self) -> &mut T::Target {
        &mut self.tx
    }
}
