//! Laws of the reads: one row, many rows, pages and counts.

use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use tokio::sync::Barrier;

use super::{Harness, by, chess, group, member, membership, over, owner, role, user, walk};
use crate::{
    BATCH, By, CHAPTER, Error, Filter, GROUP, Grant, Import, ImportRow, Member, Membership, PageRequest, Reason, Role,
    Scope, ScopeId, ScopeType, Source, State, Store, UserId,
};

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

/// Quotes, escapes, patterns, the longest text: an id comes back as it went in, from every verb and read.
pub async fn ids_of_any_text_are_storable<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let longest = "\u{10ffff}".repeat(32);
    let texts = [
        "'",
        "\"",
        "\\",
        "\\\"",
        "a,b",
        "{a}",
        "{}",
        "[\"a\"]",
        "$.a",
        "null",
        "NULL",
        "true",
        "1",
        "01",
        "1.0",
        "1e3",
        "-1",
        "a:b",
        ":",
        "a'b",
        "''",
        "\\u0041",
        "%",
        "_",
        "$1",
        "?1",
        "--",
        ";",
        " ",
        "  ",
        "\u{feff}",
        "\u{200b}",
        "\u{202e}abc",
        "\u{fffd}",
        "\u{d7ff}\u{e000}",
        "\u{1f469}\u{200d}\u{1f680}",
        "\u{130}",
        "\u{df}",
        "ss",
        &longest,
    ];
    let mut pairs = Vec::new();
    for text in texts {
        let (user, scope, role) =
            (user(text), group(text), Role::new(text.chars().take(16).collect::<String>()).unwrap());
        let by = By::user(&user).because(Reason::new(text).unwrap());
        let added = membership.add(&mut tx, &user, &scope, &Grant::new(role.clone()), &by).await.unwrap();
        assert!(added.is_created(), "{text:?}");
        let found = membership.get(&mut tx, &user, &scope).await.unwrap().unwrap();
        assert_eq!((found.user(), found.scope(), found.role()), (&user, &scope, &role));
        let history = super::whole_history(&membership, &mut tx, &user, &scope).await;
        assert_eq!((history[0].actor.as_ref(), history[0].reason.as_ref().unwrap().as_str()), (Some(&user), text));
        assert_eq!(
            walk(&membership, &mut tx, &scope, &Filter::default().role(role.clone()), 1).await.len(),
            1,
            "{text:?}"
        );
        let own = membership.of(&mut tx, &user).await.unwrap();
        assert_eq!((own.len(), own.role(&scope)), (1, Some(&role)), "{text:?}");
        // The same by an import changes nothing.
        let same = Import::new([ImportRow::active(user.clone(), scope.clone(), Grant::new(role.clone()))]).unwrap();
        assert_eq!(membership.import(&mut tx, &same, &by).await.unwrap().unchanged, 1, "{text:?}");
        pairs.push(((user, scope), Some(role)));
    }
    let (questions, answers): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    assert_eq!(membership.check_many(&mut tx, &questions).await.unwrap(), answers);
    let moved: Vec<_> =
        questions.iter().map(|(user, scope)| ImportRow::left(user.clone(), scope.clone(), role("x"))).collect();
    let moved = membership.import(&mut tx, &Import::new(moved).unwrap(), &by()).await.unwrap();
    assert_eq!((moved.updated, moved.created), (questions.len() as u64, 0));
    assert!(membership.check_many(&mut tx, &questions).await.unwrap().iter().all(Option::is_none));
    for (user, _) in &questions {
        assert_eq!(membership.purge_user(&mut tx, user).await.unwrap().memberships, 1, "{user:?}");
    }
}

