//! The brand of a transaction, and proofs that carry it.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// Neither longer nor shorter: a lifetime that equals itself only.
type Invariant<'tx> = PhantomData<fn(&'tx ()) -> &'tx ()>;

/// A transaction with a brand: `'tx` is the lifetime of a local variable that [`scoped!`](crate::scoped!) hides, so no two are equal.
///
/// It dereferences to the connection: everything that takes `&mut PgConnection` takes `&mut tx`.
pub struct Scoped<'tx, T> {
    transaction: T,
    brand: Invariant<'tx>,
}

impl<'tx, T> Scoped<'tx, T> {
    #[doc(hidden)]
    pub fn new(transaction: T, _: &Brand<'tx>) -> Self {
        Self { transaction, brand: PhantomData }
    }

    /// Gives the transaction back, to commit it. Its proofs are worth nothing from now on.
    pub fn into_inner(self) -> T {
        self.transaction
    }
}

impl<T: Deref> Deref for Scoped<'_, T> {
    type Target = T::Target;

    fn deref(&self) -> &T::Target {
        &self.transaction
    }
}

impl<T: DerefMut> DerefMut for Scoped<'_, T> {
    fn deref_mut(&mut self) -> &mut T::Target {
        &mut self.transaction
    }
}

/// The proof that an actor has a capability in a scope, and keeps it until the transaction `'tx` ends.
///
/// [`Capabilities::authorize`](crate::Capabilities::authorize) is the only way to one. It cannot be cloned, printed or kept: a
/// function that writes asks for `&Authorized<'tx, CreatePost, …>` beside `&mut Scoped<'tx, T>` and cannot be called without the check,
/// nor in another transaction than the one that made it. It does not borrow the transaction.
///
/// A host names its own actor and scope once: `type May<'tx, Cap> = Authorized<'tx, Cap, Scope, UserId>;`.
#[must_use = "a proof is what a writing function asks for"]
pub struct Authorized<'tx, Cap, Scope, Actor> {
    actor: Actor,
    scope: Scope,
    capability: PhantomData<fn() -> Cap>,
    brand: Invariant<'tx>,
}

impl<'tx, Cap, Scope, Actor> Authorized<'tx, Cap, Scope, Actor> {
    /// Takes the transaction only for its brand.
    pub(crate) fn new<T>(_: &Scoped<'tx, T>, actor: Actor, scope: Scope) -> Self {
        Self { actor, scope, capability: PhantomData, brand: PhantomData }
    }

    /// Returns who may.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Returns where.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }
}

/// Somebody in a scope, as the place of a proof of authority over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Over<Scope, Actor> {
    pub(crate) scope: Scope,
    pub(crate) target: Actor,
}

impl<Scope, Actor> Over<Scope, Actor> {
    /// Returns where.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Returns over whom.
    pub fn target(&self) -> &Actor {
        &self.target
    }
}

/// A role for somebody in a scope, as the place of a proof that it may be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant<Scope, Actor, Role> {
    pub(crate) over: Over<Scope, Actor>,
    pub(crate) role: Role,
}

impl<Scope, Actor, Role> Grant<Scope, Actor, Role> {
    /// Returns where.
    pub fn scope(&self) -> &Scope {
        &self.over.scope
    }

    /// Returns to whom.
    pub fn target(&self) -> &Actor {
        &self.over.target
    }

    /// Returns the role.
    pub fn role(&self) -> &Role {
        &self.role
    }
}

/// Declares a branded transaction: `scoped!(tx = pool.begin().await?);` makes `tx` a mutable variable of type [`Scoped`].
///
/// A savepoint gets a brand of its own. PostgreSQL releases the locks taken since a savepoint when it is rolled back to, so the proofs of a
/// savepoint mean nothing outside it; and the other way round a proof from outside is refused inside, where `authorize` reads
/// again a row that the transaction already holds:
///
/// ```
/// # use sqlx::Connection as _;
/// # async fn example(pool: sqlx::SqlitePool) -> Result<(), sqlx::Error> {
/// use stoa_capabilities::scoped;
///
/// scoped!(tx = pool.begin_with("BEGIN IMMEDIATE").await?);
/// {
///     scoped!(savepoint = tx.begin().await?); // `use sqlx::Connection` brings `begin`
///     // authorize(&mut savepoint, …) and write; then keep it, or drop it to undo only this part.
///     savepoint.into_inner().commit().await?;
/// }
/// tx.into_inner().commit().await?;
/// # Ok(())
/// # }
/// ```
///
/// Where a proof meets the wrong transaction, the compiler says that `scoped!` "creates a temporary value which is freed while still in use":
/// the value is the brand, and the use is the proof's.
#[macro_export]
macro_rules! scoped {
    ($tx:ident = $transaction:expr) => {
        let anchor = $crate::__private::Anchor::new();
        let brand = $crate::__private::Brand::new(&anchor);
        #[allow(unused_mut)]
        let mut $tx = $crate::Scoped::new($transaction, &brand);
    };
}

/// The variable whose lifetime is the brand.
#[doc(hidden)]
pub struct Anchor(());

impl Anchor {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self(())
    }
}

/// Borrows an anchor.
#[doc(hidden)]
pub struct Brand<'tx>(PhantomData<&'tx Anchor>, Invariant<'tx>);

impl<'tx> Brand<'tx> {
    pub fn new(_: &'tx Anchor) -> Self {
        Self(PhantomData, PhantomData)
    }
}

/// Being dropped at the end of the block keeps `'tx` alive until there. Without it both brands of a function could shrink to what they have
/// in common, and be equal.
impl Drop for Brand<'_> {
    fn drop(&mut self) {}
}
