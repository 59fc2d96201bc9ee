//! The laws every implementation of [`Facts`] obeys, for the adapter a host writes. Not covered by version promises.
//!
//! Implement [`Harness`] in a test and write `stoa_capabilities::conformance!(MyHarness::new().await);`. The test needs tokio with its
//! macros.

use std::ops::DerefMut;
use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;

use crate::Facts;

/// The connection of the facts under test.
pub type Connection<H> = <<H as Harness>::Facts as Facts>::Connection;
/// The actor of the facts under test.
pub type Actor<H> = <<H as Harness>::Facts as Facts>::Actor;
/// The scope of the facts under test.
pub type Scope<H> = <<H as Harness>::Facts as Facts>::Scope;

/// One fresh database and the facts under test. Its methods panic if the database fails.
pub trait Harness: Send + Sync {
    /// The facts under test.
    type Facts: Facts;
    /// A transaction that writes; dropped, it rolls back.
    type Transaction: DerefMut<Target = Connection<Self>> + Send;
    /// Whether two of them can be open at once: not on SQLite.
    const CONCURRENT_WRITERS: bool;

    /// Returns the facts.
    fn facts(&self) -> Self::Facts;
    /// Returns an actor that has no role anywhere; a different one for each name.
    fn actor(&self, name: &str) -> Actor<Self>;
    /// Returns a scope in which nobody has a role; a different one for each name.
    fn scope(&self, name: &str) -> Scope<Self>;
    /// Begins a transaction that writes. A second one may begin while the first is open; on SQLite it waits.
    fn begin(&self) -> impl Future<Output = Self::Transaction> + Send;
    /// Commits it.
    fn commit(&self, tx: Self::Transaction) -> impl Future<Output = ()> + Send;
    /// Gives the actor a role in the scope.
    fn grant(
        &self,
        conn: &mut Connection<Self>,
        actor: &Actor<Self>,
        scope: &Scope<Self>,
    ) -> impl Future<Output = ()> + Send;
    /// Takes it away, as the host does it.
    fn revoke(
        &self,
        conn: &mut Connection<Self>,
        actor: &Actor<Self>,
        scope: &Scope<Self>,
    ) -> impl Future<Output = ()> + Send;
}

