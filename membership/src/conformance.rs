//! The laws every backend obeys, for this crate's backends and yours. Not covered by version promises.
//!
//! Implement [`Harness`] in a test and write `stoa_membership::conformance!(MyHarness::new().await);`.

use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use tokio::sync::Barrier;

use crate::{
    By, Error, Filter, Grant, Membership, PageRequest, Reason, Role, Scope, ScopeId, ScopeKind, ScopeType, Source,
    State, Store, UserId,
};

/// One fresh, empty, migrated database and the store under test.
pub trait Harness: Send + Sync {
    /// The store under test.
    type Store: Store;
    /// Where its connections come from.
    type Source: Source<Connection = <Self::Store as Store>::Connection>;

    /// Returns the store.
    fn store(&self) -> Self::Store;
    /// Returns the database, which lives as long as the harness.
    fn source(&self) -> Self::Source;
}

#[doc(hidden)]
#[macro_export]
macro_rules! __laws {
    ($emit:path, $harness:expr) => {
        $emit! { $harness;
            a_change_is_visible_in_its_own_transaction_at_once
            a_change_is_visible_to_others_at_commit_and_not_before
            a_rolled_back_change_never_existed
            banned_stays_banned_until_add_or_unban
            an_expired_member_is_a_member_nowhere
            a_former_owner_who_rejoins_holds_the_default_role
            an_expired_owner_does_not_count_as_an_owner
            the_last_owner_stays
            of_two_owners_leaving_at_once_one_stays
            concurrent_adds_create_one_row
            a_held_membership_makes_a_ban_wait
            on_a_bare_connection_a_verb_stands_alone
            a_snapshot_that_is_committed_changes_nothing
            an_end_is_kept_by_set_role_and_replaced_by_add
            after_a_refusal_the_transaction_is_usable
            ids_are_compared_as_bytes
            pages_return_each_member_once
            a_listing_holds_only_active_members
            a_count_is_of_active_members_of_that_scope_alone
            versions_count_changes
            an_undeclared_scope_type_is_refused
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __law_tests {
    ($harness:expr; $($law:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
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

fn membership<H: Harness>(harness: &H) -> Membership<H::Store> {
    Membership::new(harness.store())
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn role(name: &str) -> Role {
    Role::new(name).unwrap()
}

fn chess() -> Scope {
    Scope::group("chess").unwrap()
}

fn owner() -> Grant {
    Grant::new(role("owner"))
}

fn by() -> By {
    By::user(&user("root")).because(Reason::new("a reason").unwrap())
}

/// What a transaction wrote, it reads.
pub async fn a_change_is_visible_in_its_own_transaction_at_once<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    assert!(!membership.is_member(&mut tx, &user("ada"), &chess()).await.unwrap());
    let change = membership.join(&mut tx, &user("ada"), &chess(), &by()).await.unwrap();
    assert!(change.is_created());
    assert!(membership.is_member(&mut tx, &user("ada"), &chess()).await.unwrap());
    assert_eq!(membership.role(&mut tx, &user("ada"), &chess()).await.unwrap(), Some(role("member")));
}

/// Others see a change when, and only when, it has been committed.
pub async fn a_change_is_visible_to_others_at_commit_and_not_before<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    membership.join(&mut tx, &user("ada"), &chess(), &by()).await.unwrap();
    let mut reader = source.begin_snapshot().await.unwrap();
    assert!(!membership.is_member(&mut reader, &user("ada"), &chess()).await.unwrap());
    source.commit(tx).await.unwrap();
    assert!(!membership.is_member(&mut reader, &user("ada"), &chess()).await.unwrap(), "a snapshot is one moment");
    drop(reader);
    let mut reader = source.acquire().await.unwrap();
    assert!(membership.is_member(&mut reader, &user("ada"), &chess()).await.unwrap());
}

/// A dropped transaction leaves nothing behind.
pub async fn a_rolled_back_change_never_existed<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    membership.join(&mut tx, &user("ada"), &chess(), &by()).await.unwrap();
    drop(tx);
    let mut conn = source.begin().await.unwrap();
    assert!(!membership.is_member(&mut conn, &user("ada"), &chess()).await.unwrap());
    assert!(membership.join(&mut conn, &user("ada"), &chess(), &by()).await.unwrap().is_created());
}

/// `join`, `leave` and `remove` leave a ban alone; `add` and `unban` lift it and say so.
pub async fn banned_stays_banned_until_add_or_unban<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let eve = user("eve");
    for _ in 0..2 {
        membership.ban(&mut tx, &eve, &chess(), &by()).await.unwrap();
        assert!(matches!(membership.join(&mut tx, &eve, &chess(), &by()).await, Err(Error::Banned)));
        assert!(matches!(
            membership.set_role(&mut tx, &eve, &chess(), &role("owner"), &by()).await,
            Err(Error::Banned)
        ));
        let left = membership.leave(&mut tx, &eve, &chess(), &by()).await.unwrap();
        assert!(left.is_unchanged() && left.after().state() == State::Banned);
        let removed = membership.remove(&mut tx, &eve, &chess(), &by()).await.unwrap();
        assert!(removed.is_unchanged() && removed.after().state() == State::Banned);
        assert!(!membership.is_member(&mut tx, &eve, &chess()).await.unwrap());
    }
    let added = membership.add(&mut tx, &eve, &chess(), &Grant::new(role("member")), &by()).await.unwrap();
    assert!(added.lifted_ban() && added.after().is_active());
    assert!(matches!(membership.unban(&mut tx, &eve, &chess(), &by()).await, Err(Error::NotBanned)));
    membership.ban(&mut tx, &eve, &chess(), &by()).await.unwrap();
    let unbanned = membership.unban(&mut tx, &eve, &chess(), &by()).await.unwrap();
    assert!(unbanned.lifted_ban() && unbanned.after().state() == State::Left);
    assert!(membership.join(&mut tx, &eve, &chess(), &by()).await.unwrap().after().is_active());
}

/// Expiry needs no sweep: every read obeys it, and every verb takes the row for one that has left.
pub async fn an_expired_member_is_a_member_nowhere<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let ada = user("ada");
    let expired = owner().until(Utc::now() - TimeDelta::hours(1)).unwrap();
    let added = membership.add(&mut tx, &ada, &chess(), &expired, &by()).await.unwrap();
    assert!(!added.after().is_active());
    assert!(!membership.is_member(&mut tx, &ada, &chess()).await.unwrap());
    assert_eq!(membership.role(&mut tx, &ada, &chess()).await.unwrap(), None);
    assert_eq!(membership.hold(&mut tx, &ada, &chess()).await.unwrap(), None);
    assert!(membership.of(&mut tx, &ada).await.unwrap().is_empty());
    assert!(
        membership
            .list_by_scope(&mut tx, &chess(), &Filter::default(), &PageRequest::first(10))
            .await
            .unwrap()
            .items
            .is_empty()
    );
    let refused = membership.set_role(&mut tx, &ada, &chess(), &role("admin"), &by()).await;
    assert!(matches!(refused, Err(Error::NotMember)));
    assert!(membership.leave(&mut tx, &ada, &chess(), &by()).await.unwrap().is_unchanged());
    let joined = membership.join(&mut tx, &ada, &chess(), &by()).await.unwrap();
    assert_eq!((joined.after().role(), joined.after().expires_at()), (&role("member"), None));
    let later = Utc::now() + TimeDelta::hours(1);
    membership.add(&mut tx, &ada, &chess(), &Grant::new(role("member")).until(later).unwrap(), &by()).await.unwrap();
    assert!(membership.is_member(&mut tx, &ada, &chess()).await.unwrap());
}

/// `join` never brings an old role back.
pub async fn a_former_owner_who_rejoins_holds_the_default_role<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    for name in ["ada", "bob"] {
        membership.add(&mut tx, &user(name), &chess(), &owner(), &by()).await.unwrap();
    }
    membership.leave(&mut tx, &user("ada"), &chess(), &by()).await.unwrap();
    membership.join(&mut tx, &user("ada"), &chess(), &by()).await.unwrap();
    assert_eq!(membership.role(&mut tx, &user("ada"), &chess()).await.unwrap(), Some(role("member")));
}

/// An owner whose membership has run out does not let the last real one go.
pub async fn an_expired_owner_does_not_count_as_an_owner<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let expired = owner().until(Utc::now() - TimeDelta::hours(1)).unwrap();
    membership.add(&mut tx, &user("ada"), &chess(), &expired, &by()).await.unwrap();
    membership.add(&mut tx, &user("bob"), &chess(), &owner(), &by()).await.unwrap();
    assert!(matches!(membership.leave(&mut tx, &user("bob"), &chess(), &by()).await, Err(Error::LastOwner)));
}

