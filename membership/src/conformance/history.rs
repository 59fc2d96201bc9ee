//! Laws of versions and histories: what a change may depend on, and what it leaves behind.

use std::sync::Arc;

use tokio::sync::Barrier;

use super::{Harness, by, chess, group, member, membership, over, owner, role, user, whole_history};
use crate::{
    By, Change, Error, Grant, Membership, PageRequest, Reason, Result, Scope, Source, State, Store, UserId, Verb,
};

const VERBS: [Verb; 7] = [Verb::Add, Verb::Join, Verb::Remove, Verb::Leave, Verb::Ban, Verb::Unban, Verb::SetRole];

/// Calls a verb of [`VERBS`]; `add` makes a member, `set_role` an admin.
async fn call<S: Store>(
    membership: &Membership<S>,
    conn: &mut S::Connection,
    verb: Verb,
    user: &UserId,
    scope: &Scope,
    by: &By,
) -> Result<Change> {
    match verb {
        Verb::Add => membership.add(conn, user, scope, &member(), by).await,
        Verb::Join => membership.join(conn, user, scope, by).await,
        Verb::Remove => membership.remove(conn, user, scope, by).await,
        Verb::Leave => membership.leave(conn, user, scope, by).await,
        Verb::Ban => membership.ban(conn, user, scope, by).await,
        Verb::Unban => membership.unban(conn, user, scope, by).await,
        Verb::SetRole => membership.set_role(conn, user, scope, &role("admin"), by).await,
        Verb::Import => panic!("an import asks for no version"),
    }
}

/// Brings a new row into the state, at version 2; `None` leaves none.
async fn stand<S: Store>(
    membership: &Membership<S>,
    conn: &mut S::Connection,
    user: &UserId,
    scope: &Scope,
    state: Option<State>,
    ended: &Grant,
) {
    let Some(state) = state else { return };
    membership.join(conn, user, scope, &by()).await.unwrap();
    let done = match state {
        State::Active => membership.add(conn, user, scope, &owner(), &by()).await,
        State::Banned => membership.ban(conn, user, scope, &by()).await,
        State::Expired => membership.add(conn, user, scope, ended, &by()).await,
        State::Left => membership.leave(conn, user, scope, &by()).await,
    };
    assert_eq!(done.unwrap().version(), 2);
}

/// Whatever a verb would have done, also nothing: for another version it answers `Conflict` and writes nothing. For the right
/// one it does what it does without.
pub async fn a_verb_for_another_version_is_a_conflict<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let states = [None, Some(State::Active), Some(State::Left), Some(State::Expired), Some(State::Banned)];
    let (ada, ended) = (user("ada"), over(owner()));
    for (number, state) in states.into_iter().enumerate() {
        for verb in VERBS {
            let [conditional, plain] = ["conditional", "plain"].map(|name| group(&format!("{name}-{number}-{verb}")));
            for scope in [&conditional, &plain] {
                // Somebody else owns it, too: the guard is not what this is about.
                membership.add(&mut tx, &user("bob"), scope, &owner(), &by()).await.unwrap();
                stand(&membership, &mut tx, &ada, scope, state, &ended).await;
            }
            let version = if state.is_some() { 2 } else { 0 };
            let before = membership.get(&mut tx, &ada, &conditional).await.unwrap();
            for stale in [-1, 0, 1, 2, 3, i64::MAX, i64::MIN].into_iter().filter(|stale| *stale != version) {
                let refused = call(&membership, &mut tx, verb, &ada, &conditional, &by().if_version(stale)).await;
                assert!(matches!(refused, Err(Error::Conflict)), "{verb} of {state:?} at {stale}: {refused:?}");
            }
            let after = membership.get(&mut tx, &ada, &conditional).await.unwrap();
            assert_eq!(
                before.map(|row| (row.version(), row.standing.clone())),
                after.map(|row| (row.version(), row.standing.clone()))
            );
            let history = whole_history(&membership, &mut tx, &ada, &conditional).await;
            assert_eq!(i64::try_from(history.len()).unwrap(), version, "{verb} of {state:?}");

            let outcome = |result: Result<Change>| match result {
                Ok(change) => format!("{:?}", (change.after().standing.clone(), change.version())),
                Err(error) => format!("{error:?}"),
            };
            let expected = outcome(call(&membership, &mut tx, verb, &ada, &plain, &by()).await);
            let done = outcome(call(&membership, &mut tx, verb, &ada, &conditional, &by().if_version(version)).await);
            assert_eq!(done, expected, "{verb} of {state:?}");
        }
    }
}