#[doc(hidden)]
#[macro_export]
macro_rules! __laws {
    ($emit:path, $harness:expr) => {
        $emit! { $harness;
            a_stranger_has_no_role
            a_role_belongs_to_one_actor_in_one_scope
            roles_of_many_scopes_come_in_their_order
            a_transaction_reads_what_it_wrote
            a_revoked_role_is_gone_in_the_next_transaction
            a_revocation_waits_for_whoever_holds_the_role
            two_transactions_hold_the_same_role
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __law_tests {
    ($harness:expr; $($law:ident)*) => {
        $(
            #[tokio::test]
            async fn $law() {
                $crate::conformance::$law(&$harness).await;
            }
        )*
    };
}

/// Emits one test for each law. The expression makes a fresh harness and may `.await`.
#[macro_export]
macro_rules! conformance {
    ($harness:expr) => {
        $crate::__laws!($crate::__law_tests, $harness);
    };
}

/// Says whether there is a role, which `role` and `hold` agree about.
async fn has_role<H: Harness>(harness: &H, conn: &mut Connection<H>, actor: &Actor<H>, scope: &Scope<H>) -> bool {
    let read = harness.facts().role(conn, actor, scope).await.unwrap();
    let held = harness.facts().hold(conn, actor, scope).await.unwrap();
    let name = |role: &Option<<H::Facts as Facts>::Role>| role.as_ref().map(|role| role.as_ref().to_owned());
    assert_eq!(name(&read), name(&held));
    read.is_some()
}

/// Grants `ada` a role in `chess`, and commits.
async fn ada_in_chess<H: Harness>(harness: &H) -> (Actor<H>, Scope<H>) {
    let (ada, chess) = (harness.actor("ada"), harness.scope("chess"));
    let mut tx = harness.begin().await;
    harness.grant(&mut tx, &ada, &chess).await;
    harness.commit(tx).await;
    (ada, chess)
}

/// An actor or a scope that nobody heard of is no error.
pub async fn a_stranger_has_no_role<H: Harness>(harness: &H) {
    let mut tx = harness.begin().await;
    assert!(!has_role(harness, &mut tx, &harness.actor("eve"), &harness.scope("chess")).await);
}

/// Neither another actor nor another scope sees it.
pub async fn a_role_belongs_to_one_actor_in_one_scope<H: Harness>(harness: &H) {
    let (ada, chess) = ada_in_chess(harness).await;
    let mut tx = harness.begin().await;
    assert!(has_role(harness, &mut tx, &ada, &chess).await);
    assert!(!has_role(harness, &mut tx, &harness.actor("eve"), &chess).await);
    assert!(!has_role(harness, &mut tx, &ada, &harness.scope("go")).await);
}

/// In the order of the question, each as often as it was asked about, on the connection that is given.
pub async fn roles_of_many_scopes_come_in_their_order<H: Harness>(harness: &H) {
    let ada = harness.actor("ada");
    let [chess, go, rowing] = ["chess", "go", "rowing"].map(|name| harness.scope(name));
    let mut tx = harness.begin().await;
    for scope in [&chess, &rowing] {
        harness.grant(&mut tx, &ada, scope).await;
    }
    let asked = [rowing.clone(), go.clone(), chess.clone(), rowing.clone(), go];
    let has_role = async |tx: &mut H::Transaction, actor: &Actor<H>| -> Vec<bool> {
        let roles = harness.facts().role_many(tx, actor, &asked).await.unwrap();
        roles.iter().map(Option::is_some).collect()
    };
    assert_eq!(has_role(&mut tx, &ada).await, [true, false, true, true, false]);
    assert_eq!(has_role(&mut tx, &harness.actor("eve")).await, [false; 5]);
    assert!(harness.facts().role_many(&mut tx, &ada, &[]).await.unwrap().is_empty());
}

/// Facts are read on the connection they are given, not on one of their own.
pub async fn a_transaction_reads_what_it_wrote<H: Harness>(harness: &H) {
    let (ada, chess) = (harness.actor("ada"), harness.scope("chess"));
    let mut tx = harness.begin().await;
    harness.grant(&mut tx, &ada, &chess).await;
    assert!(has_role(harness, &mut tx, &ada, &chess).await);
    harness.revoke(&mut tx, &ada, &chess).await;
    assert!(!has_role(harness, &mut tx, &ada, &chess).await);
}

/// Whoever asks after the commit of a revocation is told so.
pub async fn a_revoked_role_is_gone_in_the_next_transaction<H: Harness>(harness: &H) {
    let (ada, chess) = ada_in_chess(harness).await;
    let mut tx = harness.begin().await;
    harness.revoke(&mut tx, &ada, &chess).await;
    harness.commit(tx).await;
    let mut tx = harness.begin().await;
    assert!(!has_role(harness, &mut tx, &ada, &chess).await);
}

/// Whoever holds a role has it until their transaction ends.
pub async fn a_revocation_waits_for_whoever_holds_the_role<H: Harness>(harness: &H) {
    let (ada, chess) = ada_in_chess(harness).await;
    let mut holder = harness.begin().await;
    assert!(harness.facts().hold(&mut holder, &ada, &chess).await.unwrap().is_some());
    let mut revocation = pin!(async {
        let mut tx = harness.begin().await;
        harness.revoke(&mut tx, &ada, &chess).await;
        harness.commit(tx).await;
    });
    // Long enough for a revocation that does not wait to be caught; one that waits passes however slow the machine is.
    timeout(Duration::from_millis(200), revocation.as_mut()).await.expect_err("the revocation must wait");
    assert!(has_role(harness, &mut holder, &ada, &chess).await);
    harness.commit(holder).await;
    revocation.await;
    let mut tx = harness.begin().await;
    assert!(!has_role(harness, &mut tx, &ada, &chess).await);
}

/// Holding is shared: two requests of one actor do not wait for each other.
pub async fn two_transactions_hold_the_same_role<H: Harness>(harness: &H) {
    let (ada, chess) = ada_in_chess(harness).await;
    let mut first = harness.begin().await;
    assert!(harness.facts().hold(&mut first, &ada, &chess).await.unwrap().is_some());
    if H::CONCURRENT_WRITERS {
        let mut second = harness.begin().await;
        let held = timeout(Duration::from_secs(10), harness.facts().hold(&mut second, &ada, &chess)).await;
        assert!(held.expect("the second holder must not wait").unwrap().is_some());
    }
}