/// Every verb that would end the last ownership is refused and changes nothing; a second owner sets it free.
pub async fn the_last_owner_stays<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let (ada, scope) = (user("ada"), chess());
    membership.add(&mut tx, &ada, &scope, &owner(), &by()).await.unwrap();
    membership.join(&mut tx, &user("bob"), &scope, &by()).await.unwrap();
    let member = Grant::new(role("member"));
    let expired = owner().until(Utc::now() - TimeDelta::hours(1)).unwrap();
    for refused in [
        membership.leave(&mut tx, &ada, &scope, &by()).await,
        membership.remove(&mut tx, &ada, &scope, &by()).await,
        membership.ban(&mut tx, &ada, &scope, &by()).await,
        membership.set_role(&mut tx, &ada, &scope, &role("member"), &by()).await,
        membership.add(&mut tx, &ada, &scope, &member, &by()).await,
        membership.add(&mut tx, &ada, &scope, &expired, &by()).await,
    ] {
        assert!(matches!(refused, Err(Error::LastOwner)), "{refused:?}");
    }
    assert_eq!(membership.role(&mut tx, &ada, &scope).await.unwrap(), Some(role("owner")));
    membership.set_role(&mut tx, &user("bob"), &scope, &role("owner"), &by()).await.unwrap();
    membership.leave(&mut tx, &ada, &scope, &by()).await.unwrap();
    // A kind that names no owner roles has no guard.
    let batch: Scope = "batch:2018".parse().unwrap();
    membership.add(&mut tx, &ada, &batch, &owner(), &by()).await.unwrap();
    membership.leave(&mut tx, &ada, &batch, &by()).await.unwrap();
}

