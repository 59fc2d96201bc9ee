//! Laws of the purge: what an erasure takes along, and what it leaves.

use std::sync::Arc;

use tokio::sync::Barrier;

use super::{Harness, by, chess, follow, group, member, membership, over, owner, role, user, whole_history};
use crate::{By, Cursor, Event, Filter, PageRequest, Purged, Scope, Source, Verb};

/// Rows in every state, their history and the name in others' histories go; what others did stays. Who comes back begins anew.
pub async fn a_purge_forgets_the_user<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let (ada, eve, batch) = (user("ada"), user("eve"), "batch:2018".parse::<Scope>().unwrap());
    let by_eve = By::user(&eve);
    membership.add(&mut tx, &ada, &chess(), &owner(), &by_eve).await.unwrap(); // a mention
    membership.join(&mut tx, &eve, &chess(), &by_eve).await.unwrap();
    membership.set_role(&mut tx, &eve, &chess(), &role("admin"), &by()).await.unwrap();
    membership.leave(&mut tx, &eve, &chess(), &by_eve).await.unwrap();
    membership.ban(&mut tx, &eve, &group("go"), &by()).await.unwrap();
    membership.add(&mut tx, &eve, &batch, &over(member()), &by()).await.unwrap();
    membership.add(&mut tx, &eve, &group("left"), &member(), &by()).await.unwrap();
    membership.remove(&mut tx, &eve, &group("left"), &by()).await.unwrap();
    membership.ban(&mut tx, &ada, &group("go"), &by_eve).await.unwrap(); // a mention
    // Neither the same name in another case nor one that begins alike is meant.
    for other in ["Eve", "eve ", "even"] {
        membership.join(&mut tx, &user(other), &chess(), &By::user(&user(other))).await.unwrap();
    }
    source.commit(tx).await.unwrap();

    let mut conn = source.acquire().await.unwrap();
    let purged = membership.purge_user(&mut conn, &eve).await.unwrap();
    assert_eq!(purged, Purged { memberships: 4, transitions: 7, mentions: 2, ownerless: Vec::new() });
    for scope in [chess(), group("go"), batch, group("left")] {
        assert_eq!(membership.get(&mut conn, &eve, &scope).await.unwrap(), None);
        assert_eq!(whole_history(&membership, &mut conn, &eve, &scope).await, []);
    }
    assert!(membership.of(&mut conn, &eve).await.unwrap().is_empty());
    let history = whole_history(&membership, &mut conn, &ada, &chess()).await;
    assert_eq!((history.len(), history[0].verb, history[0].actor.as_ref()), (1, Verb::Add, None));
    for other in ["Eve", "eve ", "even"] {
        let history = whole_history(&membership, &mut conn, &user(other), &chess()).await;
        assert_eq!((history.len(), history[0].actor.as_ref()), (1, Some(&user(other))));
    }
    let again = membership.purge_user(&mut conn, &eve).await.unwrap();
    assert_eq!(again, Purged { memberships: 0, transitions: 0, mentions: 0, ownerless: Vec::new() });

    let joined = membership.join(&mut conn, &eve, &group("go"), &by()).await.unwrap();
    assert!(joined.is_created(), "the ban is forgotten, too");
    assert_eq!(joined.version(), 1);
    for version in 2..6 {
        let verb = if version % 2 == 0 {
            membership.leave(&mut conn, &eve, &group("go"), &by()).await
        } else {
            membership.join(&mut conn, &eve, &group("go"), &by()).await
        };
        assert_eq!(verb.unwrap().version(), version);
    }
    let versions = whole_history(&membership, &mut conn, &eve, &group("go")).await;
    assert_eq!(versions.iter().map(|change| change.version).collect::<Vec<_>>(), [5, 4, 3, 2, 1]);
}

