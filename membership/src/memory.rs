//! The backend in memory: the executable specification, and the one for unit tests.
//!
//! One writer at a time, readers see what was committed, a dropped transaction is a rollback.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use tokio::sync::{Mutex as WriterLock, OwnedMutexGuard};

use crate::{Error, Member, Result, Scope, Source, Standing, Store, UserId, Write, Written};

/// Keeps memberships in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory;

impl Store for Memory {
    type Connection = Connection;

    async fn find(&self, conn: &mut Connection, user: &UserId, scope: &Scope) -> Result<Option<Member>> {
        let key = (scope.clone(), user.clone());
        Ok(conn.read(|rows| rows.get(&key).map(|row| row.member(&key, Utc::now()))))
    }

    async fn hold(&self, conn: &mut Connection, user: &UserId, scope: &Scope) -> Result<Option<Member>> {
        // A transaction that may write is the only one: nobody can change the row before it ends.
        self.find(conn, user, scope).await
    }

    async fn write(&self, conn: &mut Connection, write: &Write<'_>) -> Result<Written> {
        conn.write(|rows| written(rows, write)).await
    }

    async fn list_by_user(&self, conn: &mut Connection, user: &UserId) -> Result<Vec<Member>> {
        let of_user = |rows: &Rows| {
            let own = rows.iter().filter(|((_, other), _)| other == user);
            own.map(|(key, row)| row.member(key, Utc::now())).collect()
        };
        Ok(conn.read(of_user))
    }

    async fn list_by_scope(
        &self,
        conn: &mut Connection,
        scope: &Scope,
        after: Option<&UserId>,
        limit: u32,
    ) -> Result<Vec<Member>> {
        let is_next = |member: &Member| after.is_none_or(|after| member.user() > after);
        Ok(conn.read(|rows| active(rows, scope, Utc::now()).filter(is_next).take(limit as usize).collect()))
    }

    async fn count(&self, conn: &mut Connection, scope: &Scope) -> Result<u64> {
        Ok(conn.read(|rows| active(rows, scope, Utc::now()).count() as u64))
    }
}

/// By scope and user: the order of a listing.
type Rows = BTreeMap<(Scope, UserId), Row>;

#[derive(Clone, Debug)]
struct Row {
    standing: Standing,
    version: i64,
}

impl Row {
    fn member(&self, (scope, user): &(Scope, UserId), read_at: DateTime<Utc>) -> Member {
        Member::new(user.clone(), scope.clone(), self.standing.clone(), self.version, read_at)
    }
}

fn written(rows: &mut Rows, write: &Write<'_>) -> Written {
    let (key, at) = ((write.scope.clone(), write.user.clone()), Utc::now());
    if rows.get(&key).map(|row| row.version) != write.expected {
        return Written::Stale;
    }
    let is_other_owner =
        |member: Member| member.user() != write.user && write.needs_other_owner.contains(member.role());
    if !write.needs_other_owner.is_empty() && !active(rows, write.scope, at).any(is_other_owner) {
        return Written::LastOwner;
    }
    let version = write.expected.unwrap_or(0) + 1;
    rows.insert(key, Row { standing: write.standing.clone(), version });
    Written::Done { version, at }
}

fn active<'a>(rows: &'a Rows, scope: &'a Scope, now: DateTime<Utc>) -> impl Iterator<Item = Member> + 'a {
    let in_scope = rows.iter().filter(move |((other, _), _)| other == scope);
    in_scope.map(move |(key, row)| row.member(key, now)).filter(Member::is_active)
}

/// A database in memory; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Database {
    committed: Arc<Mutex<Rows>>,
    writer: Arc<WriterLock<()>>,
}

impl Database {
    fn committed(&self) -> MutexGuard<'_, Rows> {
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
        let rows = self.committed().clone();
        Ok(Transaction { conn: self.connect(View::Writing(rows)), _writer: Some(writer) })
    }

    async fn begin_snapshot(&self) -> Result<Transaction> {
        let rows = self.committed().clone();
        Ok(Transaction { conn: self.connect(View::Snapshot(rows)), _writer: None })
    }

    async fn commit(&self, tx: Transaction) -> Result<()> {
        if let View::Writing(rows) = tx.conn.view {
            *self.committed() = rows;
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
    Snapshot(Rows),
    /// In a transaction that writes.
    Writing(Rows),
}

impl Connection {
    fn read<T>(&self, read: impl FnOnce(&Rows) -> T) -> T {
        match &self.view {
            View::Committed => read(&self.database.committed()),
            View::Snapshot(rows) | View::Writing(rows) => read(rows),
        }
    }

    async fn write<T>(&mut self, write: impl FnOnce(&mut Rows) -> T) -> Result<T> {
        match &mut self.view {
            View::Committed => {
                let _writer = self.database.writer.lock().await;
                Ok(write(&mut self.database.committed()))
            }
            View::Snapshot(_) => Err(Error::Backend("a snapshot cannot be written to".into())),
            View::Writing(rows) => Ok(write(rows)),
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
