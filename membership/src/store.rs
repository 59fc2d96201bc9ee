//! The contract between this crate and a database.

use chrono::{DateTime, Utc};

use crate::{
    By, Changes, Cursor, Filter, ImportRow, Imported, Member, Result, Role, Scope, ScopeType, Standing, Transition,
    UserId, Verb,
};

/// What a backend promises. Users call [`Membership`](crate::Membership) instead.
///
/// The verbs and their transition table are not here: they are decided once, in Rust, over [`find`](Self::find) and
/// [`write`](Self::write), so that backends cannot disagree about them.
///
/// # Contract
/// * A method does all its work on `conn`; it never commits or rolls back the caller's transaction, `SET`s or takes a session lock.
/// * A mutating method is atomic by itself, also on a bare connection. Half of one never stays.
/// * Whatever changes a row leaves a [`Transition`] in the same transaction.
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

    /// Reads the row of each pair, whatever its state, in one statement and in the order of the pairs.
    fn find_many(
        &self,
        conn: &mut Self::Connection,
        pairs: &[(UserId, Scope)],
    ) -> impl Future<Output = Result<Vec<Option<Member>>>> + Send;

    /// Reads up to `limit` matching rows of a user in the byte order of their scopes, type first, after `after`.
    fn list_by_user(
        &self,
        conn: &mut Self::Connection,
        user: &UserId,
        filter: &Filter,
        after: Option<&Scope>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Member>>> + Send;

    /// Reads up to `limit` matching rows of a scope in the byte order of their roles and users, after `after`.
    fn list_by_scope(
        &self,
        conn: &mut Self::Connection,
        scope: &Scope,
        filter: &Filter,
        after: Option<(&Role, &UserId)>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Member>>> + Send;

    /// Counts the rows that [`list_by_scope`](Self::list_by_scope) would read without a limit.
    fn count(
        &self,
        conn: &mut Self::Connection,
        scope: &Scope,
        filter: &Filter,
    ) -> impl Future<Output = Result<u64>> + Send;

    /// Reads up to `limit` transitions of one membership, newest first, from before the version `before`.
    fn history(
        &self,
        conn: &mut Self::Connection,
        user: &UserId,
        scope: &Scope,
        before: Option<i64>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Transition>>> + Send;

    /// Reads up to `limit` events that were committed and are not behind `after`, each of them once.
    ///
    /// A transaction that commits late is not lost, and one that is open holds nothing up.
    fn changes(
        &self,
        conn: &mut Self::Connection,
        after: &Cursor,
        limit: u32,
    ) -> impl Future<Output = Result<Changes>> + Send;

    /// Returns the position behind everything that is committed.
    fn latest(&self, conn: &mut Self::Connection) -> impl Future<Output = Result<Cursor>> + Send;

    /// Writes all rows, which come in the order of their keys and are distinct, or none; `None` if the guard did not hold.
    fn import(
        &self,
        conn: &mut Self::Connection,
        load: &Load<'_>,
    ) -> impl Future<Output = Result<Option<Imported>>> + Send;

    /// Deletes a user's rows and transitions and takes the user's name off all others; leaves an event for each row.
    fn purge(&self, conn: &mut Self::Connection, user: &UserId) -> impl Future<Output = Result<Removed>> + Send;
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
    /// What changes it.
    pub verb: Verb,
    /// Who changes it, and why.
    pub by: &'a By,
    /// Unless empty: another active, unexpired member must hold one of these roles.
    pub needs_other_owner: &'a [Role],
    /// Whether it was [`Stale`](Written::Stale) a moment ago: in a transaction its row is locked by now, where rows are.
    pub is_retry: bool,
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

/// Rows to import.
#[derive(Clone, Debug)]
pub struct Load<'a> {
    /// The rows.
    pub rows: &'a [ImportRow],
    /// Whether a banned row may change.
    pub lifts_bans: bool,
    /// Who loads them, and why.
    pub by: &'a By,
    /// The roles that own a scope of each type: one that had an active, unexpired owner must have one afterwards.
    pub owner_roles: &'a [(ScopeType, Role)],
}

/// What a purge removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The rows, as they were.
    pub members: Vec<Member>,
    /// How many transitions of theirs.
    pub transitions: u64,
    /// On how many transitions of others the user was the actor.
    pub mentions: u64,
}