/// `get` shows the row whatever its state, and what it would be taken for.
pub async fn a_single_read_shows_any_state<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    assert_eq!(membership.get(&mut tx, &user("nobody"), &chess()).await.unwrap(), None);
    membership.add(&mut tx, &user("active"), &chess(), &owner(), &by()).await.unwrap();
    membership.ban(&mut tx, &user("banned"), &chess(), &by()).await.unwrap();
    membership.add(&mut tx, &user("expired"), &chess(), &over(owner()), &by()).await.unwrap();
    membership.join(&mut tx, &user("left"), &chess(), &by()).await.unwrap();
    membership.leave(&mut tx, &user("left"), &chess(), &by()).await.unwrap();
    for state in [State::Active, State::Banned, State::Expired, State::Left] {
        let found = membership.get(&mut tx, &user(state.as_str()), &chess()).await.unwrap().unwrap();
        assert_eq!((found.user().as_str(), found.scope(), found.state()), (state.as_str(), &chess(), state));
        assert_eq!(found.is_active(), state == State::Active);
        assert_eq!(found.expires_at().is_some(), state == State::Expired);
        let role = (state == State::Active).then(|| role("owner"));
        assert_eq!(membership.role(&mut tx, found.user(), &chess()).await.unwrap(), role);
        assert_eq!(membership.hold(&mut tx, found.user(), &chess()).await.unwrap(), role);
        assert_eq!(membership.is_member(&mut tx, found.user(), &chess()).await.unwrap(), role.is_some());
    }
}

const SCOPES: [&str; 6] = ["batch:chess", "chapter:chess", "group:Chess", "group:chess", "group:chess ", "group:go"];
const USERS: [&str; 5] = ["Ada", "ada", "ada ", "bob", "\u{e9}ve"];
const ROLES: [&str; 5] = ["a", "aa", "b", "member", "owner"];
const STATES: [State; 4] = [State::Active, State::Banned, State::Expired, State::Left];

/// Fills every scope with users in all states and roles; some pairs stay without a row.
async fn crowd<S: Store>(membership: &Membership<S>, conn: &mut S::Connection) {
    let mut rows = Vec::new();
    for (number, (scope, user_id)) in SCOPES.iter().flat_map(|scope| USERS.map(|user| (scope, user))).enumerate() {
        // Steps that share no factor with the lengths, so that all combinations come up.
        let (scope, id, role) = (scope.parse().unwrap(), user(user_id), role(ROLES[number * 3 % 5]));
        rows.push(match STATES[number * 7 % 4] {
            _ if number % 11 == 10 => continue,
            State::Active if number % 3 == 0 => {
                let grant = Grant::new(role).until(Utc::now() + TimeDelta::hours(1)).unwrap();
                ImportRow::active(id, scope, grant)
            }
            State::Active => ImportRow::active(id, scope, Grant::new(role)),
            State::Expired => ImportRow::active(id, scope, over(Grant::new(role))),
            State::Banned => ImportRow::banned(id, scope, role),
            State::Left => ImportRow::left(id, scope, role),
        });
    }
    membership.import(conn, &Import::new(rows).unwrap(), &by()).await.unwrap();
}

/// In one statement, and in the order of the pairs, what one check after the other would answer.
pub async fn many_checks_answer_as_one_does<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    crowd(&membership, &mut tx).await;
    assert_eq!(membership.check_many(&mut tx, &[]).await.unwrap(), []);
    let mut pairs: Vec<(UserId, Scope)> = Vec::new();
    for name in USERS.into_iter().chain(["nobody", "bob"]).rev() {
        for scope in SCOPES.into_iter().chain(["cohort:1", "group:chess"]) {
            pairs.push((user(name), scope.parse().unwrap()));
        }
    }
    let mut expected = Vec::new();
    for (user, scope) in &pairs {
        expected.push(membership.role(&mut tx, user, scope).await.unwrap());
    }
    assert!(expected.iter().any(Option::is_some) && expected.iter().any(Option::is_none));
    assert_eq!(membership.check_many(&mut tx, &pairs).await.unwrap(), expected);
    let many = vec![pairs[0].clone(); 10_000];
    assert_eq!(membership.check_many(&mut tx, &many).await.unwrap(), vec![expected[0].clone(); 10_000]);
}

