//! Laws of bulk loads: all or nothing, again without effect, and never past a ban or the guard.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use tokio::sync::Barrier;

use super::{Harness, by, chess, group, member, membership, over, owner, role, user, whole_history};
use crate::{
    Error, Filter, Grant, Import, ImportRow, Imported, Membership, Scope, ScopeId, ScopeType, Source, State, Store,
    Verb,
};

async fn import<S: Store>(
    membership: &Membership<S>,
    conn: &mut S::Connection,
    rows: impl IntoIterator<Item = ImportRow>,
) -> crate::Result<Imported> {
    membership.import(conn, &Import::new(rows).unwrap(), &by()).await
}

fn active(name: &str, scope: Scope, grant: Grant) -> ImportRow {
    ImportRow::active(user(name), scope, grant)
}

/// Rows are created, updated, unchanged or kept, and that is all of them. A second time all stand so already: no version, no
/// history.
pub async fn an_import_counts_its_rows_and_repeats_without_change<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut conn = source.acquire().await.unwrap();
    for name in ["same", "other", "banned", "left"] {
        membership.join(&mut conn, &user(name), &chess(), &by()).await.unwrap();
    }
    membership.ban(&mut conn, &user("banned"), &chess(), &by()).await.unwrap();
    membership.leave(&mut conn, &user("left"), &chess(), &by()).await.unwrap();
    let end = Utc::now() + TimeDelta::nanoseconds(86_400_000_000_123);
    let rows = [
        active("same", chess(), member()),
        active("other", chess(), owner()),
        active("banned", chess(), member()),
        active("left", chess(), member()),
        active("new", chess(), member().until(end).unwrap()),
        active("expired", chess(), over(member())),
        ImportRow::banned(user("outlaw"), chess(), role("member")),
        ImportRow::left(user("former"), group("go"), role("owner")),
    ];
    let first = import(&membership, &mut conn, rows.clone()).await.unwrap();
    assert_eq!(first, Imported { created: 4, updated: 2, unchanged: 1, kept_banned: 1 });
    for row in &rows {
        let found = membership.get(&mut conn, row.user(), row.scope()).await.unwrap().unwrap();
        if row.user() == &user("banned") {
            assert_eq!(found.state(), State::Banned);
            continue;
        }
        assert_eq!(&found.standing, row.standing(), "{}", row.user());
        let history = whole_history(&membership, &mut conn, row.user(), row.scope()).await;
        assert_eq!(history.len(), usize::try_from(found.version()).unwrap());
        let newest = &history[0];
        assert_eq!((&newest.after, newest.version), (row.standing(), found.version()));
        if row.user() != &user("same") {
            assert_eq!(
                (newest.verb, newest.actor.as_ref(), newest.reason.is_some()),
                (Verb::Import, Some(&user("root")), true)
            );
        }
        assert_eq!(newest.before.as_ref(), history.get(1).map(|older| &older.after));
    }
    let latest = membership.latest(&mut conn).await.unwrap();
    // The order of the rows says nothing.
    let again = import(&membership, &mut conn, rows.into_iter().rev()).await.unwrap();
    assert_eq!(again, Imported { created: 0, updated: 0, unchanged: 7, kept_banned: 1 });
    assert_eq!(membership.changes(&mut conn, &latest, 10).await.unwrap().events, []);
    assert_eq!(import(&membership, &mut conn, []).await.unwrap(), Imported::default());
}