/// Two writers that read the same version: one wins, the other learns of the conflict, in transactions and without.
pub async fn of_two_writers_with_one_version_one_wins<H: Harness>(harness: &H) {
    let source = harness.source();
    for round in 0..24 {
        let (scope, version) = (group(&format!("group-{round}")), round / 2 % 2);
        if version > 0 {
            let mut conn = source.acquire().await.unwrap();
            membership(harness).join(&mut conn, &user("ada"), &scope, &by()).await.unwrap();
        }
        let barrier = Arc::new(Barrier::new(2));
        let mut writers = tokio::task::JoinSet::new();
        for name in ["moderator", "owner"] {
            let (membership, source, barrier, scope) =
                (membership(harness), source.clone(), barrier.clone(), scope.clone());
            writers.spawn(async move {
                let (ada, by) = (user("ada"), by().if_version(version));
                let grant = Grant::new(role(name));
                barrier.wait().await;
                if round % 2 == 0 {
                    let mut conn = source.acquire().await.unwrap();
                    return membership.add(&mut conn, &ada, &scope, &grant, &by).await;
                }
                let mut tx = source.begin().await.unwrap();
                let outcome = membership.add(&mut tx, &ada, &scope, &grant, &by).await;
                source.commit(tx).await.unwrap();
                outcome
            });
        }
        let outcomes = writers.join_all().await;
        let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        let lost = outcomes.iter().filter(|outcome| matches!(outcome, Err(Error::Conflict))).count();
        assert_eq!((won, lost), (1, 1), "round {round}: {outcomes:?}");
        let mut conn = source.acquire().await.unwrap();
        let history = whole_history(&membership(harness), &mut conn, &user("ada"), &scope).await;
        assert_eq!(history[0].version, version + 1);
    }
}

/// Who and why come back for every verb, newest first; versions have no gaps, and each change begins where the last one ended.
pub async fn every_change_is_in_the_history_with_its_actor_and_reason<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let (ada, scope) = (user("ada"), chess());
    let verbs = [
        (Verb::Join, "active member"),
        (Verb::SetRole, "active admin"),
        (Verb::Add, "active member"),
        (Verb::Leave, "left member"),
        (Verb::Add, "active member"),
        (Verb::Remove, "left member"),
        (Verb::Ban, "banned member"),
        (Verb::Ban, "banned member"),
        (Verb::Unban, "left member"),
        (Verb::Ban, "banned member"),
        (Verb::Add, "active member"),
    ];
    for (number, (verb, _)) in verbs.iter().enumerate() {
        let mut by = By::user(&user(&format!("actor-{number}")));
        if number != 3 {
            by = by.because(Reason::new(format!("reason {number}: \"'\\ \u{1f600}%")).unwrap());
        }
        let change = call(&membership, &mut tx, *verb, &ada, &scope, &by).await.unwrap();
        assert_eq!(change.version(), i64::try_from(number).unwrap() + 1);
    }
    source.commit(tx).await.unwrap();

    let mut conn = source.acquire().await.unwrap();
    let history = whole_history(&membership, &mut conn, &ada, &scope).await;
    assert_eq!(history.len(), verbs.len());
    let mut before = None;
    for (number, change) in history.iter().rev().enumerate() {
        let (verb, after) = verbs[number];
        assert_eq!((&change.user, &change.scope), (&ada, &scope));
        assert_eq!((change.verb, change.version), (verb, i64::try_from(number).unwrap() + 1));
        assert_eq!(format!("{} {}", change.after.state, change.after.role), after);
        assert_eq!(change.before, before);
        assert_eq!(change.actor, Some(user(&format!("actor-{number}"))));
        let reason = (number != 3).then(|| Reason::new(format!("reason {number}: \"'\\ \u{1f600}%")).unwrap());
        assert_eq!(change.reason, reason);
        before = Some(change.after.clone());
    }
    assert!(history.is_sorted_by(|newer, older| newer.at >= older.at));
    let now = membership.get(&mut conn, &ada, &scope).await.unwrap().unwrap();
    assert_eq!((Some(now.standing.clone()), now.version()), (before, 11));
    assert!(whole_history(&membership, &mut conn, &ada, &group("go")).await.is_empty());
    assert!(whole_history(&membership, &mut conn, &user("Ada"), &scope).await.is_empty());
}