/// Ten thousand pairs are the most; the transaction is usable after it.
pub async fn too_many_checks_are_refused<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let many = vec![(user("ada"), chess()); 10_001];
    let refused = membership.check_many(&mut tx, &many).await;
    assert!(matches!(refused, Err(Error::Invalid { what: "check", .. })), "{refused:?}");
    assert_eq!(membership.check_many(&mut tx, &many[1..]).await.unwrap(), vec![None; 10_000]);
}

async fn walk_user<S: Store>(
    membership: &Membership<S>,
    conn: &mut S::Connection,
    user: &UserId,
    filter: &Filter,
    limit: u32,
) -> Vec<Member> {
    let (mut walked, mut request) = (Vec::new(), PageRequest::first(limit));
    loop {
        let page = membership.list_by_user(conn, user, filter, &request).await.unwrap();
        assert!(page.items.len() <= limit as usize);
        walked.extend(page.items);
        match page.next {
            Some(token) => request = PageRequest::first(limit).after(token.to_string().parse().unwrap()),
            None => return walked,
        }
    }
}

/// Every listing with every filter, in pages of one and of many: what a look at each row would find, in the order of bytes.
pub async fn listings_match_a_filter_applied_by_hand<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    crowd(&membership, &mut tx).await;
    let mut all = Vec::new();
    for (scope, name) in SCOPES.iter().flat_map(|scope| USERS.map(|user| (scope, user))) {
        all.extend(membership.get(&mut tx, &user(name), &scope.parse().unwrap()).await.unwrap());
    }
    let roles: Vec<_> =
        [None].into_iter().chain(ROLES.into_iter().chain(["nothing"]).map(|name| Some(role(name)))).collect();
    let other = ScopeType::new("cohort").unwrap();
    let mut found = 0;
    for state in STATES {
        for role in &roles {
            for scope_type in [None, Some(BATCH), Some(CHAPTER), Some(GROUP), Some(other.clone())] {
                let mut filter = Filter::default().state(state);
                (filter.role, filter.scope_type) = (role.clone(), scope_type.clone());
                let matches = |member: &&Member| {
                    member.state() == state
                        && role.as_ref().is_none_or(|role| role == member.role())
                        && scope_type.as_ref().is_none_or(|scope_type| scope_type == member.scope().kind())
                };
                for scope in SCOPES.map(|scope| scope.parse::<Scope>().unwrap()) {
                    let mut expected: Vec<_> =
                        all.iter().filter(matches).filter(|member| *member.scope() == scope).map(key).collect();
                    expected.sort_by_key(|(user, _, role, ..)| (role.as_bytes().to_vec(), user.as_bytes().to_vec()));
                    for limit in [1, 1000] {
                        let walked = walk(&membership, &mut tx, &scope, &filter, limit).await;
                        assert_eq!(walked.iter().map(key).collect::<Vec<_>>(), expected, "{scope} {filter:?}");
                    }
                    let count = membership.count(&mut tx, &scope, &filter).await.unwrap();
                    assert_eq!(count, expected.len() as u64, "{scope} {filter:?}");
                    found += expected.len();
                }
                for id in USERS.map(user) {
                    let mut expected: Vec<_> =
                        all.iter().filter(matches).filter(|member| *member.user() == id).collect();
                    expected.sort_by_key(|member| {
                        let scope = member.scope();
                        (scope.kind().as_str().as_bytes().to_vec(), scope.id().as_str().as_bytes().to_vec())
                    });
                    let expected: Vec<_> = expected.into_iter().map(key).collect();
                    for limit in [1, 1000] {
                        let walked = walk_user(&membership, &mut tx, &id, &filter, limit).await;
                        assert_eq!(walked.iter().map(key).collect::<Vec<_>>(), expected, "{id} {filter:?}");
                    }
                }
            }
        }
    }
    assert_eq!(found, 4 * all.len(), "each row matches with and without its role and its scope type");
}

