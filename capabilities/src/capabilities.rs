//! The facade: what hosts call.

use std::ops::DerefMut;

use tracing::{info, instrument};

use crate::{Authorized, Capability, Domain, Error, Facts, Matrix, Result, Scoped};

/// Who may what in the places of one domain: the host's roles, and the matrix that says what each of them grants.
#[derive(Clone, Debug)]
pub struct Capabilities<F, D> {
    facts: F,
    matrix: Matrix<D>,
}

impl<F: Facts, D: Domain> Capabilities<F, D> {
    /// Puts facts and matrix together.
    pub fn new(facts: F, matrix: Matrix<D>) -> Self {
        Self { facts, matrix }
    }

    /// Returns the matrix, for a role that is already loaded.
    pub fn matrix(&self) -> &Matrix<D> {
        &self.matrix
    }

    /// Says whether the actor may at this moment, for example to show a button. Nothing is held, and `false` is not logged.
    ///
    /// # Errors
    /// [`Error::Backend`] if the facts could not be read: a failure is never `false`.
    #[instrument(level = "debug", name = "capabilities.check", skip_all, fields(%capability))]
    pub async fn check(
        &self,
        conn: &mut F::Connection,
        capability: D,
        actor: &F::Actor,
        scope: &F::Scope,
    ) -> Result<bool> {
        let role = self.facts.role(conn, actor, scope).await.map_err(backend)?;
        Ok(role.is_some_and(|role| self.matrix.allows(role.as_ref(), capability)))
    }

    /// Proves that the actor may, and keeps it true until the transaction ends: a concurrent revocation waits. (A role that
    /// merely runs out meanwhile is not revoked.)
    ///
    /// `tx` comes from [`scoped!`](crate::scoped!) and must be a transaction; a bare connection holds nothing. On SQLite it began with
    /// `BEGIN IMMEDIATE`. A denial is logged here, once, with its reason.
    ///
    /// # Errors
    /// [`Error::Denied`], after which the transaction is still usable; [`Error::Backend`] if the facts could not be read.
    #[instrument(level = "debug", name = "capabilities.authorize", skip_all, fields(capability = %Cap::VALUE))]
    pub async fn authorize<'tx, T, Cap>(
        &self,
        tx: &mut Scoped<'tx, T>,
        _: Cap,
        actor: &F::Actor,
        scope: &F::Scope,
    ) -> Result<Authorized<'tx, Cap, F::Scope, F::Actor>>
    where
        T: DerefMut<Target = F::Connection>,
        Cap: Capability<Domain = D>,
    {
        let role = self.facts.hold(tx, actor, scope).await.map_err(backend)?;
        let role = role.as_ref().map(AsRef::as_ref);
        if let Err(reason) = self.decide(role, Cap::VALUE) {
            info!(capability = %Cap::VALUE, ?actor, ?scope, role, reason, "denied");
            return Err(Error::Denied);
        }
        Ok(Authorized::new(tx, actor.clone(), scope.clone()))
    }

    fn decide(&self, role: Option<&str>, capability: D) -> Result<(), &'static str> {
        let role = role.ok_or("no role in the scope")?;
        if self.matrix.allows(role, capability) {
            Ok(())
        } else if self.matrix.has_role(role) {
            Err("the role does not grant it")
        } else {
            Err("the matrix does not know the role")
        }
    }
}

fn backend(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Backend(Box::new(error))
}
