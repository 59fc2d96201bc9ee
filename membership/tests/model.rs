//! Random operations give identical answers on memory, SQLite and PostgreSQL.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use stoa_membership::{
    By, Change, Cursor, Event, Filter, Grant, Import, ImportRow, Member, Membership, Memory, Page, PageRequest,
    PageToken, Postgres, Reason, Result, Role, Scope, ScopeType, Source, Sqlite, State, Store, Transition, UserId,
    memory,
};

const USERS: [&str; 4] = ["ada", "bob", "Bob", "eve "];
/// The last one's type is declared nowhere.
const SCOPES: [&str; 4] = ["group:chess", "batch:2018", "chapter:chess", "cohort:1"];
const ROLES: [&str; 3] = ["member", "admin", "owner"];
const STATES: [State; 4] = [State::Active, State::Banned, State::Expired, State::Left];

/// An index into each of the lists above.
type Pair = (usize, usize);

#[derive(Clone, Debug)]
struct Author {
    actor: usize,
    has_reason: bool,
    version: Option<i64>,
}

#[derive(Clone, Debug)]
struct Matching {
    state: usize,
    role: Option<usize>,
    scope_type: Option<usize>,
}

/// A page of a listing: the first one, or after the token that came last, of whatever listing.
#[derive(Clone, Debug)]
struct Paging {
    limit: u32,
    goes_on: bool,
}

#[derive(Clone, Debug)]
enum Operation {
    Add(Pair, usize, Option<bool>, Author),
    Ban(Pair, Author),
    Join(Pair, Author),
    Leave(Pair, Author),
    Remove(Pair, Author),
    SetRole(Pair, usize, Author),
    Unban(Pair, Author),
    Import(Vec<(Pair, usize, usize)>, bool, Author),
    Purge(usize),
    CheckMany(Vec<Pair>),
    Count(usize, Matching),
    History(Pair, Paging),
    ListByScope(usize, Matching, Paging),
    ListByUser(usize, Matching, Paging),
    Of(usize),
    Single(Pair),
}

fn operation() -> impl Strategy<Value = Operation> {
    let (user, scope, role) = (0..USERS.len(), 0..SCOPES.len(), 0..ROLES.len());
    let pair = (user.clone(), scope.clone());
    let version = prop_oneof![6 => Just(None), 1 => (0..5_i64).prop_map(Some)];
    let author = (user.clone(), any::<bool>(), version).prop_map(|(actor, has_reason, version)| Author {
        actor,
        has_reason,
        version,
    });
    let matching = (0..STATES.len(), prop::option::of(role.clone()), prop::option::weighted(0.3, scope.clone()))
        .prop_map(|(state, role, scope_type)| Matching { state, role, scope_type });
    let paging = (1..4_u32, any::<bool>()).prop_map(|(limit, goes_on)| Paging { limit, goes_on });
    let rows = prop::collection::vec((pair.clone(), role.clone(), 0..STATES.len()), 0..6);
    let pairs = prop::collection::vec(pair.clone(), 0..6);
    let verb = (pair.clone(), author.clone());
    prop_oneof![
        4 => (pair.clone(), role.clone(), any::<Option<bool>>(), author.clone())
            .prop_map(|(pair, role, ends, author)| Operation::Add(pair, role, ends, author)),
        2 => verb.clone().prop_map(|(pair, author)| Operation::Ban(pair, author)),
        3 => verb.clone().prop_map(|(pair, author)| Operation::Join(pair, author)),
        2 => verb.clone().prop_map(|(pair, author)| Operation::Leave(pair, author)),
        1 => verb.clone().prop_map(|(pair, author)| Operation::Remove(pair, author)),
        2 => (pair.clone(), role, author.clone()).prop_map(|(pair, role, author)| Operation::SetRole(pair, role, author)),
        2 => verb.prop_map(|(pair, author)| Operation::Unban(pair, author)),
        2 => (rows, any::<bool>(), author).prop_map(|(rows, lifts, author)| Operation::Import(rows, lifts, author)),
        1 => user.clone().prop_map(Operation::Purge),
        1 => pairs.prop_map(Operation::CheckMany),
        1 => (scope.clone(), matching.clone()).prop_map(|(scope, matching)| Operation::Count(scope, matching)),
        2 => (pair.clone(), paging.clone()).prop_map(|(pair, paging)| Operation::History(pair, paging)),
        2 => (scope, matching.clone(), paging.clone())
            .prop_map(|(scope, matching, paging)| Operation::ListByScope(scope, matching, paging)),
        2 => (user.clone(), matching, paging)
            .prop_map(|(user, matching, paging)| Operation::ListByUser(user, matching, paging)),
        1 => user.prop_map(Operation::Of),
        1 => pair.prop_map(Operation::Single),
    ]
}