/// All of a row but the moment it was read.
fn key(member: &Member) -> (String, String, String, State, i64) {
    let (user, scope, role) = (member.user().to_string(), member.scope().to_string(), member.role().to_string());
    (user, scope, role, member.state(), member.version())
}

/// The first and the last texts that a role can be, and those that begin alike.
pub async fn a_role_filter_matches_that_role_alone<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let last = "\u{10ffff}".repeat(16);
    let almost = format!("{}\u{10fffe}", "\u{10ffff}".repeat(15));
    let roles = [" ", "!", "A", "a", "a ", "aA", "aa", "ab", "b", "\u{e9}", "e\u{301}", "\u{10ffff}", &almost, &last];
    for name in roles {
        for number in ["1", "2"] {
            membership.add(&mut tx, &user(number), &group(name), &Grant::new(role(name)), &by()).await.unwrap();
            let id = user(&format!("{name}{number}"));
            membership.add(&mut tx, &id, &chess(), &Grant::new(role(name)), &by()).await.unwrap();
        }
    }
    for name in roles {
        let filter = Filter::default().role(role(name));
        let found = walk(&membership, &mut tx, &chess(), &filter, 1).await;
        let found: Vec<_> = found.iter().map(|member| (member.role().as_str(), member.user().to_string())).collect();
        assert_eq!(found, [(name, format!("{name}1")), (name, format!("{name}2"))], "{name:?}");
        assert_eq!(membership.count(&mut tx, &chess(), &filter).await.unwrap(), 2, "{name:?}");
        let scopes = walk_user(&membership, &mut tx, &user("1"), &filter, 1).await;
        assert_eq!(scopes.iter().map(|member| member.scope().id().as_str()).collect::<Vec<_>>(), [name]);
    }
    let mut sorted: Vec<_> = roles.into_iter().flat_map(|name| [name, name]).collect();
    sorted.sort_unstable();
    for limit in [1, 3, 1000] {
        let whole = walk(&membership, &mut tx, &chess(), &Filter::default(), limit).await;
        assert_eq!(whole.iter().map(|member| member.role().as_str()).collect::<Vec<_>>(), sorted);
    }
    assert_eq!(membership.count(&mut tx, &chess(), &Filter::default()).await.unwrap(), sorted.len() as u64);
}

/// Ten thousand members; others join, leave, are banned and change roles on other connections between and during the pages.
/// Whoever is untouched is returned once.
pub async fn pages_of_a_large_scope_miss_nobody_while_others_come_and_go<H: Harness>(harness: &H) {
    const MEMBERS: usize = 10_000;
    let source = harness.source();
    let mut tx = source.begin().await.unwrap();
    let number = |number: usize| user(&format!("{number:05}"));
    let rows = (0..MEMBERS).map(|index| ImportRow::active(number(index), chess(), member()));
    membership(harness).import(&mut tx, &Import::new(rows).unwrap(), &by()).await.unwrap();
    source.commit(tx).await.unwrap();

    // Every hundredth comes and goes, and so do others between them.
    let start = Arc::new(Barrier::new(3));
    let mut passers = tokio::task::JoinSet::new();
    for passer in 0..2 {
        let (membership, source, start) = (membership(harness), source.clone(), start.clone());
        passers.spawn(async move {
            start.wait().await;
            let mut conn = source.acquire().await.unwrap();
            for step in 0..50 {
                // From the end to the beginning, against the walk.
                let index = (49 - step) * 200 + passer * 100;
                let (touched, visitor) = (user(&format!("{index:05}")), user(&format!("{index:05}-visitor")));
                membership.join(&mut conn, &visitor, &chess(), &by()).await.unwrap();
                match step % 3 {
                    0 => membership.leave(&mut conn, &touched, &chess(), &by()).await.map(drop),
                    1 => membership.ban(&mut conn, &touched, &chess(), &by()).await.map(drop),
                    _ => membership.set_role(&mut conn, &touched, &chess(), &role("a"), &by()).await.map(drop),
                }
                .unwrap();
                if step % 2 == 0 {
                    membership.leave(&mut conn, &visitor, &chess(), &by()).await.unwrap();
                }
            }
        });
    }
    start.wait().await;
    let membership = membership(harness);
    let mut conn = source.acquire().await.unwrap();
    let walked = walk(&membership, &mut conn, &chess(), &Filter::default(), 250).await;
    passers.join_all().await;
    let is_touched = |name: &str| name.len() > 5 || name.ends_with("00");
    let walked = walked.iter().map(|member| member.user().as_str()).filter(|name| !is_touched(name));
    let untouched: Vec<_> = (0..MEMBERS).map(|index| format!("{index:05}")).filter(|name| !is_touched(name)).collect();
    assert!(walked.eq(untouched.iter().map(String::as_str)));
    // The rest left, was banned or has another role by now.
    let count = membership.count(&mut conn, &chess(), &Filter::default().role(role("member"))).await.unwrap();
    assert_eq!(count, untouched.len() as u64 + 50);
}

