//! The contract between this crate and a database.

use chrono::{DateTime, Utc};

use crate::{By, Member, Result, Role, Scope, State, UserId};

/// What a backend promises. Users call [`Membership`](crate::Membership) instead.
///
/// The verbs and their transition table are not here: they are decided once, in Rust, over [`find`](Self::find) and
/// [`write`](Self::write), so that backends cannot disagree about them.
///
/// # Contract
/// * A method does all its work on `conn`; it never commits or rolls back the caller's transaction, `SET`s or takes a session lock.
/// * [`write`](Self::write) is atomic by itself, also on a bare connection. Half a write never stays.
/// * An expected outcome is never a database error: the caller's transaction stays usable.
/// * Correct at READ COMMITTED and above; above it, a conflict is a retryable error.
/// * Time is the database's clock at the statement, in [`Member`]'s `read_at`.
pub trait Store: Send + Sync + 'static {
    /// What every call works on: the host's own connection, inside or outside a transaction.
    type Connection: Send;

    /// Reads one row, whatever its state.
    fn find(
        &self,
        conn: &mut Self::Connection,
        user: &UserId,
        scope: &Scope,
    ) -> impl Future<Output = Result<Option<Member>>> + Send;

    /// Reads one row and keeps others from changing it until the caller's transaction ends.
    fn hold(
        &self,
        conn: &mut Self::Connection,
        user: &UserId,
        scope: &Scope,
    ) -> impl Future<Output = Result<Option<Member>>> + Send;

    /// Inserts or replaces one row if it is still at the expected version and the guard holds.
    ///
    /// Of two concurrent guarded writes that would together leave a scope without an owner, one gets [`Written::LastOwner`].
    fn write(&self, conn: &mut Self::Connection, write: &Write<'_>) -> impl Future<Output = Result<Written>> + Send;

    /// Reads every row of a user, whatever its state.
    fn list_by_user(
        &self,
        conn: &mut Self::Connection,
        user: &UserId,
    ) -> impl Future<Output = Result<Vec<Member>>> + Send;

    /// Reads up to `limit` active, unexpired rows of a scope in the byte order of their users, after `after`.
    fn list_by_scope(
        &self,
        conn: &mut Self::Connection,
        scope: &Scope,
        after: Option<&UserId>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Member>>> + Send;

    /// Counts the rows that [`list_by_scope`](Self::list_by_scope) would read without a limit.
    fn count(&self, conn: &mut Self::Connection, scope: &Scope) -> impl Future<Output = Result<u64>> + Send;
}

/// The changeable fields of a membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What the member is.
    pub role: Role,
    /// Where the membership stands.
    pub state: State,
    /// When an active membership ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
}

/// One row to write.
#[derive(Clone, Debug)]
pub struct Write<'a> {
    /// Whose row.
    pub user: &'a UserId,
    /// In which scope.
    pub scope: &'a Scope,
    /// The version the row must still have; `None`: there must be no row.
    pub expected: Option<i64>,
    /// What the row becomes.
    pub standing: &'a Standing,
    /// Who changes it.
    pub by: &'a By,
    /// Unless empty: another active, unexpired member must hold one of these roles.
    pub needs_other_owner: &'a [Role],
}

/// What became of a [`Write`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It was written: version, and the database's clock.
    Done {
        /// The row's new version.
        version: i64,
        /// The moment of the write.
        at: DateTime<Utc>,
    },
    /// The row is at another version by now; nothing was written.
    Stale,
    /// The guard did not hold; nothing was written.
    LastOwner,
}
