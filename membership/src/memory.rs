//! The backend in memory: the executable specification, and the one for unit tests.
//!
//! One writer at a time, readers see what was committed, a dropped transaction is a rollback.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use tokio::sync::{Mutex as WriterLock, OwnedMutexGuard};

use crate::{
    By, Changes, Cursor, Error, Event, Filter, Imported, Load, Member, Removed, Result, Role, Scope, Source, Standing,
    State, Store, Transition, UserId, Verb, Write, Written,
};

/// Keeps memberships in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory;

impl Store for Memory {
    type Connection = Connection;

    async fn find(&self, conn: &mut Connection, user: &UserId, scope: &Scope) -> Result<Option<Member>> {
        Ok(conn.read(|tables| tables.find(user, scope, Utc::now())))
    }

    async fn hold(&self, conn: &mut Connection, user: &UserId, scope: &Scope) -> Result<Option<Member>> {
        // A transaction that may write is the only one: nobody can change the row before it ends.
        self.find(conn, user, scope).await
    }

    async fn write(&self, conn: &mut Connection, write: &Write<'_>) -> Result<Written> {
        conn.write(|tables| written(tables, write)).await
    }

    async fn find_many(&self, conn: &mut Connection, pairs: &[(UserId, Scope)]) -> Result<Vec<Option<Member>>> {
        let now = Utc::now();
        Ok(conn.read(|tables| pairs.iter().map(|(user, scope)| tables.find(user, scope, now)).collect()))
    }

    async fn list_by_user(
        &self,
        conn: &mut Connection,
        user: &UserId,
        filter: &Filter,
        after: Option<&Scope>,
        limit: u32,
    ) -> Result<Vec<Member>> {
        let is_next = |member: &Member| after.is_none_or(|after| member.scope() > after);
        let of_user = |tables: &Tables| {
            let own = tables.members(Utc::now()).filter(|member| member.user() == user && filter.matches(member));
            own.filter(is_next).take(limit as usize).collect()
        };
        Ok(conn.read(of_user))
    }

    async fn list_by_scope(
        &self,
        conn: &mut Connection,
        scope: &Scope,
        filter: &Filter,
        after: Option<(&Role, &UserId)>,
        limit: u32,
    ) -> Result<Vec<Member>> {
        let mut members: Vec<_> = conn.read(|tables| tables.of_scope(scope, filter, Utc::now()).collect());
        members.sort_by(|one, other| position(one).cmp(&position(other)));
        members.retain(|member| after.is_none_or(|after| position(member) > after));
        members.truncate(limit as usize);
        Ok(members)
    }

    async fn count(&self, conn: &mut Connection, scope: &Scope, filter: &Filter) -> Result<u64> {
        Ok(conn.read(|tables| tables.of_scope(scope, filter, Utc::now()).count() as u64))
    }

    async fn history(
        &self,
        conn: &mut Connection,
        user: &UserId,
        scope: &Scope,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Transition>> {
        let is_next = |change: &&Transition| {
            change.user == *user && change.scope == *scope && before.is_none_or(|before| change.version < before)
        };
        // The log is in the order of its versions.
        let newest =
            |tables: &Tables| tables.transitions().rev().filter(is_next).take(limit as usize).cloned().collect();
        Ok(conn.read(newest))
    }

    async fn changes(&self, conn: &mut Connection, after: &Cursor, limit: u32) -> Result<Changes> {
        // One writer at a time: the order of the log is the order of commits.
        let after: u64 = match after.position() {
            "" => 0,
            position => position.parse().map_err(|_| Error::Cursor)?,
        };
        conn.read(|tables| {
            if after > tables.events {
                return Err(Error::Cursor);
            }
            let fresh: Vec<_> = tables.log.range(after + 1..).take(limit as usize).collect();
            let last = fresh.last().map_or(after, |(id, _)| **id);
            let events = fresh.into_iter().map(|(_, event)| event.clone()).collect();
            Ok(Changes { events, next: Cursor::new(last.to_string()) })
        })
    }

    async fn latest(&self, conn: &mut Connection) -> Result<Cursor> {
        Ok(Cursor::new(conn.read(|tables| tables.events).to_string()))
    }

    async fn import(&self, conn: &mut Connection, load: &Load<'_>) -> Result<Option<Imported>> {
        conn.write(|tables| {
            let mut loaded = tables.clone();
            let imported = import(&mut loaded, load)?;
            *tables = loaded;
            Some(imported)
        })
        .await
    }

    async fn purge(&self, conn: &mut Connection, user: &UserId) -> Result<Removed> {
        conn.write(|tables| purge(tables, user)).await
    }
}

#[derive(Clone, Debug, Default)]
struct Tables {
    /// By user and scope: the key, and the order of a user's listing.
    rows: BTreeMap<(UserId, Scope), Row>,
    log: BTreeMap<u64, Event>,
    /// How many events there ever were: the number of the latest.
    events: u64,
}

#[derive(Clone, Debug)]
struct Row {
    standing: Standing,
    version: i64,
}

impl Tables {
    fn find(&self, user: &UserId, scope: &Scope, read_at: DateTime<Utc>) -> Option<Member> {
        let row = self.rows.get(&(user.clone(), scope.clone()))?;
        Some(Member::new(user.clone(), scope.clone(), row.standing.clone(), row.version, read_at))
    }

