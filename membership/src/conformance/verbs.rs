//! Laws of the verbs: what each makes of each state, in the transaction it is given.

use chrono::{TimeDelta, Utc};

use super::{Harness, by, chess, membership, owner, role, user};
use crate::{Cursor, Error, Filter, Grant, Import, PageRequest, Scope, ScopeId, ScopeKind, ScopeType, Source, State};

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

/// A kind may name several owner roles: one of them is enough, and going from one to the other is no loss.
pub async fn any_owner_role_owns_a_scope<H: Harness>(harness: &H) {
    let source = harness.source();
    let circle = ScopeType::new("circle").unwrap();
    let scope = Scope::new(circle.clone(), ScopeId::new("1").unwrap());
    let kind = ScopeKind::new(circle, role("guest")).owned_by([role("founder"), role("chair")]);
    let membership = membership(harness).with_kind(kind);
    let mut tx = source.begin().await.unwrap();
    let (ada, bob) = (user("ada"), user("bob"));
    membership.add(&mut tx, &ada, &scope, &Grant::new(role("founder")), &by()).await.unwrap();
    membership.add(&mut tx, &bob, &scope, &Grant::new(role("chair")), &by()).await.unwrap();
    membership.leave(&mut tx, &ada, &scope, &by()).await.unwrap();
    assert!(matches!(membership.ban(&mut tx, &bob, &scope, &by()).await, Err(Error::LastOwner)));
    membership.set_role(&mut tx, &bob, &scope, &role("founder"), &by()).await.unwrap();
    let refused = membership.set_role(&mut tx, &bob, &scope, &role("owner"), &by()).await;
    assert!(matches!(refused, Err(Error::LastOwner)), "{refused:?}");
    let purged = membership.purge_user(&mut tx, &bob).await.unwrap();
    assert_eq!(purged.ownerless, [scope]);
}

/// What a verb or a read is waiting in may be moved to another thread: a compiler's law, for every backend.
pub async fn every_future_can_move_between_threads<H: Harness>(harness: &H) {
    fn can_move<T: Send>(future: T) -> T {
        future
    }
    let (membership, source) = (membership(harness), harness.source());
    let (ada, scope, by, filter, page) = (user("ada"), chess(), by(), Filter::default(), PageRequest::first(1));
    let mut tx = can_move(source.begin()).await.unwrap();
    can_move(membership.add(&mut tx, &ada, &scope, &owner(), &by)).await.unwrap();
    can_move(membership.join(&mut tx, &ada, &scope, &by)).await.unwrap();
    can_move(membership.leave(&mut tx, &ada, &scope, &by)).await.unwrap_err();
    can_move(membership.remove(&mut tx, &ada, &scope, &by)).await.unwrap_err();
    can_move(membership.ban(&mut tx, &ada, &scope, &by)).await.unwrap_err();
    can_move(membership.unban(&mut tx, &ada, &scope, &by)).await.unwrap_err();
    can_move(membership.set_role(&mut tx, &ada, &scope, &role("owner"), &by)).await.unwrap();
    can_move(membership.import(&mut tx, &Import::new([]).unwrap(), &by)).await.unwrap();
    can_move(membership.is_member(&mut tx, &ada, &scope)).await.unwrap();
    can_move(membership.role(&mut tx, &ada, &scope)).await.unwrap();
    can_move(membership.hold(&mut tx, &ada, &scope)).await.unwrap();
    can_move(membership.get(&mut tx, &ada, &scope)).await.unwrap();
    can_move(membership.check_many(&mut tx, &[(ada.clone(), scope.clone())])).await.unwrap();
    can_move(membership.of(&mut tx, &ada)).await.unwrap();
    can_move(membership.list_by_scope(&mut tx, &scope, &filter, &page)).await.unwrap();
    can_move(membership.list_by_user(&mut tx, &ada, &filter, &page)).await.unwrap();
    can_move(membership.count(&mut tx, &scope, &filter)).await.unwrap();
    can_move(membership.history(&mut tx, &ada, &scope, &page)).await.unwrap();
    can_move(membership.changes(&mut tx, &Cursor::start(), 1)).await.unwrap();
    can_move(membership.latest(&mut tx)).await.unwrap();
    can_move(membership.purge_user(&mut tx, &ada)).await.unwrap();
    can_move(source.commit(tx)).await.unwrap();
    // Whatever the server, they can be spawned.
    tokio::spawn(async move {
        let mut conn = source.acquire().await.unwrap();
        assert!(!membership.is_member(&mut conn, &ada, &scope).await.unwrap());
    })
    .await
    .unwrap();
}
