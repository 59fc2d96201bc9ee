//! What the tests of several backends have in common and no law can say: what every read answers on a broken database.

use stoa_membership::{
    By, Cursor, Error, Filter, Grant, Import, ImportRow, Membership, PageRequest, Result, Role, Scope, Store, UserId,
};

pub(crate) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub(crate) fn chess() -> Scope {
    Scope::group("chess").unwrap()
}

pub(crate) fn owner() -> Grant {
    Grant::new(Role::new("owner").unwrap())
}

pub(crate) fn by() -> By {
    By::user(&user("root"))
}

fn nothing<T>(result: Result<T>) -> Result<()> {
    result.map(drop)
}

/// What each read answers for a user named `ada` of a group named `chess`, by its name.
pub(crate) async fn reads<S: Store>(
    membership: &Membership<S>,
    conn: &mut S::Connection,
) -> Vec<(&'static str, Result<()>)> {
    let (ada, chess, page) = (user("ada"), chess(), PageRequest::first(10));
    let any = Filter::default();
    vec![
        ("is_member", nothing(membership.is_member(conn, &ada, &chess).await)),
        ("role", nothing(membership.role(conn, &ada, &chess).await)),
        ("hold", nothing(membership.hold(conn, &ada, &chess).await)),
        ("get", nothing(membership.get(conn, &ada, &chess).await)),
        ("check_many", nothing(membership.check_many(conn, &[(ada.clone(), chess.clone())]).await)),
        ("of", nothing(membership.of(conn, &ada).await)),
        ("list_by_user", nothing(membership.list_by_user(conn, &ada, &any, &page).await)),
        ("list_by_scope", nothing(membership.list_by_scope(conn, &chess, &any, &page).await)),
        ("count", nothing(membership.count(conn, &chess, &any).await)),
        ("history", nothing(membership.history(conn, &ada, &chess, &page).await)),
        ("changes", nothing(membership.changes(conn, &Cursor::start(), 10).await)),
    ]
}

/// What each verb answers for the same.
pub(crate) async fn verbs<S: Store>(
    membership: &Membership<S>,
    conn: &mut S::Connection,
) -> Vec<(&'static str, Result<()>)> {
    let (ada, chess, by) = (user("ada"), chess(), by());
    let import = Import::new([ImportRow::active(ada.clone(), chess.clone(), owner())]).unwrap();
    vec![
        ("add", nothing(membership.add(conn, &ada, &chess, &owner(), &by).await)),
        ("join", nothing(membership.join(conn, &ada, &chess, &by).await)),
        ("leave", nothing(membership.leave(conn, &ada, &chess, &by).await)),
        ("remove", nothing(membership.remove(conn, &ada, &chess, &by).await)),
        ("ban", nothing(membership.ban(conn, &ada, &chess, &by).await)),
        ("unban", nothing(membership.unban(conn, &ada, &chess, &by).await)),
        ("set_role", nothing(membership.set_role(conn, &ada, &chess, &Role::new("owner").unwrap(), &by).await)),
        ("import", nothing(membership.import(conn, &import, &by).await)),
        ("purge_user", nothing(membership.purge_user(conn, &ada).await)),
    ]
}

/// Every call that needs the database fails with the database; what is refused for its own sake is refused all the same, for
/// that asks no database.
pub(crate) async fn assert_all_fail<S: Store>(
    membership: &Membership<S>,
    conn: &mut S::Connection,
    token: &stoa_membership::PageToken,
) {
    let mut outcomes = reads(membership, conn).await;
    outcomes.extend(verbs(membership, conn).await);
    for (call, outcome) in outcomes {
        assert!(matches!(outcome, Err(Error::Backend(_))), "{call}: {outcome:?}");
    }
    let (ada, chess) = (user("ada"), chess());
    let foreign = PageRequest::first(10).after(token.clone());
    let go = Scope::group("go").unwrap();
    assert!(matches!(membership.list_by_scope(conn, &go, &Filter::default(), &foreign).await, Err(Error::PageToken)));
    assert!(matches!(membership.list_by_user(conn, &ada, &Filter::default(), &foreign).await, Err(Error::PageToken)));
    assert!(matches!(membership.history(conn, &ada, &chess, &foreign).await, Err(Error::PageToken)));
    assert!(matches!(membership.changes(conn, &Cursor::new("x".into()), 1).await, Err(Error::Cursor)));
    let many = vec![(ada.clone(), chess); 10_001];
    assert!(matches!(membership.check_many(conn, &many).await, Err(Error::Invalid { .. })));
    let undeclared: Scope = "cohort:1".parse().unwrap();
    assert!(matches!(membership.join(conn, &ada, &undeclared, &by()).await, Err(Error::UnknownScopeType)));
    let import = Import::new([ImportRow::active(ada.clone(), undeclared, owner())]).unwrap();
    assert!(matches!(membership.import(conn, &import, &by()).await, Err(Error::UnknownScopeType)));
    let conditional = by().if_version(1);
    assert!(matches!(membership.import(conn, &import, &conditional).await, Err(Error::Invalid { .. })));
}

