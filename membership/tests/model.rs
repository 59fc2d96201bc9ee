//! Random operations give identical answers on memory, SQLite and PostgreSQL.

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use stoa_membership::{
    By, Change, Filter, Grant, Member, Membership, Memory, PageRequest, Postgres, Role, Scope, Source, Sqlite, State,
    Store, UserId, memory,
};

const USERS: [&str; 4] = ["ada", "bob", "Bob", "eve "];
const SCOPES: [&str; 3] = ["group:chess", "batch:2018", "chapter:chess"];
const ROLES: [&str; 3] = ["member", "admin", "owner"];

#[derive(Clone, Debug)]
enum Operation {
    Add { user: usize, scope: usize, role: usize, ends: Option<bool> },
    Ban { user: usize, scope: usize },
    Count { scope: usize },
    Join { user: usize, scope: usize },
    Leave { user: usize, scope: usize },
    List { scope: usize, limit: u32 },
    Of { user: usize },
    Remove { user: usize, scope: usize },
    Role { user: usize, scope: usize },
    SetRole { user: usize, scope: usize, role: usize },
    Unban { user: usize, scope: usize },
}

fn operation() -> impl Strategy<Value = Operation> {
    let (user, scope, role) = (0..USERS.len(), 0..SCOPES.len(), 0..ROLES.len());
    let pair = (user.clone(), scope.clone());
    let triple = (user.clone(), scope.clone(), role);
    prop_oneof![
        3 => (triple.clone(), any::<Option<bool>>())
            .prop_map(|((user, scope, role), ends)| Operation::Add { user, scope, role, ends }),
        1 => pair.clone().prop_map(|(user, scope)| Operation::Ban { user, scope }),
        1 => scope.clone().prop_map(|scope| Operation::Count { scope }),
        2 => pair.clone().prop_map(|(user, scope)| Operation::Join { user, scope }),
        2 => pair.clone().prop_map(|(user, scope)| Operation::Leave { user, scope }),
        1 => (scope, 1..4_u32).prop_map(|(scope, limit)| Operation::List { scope, limit }),
        1 => user.prop_map(|user| Operation::Of { user }),
        1 => pair.clone().prop_map(|(user, scope)| Operation::Remove { user, scope }),
        1 => pair.clone().prop_map(|(user, scope)| Operation::Role { user, scope }),
        2 => triple.prop_map(|(user, scope, role)| Operation::SetRole { user, scope, role }),
        1 => pair.prop_map(|(user, scope)| Operation::Unban { user, scope }),
    ]
}

/// Applies the operations in one transaction and says what each answered. Clocks are left out: each backend has its own.
async fn answers<S: Store, P: Source<Connection = S::Connection>>(
    membership: &Membership<S>,
    source: &P,
    operations: &[Operation],
    now: DateTime<Utc>,
) -> Vec<String> {
    let mut tx = source.begin().await.unwrap();
    let mut answers = Vec::new();
    for operation in operations {
        answers.push(answer(membership, &mut tx, operation, now).await);
    }
    answers
}

async fn answer<S: Store>(
    membership: &Membership<S>,
    conn: &mut S::Connection,
    operation: &Operation,
    now: DateTime<Utc>,
) -> String {
    let user = |index: usize| UserId::new(USERS[index]).unwrap();
    let scope = |index: usize| SCOPES[index].parse::<Scope>().unwrap();
    let role = |index: usize| Role::new(ROLES[index]).unwrap();
    let by = By::user(&user(0));
    let change = match *operation {
        Operation::Add { user: u, scope: s, role: r, ends } => {
            let grant = match ends {
                None => Grant::new(role(r)),
                Some(false) => Grant::new(role(r)).until(now - TimeDelta::days(1)).unwrap(),
                Some(true) => Grant::new(role(r)).until(now + TimeDelta::days(1)).unwrap(),
            };
            membership.add(conn, &user(u), &scope(s), &grant, &by).await
        }
        Operation::Ban { user: u, scope: s } => membership.ban(conn, &user(u), &scope(s), &by).await,
        Operation::Join { user: u, scope: s } => membership.join(conn, &user(u), &scope(s), &by).await,
        Operation::Leave { user: u, scope: s } => membership.leave(conn, &user(u), &scope(s), &by).await,
        Operation::Remove { user: u, scope: s } => membership.remove(conn, &user(u), &scope(s), &by).await,
        Operation::SetRole { user: u, scope: s, role: r } => {
            membership.set_role(conn, &user(u), &scope(s), &role(r), &by).await
        }
        Operation::Unban { user: u, scope: s } => membership.unban(conn, &user(u), &scope(s), &by).await,
        Operation::Count { scope: s } => {
            return membership.count(conn, &scope(s), &Filter::default()).await.unwrap().to_string();
        }
        Operation::List { scope: s, limit } => {
            let page = membership
                .list_by_scope(conn, &scope(s), &Filter::default(), &PageRequest::first(limit))
                .await
                .unwrap();
            return format!("{:?} {:?}", page.items.iter().map(fields).collect::<Vec<_>>(), page.next);
        }
        Operation::Of { user: u } => {
            let set = membership.of(conn, &user(u)).await.unwrap();
            let mut tags: Vec<_> = set.tags().collect();
            tags.sort();
            return format!("{tags:?}");
        }
        Operation::Role { user: u, scope: s } => {
            let is_member = membership.is_member(conn, &user(u), &scope(s)).await.unwrap();
            let role = membership.role(conn, &user(u), &scope(s)).await.unwrap();
            return format!("{is_member} {role:?} {:?}", membership.hold(conn, &user(u), &scope(s)).await.unwrap());
        }
    };
    describe(&change)
}

fn describe(change: &Result<Change, stoa_membership::Error>) -> String {
    match change {
        Ok(change) => format!("{:?} -> {:?}", change.before().map(fields), fields(change.after())),
        Err(error) => format!("{error:?}"),
    }
}

fn fields(member: &Member) -> (String, String, String, State, Option<DateTime<Utc>>, i64, bool) {
    let (user, scope, role) = (member.user().to_string(), member.scope().to_string(), member.role().to_string());
    (user, scope, role, member.state(), member.expires_at(), member.version(), member.is_active())
}

#[test]
fn backends_agree_on_random_operations() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let sqlite = runtime.block_on(testkit::sqlite(&[&stoa_membership::sqlite::MIGRATOR]));
    let postgres = runtime.block_on(testkit::postgres(&[&stoa_membership::postgres::MIGRATOR]));
    let now = Utc::now();
    let cases = if std::env::var_os("STOA_TEST_FULL").is_some() { 1280 } else { 128 };
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    runner
        .run(&prop::collection::vec(operation(), 80), |operations| {
            // Each case runs in a transaction that is rolled back: the next one starts from nothing.
            let oracle = memory::Database::default();
            let expected = runtime.block_on(answers(&Membership::new(Memory), &oracle, &operations, now));
            let on_sqlite = runtime.block_on(answers(&Membership::new(Sqlite), sqlite.pool(), &operations, now));
            prop_assert_eq!(&on_sqlite, &expected);
            let on_postgres = runtime.block_on(answers(&Membership::new(Postgres), postgres.pool(), &operations, now));
            prop_assert_eq!(&on_postgres, &expected);
            Ok(())
        })
        .unwrap();
}
