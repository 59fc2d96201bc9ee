//! Laws of what happens at the same moment on several connections.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;

use super::{Harness, by, chess, member, membership, owner, role, user, whole_history};
use crate::{Error, Filter, Scope, Source, State};

/// Two owners on two connections: one succeeds, one gets `LastOwner`, nobody gets a database error.
pub async fn of_two_owners_leaving_at_once_one_stays<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    for round in 0..25 {
        let scope = Scope::group(format!("group-{round}")).unwrap();
        let mut tx = source.begin().await.unwrap();
        for name in ["ada", "bob"] {
            membership.add(&mut tx, &user(name), &scope, &owner(), &by()).await.unwrap();
        }
        source.commit(tx).await.unwrap();

        let barrier = Arc::new(Barrier::new(2));
        let leave = async |name: &str, verb: usize| {
            barrier.wait().await;
            let mut tx = source.begin().await.unwrap();
            let outcome = match verb {
                0 => membership.leave(&mut tx, &user(name), &scope, &by()).await,
                1 => membership.remove(&mut tx, &user(name), &scope, &by()).await,
                2 => membership.ban(&mut tx, &user(name), &scope, &by()).await,
                3 => membership.set_role(&mut tx, &user(name), &scope, &role("member"), &by()).await,
                _ => membership.add(&mut tx, &user(name), &scope, &member(), &by()).await,
            };
            source.commit(tx).await.unwrap();
            outcome
        };
        // Every pair of verbs.
        let outcomes = tokio::join!(leave("ada", round % 5), leave("bob", round / 5));
        assert!(
            matches!(outcomes, (Ok(_), Err(Error::LastOwner)) | (Err(Error::LastOwner), Ok(_))),
            "round {round}: {outcomes:?}"
        );
    }
}

/// Sixty-four identical adds at once: one creates the row, the others find it, no constraint error leaks.
pub async fn concurrent_adds_create_one_row<H: Harness>(harness: &H) {
    let source = harness.source();
    let barrier = Arc::new(Barrier::new(64));
    let mut adds = tokio::task::JoinSet::new();
    for number in 0..64 {
        let (membership, source, barrier) = (membership(harness), source.clone(), barrier.clone());
        adds.spawn(async move {
            barrier.wait().await;
            if number % 2 == 0 {
                let mut conn = source.acquire().await.unwrap();
                return membership.add(&mut conn, &user("ada"), &chess(), &owner(), &by()).await.unwrap();
            }
            let mut tx = source.begin().await.unwrap();
            let change = membership.add(&mut tx, &user("ada"), &chess(), &owner(), &by()).await.unwrap();
            source.commit(tx).await.unwrap();
            change
        });
    }
    let changes = adds.join_all().await;
    assert_eq!(changes.iter().filter(|change| change.is_created()).count(), 1);
    assert!(changes.iter().all(|change| change.is_created() || change.is_unchanged()));
    let (membership, mut conn) = (membership(harness), source.acquire().await.unwrap());
    assert_eq!(membership.count(&mut conn, &chess(), &Filter::default()).await.unwrap(), 1);
    assert_eq!(whole_history(&membership, &mut conn, &user("ada"), &chess()).await.len(), 1);
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

/// A thousand times somebody joins, leaves and joins again while being banned: once the ban has committed, nobody is active.
pub async fn a_ban_beats_a_racing_join<H: Harness>(harness: &H) {
    const USERS: usize = 250;
    let source = harness.source();
    for round in 0..4 {
        let scope = Scope::group(format!("group-{round}")).unwrap();
        let barrier = Arc::new(Barrier::new(4));
        let mut joins = tokio::task::JoinSet::new();
        for joiner in 0..3 {
            let (membership, source, barrier, scope) =
                (membership(harness), source.clone(), barrier.clone(), scope.clone());
            joins.spawn(async move {
                let mut conn = source.acquire().await.unwrap();
                barrier.wait().await;
                for number in 0..USERS {
                    let user = user(&format!("user-{number}"));
                    let outcome = if joiner == 2 && number % 2 == 0 {
                        let mut tx = source.begin().await.unwrap();
                        let outcome = membership.join(&mut tx, &user, &scope, &by()).await;
                        source.commit(tx).await.unwrap();
                        outcome
                    } else {
                        membership.join(&mut conn, &user, &scope, &by()).await
                    };
                    assert!(matches!(outcome, Ok(_) | Err(Error::Banned)), "{outcome:?}");
                    if outcome.is_ok() {
                        membership.leave(&mut conn, &user, &scope, &by()).await.unwrap();
                        let again = membership.join(&mut conn, &user, &scope, &by()).await;
                        assert!(matches!(again, Ok(_) | Err(Error::Banned)), "{again:?}");
                    }
                }
            });
        }
        let (membership, mut conn) = (membership(harness), source.acquire().await.unwrap());
        barrier.wait().await;
        for number in 0..USERS {
            let user = user(&format!("user-{number}"));
            membership.ban(&mut conn, &user, &scope, &by()).await.unwrap();
            assert!(!membership.is_member(&mut conn, &user, &scope).await.unwrap());
        }
        joins.join_all().await;
        assert_eq!(membership.count(&mut conn, &scope, &Filter::default()).await.unwrap(), 0);
        let banned = membership.count(&mut conn, &scope, &Filter::default().state(State::Banned)).await.unwrap();
        assert_eq!(banned, USERS as u64);
    }
}