/// A refused verb, one without effect, and one that is rolled back are in no history.
pub async fn what_changes_nothing_leaves_no_history<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let (ada, bob, eve, scope) = (user("ada"), user("bob"), user("eve"), chess());
    let mut tx = source.begin().await.unwrap();
    membership.add(&mut tx, &ada, &scope, &owner(), &by()).await.unwrap();
    membership.ban(&mut tx, &eve, &scope, &by()).await.unwrap();
    for verb in [Verb::Remove, Verb::Leave, Verb::Ban, Verb::SetRole, Verb::Add, Verb::Unban] {
        assert!(call(&membership, &mut tx, verb, &ada, &scope, &by()).await.is_err(), "{verb}");
    }
    for verb in [Verb::Remove, Verb::Leave, Verb::Unban, Verb::SetRole] {
        assert!(call(&membership, &mut tx, verb, &bob, &scope, &by()).await.is_err(), "{verb}");
    }
    for verb in [Verb::Join, Verb::SetRole] {
        assert!(call(&membership, &mut tx, verb, &eve, &scope, &by()).await.is_err(), "{verb}");
    }
    assert!(membership.join(&mut tx, &ada, &scope, &by()).await.unwrap().is_unchanged());
    assert!(membership.add(&mut tx, &ada, &scope, &owner(), &by()).await.unwrap().is_unchanged());
    assert!(membership.leave(&mut tx, &eve, &scope, &by()).await.unwrap().is_unchanged());
    assert!(membership.remove(&mut tx, &eve, &scope, &by()).await.unwrap().is_unchanged());
    // Only a new reason would be news of a ban.
    assert!(membership.ban(&mut tx, &eve, &scope, &By::user(&ada)).await.unwrap().is_unchanged());
    source.commit(tx).await.unwrap();

    let mut tx = source.begin().await.unwrap();
    membership.join(&mut tx, &bob, &scope, &by()).await.unwrap();
    membership.set_role(&mut tx, &bob, &scope, &role("owner"), &by()).await.unwrap();
    membership.leave(&mut tx, &ada, &scope, &by()).await.unwrap();
    assert_eq!(whole_history(&membership, &mut tx, &bob, &scope).await.len(), 2, "its own transaction sees them");
    drop(tx);

    let mut conn = source.acquire().await.unwrap();
    for (user, verbs) in [(&ada, vec![Verb::Add]), (&bob, vec![]), (&eve, vec![Verb::Ban])] {
        let history = whole_history(&membership, &mut conn, user, &scope).await;
        assert_eq!(history.iter().map(|change| change.verb).collect::<Vec<_>>(), verbs, "{user}");
    }
}

/// Pages of any size add up to the whole, though the membership goes on changing.
pub async fn a_history_has_pages<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let (ada, scope) = (user("ada"), chess());
    for _ in 0..6 {
        membership.join(&mut tx, &ada, &scope, &by()).await.unwrap();
        membership.leave(&mut tx, &ada, &scope, &by()).await.unwrap();
    }
    for limit in [1, 5, 11, 12, 13, 1000] {
        let whole = whole_history(&membership, &mut tx, &ada, &scope).await;
        let (mut walked, mut request) = (Vec::new(), PageRequest::first(limit));
        loop {
            let page = membership.history(&mut tx, &ada, &scope, &request).await.unwrap();
            assert!(page.items.len() <= limit as usize);
            walked.extend(page.items);
            let Some(token) = page.next else { break };
            request = PageRequest::first(limit).after(token.to_string().parse().unwrap());
            if walked.len() < 5 {
                membership.join(&mut tx, &ada, &scope, &by()).await.unwrap();
                membership.leave(&mut tx, &ada, &scope, &by()).await.unwrap();
            }
        }
        assert_eq!(walked, whole, "limit {limit}");
    }
}