/// Two owners on two connections: one succeeds, one gets `LastOwner`, nobody gets a database error.
pub async fn of_two_owners_leaving_at_once_one_stays<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    for round in 0..8 {
        let scope = Scope::group(format!("group-{round}")).unwrap();
        let mut tx = source.begin().await.unwrap();
        for name in ["ada", "bob"] {
            membership.add(&mut tx, &user(name), &scope, &owner(), &by()).await.unwrap();
        }
        source.commit(tx).await.unwrap();

        let barrier = Arc::new(Barrier::new(2));
        let leave = async |name: &str| {
            barrier.wait().await;
            let mut tx = source.begin().await.unwrap();
            let outcome = match round % 4 {
                0 => membership.leave(&mut tx, &user(name), &scope, &by()).await,
                1 => membership.remove(&mut tx, &user(name), &scope, &by()).await,
                2 => membership.ban(&mut tx, &user(name), &scope, &by()).await,
                _ => membership.set_role(&mut tx, &user(name), &scope, &role("member"), &by()).await,
            };
            source.commit(tx).await.unwrap();
            outcome
        };
        let outcomes = tokio::join!(leave("ada"), leave("bob"));
        assert!(
            matches!(outcomes, (Ok(_), Err(Error::LastOwner)) | (Err(Error::LastOwner), Ok(_))),
            "round {round}: {outcomes:?}"
        );
    }
}

