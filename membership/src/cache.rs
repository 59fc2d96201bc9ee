//! The cache: checks without a round trip, as old as the host allows and no older.

mod rows;
mod table;

use std::error::Error as StdError;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tracing::instrument;

use crate::page::MAX_LIMIT;
use crate::{Cursor, Error, Event, Member, Membership, Result, Role, Scope, Source, Store, UserId};
use rows::{Row, Rows};

/// The shortest time between two looks at the feed.
const MIN_PAUSE: Duration = Duration::from_millis(1);
/// The longest pause after the database failed.
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// How long one look at the feed may take: a connection that hangs is given up.
const MAX_POLL: Duration = Duration::from_secs(10);

/// Answers checks from memory, bounded in age and in size.
///
/// For checks that may be a little old, such as what a page shows. A check that guards a write belongs into the transaction of
/// that write: [`Membership::hold`]. The cache takes no connection but acquires its own where it has to ask the database; inside a
/// transaction it would neither see that transaction's changes nor hold anything.
///
/// ```no_run
/// # use stoa_membership::{CachedMembership, Membership, Memory, Scope, UserId, memory};
/// # async fn serve(shutdown: impl Future<Output = ()> + Send + 'static, ada: UserId, chess: Scope) -> stoa_membership::Result<()> {
/// let cached = CachedMembership::new(Membership::new(Memory), memory::Database::default());
/// let watcher = cached.clone();
/// tokio::spawn(async move { watcher.run_until(shutdown).await }); // nothing is served from memory without it
/// if cached.is_member(&ada, &chess).await? { /* … */ }
/// # Ok(())
/// # }
/// ```
///
/// # Guarantees
/// * An answer reflects every change that was committed, by whatever process, more than
///   [`max_staleness`](Self::max_staleness) before the call began. Rows are served only while a lease lasts that each look of
///   [`run_until`](Self::run_until) at the feed of changes renews, counted from the look's beginning. Without a lease, because
///   nobody watches, the feed fails or the task is starved, every call asks the database: it never fails for want of the feed and
///   never answers from before.
/// * What is kept is the row, or that there is none, never a decision. State and end are judged at each call, and a membership that
///   has ended meanwhile is read again.
/// * Only what was read successfully is kept. A storage failure is an `Err`, never `false`.
/// * Ids are kept byte by byte: spelled differently, they are different.
/// * Memory is bounded by [`capacity`](Self::capacity), whatever is asked for and however hostile the ids are.
///
/// Time is the process's monotonic clock. The source must lead to the database that is written to, not to a replica.
///
/// Clones share one cache.
pub struct CachedMembership<S, P> {
    membership: Arc<Membership<S>>,
    source: P,
    max_staleness: Duration,
    rows: Arc<Rows>,
}

impl<S, P: Clone> Clone for CachedMembership<S, P> {
    fn clone(&self) -> Self {
        Self {
            membership: Arc::clone(&self.membership),
            source: self.source.clone(),
            max_staleness: self.max_staleness,
            rows: Arc::clone(&self.rows),
        }
    }
}

impl<S, P> fmt::Debug for CachedMembership<S, P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CachedMembership")
            .field("max_staleness", &self.max_staleness)
            .field("capacity", &self.rows.capacity())
            .finish_non_exhaustive()
    }
}

impl<S: Store, P: Source<Connection = S::Connection>> CachedMembership<S, P> {
    /// Caches what it reads through connections of the source: up to 1 second old, 100,000 memberships.
    pub fn new(membership: Membership<S>, source: P) -> Self {
        Self {
            membership: Arc::new(membership),
            source,
            max_staleness: Duration::from_secs(1),
            rows: Arc::new(Rows::new(100_000)),
        }
    }

    /// Serves answers up to this old; zero serves none from memory. The feed is read three times as often.
    ///
    /// Default: 1 second. Set it before cloning: this handle starts over with a cache of its own.
    #[must_use]
    pub fn max_staleness(mut self, max_staleness: Duration) -> Self {
        self.max_staleness = max_staleness;
        self.rows = Arc::new(Rows::new(self.rows.capacity()));
        self
    }

    /// Makes room for so many memberships; those that are not asked for make way to others.
    ///
    /// By the ids, there are three rooms, each allocated as a whole when the first membership enters it: 96 bytes a membership
    /// where user and scope are UUIDs in the usual spelling and the scope type has up to 8 bytes; 192 bytes where all three have up to
    /// about 100 bytes together, and UUIDs count as 16; 576 bytes, and room for an eighth as many, for what is longer. Rows with
    /// more than the first 128 different roles are not kept. Default: 100,000. Set it before cloning: this handle starts over with
    /// a cache of its own.
    #[must_use]
    pub fn capacity(mut self, memberships: usize) -> Self {
        self.rows = Arc::new(Rows::new(memberships));
        self
    }

