//! The backend in memory: the executable specification, and the one for unit tests.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use tokio::sync::{Mutex as WriterLock, OwnedMutexGuard};

use crate::{Member, Result, Role, Scope, Source, Standing, Store, UserId, Write, Written};

/// Keeps memberships in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory;

/// What one transaction or reader sees.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    rows: BTreeMap<(Scope, UserId), Row>,
}

#[derive(Clone, Debug)]
struct Row {
    standing: Standing,
    version: i64,
}

/// A database in memory: one writer at a time, readers see what was committed, drop is rollback.
#[derive(Clone, Debug, Default)]
pub struct Database {
    committed: Arc<Mutex<Connection>>,
    writer: Arc<WriterLock<()>>,
}

/// A transaction on a [`Database`]; dropping it rolls it back.
#[derive(Debug)]
pub struct Transaction {
    working: Connection,
    _writer: Option<OwnedMutexGuard<()>>,
}

impl Store for Memory {
    type Connection = Connection;

    async fn find(&self, conn: &mut Connection, user: &UserId, scope: &Scope) -> Result<Option<Member>> {
        let row = conn.rows.get(&(scope.clone(), user.clone()));
        Ok(row.map(|row| member(user, scope, row, Utc::now())))
    }

    async fn hold(&self, conn: &mut Connection, user: &UserId, scope: &Scope) -> Result<Option<Member>> {
        // The transaction is the only writer already.
        self.find(conn, user, scope).await
    }

    async fn write(&self, conn: &mut Connection, write: &Write<'_>) -> Result<Written> {
        let at = Utc::now();
        let key = (write.scope.clone(), write.user.clone());
        if conn.rows.get(&key).map(|row| row.version) != write.expected {
            return Ok(Written::Stale);
        }
        if !write.needs_other_owner.is_empty()
            && !conn.has_other_owner(write.user, write.scope, write.needs_other_owner, at)
        {
            return Ok(Written::LastOwner);
        }
        let version = write.expected.unwrap_or(0) + 1;
        conn.rows.insert(key, Row { standing: write.standing.clone(), version });
        Ok(Written::Done { version, at })
    }

    async fn list_by_user(&self, conn: &mut Connection, user: &UserId) -> Result<Vec<Member>> {
        let now = Utc::now();
        let own = conn.rows.iter().filter(|((_, other), _)| other == user);
        Ok(own.map(|((scope, user), row)| member(user, scope, row, now)).collect())
    }

    async fn list_by_scope(
        &self,
        conn: &mut Connection,
        scope: &Scope,
        after: Option<&UserId>,
        limit: u32,
    ) -> Result<Vec<Member>> {
        Ok(conn
            .active(scope, Utc::now())
            .filter(|member| after.is_none_or(|after| member.user() > after))
            .take(limit as usize)
            .collect())
    }
}

impl Connection {
    fn active(&self, scope: &Scope, now: DateTime<Utc>) -> impl Iterator<Item = Member> {
        let rows = self.rows.iter().filter(move |((other, _), _)| other == scope);
        rows.map(move |((scope, user), row)| member(user, scope, row, now)).filter(Member::is_active)
    }

    fn has_other_owner(&self, user: &UserId, scope: &Scope, roles: &[Role], now: DateTime<Utc>) -> bool {
        self.active(scope, now).any(|member| member.user() != user && roles.contains(member.role()))
    }
}

fn member(user: &UserId, scope: &Scope, row: &Row, now: DateTime<Utc>) -> Member {
    Member::new(user.clone(), scope.clone(), row.standing.clone(), row.version, now)
}

impl Database {
    fn read(&self) -> Connection {
        self.committed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Source for Database {
    type Connection = Connection;
    /// On a bare connection every verb would commit by itself; in memory that is a transaction of one's own.
    type Guard = Transaction;
    type Transaction = Transaction;

    async fn acquire(&self) -> Result<Transaction> {
        self.begin_snapshot().await
    }

    async fn begin(&self) -> Result<Transaction> {
        let writer = self.writer.clone().lock_owned().await;
        Ok(Transaction { working: self.read(), _writer: Some(writer) })
    }

    async fn begin_snapshot(&self) -> Result<Transaction> {
        Ok(Transaction { working: self.read(), _writer: None })
    }

    async fn commit(&self, tx: Transaction) -> Result<()> {
        *self.committed.lock().unwrap_or_else(PoisonError::into_inner) = tx.working;
        Ok(())
    }
}

impl Deref for Transaction {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.working
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.working
    }
}