/// No guard holds a purge up; the report names the scopes that lost their last owner by it, in order, and only those.
pub async fn a_purge_overrides_the_guard_and_names_the_ownerless<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let (ada, bob) = (user("ada"), user("bob"));
    let scopes = ["group:alone", "group:Alone", "chapter:alone", "group:with-expired", "group:with-banned"];
    for scope in scopes {
        membership.add(&mut tx, &ada, &scope.parse().unwrap(), &owner(), &by()).await.unwrap();
        membership.join(&mut tx, &user("eve"), &scope.parse().unwrap(), &by()).await.unwrap();
    }
    membership.add(&mut tx, &bob, &group("with-expired"), &over(owner()), &by()).await.unwrap();
    membership.add(&mut tx, &bob, &group("with-banned"), &owner(), &by()).await.unwrap();
    membership.ban(&mut tx, &bob, &group("with-banned"), &by()).await.unwrap();
    // These stay as they are: another owner, no guard, or no owner before.
    for scope in [group("shared"), "batch:2018".parse().unwrap()] {
        membership.add(&mut tx, &ada, &scope, &owner(), &by()).await.unwrap();
    }
    membership.add(&mut tx, &bob, &group("shared"), &owner(), &by()).await.unwrap();
    membership.add(&mut tx, &ada, &group("expired"), &over(owner()), &by()).await.unwrap();
    membership.join(&mut tx, &ada, &group("member"), &by()).await.unwrap();
    membership.add(&mut tx, &bob, &group("former"), &owner(), &by()).await.unwrap();
    membership.add(&mut tx, &ada, &group("former"), &owner(), &by()).await.unwrap();
    membership.leave(&mut tx, &ada, &group("former"), &by()).await.unwrap();

    let purged = membership.purge_user(&mut tx, &ada).await.unwrap();
    assert_eq!((purged.memberships, purged.transitions, purged.mentions), (10, 11, 0));
    let ownerless: Vec<_> = purged.ownerless.iter().map(Scope::to_string).collect();
    assert_eq!(ownerless, ["chapter:alone", "group:Alone", "group:alone", "group:with-banned", "group:with-expired"]);
    source.commit(tx).await.unwrap();
    // A rolled-back purge erased nothing.
    let mut tx = source.begin().await.unwrap();
    assert_eq!(membership.purge_user(&mut tx, &bob).await.unwrap().memberships, 4);
    drop(tx);
    let mut conn = source.acquire().await.unwrap();
    assert!(membership.is_member(&mut conn, &bob, &group("shared")).await.unwrap());
    assert_eq!(membership.count(&mut conn, &group("shared"), &Filter::default()).await.unwrap(), 1);
}

/// Who follows the feed learns which scopes lost a row, and not whose; who starts later never hears of the person.
pub async fn a_purge_is_in_the_feed_without_a_name<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut conn = source.acquire().await.unwrap();
    let eve = user("eve");
    let mut kept = Cursor::start();
    membership.join(&mut conn, &eve, &chess(), &by()).await.unwrap();
    membership.ban(&mut conn, &eve, &group("go"), &by()).await.unwrap();
    membership.join(&mut conn, &user("ada"), &chess(), &By::user(&eve)).await.unwrap();
    assert_eq!(follow(&membership, &mut conn, &mut kept, 10).await.len(), 3);
    membership.purge_user(&mut conn, &eve).await.unwrap();
    membership.join(&mut conn, &user("bob"), &chess(), &by()).await.unwrap();

    let news = follow(&membership, &mut conn, &mut kept, 1).await;
    let mut scopes = Vec::new();
    for event in &news[..2] {
        let Event::Purged { scope, .. } = event else { panic!("{event:?}") };
        scopes.push(scope.clone());
    }
    scopes.sort();
    assert_eq!(scopes, [chess(), group("go")]);
    assert!(matches!(&news[2..], [Event::Changed(change)] if change.user == user("bob")), "{news:?}");
    let whole = follow(&membership, &mut conn, &mut Cursor::start(), 2).await;
    assert_eq!(whole.len(), 4);
    assert!(!format!("{whole:?}").contains("eve"), "{whole:?}");
    // A row that comes and goes leaves an event each time.
    membership.join(&mut conn, &eve, &chess(), &by()).await.unwrap();
    membership.purge_user(&mut conn, &eve).await.unwrap();
    let news = follow(&membership, &mut conn, &mut kept, 10).await;
    assert!(matches!(&news[..], [Event::Purged { scope, .. }] if *scope == chess()), "{news:?}");
}