/// What is refused leaves nothing, in a transaction and without one, and the transaction is usable after it.
pub async fn an_import_is_all_or_nothing<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut conn = source.acquire().await.unwrap();
    membership.add(&mut conn, &user("ada"), &chess(), &owner(), &by()).await.unwrap();
    let latest = membership.latest(&mut conn).await.unwrap();
    let undeclared = Scope::new(ScopeType::new("cohort").unwrap(), ScopeId::new("1").unwrap());
    let ownerless = [
        active("a", group("a"), owner()),
        ImportRow::left(user("ada"), chess(), role("owner")),
        active("z", group("z"), owner()),
    ];
    let unknown =
        [active("a", group("a"), owner()), active("m", undeclared, member()), active("z", group("z"), owner())];

    let refused = import(&membership, &mut conn, ownerless.clone()).await;
    assert!(matches!(refused, Err(Error::LastOwner)), "{refused:?}");
    let refused = import(&membership, &mut conn, unknown.clone()).await;
    assert!(matches!(refused, Err(Error::UnknownScopeType)), "{refused:?}");
    let conditional = membership.import(&mut conn, &Import::new([]).unwrap(), &by().if_version(0)).await;
    assert!(matches!(conditional, Err(Error::Invalid { what: "import", .. })), "{conditional:?}");
    assert_eq!(membership.changes(&mut conn, &latest, 10).await.unwrap().events, []);

    let mut tx = source.begin().await.unwrap();
    membership.join(&mut tx, &user("before"), &chess(), &by()).await.unwrap();
    assert!(matches!(import(&membership, &mut tx, ownerless.clone()).await, Err(Error::LastOwner)));
    assert!(matches!(import(&membership, &mut tx, unknown).await, Err(Error::UnknownScopeType)));
    membership.join(&mut tx, &user("after"), &chess(), &by()).await.unwrap();
    source.commit(tx).await.unwrap();
    let events = membership.changes(&mut conn, &latest, 10).await.unwrap().events;
    assert_eq!(events.len(), 2, "{events:?}");

    let mut tx = source.begin().await.unwrap();
    import(&membership, &mut tx, [active("rolled-back", chess(), member())]).await.unwrap();
    drop(tx);
    for (name, scope) in [("a", group("a")), ("z", group("z")), ("rolled-back", chess())] {
        assert_eq!(membership.get(&mut conn, &user(name), &scope).await.unwrap(), None);
        assert_eq!(whole_history(&membership, &mut conn, &user(name), &scope).await, []);
    }
    assert_eq!(membership.role(&mut conn, &user("ada"), &chess()).await.unwrap(), Some(role("owner")));
}

/// A ban in the database outlives any row but that of an import that lifts bans.
pub async fn an_import_keeps_bans_unless_told_to_lift_them<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let eve = user("eve");
    membership.ban(&mut tx, &eve, &chess(), &by()).await.unwrap();
    for row in [
        active("eve", chess(), member()),
        active("eve", chess(), over(member())),
        active("eve", chess(), owner()),
        ImportRow::left(eve.clone(), chess(), role("member")),
        ImportRow::banned(eve.clone(), chess(), role("owner")),
    ] {
        let kept = import(&membership, &mut tx, [row.clone()]).await.unwrap();
        assert_eq!(kept, Imported { kept_banned: 1, ..Imported::default() }, "{row:?}");
        let found = membership.get(&mut tx, &eve, &chess()).await.unwrap().unwrap();
        assert_eq!((found.state(), found.version(), found.role()), (State::Banned, 1, &role("member")), "{row:?}");
    }
    let same = import(&membership, &mut tx, [ImportRow::banned(eve.clone(), chess(), role("member"))]).await.unwrap();
    assert_eq!(same, Imported { unchanged: 1, ..Imported::default() });
    assert_eq!(whole_history(&membership, &mut tx, &eve, &chess()).await.len(), 1);

    let lifting = Import::new([active("eve", chess(), member())]).unwrap().lifting_bans();
    let lifted = membership.import(&mut tx, &lifting, &by()).await.unwrap();
    assert_eq!(lifted, Imported { updated: 1, ..Imported::default() });
    assert!(membership.is_member(&mut tx, &eve, &chess()).await.unwrap());
    // And a ban may be imported like anything else.
    let banned = import(&membership, &mut tx, [ImportRow::banned(eve.clone(), chess(), role("member"))]).await.unwrap();
    assert_eq!(banned, Imported { updated: 1, ..Imported::default() });
    assert!(matches!(membership.join(&mut tx, &eve, &chess(), &by()).await, Err(Error::Banned)));
}