/// Many identical adds at once: one creates the row, the others find it, no constraint error leaks.
pub async fn concurrent_adds_create_one_row<H: Harness>(harness: &H) {
    let source = harness.source();
    let barrier = Arc::new(Barrier::new(16));
    let mut adds = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (membership, source, barrier) = (membership(harness), source.clone(), barrier.clone());
        adds.spawn(async move {
            barrier.wait().await;
            let mut tx = source.begin().await.unwrap();
            let change = membership.add(&mut tx, &user("ada"), &chess(), &owner(), &by()).await.unwrap();
            source.commit(tx).await.unwrap();
            change
        });
    }
    let changes = adds.join_all().await;
    assert_eq!(changes.iter().filter(|change| change.is_created()).count(), 1);
    assert!(changes.iter().all(|change| change.is_created() || change.is_unchanged()));
}

/// Whoever held the row first ends first; the ban comes after.
pub async fn a_held_membership_makes_a_ban_wait<H: Harness>(harness: &H) {
    let source = harness.source();
    let mut tx = source.begin().await.unwrap();
    membership(harness).join(&mut tx, &user("ada"), &chess(), &by()).await.unwrap();
    source.commit(tx).await.unwrap();

    let mut tx = source.begin().await.unwrap();
    let held = membership(harness).hold(&mut tx, &user("ada"), &chess()).await.unwrap();
    assert_eq!(held, Some(role("member")));
    let (membership, others) = (membership(harness), source.clone());
    let mut ban = tokio::spawn(async move {
        let mut tx = others.begin().await.unwrap();
        membership.ban(&mut tx, &user("ada"), &chess(), &by()).await.unwrap();
        others.commit(tx).await.unwrap();
    });
    let early = tokio::time::timeout(Duration::from_millis(100), &mut ban).await;
    assert!(early.is_err(), "the ban did not wait");
    source.commit(tx).await.unwrap();
    ban.await.unwrap();
}

/// Without a transaction a verb stands alone: refused, it wrote nothing; done, it is there for all.
pub async fn on_a_bare_connection_a_verb_stands_alone<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut conn = source.acquire().await.unwrap();
    membership.add(&mut conn, &user("ada"), &chess(), &owner(), &by()).await.unwrap();
    assert!(matches!(membership.leave(&mut conn, &user("ada"), &chess(), &by()).await, Err(Error::LastOwner)));
    assert!(matches!(membership.leave(&mut conn, &user("bob"), &chess(), &by()).await, Err(Error::NotMember)));
    let mut other = source.acquire().await.unwrap();
    assert!(membership.is_member(&mut other, &user("ada"), &chess()).await.unwrap());
    assert!(!membership.is_member(&mut other, &user("bob"), &chess()).await.unwrap());
    membership.join(&mut conn, &user("bob"), &chess(), &by()).await.unwrap();
    assert!(membership.is_member(&mut other, &user("bob"), &chess()).await.unwrap());
}

/// Committing a transaction that only read takes nothing back that others committed meanwhile.
pub async fn a_snapshot_that_is_committed_changes_nothing<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut snapshot = source.begin_snapshot().await.unwrap();
    assert!(!membership.is_member(&mut snapshot, &user("ada"), &chess()).await.unwrap());
    let mut tx = source.begin().await.unwrap();
    membership.join(&mut tx, &user("ada"), &chess(), &by()).await.unwrap();
    source.commit(tx).await.unwrap();
    source.commit(snapshot).await.unwrap();
    let mut conn = source.acquire().await.unwrap();
    assert!(membership.is_member(&mut conn, &user("ada"), &chess()).await.unwrap());
}

/// An end is kept to the microsecond everywhere: granting the same again changes nothing. `set_role` keeps it, `add` does not.
pub async fn an_end_is_kept_by_set_role_and_replaced_by_add<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let (ada, scope) = (user("ada"), chess());
    let grant = Grant::new(role("member")).until(Utc::now() + TimeDelta::nanoseconds(3_600_000_000_123)).unwrap();
    let added = membership.add(&mut tx, &ada, &scope, &grant, &by()).await.unwrap();
    let ends = added.after().expires_at();
    assert!(ends.is_some());
    assert!(membership.add(&mut tx, &ada, &scope, &grant, &by()).await.unwrap().is_unchanged());
    let promoted = membership.set_role(&mut tx, &ada, &scope, &role("admin"), &by()).await.unwrap();
    assert_eq!((promoted.before().unwrap().expires_at(), promoted.after().expires_at()), (ends, ends));
    let endless = membership.add(&mut tx, &ada, &scope, &Grant::new(role("admin")), &by()).await.unwrap();
    assert_eq!((endless.before().unwrap().expires_at(), endless.after().expires_at()), (ends, None));
}