/// A token leads on in its own listing only: same question, same subject, same filter.
pub async fn a_token_of_another_listing_is_refused<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    for (name, scope) in [("ada", "chess"), ("bob", "chess"), ("ada", "go"), ("bob", "go")] {
        membership.join(&mut tx, &user(name), &group(scope), &by()).await.unwrap();
        membership.set_role(&mut tx, &user(name), &group(scope), &role("admin"), &by()).await.unwrap();
    }
    let (plain, first) = (Filter::default(), PageRequest::first(1));
    let filters = [
        plain.clone(),
        plain.clone().role(role("admin")),
        plain.clone().scope_type(GROUP),
        plain.clone().role(role("group")),
        plain.clone().state(State::Expired),
        plain.clone().role(role("admin")).scope_type(GROUP),
    ];
    let by_scope = membership.list_by_scope(&mut tx, &chess(), &plain, &first).await.unwrap().next.unwrap();
    let by_user = membership.list_by_user(&mut tx, &user("ada"), &plain, &first).await.unwrap().next.unwrap();
    let history = membership.history(&mut tx, &user("ada"), &chess(), &first).await.unwrap().next.unwrap();
    for (own, token) in [by_scope, by_user, history].into_iter().enumerate() {
        let request = PageRequest::first(1).after(token.to_string().parse().unwrap());
        let tx = &mut tx;
        for (number, filter) in filters.iter().enumerate() {
            for (listing, name) in [(0, "chess"), (0, "go"), (1, "ada"), (1, "bob")] {
                let page = match listing {
                    0 => membership.list_by_scope(tx, &group(name), filter, &request).await,
                    _ => membership.list_by_user(tx, &user(name), filter, &request).await,
                };
                if own == listing && number == 0 && matches!(name, "chess" | "ada") {
                    assert_eq!(page.unwrap().items.len(), 1);
                } else {
                    assert!(
                        matches!(page, Err(Error::PageToken)),
                        "{own} in {listing} of {name}, {filter:?}: {page:?}"
                    );
                }
            }
        }
        for (name, scope) in [("ada", "chess"), ("ada", "go"), ("bob", "chess")] {
            let page = membership.history(tx, &user(name), &group(scope), &request).await;
            if own == 2 && (name, scope) == ("ada", "chess") {
                assert_eq!(page.unwrap().items.len(), 1);
            } else {
                assert!(matches!(page, Err(Error::PageToken)), "{own} in the history of {name} in {scope}: {page:?}");
            }
        }
    }
    membership.leave(&mut tx, &user("ada"), &chess(), &by()).await.unwrap();
}