    fn members(&self, read_at: DateTime<Utc>) -> impl Iterator<Item = Member> {
        self.rows.iter().map(move |((user, scope), row)| {
            Member::new(user.clone(), scope.clone(), row.standing.clone(), row.version, read_at)
        })
    }

    fn of_scope(&self, scope: &Scope, filter: &Filter, read_at: DateTime<Utc>) -> impl Iterator<Item = Member> {
        self.members(read_at).filter(move |member| member.scope() == scope && filter.matches(member))
    }

    fn transitions(&self) -> impl DoubleEndedIterator<Item = &Transition> {
        self.log.values().filter_map(|event| match event {
            Event::Changed(transition) => Some(transition),
            Event::Purged { .. } => None,
        })
    }

    fn change(
        &mut self,
        user: &UserId,
        scope: &Scope,
        after: &Standing,
        verb: Verb,
        by: &By,
        at: DateTime<Utc>,
    ) -> i64 {
        let before = self.rows.get(&(user.clone(), scope.clone()));
        let version = before.map_or(0, |row| row.version) + 1;
        let transition = Transition {
            user: user.clone(),
            scope: scope.clone(),
            version,
            verb,
            before: before.map(|row| row.standing.clone()),
            after: after.clone(),
            actor: Some(by.actor().clone()),
            reason: by.reason().cloned(),
            at,
        };
        self.rows.insert((user.clone(), scope.clone()), Row { standing: after.clone(), version });
        self.append(Event::Changed(transition));
        version
    }