/// A scope that has an owner has one afterwards: by the rows that were there or those that came. An expired one is none.
pub async fn an_import_keeps_an_owner<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    membership.add(&mut tx, &user("ada"), &chess(), &owner(), &by()).await.unwrap();
    membership.add(&mut tx, &user("gone"), &chess(), &over(owner()), &by()).await.unwrap();
    membership.add(&mut tx, &user("ada"), &group("go"), &owner(), &by()).await.unwrap();
    membership.ban(&mut tx, &user("eve"), &chess(), &by()).await.unwrap();
    for rows in [
        vec![active("ada", chess(), member())],
        vec![active("ada", chess(), over(owner()))],
        vec![ImportRow::left(user("ada"), chess(), role("owner"))],
        vec![ImportRow::banned(user("ada"), chess(), role("owner"))],
        // Whoever takes over has to be an owner: in this scope, active, unexpired and not kept out.
        vec![active("ada", chess(), member()), active("bob", chess(), member())],
        vec![active("ada", chess(), member()), active("bob", chess(), over(owner()))],
        vec![active("ada", chess(), member()), active("eve", chess(), owner())],
        vec![active("ada", chess(), member()), active("bob", group("Chess"), owner())],
        vec![active("ada", chess(), member()), active("bob", "chapter:chess".parse().unwrap(), owner())],
        vec![active("ada", chess(), member()), active("ada", group("go"), owner())],
    ] {
        let refused = import(&membership, &mut tx, rows.clone()).await;
        assert!(matches!(refused, Err(Error::LastOwner)), "{rows:?}: {refused:?}");
    }
    // The owners change places, whichever comes first in the order of the rows.
    for (old, new) in [("ada", "bob"), ("bob", "ada"), ("ada", "new")] {
        import(&membership, &mut tx, [active(old, chess(), member()), active(new, chess(), owner())]).await.unwrap();
        assert_eq!(membership.role(&mut tx, &user(new), &chess()).await.unwrap(), Some(role("owner")));
    }
    // No owner before, none needed; and a kind without owners has no guard.
    let ownerless = [active("ada", group("new"), member()), ImportRow::left(user("bob"), group("new"), role("owner"))];
    assert_eq!(import(&membership, &mut tx, ownerless).await.unwrap().created, 2);
    let batch: Scope = "batch:2018".parse().unwrap();
    import(&membership, &mut tx, [active("ada", batch.clone(), owner())]).await.unwrap();
    import(&membership, &mut tx, [active("ada", batch, member())]).await.unwrap();
}

/// More than 100,000 rows, or the same one twice, are refused before there is an import.
pub async fn an_import_of_too_much_is_refused<H: Harness>(harness: &H) {
    let row = |number: usize| active(&number.to_string(), chess(), member());
    let refused = Import::new((0..=100_000).map(row));
    assert!(matches!(refused, Err(Error::Invalid { what: "import", .. })), "{refused:?}");
    for twice in [member(), owner()] {
        let refused = Import::new([row(1), row(2), active("1", chess(), twice)]);
        assert!(matches!(refused, Err(Error::Invalid { what: "import", .. })), "{refused:?}");
    }
    // What differs in any byte of its key is not the same.
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let alike = [("1", "chess"), ("1 ", "chess"), ("1", "Chess"), ("1", "chess ")];
    let rows = alike.map(|(name, scope)| active(name, group(scope), member()));
    assert_eq!(import(&membership, &mut tx, rows).await.unwrap().created, 4);
}

/// Ten thousand rows in one call: new ones, then all of them again with every tenth changed.
pub async fn a_large_import_is_one_call<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut conn = source.acquire().await.unwrap();
    let rows = |changed: usize| {
        (0..10_000).map(move |number| {
            let grant = if number % 10 < changed { Grant::new(role("admin")) } else { member() };
            active(&format!("user-{number}"), group(&format!("group-{}", number % 7)), grant)
        })
    };
    let created = import(&membership, &mut conn, rows(0)).await.unwrap();
    assert_eq!(created, Imported { created: 10_000, ..Imported::default() });
    let updated = import(&membership, &mut conn, rows(1)).await.unwrap();
    assert_eq!(updated, Imported { updated: 1000, unchanged: 9000, ..Imported::default() });
    let mut count = 0;
    for number in 0..7 {
        count += membership.count(&mut conn, &group(&format!("group-{number}")), &Filter::default()).await.unwrap();
    }
    assert_eq!(count, 10_000);
}