/// Those of the reads that meet a corrupt `what`; all others answer as if the row were nobody's.
pub(crate) async fn assert_corrupt<S: Store>(
    membership: &Membership<S>,
    conn: &mut S::Connection,
    what: &str,
    met_by: &[&str],
) {
    for (read, outcome) in reads(membership, conn).await {
        if met_by.contains(&read) {
            let is_named = matches!(&outcome, Err(Error::Corrupt { what: found }) if *found == what);
            assert!(is_named, "{read} of a corrupt {what}: {outcome:?}");
        } else {
            assert!(outcome.is_ok(), "{read} of a corrupt {what}: {outcome:?}");
        }
    }
}

/// Leaves a listing of two, so that there is a token to go on with.
pub(crate) async fn token<S: Store>(
    membership: &Membership<S>,
    conn: &mut S::Connection,
) -> stoa_membership::PageToken {
    for name in ["ada", "bob"] {
        membership.add(conn, &user(name), &chess(), &owner(), &by()).await.unwrap();
    }
    let page = membership.list_by_scope(conn, &chess(), &Filter::default(), &PageRequest::first(1)).await.unwrap();
    page.next.unwrap()
}

/// The rows that [`assert_no_half_stays`] expects, before somebody makes the database refuse changes of `m`'s row, transitions
/// of `n` and events of a purge.
pub(crate) async fn fill<S: Store>(membership: &Membership<S>, conn: &mut S::Connection) {
    for name in ["ada", "m", "n"] {
        membership.join(conn, &user(name), &chess(), &by()).await.unwrap();
    }
}

/// On a bare connection, whatever fails on its way leaves neither row nor transition, and the connection is usable.
pub(crate) async fn assert_no_half_stays<S: Store>(membership: &Membership<S>, conn: &mut S::Connection) {
    let (m, n) = (user("m"), user("n"));
    let verbs = [
        membership.set_role(conn, &m, &chess(), &Role::new("owner").unwrap(), &by()).await.map(drop),
        membership.ban(conn, &m, &chess(), &by()).await.map(drop),
        membership.leave(conn, &n, &chess(), &by()).await.map(drop),
        membership.purge_user(conn, &user("ada")).await.map(drop),
    ];
    for outcome in verbs {
        assert!(matches!(outcome, Err(Error::Backend(_))), "{outcome:?}");
    }
    for failing in ["m", "n"] {
        let names = ["a", failing, "z"];
        let rows = names.map(|name| ImportRow::active(user(name), chess(), owner()));
        let outcome = membership.import(conn, &Import::new(rows).unwrap(), &by()).await;
        assert!(matches!(outcome, Err(Error::Backend(_))), "{outcome:?}");
    }
    for (name, version) in [("a", 0), ("ada", 1), ("m", 1), ("n", 1), ("z", 0)] {
        let row = membership.get(conn, &user(name), &chess()).await.unwrap();
        assert_eq!(row.map_or(0, |row| row.version()), version, "{name}");
    }
    assert_eq!(membership.changes(conn, &Cursor::start(), 10).await.unwrap().events.len(), 3);
    membership.join(conn, &user("after"), &chess(), &by()).await.unwrap();
    assert_eq!(membership.changes(conn, &Cursor::start(), 10).await.unwrap().events.len(), 4);
}

/// Who is in the group named `chess`, and how many changes there ever were.
pub(crate) async fn names<S: Store>(membership: &Membership<S>, conn: &mut S::Connection) -> (Vec<String>, usize) {
    let page = membership.list_by_scope(conn, &chess(), &Filter::default(), &PageRequest::first(10)).await.unwrap();
    let names = page.items.iter().map(|member| member.user().to_string()).collect();
    (names, membership.changes(conn, &Cursor::start(), 100).await.unwrap().events.len())
}

/// As many rows as one import takes, in scopes of a thousand.
pub(crate) fn most_rows() -> Import {
    let row = |number: usize| {
        let scope = Scope::group(format!("group-{}", number % 100)).unwrap();
        ImportRow::active(user(&format!("user-{number:06}")), scope, owner())
    };
    Import::new((0..100_000).map(row)).unwrap()
}
