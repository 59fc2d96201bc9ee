//! Who leads which loop, in memory.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Connection, delta};
use crate::{Lead, Name, Result, Token};

#[derive(Clone, Copy, Debug)]
pub(super) struct Leader {
    token: Option<Token>,
    lease_until: DateTime<Utc>,
    ran_at: Option<DateTime<Utc>>,
}

pub(super) async fn take(conn: &mut Connection, name: &Name, token: Token, lease: Duration) -> Result<Option<Lead>> {
    conn.write(|rows, now| {
        let vacant = Leader { token: None, lease_until: now, ran_at: None };
        let leader = rows.leaders.entry(name.clone()).or_insert(vacant);
        if leader.lease_until > now {
            return Ok(None);
        }
        leader.token = Some(token);
        leader.lease_until = now + delta(lease);
        Ok(Some(Lead { now, ran_at: leader.ran_at }))
    })
    .await
}

pub(super) async fn renew(conn: &mut Connection, name: &Name, token: Token, lease: Duration) -> Result<Option<Lead>> {
    conn.write(|rows, now| {
        let leader = rows.leaders.get_mut(name).filter(|leader| leader.token == Some(token));
        Ok(leader.map(|leader| {
            leader.lease_until = now + delta(lease);
            Lead { now, ran_at: leader.ran_at }
        }))
    })
    .await
}

pub(super) fn leads(conn: &mut Connection, name: &Name, token: Token) -> Result<bool> {
    conn.read(|rows| Ok(rows.leaders.get(name).is_some_and(|leader| leader.token == Some(token))))
}

pub(super) async fn ran(conn: &mut Connection, name: &Name, token: Token, began_at: DateTime<Utc>) -> Result<bool> {
    conn.write(|rows, _| {
        let leader = rows.leaders.get_mut(name).filter(|leader| leader.token == Some(token));
        Ok(leader.map(|leader| leader.ran_at = Some(began_at)).is_some())
    })
    .await
}

pub(super) async fn resign(conn: &mut Connection, name: &Name, token: Token) -> Result<()> {
    conn.write(|rows, now| {
        if let Some(leader) = rows.leaders.get_mut(name).filter(|leader| leader.token == Some(token)) {
            leader.token = None;
            leader.lease_until = now;
        }
        Ok(())
    })
    .await
}