/// Operations in one transaction, whether it is committed, and in pages of what size the feed is read afterwards.
type Block = (Vec<Operation>, bool, u32);

fn block() -> impl Strategy<Value = Block> {
    (prop::collection::vec(operation(), 10), prop::bool::weighted(0.7), 1..5_u32)
}

/// One backend within one case: names that no other case uses, and what is carried from one operation to the next.
struct Run<'a, S> {
    membership: &'a Membership<S>,
    case: usize,
    now: DateTime<Utc>,
    token: Option<PageToken>,
}

/// Runs the blocks and says what each operation answered, and what the feed brought after each block. Clocks are left out: each
/// backend has its own.
async fn answers<S: Store, P: Source<Connection = S::Connection>>(
    membership: &Membership<S>,
    source: &P,
    case: usize,
    blocks: &[Block],
    now: DateTime<Utc>,
) -> Vec<String> {
    let mut run = Run { membership, case, now, token: None };
    let mut answers = Vec::new();
    let mut conn = source.acquire().await.unwrap();
    let mut cursor = membership.latest(&mut conn).await.unwrap();
    for (operations, is_committed, limit) in blocks {
        let mut tx = source.begin().await.unwrap();
        for operation in operations {
            answers.push(run.answer(&mut tx, operation).await);
        }
        if *is_committed {
            source.commit(tx).await.unwrap();
        } else {
            drop(tx);
        }
        answers.push(news(membership, &mut conn, &mut cursor, *limit).await);
    }
    answers
}

/// What is new in the feed, in an order of its own: within a transaction, that of different memberships is the backend's.
async fn news<S: Store>(
    membership: &Membership<S>,
    conn: &mut S::Connection,
    cursor: &mut Cursor,
    limit: u32,
) -> String {
    let mut versions = HashMap::new();
    let mut found = Vec::new();
    loop {
        let changes = membership.changes(conn, cursor, limit).await.unwrap();
        *cursor = changes.next.to_string().parse().unwrap();
        if changes.events.is_empty() {
            break;
        }
        for event in changes.events {
            match event {
                Event::Changed(change) => {
                    let before = versions.insert((change.user.clone(), change.scope.clone()), change.version);
                    assert!(before.is_none_or(|before| before + 1 == change.version), "{change:?}");
                    found.push(told(&change));
                }
                Event::Purged { scope, .. } => found.push(format!("purged in {scope}")),
                other => panic!("an unknown event: {other:?}"),
            }
        }
    }
    found.sort();
    found.join("\n")
}