/// A refusal is a value: the next verb in the same transaction works, and it commits.
pub async fn after_a_refusal_the_transaction_is_usable<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let ada = user("ada");
    membership.add(&mut tx, &ada, &chess(), &owner(), &by()).await.unwrap();
    assert!(matches!(membership.leave(&mut tx, &ada, &chess(), &by()).await, Err(Error::LastOwner)));
    assert!(matches!(membership.unban(&mut tx, &ada, &chess(), &by()).await, Err(Error::NotBanned)));
    assert!(matches!(membership.leave(&mut tx, &user("bob"), &chess(), &by()).await, Err(Error::NotMember)));
    membership.ban(&mut tx, &user("eve"), &chess(), &by()).await.unwrap();
    assert!(matches!(membership.join(&mut tx, &user("eve"), &chess(), &by()).await, Err(Error::Banned)));
    membership.join(&mut tx, &user("bob"), &chess(), &by()).await.unwrap();
    source.commit(tx).await.unwrap();
    let mut conn = source.acquire().await.unwrap();
    assert!(membership.is_member(&mut conn, &user("bob"), &chess()).await.unwrap());
}

/// Ids that differ in case, normal form or trailing blanks are different ids.
pub async fn ids_are_compared_as_bytes<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let names = ["ada", "Ada", "ada ", "caf\u{e9}", "cafe\u{301}", "%", "_", "a'b", "\u{1f600}"];
    for (index, name) in names.iter().enumerate() {
        assert!(!membership.is_member(&mut tx, &user(name), &chess()).await.unwrap(), "{name:?}");
        assert!(membership.join(&mut tx, &user(name), &chess(), &by()).await.unwrap().is_created(), "{name:?}");
        let scope = Scope::group(*name).unwrap();
        assert!(!membership.is_member(&mut tx, &user("ada"), &scope).await.unwrap(), "{name:?}");
        membership.join(&mut tx, &user("ada"), &scope, &by()).await.unwrap();
        assert_eq!(membership.of(&mut tx, &user("ada")).await.unwrap().len(), index + 2, "{name:?}");
    }
}

/// Walking the pages in any size returns every member once, in the byte order of the ids, though others come and go.
pub async fn pages_return_each_member_once<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let mut names: Vec<String> = (0..30).map(|n| format!("{}-{n}", if n % 2 == 0 { "A" } else { "é" })).collect();
    for name in &names {
        membership.join(&mut tx, &user(name), &chess(), &by()).await.unwrap();
    }
    names.sort();
    for limit in [1, 7, 29, 30, 1000] {
        let (mut walked, mut request, mut passing) = (Vec::new(), PageRequest::first(limit), 0);
        loop {
            let page = membership.list_by_scope(&mut tx, &chess(), &Filter::default(), &request).await.unwrap();
            assert!(page.items.len() <= limit as usize);
            walked
                .extend(page.items.iter().map(|member| member.user().to_string()).filter(|name| names.contains(name)));
            let visitor = user(&format!("visitor-{passing}"));
            membership.join(&mut tx, &visitor, &chess(), &by()).await.unwrap();
            passing += 1;
            match page.next {
                // A token travels as text.
                Some(token) => request = PageRequest::first(limit).after(token.to_string().parse().unwrap()),
                None => break,
            }
        }
        assert_eq!(walked, names, "limit {limit}");
        for n in 0..passing {
            membership.leave(&mut tx, &user(&format!("visitor-{n}")), &chess(), &by()).await.unwrap();
        }
    }
}