/// Somebody nobody has heard of: nothing to report, nothing in the feed.
pub async fn a_purge_of_nobody_reports_nothing<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    membership.join(&mut tx, &user("ada"), &chess(), &by()).await.unwrap();
    let nothing = Purged { memberships: 0, transitions: 0, mentions: 0, ownerless: Vec::new() };
    assert_eq!(membership.purge_user(&mut tx, &user("nobody")).await.unwrap(), nothing);
    // Who only ever acted has no rows, and is forgotten all the same.
    assert_eq!(membership.purge_user(&mut tx, &user("root")).await.unwrap(), Purged { mentions: 1, ..nothing });
    source.commit(tx).await.unwrap();
    let mut conn = source.acquire().await.unwrap();
    assert_eq!(follow(&membership, &mut conn, &mut Cursor::start(), 10).await.len(), 1);
    let page = membership.history(&mut conn, &user("ada"), &chess(), &PageRequest::first(10)).await.unwrap();
    assert_eq!(page.items[0].actor, None);
}

/// A verb that commits while a purge waits for its row is purged or stands on its own; no half of it is left in anybody's way.
pub async fn a_purge_racing_with_verbs_leaves_no_trace<H: Harness>(harness: &H) {
    let source = harness.source();
    for round in 0..12 {
        let scope = group(&format!("group-{round}"));
        let mut conn = source.acquire().await.unwrap();
        let ada = user("ada");
        if round % 3 > 0 {
            membership(harness).join(&mut conn, &ada, &scope, &by()).await.unwrap();
        }
        let start = Arc::new(Barrier::new(2));
        let (purger, others, ready) = (membership(harness), source.clone(), start.clone());
        let purge = tokio::spawn(async move {
            ready.wait().await;
            let mut conn = others.acquire().await.unwrap();
            purger.purge_user(&mut conn, &user("ada")).await.unwrap()
        });
        let membership = membership(harness);
        let mut tx = source.begin().await.unwrap();
        membership.add(&mut tx, &ada, &scope, &owner(), &by()).await.unwrap();
        start.wait().await;
        // Gives the purge the time of some round trips to come and wait.
        for _ in 0..20 {
            membership.get(&mut tx, &user("bob"), &scope).await.unwrap();
        }
        if round % 2 == 0 {
            membership.set_role(&mut tx, &ada, &scope, &role("owner"), &by()).await.unwrap();
        }
        source.commit(tx).await.unwrap();
        purge.await.unwrap();

        for verb in [Verb::Add, Verb::Ban, Verb::Unban, Verb::Join] {
            let row = membership.get(&mut conn, &ada, &scope).await.unwrap();
            let versions = whole_history(&membership, &mut conn, &ada, &scope).await;
            let versions: Vec<_> = versions.iter().rev().map(|change| change.version).collect();
            assert_eq!(versions, (1..=row.map_or(0, |row| row.version())).collect::<Vec<_>>(), "round {round}");
            match verb {
                Verb::Add => membership
                    .add(&mut conn, &ada, &scope, &member(), &by())
                    .await
                    .map(drop)
                    .or_else(|error| if matches!(error, crate::Error::LastOwner) { Ok(()) } else { Err(error) }),
                Verb::Ban => {
                    membership.add(&mut conn, &user("bob"), &scope, &owner(), &by()).await.unwrap();
                    membership.ban(&mut conn, &ada, &scope, &by()).await.map(drop)
                }
                Verb::Unban => membership.unban(&mut conn, &ada, &scope, &by()).await.map(drop),
                _ => membership.join(&mut conn, &ada, &scope, &by()).await.map(drop),
            }
            .unwrap();
        }
        membership.purge_user(&mut conn, &ada).await.unwrap();
    }
}