impl<S: Store> Run<'_, S> {
    fn user(&self, index: usize) -> UserId {
        UserId::new(format!("{}-{}", USERS[index], self.case)).unwrap()
    }

    fn scope(&self, index: usize) -> Scope {
        format!("{}-{}", SCOPES[index], self.case).parse().unwrap()
    }

    fn pair(&self, (user, scope): Pair) -> (UserId, Scope) {
        (self.user(user), self.scope(scope))
    }

    fn by(&self, author: &Author) -> By {
        let mut by = By::user(&self.user(author.actor));
        if author.has_reason {
            by = by.because(Reason::new("a reason").unwrap());
        }
        author.version.map_or(by.clone(), |version| by.if_version(version))
    }

    fn page(&self, paging: &Paging) -> PageRequest {
        match self.token.clone().filter(|_| paging.goes_on) {
            Some(token) => PageRequest::first(paging.limit).after(token.to_string().parse().unwrap()),
            None => PageRequest::first(paging.limit),
        }
    }

    fn turn<T>(&mut self, page: Result<Page<T>>, tell: fn(&T) -> String) -> String {
        match page {
            Ok(page) => {
                let items: Vec<_> = page.items.iter().map(tell).collect();
                self.token = page.next;
                format!("{items:?} {:?}", self.token)
            }
            Err(error) => format!("{error:?}"),
        }
    }

    fn row(&self, (pair, role_index, state): (Pair, usize, usize)) -> ImportRow {
        let ((user, scope), role) = (self.pair(pair), role(role_index));
        match STATES[state] {
            State::Active => ImportRow::active(user, scope, Grant::new(role)),
            State::Banned => ImportRow::banned(user, scope, role),
            State::Expired => {
                ImportRow::active(user, scope, Grant::new(role).until(self.now - TimeDelta::days(1)).unwrap())
            }
            State::Left => ImportRow::left(user, scope, role),
        }
    }

    async fn answer(&mut self, conn: &mut S::Connection, operation: &Operation) -> String {
        let membership = self.membership;
        match operation {
            Operation::Add(pair, index, ends, author) => {
                let (user, scope) = self.pair(*pair);
                let ends = ends.map(|is_to_come| self.now + TimeDelta::days(if is_to_come { 1 } else { -1 }));
                let grant = Grant::new(role(*index));
                let grant = ends.map_or(grant.clone(), |ends| grant.until(ends).unwrap());
                describe(&membership.add(conn, &user, &scope, &grant, &self.by(author)).await)
            }
            Operation::Ban(pair, author) => {
                let (user, scope) = self.pair(*pair);
                describe(&membership.ban(conn, &user, &scope, &self.by(author)).await)
            }
            Operation::Join(pair, author) => {
                let (user, scope) = self.pair(*pair);
                describe(&membership.join(conn, &user, &scope, &self.by(author)).await)
            }
            Operation::Leave(pair, author) => {
                let (user, scope) = self.pair(*pair);
                describe(&membership.leave(conn, &user, &scope, &self.by(author)).await)
            }
            Operation::Remove(pair, author) => {
                let (user, scope) = self.pair(*pair);
                describe(&membership.remove(conn, &user, &scope, &self.by(author)).await)
            }
            Operation::SetRole(pair, index, author) => {
                let (user, scope) = self.pair(*pair);
                describe(&membership.set_role(conn, &user, &scope, &role(*index), &self.by(author)).await)
            }
            Operation::Unban(pair, author) => {
                let (user, scope) = self.pair(*pair);
                describe(&membership.unban(conn, &user, &scope, &self.by(author)).await)
            }
            Operation::Import(rows, lifts_bans, author) => {
                let import = match Import::new(rows.iter().map(|row| self.row(*row))) {
                    Ok(import) if *lifts_bans => import.lifting_bans(),
                    Ok(import) => import,
                    Err(error) => return format!("{error:?}"),
                };
                format!("{:?}", membership.import(conn, &import, &self.by(author)).await)
            }
            Operation::Purge(index) => format!("{:?}", membership.purge_user(conn, &self.user(*index)).await),
            Operation::CheckMany(pairs) => {
                let pairs: Vec<_> = pairs.iter().map(|pair| self.pair(*pair)).collect();
                format!("{:?}", membership.check_many(conn, &pairs).await)
            }
            Operation::Count(index, matching) => {
                format!("{:?}", membership.count(conn, &self.scope(*index), &filter(matching)).await)
            }
            Operation::History(pair, paging) => {
                let (user, scope) = self.pair(*pair);
                let page = membership.history(conn, &user, &scope, &self.page(paging)).await;
                self.turn(page, told)
            }
            Operation::ListByScope(index, matching, paging) => {
                let (scope, filter) = (self.scope(*index), filter(matching));
                let page = membership.list_by_scope(conn, &scope, &filter, &self.page(paging)).await;
                self.turn(page, fields)
            }
            Operation::ListByUser(index, matching, paging) => {
                let (user, filter) = (self.user(*index), filter(matching));
                let page = membership.list_by_user(conn, &user, &filter, &self.page(paging)).await;
                self.turn(page, fields)
            }
            Operation::Of(index) => {
                let set = membership.of(conn, &self.user(*index)).await.unwrap();
                let mut tags: Vec<_> = set.tags().collect();
                tags.sort();
                format!("{tags:?}")
            }
            Operation::Single(pair) => {
                let (user, scope) = self.pair(*pair);
                let mut answer = String::new();
                write!(answer, "{:?}", membership.is_member(conn, &user, &scope).await).unwrap();
                write!(answer, "{:?}", membership.role(conn, &user, &scope).await).unwrap();
                write!(answer, "{:?}", membership.hold(conn, &user, &scope).await).unwrap();
                write!(answer, "{:?}", membership.get(conn, &user, &scope).await.unwrap().as_ref().map(fields))
                    .unwrap();
                answer
            }
        }
    }
}

