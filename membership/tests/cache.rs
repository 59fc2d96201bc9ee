//! The cache: what it serves from memory, for how long, and what it must never serve.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use stoa_membership::{
    By, CachedMembership, Changes, Cursor, Error, Filter, Grant, Import, ImportRow, Imported, Load, Member, Membership,
    Memory, Removed, Result, Role, Scope, ScopeId, ScopeType, Source, Store, Transition, UserId, Write, Written,
    memory,
};
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, advance};

const STALENESS: Duration = Duration::from_secs(1);
/// Longer than the time between two looks at the feed, shorter than the staleness.
const LOOK: Duration = Duration::from_millis(400);

#[tokio::test(start_paused = true)]
async fn what_was_read_once_is_answered_without_the_database() {
    let setting = Setting::watched().await;
    let (ada, chess) = (user("ada"), group("chess"));
    setting.add(&ada, &chess, "owner").await;
    pass(LOOK).await;
    assert_eq!(setting.role(&ada, &chess).await, (Some(role("owner")), Asked::Database));
    assert_eq!(setting.role(&ada, &chess).await, (Some(role("owner")), Asked::Memory));
    assert_eq!(setting.is_member(&ada, &chess).await, (true, Asked::Memory));
    for _ in 0..10 {
        pass(LOOK).await;
        assert_eq!(setting.is_member(&ada, &chess).await, (true, Asked::Memory));
    }
}

#[tokio::test(start_paused = true)]
async fn that_there_is_no_membership_is_remembered_until_there_is_one() {
    let setting = Setting::watched().await;
    let (ada, chess) = (user("ada"), group("chess"));
    assert_eq!(setting.is_member(&ada, &chess).await, (false, Asked::Database));
    assert_eq!(setting.is_member(&ada, &chess).await, (false, Asked::Memory));
    setting.add(&ada, &chess, "member").await;
    assert_eq!(setting.is_member(&ada, &chess).await, (false, Asked::Memory));
    pass(LOOK).await;
    assert_eq!(setting.is_member(&ada, &chess).await, (true, Asked::Database));
}

#[tokio::test(start_paused = true)]
async fn each_state_is_served_as_what_it_is() {
    let setting = Setting::watched().await;
    let (ada, chess) = (user("ada"), group("chess"));
    setting.add(&ada, &chess, "member").await;
    setting.ban(&ada, &chess).await;
    assert_eq!(setting.role(&ada, &chess).await, (None, Asked::Database));
    assert_eq!(setting.role(&ada, &chess).await, (None, Asked::Memory));
    setting.membership.unban(&mut *setting.conn().await, &ada, &chess, &by()).await.unwrap();
    pass(LOOK).await;
    assert_eq!(setting.role(&ada, &chess).await, (None, Asked::Database));
    assert_eq!(setting.is_member(&ada, &chess).await, (false, Asked::Memory));
}

#[tokio::test(start_paused = true)]
async fn only_the_memberships_that_changed_are_read_again() {
    let setting = Setting::watched().await;
    let (ada, bo, chess) = (user("ada"), user("bo"), group("chess"));
    setting.add(&ada, &chess, "member").await;
    setting.add(&bo, &chess, "member").await;
    pass(LOOK).await;
    setting.is_member(&ada, &chess).await;
    setting.is_member(&bo, &chess).await;
    setting.ban(&ada, &chess).await;
    pass(LOOK).await;
    assert_eq!(setting.is_member(&ada, &chess).await, (false, Asked::Database));
    assert_eq!(setting.is_member(&bo, &chess).await, (true, Asked::Memory));
}

