//! The facade: what hosts call.

use std::ops::DerefMut;

use tracing::{info, instrument};

use crate::{Authorized, Capability, Domain, Error, Explanation, Facts, Grant, Matrix, Over, Result, Scoped};

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

    /// Answers [`check`](Self::check) for many capabilities of one actor in one scope, in their order: one read.
    ///
    /// # Errors
    /// [`Error::Backend`] if the facts could not be read.
    #[instrument(level = "debug", name = "capabilities.check_many", skip_all)]
    pub async fn check_many(
        &self,
        conn: &mut F::Connection,
        capabilities: &[D],
        actor: &F::Actor,
        scope: &F::Scope,
    ) -> Result<Vec<bool>> {
        let role = self.facts.role(conn, actor, scope).await.map_err(backend)?;
        let allows = |capability: &D| role.as_ref().is_some_and(|role| self.matrix.allows(role.as_ref(), *capability));
        Ok(capabilities.iter().map(allows).collect())
    }

    /// Returns those of the scopes in which the actor may, in their order: one statement.
    ///
    /// # Errors
    /// [`Error::Backend`] if the facts could not be read.
    #[instrument(level = "debug", name = "capabilities.filter", skip_all, fields(%capability))]
    pub async fn filter(
        &self,
        conn: &mut F::Connection,
        capability: D,
        actor: &F::Actor,
        scopes: &[F::Scope],
    ) -> Result<Vec<F::Scope>> {
        let roles = self.facts.role_many(conn, actor, scopes).await.map_err(backend)?;
        let allows =
            |role: &Option<F::Role>| role.as_ref().is_some_and(|role| self.matrix.allows(role.as_ref(), capability));
        let answers = scopes.iter().zip(&roles).filter(|(_, role)| allows(role));
        Ok(answers.map(|(scope, _)| scope.clone()).collect())
    }

    /// Says what [`check`](Self::check) says, and why: for whoever runs the host, not for the actor.
    ///
    /// # Errors
    /// [`Error::Backend`] if the facts could not be read.
    #[instrument(level = "debug", name = "capabilities.explain", skip_all, fields(%capability))]
    pub async fn explain(
        &self,
        conn: &mut F::Connection,
        capability: D,
        actor: &F::Actor,
        scope: &F::Scope,
    ) -> Result<Explanation> {
        let role = self.facts.role(conn, actor, scope).await.map_err(backend)?;
        Ok(self.matrix.explain(role.as_ref().map(AsRef::as_ref), capability))
    }

    /// Proves that the actor may, and keeps it true until the transaction ends: a concurrent revocation waits. (A role that
    /// merely runs out meanwhile is not revoked.)
    ///
    /// `tx` comes from [`scoped!`](crate::scoped!) and must be a transaction; a bare connection holds nothing. On SQLite it began with
    /// `BEGIN IMMEDIATE`. A denial is logged here, once, with its reason and the matrix's version.
    ///
    /// Whoever acts in somebody's name has that person's capabilities, and no others: the actor is the person.
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
        self.hold(tx, Cap::VALUE, actor, scope).await?;
        Ok(Authorized::new(tx, actor.clone(), scope.clone()))
    }

    /// Proves that the actor may do something *to somebody* in the scope, such as remove them: has the capability, and outranks
    /// whatever role the target has there. Nobody may do it to themselves, to a peer or to a superior.
    ///
    /// Both roles are held as [`authorize`](Self::authorize) holds the actor's. A transaction that goes on to change the target's
    /// role may deadlock with another that does the same; PostgreSQL ends one of them, and the host tries again.
    ///
    /// # Errors
    /// Those of [`authorize`](Self::authorize).
    #[instrument(level = "debug", name = "capabilities.authorize_over", skip_all, fields(capability = %Cap::VALUE))]
    #[expect(clippy::type_complexity, reason = "a proof names what it is about")]
    pub async fn authorize_over<'tx, T, Cap>(
        &self,
        tx: &mut Scoped<'tx, T>,
        _: Cap,
        actor: &F::Actor,
        scope: &F::Scope,
        target: &F::Actor,
    ) -> Result<Authorized<'tx, Cap, Over<F::Scope, F::Actor>, F::Actor>>
    where
        T: DerefMut<Target = F::Connection>,
        Cap: Capability<Domain = D>,
    {
        self.hold_over(tx, Cap::VALUE, actor, scope, target).await?;
        let over = Over { scope: scope.clone(), target: target.clone() };
        Ok(Authorized::new(tx, actor.clone(), over))
    }

    /// Proves that the actor may give somebody that role in the scope: as [`authorize_over`](Self::authorize_over), and the role is
    /// the actor's own or below it, and allows nothing that the actor's does not.
    ///
    /// # Errors
    /// Those of [`authorize`](Self::authorize).
    #[instrument(level = "debug", name = "capabilities.authorize_grant", skip_all, fields(capability = %Cap::VALUE))]
    #[expect(clippy::type_complexity, reason = "a proof names what it is about")]
    pub async fn authorize_grant<'tx, T, Cap>(
        &self,
        tx: &mut Scoped<'tx, T>,
        _: Cap,
        actor: &F::Actor,
        scope: &F::Scope,
        target: &F::Actor,
        role: &F::Role,
    ) -> Result<Authorized<'tx, Cap, Grant<F::Scope, F::Actor, F::Role>, F::Actor>>
    where
        T: DerefMut<Target = F::Connection>,
        Cap: Capability<Domain = D>,
    {
        let own = self.hold_over(tx, Cap::VALUE, actor, scope, target).await?;
        if !self.matrix.may_grant(own.as_ref(), role.as_ref()) {
            let reason = "the role to give is not within the actor's own";
            return Err(self.denied(Cap::VALUE, actor, scope, Some(own.as_ref()), reason));
        }
        let over = Over { scope: scope.clone(), target: target.clone() };
        Ok(Authorized::new(tx, actor.clone(), Grant { over, role: role.clone() }))
    }

    /// Holds the actor's role, if it allows the capability.
    async fn hold(
        &self,
        conn: &mut F::Connection,
        capability: D,
        actor: &F::Actor,
        scope: &F::Scope,
    ) -> Result<F::Role> {
        let held = self.facts.hold(conn, actor, scope).await.map_err(backend)?;
        let role = held.as_ref().map(AsRef::as_ref);
        let why = self.matrix.explain(role, capability);
        match held {
            Some(role) if why.is_allowed() => Ok(role),
            held => Err(self.denied(capability, actor, scope, held.as_ref().map(AsRef::as_ref), &why.to_string())),
        }
    }

    async fn hold_over(
        &self,
        conn: &mut F::Connection,
        capability: D,
        actor: &F::Actor,
        scope: &F::Scope,
        target: &F::Actor,
    ) -> Result<F::Role> {
        let own = self.hold(conn, capability, actor, scope).await?;
        let theirs = self.facts.hold(conn, target, scope).await.map_err(backend)?;
        let is_below = theirs.is_none_or(|theirs| self.matrix.outranks(own.as_ref(), theirs.as_ref()));
        let reason = match () {
            () if actor == target => "nobody has authority over themselves",
            () if !is_below => "the target's role is not below the actor's",
            () => return Ok(own),
        };
        Err(self.denied(capability, actor, scope, Some(own.as_ref()), reason))
    }

    fn denied(&self, capability: D, actor: &F::Actor, scope: &F::Scope, role: Option<&str>, reason: &str) -> Error {
        info!(%capability, ?actor, ?scope, role, reason, matrix = %self.matrix.version(), "denied");
        Error::Denied
    }
}

fn backend(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Backend(Box::new(error))
}