    fn append(&mut self, event: Event) {
        self.events += 1;
        self.log.insert(self.events, event);
    }
}

fn position(member: &Member) -> (&Role, &UserId) {
    (member.role(), member.user())
}

fn written(tables: &mut Tables, write: &Write<'_>) -> Written {
    let at = Utc::now();
    let before = tables.find(write.user, write.scope, at);
    if before.map(|before| before.version()) != write.expected {
        return Written::Stale;
    }
    let is_other_owner =
        |member: Member| member.user() != write.user && write.needs_other_owner.contains(member.role());
    let active = Filter::default();
    if !write.needs_other_owner.is_empty() && !tables.of_scope(write.scope, &active, at).any(is_other_owner) {
        return Written::LastOwner;
    }
    let version = tables.change(write.user, write.scope, write.standing, write.verb, write.by, at);
    Written::Done { version, at }
}

fn import(tables: &mut Tables, load: &Load<'_>) -> Option<Imported> {
    let at = Utc::now();
    let owned = owned_scopes(tables, load, at);
    let mut imported = Imported::default();
    for row in load.rows {
        let before = tables.find(row.user(), row.scope(), at).map(|before| before.standing);
        let count = match before {
            None => &mut imported.created,
            Some(before) if before == *row.standing() => {
                imported.unchanged += 1;
                continue;
            }
            Some(before) if before.state == State::Banned && !load.lifts_bans => {
                imported.kept_banned += 1;
                continue;
            }
            Some(_) => &mut imported.updated,
        };
        *count += 1;
        tables.change(row.user(), row.scope(), row.standing(), Verb::Import, load.by, at);
    }
    owned.is_subset(&owned_scopes(tables, load, at)).then_some(imported)
}

fn owned_scopes(tables: &Tables, load: &Load<'_>, at: DateTime<Utc>) -> BTreeSet<Scope> {
    let is_owner = |member: &Member| {
        let owns = |(kind, role): &(_, _)| kind == member.scope().kind() && role == member.role();
        member.is_active() && load.owner_roles.iter().any(owns)
    };
    tables.members(at).filter(is_owner).map(|member| member.scope().clone()).collect()
}

fn purge(tables: &mut Tables, user: &UserId) -> Removed {
    let at = Utc::now();
    let members: Vec<_> = tables.members(at).filter(|member| member.user() == user).collect();
    tables.rows.retain(|(other, _), _| other != user);
    let total = tables.log.len();
    tables.log.retain(|_, event| !matches!(event, Event::Changed(transition) if transition.user == *user));
    let transitions = (total - tables.log.len()) as u64;
    let mut mentions = 0;
    for event in tables.log.values_mut() {
        if let Event::Changed(transition) = event
            && transition.actor.as_ref() == Some(user)
        {
            transition.actor = None;
            mentions += 1;
        }
    }
    for member in &members {
        tables.append(Event::Purged { scope: member.scope().clone(), at });
    }
    Removed { members, transitions, mentions }
}

/// A database in memory; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Database {
    committed: Arc<Mutex<Tables>>,
    writer: Arc<WriterLock<()>>,
}

impl Database {
    fn committed(&self) -> MutexGuard<'_, Tables> {
        // Nothing panics while it holds the lock.
        self.committed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self, view: View) -> Connection {
        Connection { database: self.clone(), view }
    }
}

impl Source for Database {
    type Connection = Connection;
    type Guard = Guard;
    type Transaction = Transaction;

    async fn acquire(&self) -> Result<Guard> {
        Ok(Guard(self.connect(View::Committed)))
    }

    async fn begin(&self) -> Result<Transaction> {
        let writer = Arc::clone(&self.writer).lock_owned().await;
        let tables = self.committed().clone();
        Ok(Transaction { conn: self.connect(View::Writing(tables)), _writer: Some(writer) })
    }

    async fn begin_snapshot(&self) -> Result<Transaction> {
        let tables = self.committed().clone();
        Ok(Transaction { conn: self.connect(View::Snapshot(tables)), _writer: None })
    }

    async fn commit(&self, tx: Transaction) -> Result<()> {
        if let View::Writing(tables) = tx.conn.view {
            *self.committed() = tables;
        }
        Ok(())
    }
}

/// What [`Memory`] works on.
#[derive(Debug)]
pub struct Connection {
    database: Database,
    view: View,
}

#[derive(Debug)]
enum View {
    /// Outside a transaction: every call sees what is committed and commits by itself.
    Committed,
    /// In a transaction that reads.
    Snapshot(Tables),
    /// In a transaction that writes.
    Writing(Tables),
}

impl Connection {
    fn read<T>(&self, read: impl FnOnce(&Tables) -> T) -> T {
        match &self.view {
            View::Committed => read(&self.database.committed()),
            View::Snapshot(tables) | View::Writing(tables) => read(tables),
        }
    }

    async fn write<T>(&mut self, write: impl FnOnce(&mut Tables) -> T) -> Result<T> {
        match &mut self.view {
            View::Committed => {
                let _writer = self.database.writer.lock().await;
                Ok(write(&mut self.database.committed()))
            }
            View::Snapshot(_) => Err(Error::Backend("a snapshot cannot be written to".into())),
            View::Writing(tables) => Ok(write(tables)),
        }
    }
}

/// A connection of a [`Database`], outside a transaction.
#[derive(Debug)]
pub struct Guard(Connection);

/// A transaction of a [`Database`]; dropping it rolls it back.
#[derive(Debug)]
pub struct Transaction {
    conn: Connection,
    _writer: Option<OwnedMutexGuard<()>>,
}

impl Deref for Guard {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for Guard {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

impl Deref for Transaction {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.conn
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.conn
    }
}