/// The same rows on several connections: each is created once and counted once, and the rest find it done.
pub async fn imports_of_the_same_rows_at_once_create_them_once<H: Harness>(harness: &H) {
    let source = harness.source();
    for round in 0..4 {
        let barrier = Arc::new(Barrier::new(4));
        let mut imports = tokio::task::JoinSet::new();
        for number in 0..4 {
            let (membership, source, barrier) = (membership(harness), source.clone(), barrier.clone());
            imports.spawn(async move {
                let rows = (0..200).map(|row| active(&format!("user-{row}"), group(&format!("{round}")), member()));
                let rows: Vec<_> = if number % 2 == 0 { rows.collect() } else { rows.rev().collect() };
                barrier.wait().await;
                if number < 2 {
                    let mut conn = source.acquire().await.unwrap();
                    return import(&membership, &mut conn, rows).await.unwrap();
                }
                let mut tx = source.begin().await.unwrap();
                let imported = import(&membership, &mut tx, rows).await.unwrap();
                source.commit(tx).await.unwrap();
                imported
            });
        }
        let imported = imports.join_all().await;
        assert_eq!(imported.iter().map(|imported| imported.created).sum::<u64>(), 200, "{imported:?}");
        assert!(imported.iter().all(|imported| imported.created + imported.unchanged == 200), "{imported:?}");
        let (membership, mut conn) = (membership(harness), source.acquire().await.unwrap());
        assert_eq!(membership.count(&mut conn, &group(&format!("{round}")), &Filter::default()).await.unwrap(), 200);
        let history = whole_history(&membership, &mut conn, &user("user-7"), &group(&format!("{round}"))).await;
        assert_eq!(history.len(), 1);
    }
}

/// Owners leave while an import demotes others: a scope that had an owner keeps one, and whoever cannot go on may try again.
pub async fn an_import_racing_with_leaving_owners_keeps_one<H: Harness>(harness: &H) {
    let source = harness.source();
    for round in 0..12 {
        let scopes: BTreeSet<_> = (0..4).map(|number| group(&format!("group-{round}-{number}"))).collect();
        let mut tx = source.begin().await.unwrap();
        let owners = ["ada", "bob", "eve"];
        let rows = scopes.iter().flat_map(|scope| owners.map(|name| active(name, scope.clone(), owner())));
        import(&membership(harness), &mut tx, rows).await.unwrap();
        source.commit(tx).await.unwrap();

        let barrier = Arc::new(Barrier::new(4));
        let mut tasks = tokio::task::JoinSet::new();
        for name in owners {
            let (membership, source, barrier, scopes) =
                (membership(harness), source.clone(), barrier.clone(), scopes.clone());
            tasks.spawn(async move {
                barrier.wait().await;
                let mut conn = source.acquire().await.unwrap();
                for scope in &scopes {
                    let left = membership.leave(&mut conn, &user(name), scope, &by()).await;
                    assert!(
                        matches!(left, Ok(_) | Err(Error::LastOwner)) || left.as_ref().is_err_and(Error::is_retryable),
                        "{left:?}"
                    );
                }
            });
        }
        let (demoting, others, ready, all) = (membership(harness), source.clone(), barrier.clone(), scopes.clone());
        tasks.spawn(async move {
            ready.wait().await;
            let mut conn = others.acquire().await.unwrap();
            let names = if round % 2 == 0 { ["ada", "bob"] } else { ["bob", "eve"] };
            let rows = all.iter().flat_map(|scope| names.map(|name| active(name, scope.clone(), member())));
            let imported = import(&demoting, &mut conn, rows).await;
            let is_expected = matches!(imported, Ok(_) | Err(Error::LastOwner));
            assert!(is_expected || imported.as_ref().is_err_and(Error::is_retryable), "{imported:?}");
        });
        tasks.join_all().await;
        let (membership, mut conn) = (membership(harness), source.acquire().await.unwrap());
        for scope in &scopes {
            let owners = membership.count(&mut conn, scope, &Filter::default().role(role("owner"))).await.unwrap();
            assert!(owners > 0, "{scope} in round {round}");
        }
    }
}