#[tokio::test(start_paused = true)]
async fn a_membership_that_ends_meanwhile_is_read_again_and_not_guessed() {
    let setting = Setting::watched().await;
    let (ada, bo, chess) = (user("ada"), user("bo"), group("chess"));
    let hour = TimeDelta::hours(1);
    setting.grant(&ada, &chess, &Grant::new(role("member")).until(Utc::now() + hour).unwrap()).await;
    setting.grant(&bo, &chess, &Grant::new(role("member")).until(Utc::now() - hour).unwrap()).await;
    pass(LOOK).await;
    assert_eq!(setting.is_member(&ada, &chess).await, (true, Asked::Database));
    pass(Duration::from_mins(59)).await;
    assert_eq!(setting.is_member(&ada, &chess).await, (true, Asked::Memory));
    pass(Duration::from_mins(1)).await;
    // The database's clock stood still meanwhile, and the database decides.
    assert_eq!(setting.is_member(&ada, &chess).await, (true, Asked::Database));

    assert_eq!(setting.is_member(&bo, &chess).await, (false, Asked::Database));
    assert_eq!(setting.is_member(&bo, &chess).await, (false, Asked::Database));
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_database_is_an_error_and_is_not_remembered() {
    let setting = Setting::watched().await;
    let (ada, chess) = (user("ada"), group("chess"));
    setting.add(&ada, &chess, "member").await;
    setting.faults.source.store(true, Ordering::Relaxed);
    assert!(matches!(setting.cache.is_member(&ada, &chess).await, Err(Error::Backend(_))));
    assert!(matches!(setting.cache.role(&ada, &chess).await, Err(Error::Backend(_))));
    setting.faults.source.store(false, Ordering::Relaxed);
    assert_eq!(setting.is_member(&ada, &chess).await, (true, Asked::Database));
    // What is in memory needs no database, while the lease lasts.
    setting.faults.source.store(true, Ordering::Relaxed);
    assert_eq!(setting.is_member(&ada, &chess).await, (true, Asked::Memory));
    pass(STALENESS).await;
    assert!(matches!(setting.cache.is_member(&ada, &chess).await, Err(Error::Backend(_))));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_served_from_memory_unless_somebody_watches() {
    let setting = Setting::new(Staged::default());
    let (ada, chess) = (user("ada"), group("chess"));
    setting.add(&ada, &chess, "member").await;
    for _ in 0..3 {
        assert_eq!(setting.is_member(&ada, &chess).await, (true, Asked::Database));
    }
    let (stop, stopped) = oneshot::channel::<()>();
    let watcher = setting.watch(async { drop(stopped.await) });
    settle().await;
    // What was read before anybody watched may have changed unseen.
    assert_eq!(setting.is_member(&ada, &chess).await, (true, Asked::Database));
    assert_eq!(setting.is_member(&ada, &chess).await, (true, Asked::Memory));
    stop.send(()).unwrap();
    watcher.await.unwrap();
    setting.ban(&ada, &chess).await;
    assert_eq!(setting.is_member(&ada, &chess).await, (true, Asked::Memory));
    pass(STALENESS).await;
    for _ in 0..3 {
        assert_eq!(setting.is_member(&ada, &chess).await, (false, Asked::Database));
    }
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_fails_costs_speed_and_not_answers() {
    let setting = Setting::watched().await;
    let (ada, chess) = (user("ada"), group("chess"));
    setting.add(&ada, &chess, "member").await;
    setting.is_member(&ada, &chess).await;
    setting.faults.feed.store(true, Ordering::Relaxed);
    pass(LOOK).await;
    setting.ban(&ada, &chess).await;
    pass(STALENESS).await;
    for _ in 0..3 {
        assert_eq!(setting.is_member(&ada, &chess).await, (false, Asked::Database));
    }
    setting.add(&ada, &chess, "owner").await;
    setting.faults.feed.store(false, Ordering::Relaxed);
    pass(STALENESS).await;
    assert_eq!(setting.role(&ada, &chess).await, (Some(role("owner")), Asked::Database));
    assert_eq!(setting.role(&ada, &chess).await, (Some(role("owner")), Asked::Memory));
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_no_longer_knows_the_cursor_is_begun_anew() {
    let setting = Setting::watched().await;
    let (ada, chess) = (user("ada"), group("chess"));
    setting.add(&ada, &chess, "member").await;
    pass(LOOK).await;
    setting.is_member(&ada, &chess).await;
    // Both changes happen while the feed forgets.
    setting.faults.cursor.store(true, Ordering::Relaxed);
    setting.ban(&ada, &chess).await;
    pass(LOOK).await;
    setting.faults.cursor.store(false, Ordering::Relaxed);
    pass(LOOK).await;
    assert_eq!(setting.is_member(&ada, &chess).await, (false, Asked::Database));
    assert_eq!(setting.is_member(&ada, &chess).await, (false, Asked::Memory));
}

#[tokio::test(start_paused = true)]
async fn more_changes_than_a_look_takes_empty_the_cache() {
    let setting = Setting::watched().await;
    let (ada, bo, chess, go) = (user("ada"), user("bo"), group("chess"), group("go"));
    setting.add(&ada, &chess, "member").await;
    setting.add(&bo, &chess, "member").await;
    pass(LOOK).await;
    setting.is_member(&ada, &chess).await;
    setting.is_member(&bo, &chess).await;
    let grant = Grant::new(role("member"));
    let rows = (0..1000).map(|number| ImportRow::active(user(&format!("user-{number}")), go.clone(), grant.clone()));
    let import = Import::new(rows).unwrap();
    setting.membership.import(&mut *setting.conn().await, &import, &by()).await.unwrap();
    setting.ban(&ada, &chess).await;
    pass(LOOK).await;
    pass(LOOK).await;
    assert_eq!(setting.is_member(&ada, &chess).await, (false, Asked::Database));
    assert_eq!(setting.is_member(&bo, &chess).await, (true, Asked::Database));
    assert_eq!(setting.is_member(&bo, &chess).await, (true, Asked::Memory));
}

#[tokio::test(start_paused = true)]
async fn a_purge_empties_the_cache() {
    let setting = Setting::watched().await;
    let (ada, bo, chess) = (user("ada"), user("bo"), group("chess"));
    setting.add(&ada, &chess, "member").await;
    setting.add(&bo, &chess, "member").await;
    pass(LOOK).await;
    setting.is_member(&ada, &chess).await;
    setting.is_member(&bo, &chess).await;
    setting.membership.purge_user(&mut *setting.conn().await, &ada).await.unwrap();
    pass(LOOK).await;
    assert_eq!(setting.is_member(&ada, &chess).await, (false, Asked::Database));
    // Whose row it was is forgotten on purpose: it may have been anybody's.
    assert_eq!(setting.is_member(&bo, &chess).await, (true, Asked::Database));
    assert_eq!(setting.is_member(&bo, &chess).await, (true, Asked::Memory));
}

#[tokio::test(start_paused = true)]
async fn who_has_just_committed_sees_it_after_forgetting_the_old_row() {
    let setting = Setting::watched().await;
    let (ada, bo, chess) = (user("ada"), user("bo"), group("chess"));
    setting.add(&ada, &chess, "member").await;
    setting.is_member(&ada, &chess).await;
    setting.is_member(&bo, &chess).await;
    setting.ban(&ada, &chess).await;
    assert_eq!(setting.is_member(&ada, &chess).await, (true, Asked::Memory));
    setting.cache.forget(&ada, &chess);
    assert_eq!(setting.is_member(&ada, &chess).await, (false, Asked::Database));
    assert_eq!(setting.is_member(&ada, &chess).await, (false, Asked::Memory));
    assert_eq!(setting.is_member(&bo, &chess).await, (false, Asked::Memory));
}

/// The row is read, and before it gets into the cache something happens.
#[tokio::test(start_paused = true)]
async fn a_row_that_was_read_before_a_change_does_not_enter_after_it() {
    for meanwhile in
        [Meanwhile::Nothing, Meanwhile::Ban, Meanwhile::BanAndForget, Meanwhile::Purge, Meanwhile::OtherWatcher]
    {
        let staged = Staged::default();
        let setting = Setting::new(staged.clone());
        drop(setting.watch(std::future::pending()));
        let (ada, bo, chess) = (user("ada"), user("bo"), group("chess"));
        setting.add(&ada, &chess, "member").await;
        setting.add(&bo, &chess, "member").await;
        pass(LOOK).await;

        staged.gate.store(true, Ordering::Relaxed);
        let (cache, key) = (setting.cache.clone(), (ada.clone(), chess.clone()));
        let reading = tokio::spawn(async move { cache.is_member(&key.0, &key.1).await });
        staged.was_read.notified().await;
        staged.gate.store(false, Ordering::Relaxed);
        match meanwhile {
            Meanwhile::Nothing => pass(LOOK).await,
            Meanwhile::Ban => {
                setting.ban(&ada, &chess).await;
                pass(LOOK).await;
            }
            Meanwhile::BanAndForget => {
                setting.ban(&ada, &chess).await;
                setting.cache.forget(&ada, &chess);
            }
            Meanwhile::Purge => {
                setting.membership.purge_user(&mut *setting.conn().await, &ada).await.unwrap();
                pass(LOOK).await;
            }
            Meanwhile::OtherWatcher => {
                setting.ban(&ada, &chess).await;
                drop(setting.watch(std::future::pending()));
                settle().await;
            }
        }
        staged.goes_on.notify_one();
        assert!(reading.await.unwrap().unwrap(), "it was asked before the change");
        let unchanged = matches!(meanwhile, Meanwhile::Nothing);
        let expected = if unchanged { (true, Asked::Memory) } else { (false, Asked::Database) };
        assert_eq!(setting.is_member(&ada, &chess).await, expected, "{meanwhile:?}");
        assert_eq!(setting.is_member(&ada, &chess).await, (unchanged, Asked::Memory), "{meanwhile:?}");
    }
}

#[derive(Debug)]
enum Meanwhile {
    Nothing,
    Ban,
    BanAndForget,
    Purge,
    /// It starts behind the ban, which it will never hear of.
    OtherWatcher,
}

#[tokio::test(start_paused = true)]
async fn a_second_watcher_does_no_harm() {
    let setting = Setting::watched().await;
    let (ada, chess) = (user("ada"), group("chess"));
    setting.add(&ada, &chess, "member").await;
    let second = setting.watch(std::future::pending());
    settle().await;
    assert_eq!(setting.is_member(&ada, &chess).await, (true, Asked::Database));
    assert_eq!(setting.is_member(&ada, &chess).await, (true, Asked::Memory));
    setting.ban(&ada, &chess).await;
    pass(LOOK).await;
    assert_eq!(setting.is_member(&ada, &chess).await, (false, Asked::Database));
    second.abort();
    for _ in 0..5 {
        pass(LOOK).await;
        assert_eq!(setting.is_member(&ada, &chess).await, (false, Asked::Memory));
    }
    setting.add(&ada, &chess, "member").await;
    pass(LOOK).await;
    assert_eq!(setting.is_member(&ada, &chess).await, (true, Asked::Database));
}

#[tokio::test(start_paused = true)]
async fn without_any_staleness_every_call_asks_the_database() {
    let mut setting = Setting::new(Staged::default());
    setting.cache = setting.cache.max_staleness(Duration::ZERO);
    drop(setting.watch(std::future::pending()));
    settle().await;
    for _ in 0..3 {
        assert_eq!(setting.is_member(&user("ada"), &group("chess")).await, (false, Asked::Database));
    }
}

#[tokio::test(start_paused = true)]
async fn the_cache_keeps_no_more_than_it_has_room_for() {
    for (id_length, capacity, most) in [(4, 1000, 1515), (120, 8000, 1515), (4, 0, 16)] {
        let mut setting = Setting::new(Staged::default());
        setting.cache = setting.cache.capacity(capacity);
        drop(setting.watch(std::future::pending()));
        settle().await;
        let chess = group("chess");
        let users: Vec<_> = (0..10_000).map(|number| user(&format!("{number:0id_length$}"))).collect();
        for user in &users {
            assert_eq!(setting.is_member(user, &chess).await, (false, Asked::Database));
            // One that is asked for again and again stays, whoever else comes.
            setting.is_member(&users[0], &chess).await;
        }
        assert!(capacity == 0 || setting.is_member(&users[0], &chess).await.1 == Asked::Memory);
        // From the latest on: a miss takes the place of another.
        let mut kept = 0;
        for user in users.iter().rev() {
            kept += u32::from(setting.is_member(user, &chess).await.1 == Asked::Memory);
        }
        assert!((most / 4..=most).contains(&kept), "{kept} of {most}");
    }
}

#[tokio::test(start_paused = true)]
async fn ids_that_look_alike_are_different() {
    let setting = Setting::watched().await;
    let long = "x".repeat(127);
    let texts = [
        "0190aa6e-7cbb-7f00-8a3b-0123456789ab".to_owned(),
        "0190AA6E-7CBB-7F00-8A3B-0123456789AB".to_owned(),
        "0190aa6e-7cbb-7f00-8a3b-0123456789aB".to_owned(),
        "0190aa6e7cbb7f008a3b0123456789ab".to_owned(),
        "urn:uuid:0190aa6e-7cbb-7f00-8a3b-0123456789ab".to_owned(),
        "{0190aa6e-7cbb-7f00-8a3b-0123456789ab}".to_owned(),
        "0190aa6e-7cbb-7f00-8a3b-0123456789ab ".to_owned(),
        "caf\u{e9}".to_owned(),
        "cafe\u{301}".to_owned(),
        "a".to_owned(),
        "aa".to_owned(),
        "A".to_owned(),
        "aaaaaaaa".to_owned(),
        "aaaaaaaaa".to_owned(),
        "aaaaaaaaaaaaaaaa".to_owned(),
        "aaaaaaaabaaaaaaa".to_owned(),
        format!("{long}a"),
        format!("{long}b"),
    ];
    let types = ["a", "aa", "group", "group_", "mentorship_programme"].map(|name| ScopeType::new(name).unwrap());
    let mut keys = Vec::new();
    for (number, name) in texts.iter().enumerate() {
        for id in &texts {
            for kind in &types {
                keys.push((
                    user(name),
                    Scope::new(kind.clone(), ScopeId::new(id).unwrap()),
                    keys.len() % 3 == number % 2,
                ));
            }
        }
    }
    let membership = types.iter().fold(Membership::new(Memory), |membership, kind| {
        membership.with_kind(stoa_membership::ScopeKind::new(kind.clone(), role("member")))
    });
    let mut tx = setting.source.database.begin().await.unwrap();
    for (user, scope, _) in keys.iter().filter(|(_, _, is_member)| *is_member) {
        membership.join(&mut tx, user, scope, &by()).await.unwrap();
    }
    setting.source.database.commit(tx).await.unwrap();
    pass(LOOK).await;
    pass(LOOK).await;
    for asked in [Asked::Database, Asked::Memory] {
        for (user, scope, is_member) in &keys {
            assert_eq!(setting.is_member(user, scope).await, (*is_member, asked), "{user} in {scope}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn roles_are_told_apart_however_many_there_are() {
    let setting = Setting::watched().await;
    let chess = group("chess");
    let roles: Vec<_> = (0..300).map(|number| role(&format!("role-{number}"))).collect();
    for role in &roles {
        setting.add(&user(role.as_str()), &chess, role.as_str()).await;
    }
    pass(LOOK).await;
    for _ in 0..2 {
        for role in &roles {
            assert_eq!(setting.cache.role(&user(role.as_str()), &chess).await.unwrap().as_ref(), Some(role));
        }
    }
    assert_eq!(setting.role(&user("role-0"), &chess).await.1, Asked::Memory);
}

/// Real time, real threads: whatever was committed long enough before a call, the call must know.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_answer_is_older_than_promised() {
    const STALENESS: Duration = Duration::from_millis(30);
    const USERS: u32 = 400;
    let setting = Setting::new(Staged::default());
    // So small that entries also replace each other.
    let cache = setting.cache.clone().max_staleness(STALENESS).capacity(200);
    let watcher = cache.clone();
    tokio::spawn(async move { watcher.run_until(std::future::pending()).await });
    let chess = group("chess");
    let users: Vec<_> = (0..USERS).map(|number| user(&number.to_string())).collect();
    let joined: Arc<Mutex<HashMap<usize, Instant>>> = Arc::default();
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|reader| {
            let (cache, users, joined, done) = (cache.clone(), users.clone(), Arc::clone(&joined), Arc::clone(&done));
            let chess = chess.clone();
            tokio::spawn(async move {
                let mut next = reader;
                while !done.load(Ordering::Relaxed) {
                    next = (next + 7) % users.len();
                    let committed = joined.lock().unwrap().get(&next).copied();
                    let is_due = committed.is_some_and(|committed| committed.elapsed() > STALENESS);
                    let is_member = cache.is_member(&users[next], &chess).await.unwrap();
                    assert!(is_member || !is_due, "a membership was not seen in time");
                    yield_now().await;
                }
            })
        })
        .collect();
    for (number, user) in users.iter().enumerate() {
        setting.add(user, &chess, "member").await;
        let committed = Instant::now();
        joined.lock().unwrap().insert(number, committed);
        while committed.elapsed() < Duration::from_millis(1) {
            yield_now().await;
        }
    }
    let last = Instant::now();
    while last.elapsed() < 2 * STALENESS {
        yield_now().await;
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Asked {
    Database,
    Memory,
}

struct Setting {
    membership: Membership<Memory>,
    source: Counted,
    faults: Arc<Faults>,
    cache: CachedMembership<Staged, Counted>,
}

impl Setting {
    fn new(store: Staged) -> Self {
        let faults = Arc::clone(&store.faults);
        let source =
            Counted { database: memory::Database::default(), acquired: Arc::default(), faults: Arc::clone(&faults) };
        let cache = CachedMembership::new(Membership::new(store), source.clone()).max_staleness(STALENESS);
        Self { membership: Membership::new(Memory), source, faults, cache }
    }

    async fn watched() -> Self {
        let setting = Self::new(Staged::default());
        drop(setting.watch(std::future::pending()));
        settle().await;
        setting
    }

    fn watch(&self, shutdown: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let cache = self.cache.clone();
        tokio::spawn(async move { cache.run_until(shutdown).await })
    }

    async fn conn(&self) -> memory::Guard {
        self.source.database.acquire().await.unwrap()
    }

    async fn add(&self, user: &UserId, scope: &Scope, name: &str) {
        self.grant(user, scope, &Grant::new(role(name))).await;
    }

    async fn grant(&self, user: &UserId, scope: &Scope, grant: &Grant) {
        self.membership.add(&mut *self.conn().await, user, scope, grant, &by()).await.unwrap();
    }

    async fn ban(&self, user: &UserId, scope: &Scope) {
        self.membership.ban(&mut *self.conn().await, user, scope, &by()).await.unwrap();
    }

    async fn is_member(&self, user: &UserId, scope: &Scope) -> (bool, Asked) {
        self.asked(self.cache.is_member(user, scope)).await
    }

    async fn role(&self, user: &UserId, scope: &Scope) -> (Option<Role>, Asked) {
        self.asked(self.cache.role(user, scope)).await
    }

    /// No call waits in memory, so that no watcher takes a connection meanwhile.
    async fn asked<T>(&self, call: impl Future<Output = Result<T>>) -> (T, Asked) {
        let before = self.source.acquired.load(Ordering::Relaxed);
        let answer = call.await.unwrap();
        let asked = match self.source.acquired.load(Ordering::Relaxed) - before {
            0 => Asked::Memory,
            1 => Asked::Database,
            more => panic!("one call took {more} connections"),
        };
        (answer, asked)
    }
}

/// Lets time pass, and the watcher do what it does then.
async fn pass(time: Duration) {
    advance(time).await;
    settle().await;
}

async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

fn user(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

fn group(id: &str) -> Scope {
    Scope::group(id).unwrap()
}

fn role(name: &str) -> Role {
    Role::new(name).unwrap()
}

fn by() -> By {
    By::user(&user("root"))
}

/// What is to fail.
#[derive(Debug, Default)]
struct Faults {
    source: AtomicBool,
    feed: AtomicBool,
    cursor: AtomicBool,
}

/// A database in memory that counts the connections it lends.
#[derive(Clone, Debug)]
struct Counted {
    database: memory::Database,
    acquired: Arc<AtomicU32>,
    faults: Arc<Faults>,
}

impl Source for Counted {
    type Connection = memory::Connection;
    type Guard = memory::Guard;
    type Transaction = memory::Transaction;

    async fn acquire(&self) -> Result<memory::Guard> {
        self.acquired.fetch_add(1, Ordering::Relaxed);
        if self.faults.source.load(Ordering::Relaxed) {
            return Err(Error::Backend("no connection".into()));
        }
        self.database.acquire().await
    }

    async fn begin(&self) -> Result<memory::Transaction> {
        self.database.begin().await
    }

    async fn begin_snapshot(&self) -> Result<memory::Transaction> {
        self.database.begin_snapshot().await
    }

    async fn commit(&self, tx: memory::Transaction) -> Result<()> {
        self.database.commit(tx).await
    }
}

/// Memory whose reads can be made to wait with the row in hand, and whose feed can be made to fail.
#[derive(Clone, Debug, Default)]
struct Staged {
    gate: Arc<AtomicBool>,
    was_read: Arc<Notify>,
    goes_on: Arc<Notify>,
    faults: Arc<Faults>,
}

impl Store for Staged {
    type Connection = memory::Connection;

    async fn find(&self, conn: &mut memory::Connection, user: &UserId, scope: &Scope) -> Result<Option<Member>> {
        let found = Memory.find(conn, user, scope).await;
        if self.gate.load(Ordering::Relaxed) {
            self.was_read.notify_one();
            self.goes_on.notified().await;
        }
        found
    }

    async fn hold(&self, conn: &mut memory::Connection, user: &UserId, scope: &Scope) -> Result<Option<Member>> {
        Memory.hold(conn, user, scope).await
    }

    async fn write(&self, conn: &mut memory::Connection, write: &Write<'_>) -> Result<Written> {
        Memory.write(conn, write).await
    }

    async fn find_many(&self, conn: &mut memory::Connection, pairs: &[(UserId, Scope)]) -> Result<Vec<Option<Member>>> {
        Memory.find_many(conn, pairs).await
    }

    async fn list_by_user(
        &self,
        conn: &mut memory::Connection,
        user: &UserId,
        filter: &Filter,
        after: Option<&Scope>,
        limit: u32,
    ) -> Result<Vec<Member>> {
        Memory.list_by_user(conn, user, filter, after, limit).await
    }

    async fn list_by_scope(
        &self,
        conn: &mut memory::Connection,
        scope: &Scope,
        filter: &Filter,
        after: Option<(&Role, &UserId)>,
        limit: u32,
    ) -> Result<Vec<Member>> {
        Memory.list_by_scope(conn, scope, filter, after, limit).await
    }

    async fn count(&self, conn: &mut memory::Connection, scope: &Scope, filter: &Filter) -> Result<u64> {
        Memory.count(conn, scope, filter).await
    }

    async fn history(
        &self,
        conn: &mut memory::Connection,
        user: &UserId,
        scope: &Scope,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Transition>> {
        Memory.history(conn, user, scope, before, limit).await
    }

    async fn changes(&self, conn: &mut memory::Connection, after: &Cursor, limit: u32) -> Result<Changes> {
        if self.faults.feed.load(Ordering::Relaxed) {
            return Err(Error::Backend("no feed".into()));
        }
        if self.faults.cursor.load(Ordering::Relaxed) {
            return Err(Error::Cursor);
        }
        Memory.changes(conn, after, limit).await
    }

    async fn latest(&self, conn: &mut memory::Connection) -> Result<Cursor> {
        Memory.latest(conn).await
    }

    async fn import(&self, conn: &mut memory::Connection, load: &Load<'_>) -> Result<Option<Imported>> {
        Memory.import(conn, load).await
    }

    async fn purge(&self, conn: &mut memory::Connection, user: &UserId) -> Result<Removed> {
        Memory.purge(conn, user).await
    }
}
