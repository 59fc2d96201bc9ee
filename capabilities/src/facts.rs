//! The contract between this crate and the host's roles.

use std::fmt::Debug;

/// Who has which role where: what a host implements over its own tables. Users call [`Capabilities`](crate::Capabilities).
///
/// # Contract
/// * A method does all its work on `conn`; it never commits or rolls back the caller's transaction, `SET`s or takes a session lock.
/// * `None` for everybody who has no role at this moment: strangers, and those who left, are banned or whose membership expired.
/// * An unknown actor or scope is `None`, never an error; only a failing database is an error.
pub trait Facts: Send + Sync + 'static {
    /// What every call works on: the host's own connection, inside or outside a transaction.
    type Connection: Send;
    /// Who acts. Denials log it with `Debug`.
    type Actor: Clone + Debug + PartialEq + Send + Sync;
    /// Where. Denials log it with `Debug`.
    type Scope: Clone + Debug + Send + Sync;
    /// The name of a role, as the [`Matrix`](crate::Matrix) knows it.
    type Role: AsRef<str> + Clone + Send + Sync;
    /// Why the database failed.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Reads the role the actor has in the scope.
    fn role(
        &self,
        conn: &mut Self::Connection,
        actor: &Self::Actor,
        scope: &Self::Scope,
    ) -> impl Future<Output = Result<Option<Self::Role>, Self::Error>> + Send;

    /// Reads the role the actor has in each of the scopes, in their order; a scope may occur twice. One statement, where the
    /// database can.
    fn role_many(
        &self,
        conn: &mut Self::Connection,
        actor: &Self::Actor,
        scopes: &[Self::Scope],
    ) -> impl Future<Output = Result<Vec<Option<Self::Role>>, Self::Error>> + Send;

    /// Reads the role as [`role`](Self::role) does, and makes a concurrent revocation wait until the caller's transaction ends.
    ///
    /// `FOR SHARE` on PostgreSQL (`FOR KEY SHARE` lets an update pass). SQLite has one writer, so in a transaction that
    /// began with `BEGIN IMMEDIATE` a plain read holds already.
    fn hold(
        &self,
        conn: &mut Self::Connection,
        actor: &Self::Actor,
        scope: &Self::Scope,
    ) -> impl Future<Output = Result<Option<Self::Role>, Self::Error>> + Send;
}