/// Former and banned members are in no listing.
pub async fn a_listing_holds_only_active_members<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    for name in ["active", "banned", "left"] {
        membership.join(&mut tx, &user(name), &chess(), &by()).await.unwrap();
    }
    membership.ban(&mut tx, &user("banned"), &chess(), &by()).await.unwrap();
    membership.leave(&mut tx, &user("left"), &chess(), &by()).await.unwrap();
    let page = membership.list_by_scope(&mut tx, &chess(), &Filter::default(), &PageRequest::first(10)).await.unwrap();
    assert_eq!(page.items.iter().map(|member| member.user().as_str()).collect::<Vec<_>>(), ["active"]);
    assert!(membership.of(&mut tx, &user("banned")).await.unwrap().is_empty());
    assert!(membership.of(&mut tx, &user("left")).await.unwrap().is_empty());
    let tags: Vec<_> = membership.of(&mut tx, &user("active")).await.unwrap().tags().collect();
    assert_eq!(tags, ["group:chess"]);
}

/// Former, banned and expired members do not count, nor do those of other scopes, also of one with the same id.
pub async fn a_count_is_of_active_members_of_that_scope_alone<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    assert_eq!(membership.count(&mut tx, &chess(), &Filter::default()).await.unwrap(), 0);
    for name in ["active", "banned", "left"] {
        membership.join(&mut tx, &user(name), &chess(), &by()).await.unwrap();
    }
    assert_eq!(membership.count(&mut tx, &chess(), &Filter::default()).await.unwrap(), 3);
    membership.ban(&mut tx, &user("banned"), &chess(), &by()).await.unwrap();
    membership.leave(&mut tx, &user("left"), &chess(), &by()).await.unwrap();
    for (name, ends) in [("expired", TimeDelta::hours(-1)), ("ending", TimeDelta::hours(1))] {
        let grant = Grant::new(role("member")).until(Utc::now() + ends).unwrap();
        membership.add(&mut tx, &user(name), &chess(), &grant, &by()).await.unwrap();
    }
    for other in ["chapter:chess", "group:Chess"] {
        membership.join(&mut tx, &user("bob"), &other.parse().unwrap(), &by()).await.unwrap();
    }
    assert_eq!(membership.count(&mut tx, &chess(), &Filter::default()).await.unwrap(), 2);
    // Only verbs that write ask for the kind.
    let undeclared = Scope::new(ScopeType::new("cohort").unwrap(), ScopeId::new("1").unwrap());
    assert_eq!(membership.count(&mut tx, &undeclared, &Filter::default()).await.unwrap(), 0);
}

/// The version counts the changes of a row; what changes nothing leaves it.
pub async fn versions_count_changes<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let (ada, scope) = (user("ada"), chess());
    assert_eq!(membership.join(&mut tx, &ada, &scope, &by()).await.unwrap().after().version(), 1);
    assert_eq!(membership.join(&mut tx, &ada, &scope, &by()).await.unwrap().after().version(), 1);
    let admin = membership.set_role(&mut tx, &ada, &scope, &role("admin"), &by()).await.unwrap();
    assert_eq!((admin.before().unwrap().version(), admin.after().version()), (1, 2));
    assert!(membership.set_role(&mut tx, &ada, &scope, &role("admin"), &by()).await.unwrap().is_unchanged());
    assert_eq!(membership.leave(&mut tx, &ada, &scope, &by()).await.unwrap().after().version(), 3);
}

/// A type nobody declared is refused before anything is written; a declared one works like the others.
pub async fn an_undeclared_scope_type_is_refused<H: Harness>(harness: &H) {
    let source = harness.source();
    let cohort = ScopeType::new("cohort").unwrap();
    let scope = Scope::new(cohort.clone(), ScopeId::new("1").unwrap());
    let mut tx = source.begin().await.unwrap();
    assert!(matches!(
        membership(harness).join(&mut tx, &user("ada"), &scope, &by()).await,
        Err(Error::UnknownScopeType)
    ));
    let membership = membership(harness).with_kind(ScopeKind::new(cohort, role("fellow")));
    assert_eq!(membership.join(&mut tx, &user("ada"), &scope, &by()).await.unwrap().after().role(), &role("fellow"));
}