    /// Says whether the user is an active, unexpired member of the scope.
    ///
    /// Has no span of its own where it answers from memory: that would cost more than the answer.
    ///
    /// # Errors
    /// [`Error::Backend`] if the database had to be asked and failed: a failure is never `false`.
    pub async fn is_member(&self, user: &UserId, scope: &Scope) -> Result<bool> {
        match self.rows.find(user, scope) {
            Some(row) => Ok(row.role().is_some()),
            None => Ok(Row::of(self.read(user, scope).await?.as_ref()).role().is_some()),
        }
    }

    /// Returns the role of an active, unexpired member; `None` for everybody else.
    ///
    /// # Errors
    /// [`Error::Backend`] if the database had to be asked and failed.
    pub async fn role(&self, user: &UserId, scope: &Scope) -> Result<Option<Role>> {
        match self.rows.find(user, scope) {
            Some(row) => Ok(row.role().cloned()),
            None => Ok(Row::of(self.read(user, scope).await?.as_ref()).role().cloned()),
        }
    }

    /// Has the next call about this membership ask the database.
    ///
    /// For whoever has just committed a change of it and wants to see it through the same cache at once. Before the commit it
    /// would be of no use: another call may read the old row again.
    pub fn forget(&self, user: &UserId, scope: &Scope) {
        self.rows.remove(user, scope);
    }

    /// Watches the feed of changes until the shutdown completes: the cache serves nothing from memory without it.
    ///
    /// To be spawned by the host. A failing database is logged and tried again; a feed that got too far ahead, or a purge, empties
    /// the cache. Once it ends, or is dropped, the cache serves from memory for what is left of [`max_staleness`](Self::max_staleness)
    /// and asks the database from then on. A second watcher of the same cache does no harm and no good.
    pub async fn run_until(&self, shutdown: impl Future<Output = ()>) {
        let (mut shutdown, mut watching) = (pin!(shutdown), pin!(self.watch()));
        poll_fn(|context| match shutdown.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => watching.as_mut().poll(context),
        })
        .await;
    }

    /// Reads from the database, and keeps what it read.
    #[instrument(level = "debug", name = "membership.cached_read", skip_all)]
    async fn read(&self, user: &UserId, scope: &Scope) -> Result<Option<Member>> {
        let mut conn = self.source.acquire().await?;
        let ticket = self.rows.ticket(user, scope);
        let member = self.membership.get(&mut conn, user, scope).await?;
        self.rows.insert(&ticket, member.as_ref());
        Ok(member)
    }

    async fn watch(&self) {
        let interval = (self.max_staleness / 3).max(MIN_PAUSE);
        let mut cursor = None;
        let mut failures = 0;
        loop {
            let polled = timeout(MAX_POLL, self.poll(&mut cursor)).await;
            let pause = match polled.unwrap_or_else(|elapsed| Err(Error::Backend(elapsed.into()))) {
                Ok(()) => {
                    failures = 0;
                    interval
                }
                Err(error) => {
                    if failures == 0 {
                        tracing::warn!(
                            error = &error as &dyn StdError,
                            "could not read the feed of memberships; trying again"
                        );
                    }
                    // The first retry comes before the lease ends; then doubled each time.
                    let pause = interval.saturating_mul(1 << failures).min(MAX_PAUSE);
                    failures = (failures + 1).min(10);
                    pause
                }
            };
            sleep(pause).await;
        }
    }

    /// Applies what was committed since the last time and renews the lease; without a cursor, starts over.
    async fn poll(&self, cursor: &mut Option<Cursor>) -> Result<()> {
        let mut conn = self.source.acquire().await?;
        let began = Instant::now();
        let Some(after) = cursor else {
            let latest = self.membership.latest(&mut conn).await?;
            // Only now: what was read before may have changed before the cursor, and nothing will tell.
            self.rows.clear();
            *cursor = Some(latest);
            self.rows.renew(began, self.max_staleness);
            return Ok(());
        };
        let changes = match self.membership.changes(&mut conn, after, MAX_LIMIT).await {
            Err(Error::Cursor) => {
                *cursor = None;
                return Err(Error::Cursor);
            }
            changes => changes?,
        };
        if changes.events.len() >= MAX_LIMIT as usize {
            // There is more: starting over is quicker than catching up.
            *cursor = None;
            return Ok(());
        }
        for event in &changes.events {
            match event {
                Event::Changed(transition) => self.rows.remove(&transition.user, &transition.scope),
                Event::Purged { .. } => self.rows.clear(),
            }
        }
        *cursor = Some(changes.next);
        self.rows.renew(began, self.max_staleness);
        Ok(())
    }
}