fn role(index: usize) -> Role {
    Role::new(ROLES[index]).unwrap()
}

fn filter(matching: &Matching) -> Filter {
    let mut filter = Filter::default().state(STATES[matching.state]);
    filter.role = matching.role.map(role);
    filter.scope_type = matching.scope_type.map(|index| {
        let (scope_type, _) = SCOPES[index].split_once(':').unwrap();
        ScopeType::new(scope_type).unwrap()
    });
    filter
}

fn describe(change: &Result<Change>) -> String {
    match change {
        Ok(change) => {
            let facts = (change.is_created(), change.is_unchanged(), change.lifted_ban(), change.version());
            format!("{:?} -> {} {facts:?}", change.before().map(fields), fields(change.after()))
        }
        Err(error) => format!("{error:?}"),
    }
}

fn fields(member: &Member) -> String {
    let (user, scope, role) = (member.user(), member.scope(), member.role());
    let (state, end, version) = (member.state(), member.expires_at(), member.version());
    format!("{user} in {scope}: {role} {state} {end:?} {version} {}", member.is_active())
}

fn told(change: &Transition) -> String {
    let Transition { user, scope, version, verb, before, after, actor, reason, .. } = change;
    format!("{user} in {scope}: {version} {verb} {before:?} {after:?} {actor:?} {reason:?}")
}

#[test]
fn backends_agree_on_random_operations() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let sqlite = runtime.block_on(testkit::sqlite(&[&stoa_membership::sqlite::MIGRATOR]));
    let postgres = runtime.block_on(testkit::postgres(&[&stoa_membership::postgres::MIGRATOR]));
    let now = Utc::now();
    // Eight blocks of ten operations: more than 10,000 steps.
    let cases = if std::env::var_os("STOA_TEST_FULL").is_some() { 1280 } else { 128 };
    let case = AtomicUsize::new(0);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    runner
        .run(&prop::collection::vec(block(), 8), |blocks| {
            // Every case has names of its own, also one that only shrinks another.
            let case = case.fetch_add(1, Ordering::Relaxed);
            let oracle = memory::Database::default();
            let expected = runtime.block_on(answers(&Membership::new(Memory), &oracle, case, &blocks, now));
            let on_sqlite = runtime.block_on(answers(&Membership::new(Sqlite), sqlite.pool(), case, &blocks, now));
            prop_assert_eq!(&on_sqlite, &expected);
            let on_postgres =
                runtime.block_on(answers(&Membership::new(Postgres), postgres.pool(), case, &blocks, now));
            prop_assert_eq!(&on_postgres, &expected);
            Ok(())
        })
        .unwrap();
}
