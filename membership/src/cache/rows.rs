//! The rows in the cache, and the rules by which one enters it and is served from it.

use std::array;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::time::Instant;

use super::table::{Key, Moment, Table, Turn};
use crate::{Member, Role, Scope, State, UserId};

/// The words of most keys: two UUIDs and a scope type of up to 8 bytes. With its head, a slot has 64 bytes: one cache line.
const SHORT: usize = 2 + 2 + 1;
/// The words of keys up to about 100 bytes. With its head, a slot has 128 bytes.
const MEDIUM: usize = 13;
/// The words of the longest possible key. With its head, a slot has 384 bytes.
const LONG: usize = 16 + 8 + 16;
/// For so many memberships there is room for one with a long key.
const PER_LONG: usize = 8;
/// How many epochs there are: changes of unrelated memberships rarely share one.
const STRIPES: usize = 256;
/// How many different roles are kept: a value of the table has seven bits for them.
const ROLES: usize = 1 << 7;

/// Rows that are served while a lease lasts.
///
/// * A row is served only before the lease, which vouches that all changes committed up to a certain time before it have been
///   applied: their rows were removed.
/// * A row enters only if no change of its stripe was applied since before it was read: what was removed does not come back.
pub(super) struct Rows {
    /// Moments are nanoseconds since.
    origin: Instant,
    lease: AtomicU64,
    /// Changes under the lock. Entries of earlier ones are gone.
    generation: AtomicU32,
    hasher: RandomState,
    capacity: usize,
    /// By the length of the key. Each is allocated when the first row enters.
    short: OnceLock<Table<SHORT>>,
    medium: OnceLock<Table<MEDIUM>>,
    long: OnceLock<Table<LONG>>,
    /// Filled in order, under the lock.
    roles: [OnceLock<Role>; ROLES],
    lock: Apart<Mutex<Lock>>,
}

/// Keeps what is written often off the cache lines of what is read often.
#[repr(align(128))]
struct Apart<T>(T);

struct Lock {
    turn: Turn,
    /// How often a change was applied to one of the memberships of each stripe.
    epochs: [u64; STRIPES],
}

/// The right to insert one row, taken before the row is read.
pub(super) struct Ticket<'a> {
    key: Key<'a>,
    generation: u32,
    epoch: u64,
    began: Instant,
}

/// What is kept of a membership: where it stands and, if there is one, what the member is.
#[derive(Clone, Copy)]
pub(super) enum Row<'a> {
    Absent,
    Present(State, &'a Role),
}

impl<'a> Row<'a> {
    pub(super) fn of(member: Option<&'a Member>) -> Self {
        member.map_or(Self::Absent, |member| Self::Present(member.state(), member.role()))
    }

    /// Returns the role of an active member.
    pub(super) fn role(self) -> Option<&'a Role> {
        match self {
            Self::Present(State::Active, role) => Some(role),
            _ => None,
        }
    }
}

impl Rows {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            origin: Instant::now(),
            lease: AtomicU64::new(0),
            generation: AtomicU32::new(1),
            hasher: RandomState::default(),
            capacity,
            short: OnceLock::new(),
            medium: OnceLock::new(),
            long: OnceLock::new(),
            roles: array::from_fn(|_| OnceLock::new()),
            lock: Apart(Mutex::new(Lock { turn: Turn::new(), epochs: [0; STRIPES] })),
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Returns what may be served now. Allocates nothing and waits for nobody.
    pub(super) fn find(&self, user: &UserId, scope: &Scope) -> Option<Row<'_>> {
        let now = self.moment(Instant::now());
        // Acquired before all else: who sees the lease sees the removals that came before it.
        if now >= self.lease.load(Ordering::Acquire) {
            return None;
        }
        let at = Moment { generation: self.generation.load(Ordering::Acquire), nanoseconds: now };
        let key = Key::new(&self.hasher, user, scope);
        let value = match key.length() {
            length if length <= SHORT => self.short.get()?.find(&key, at),
            length if length <= MEDIUM => self.medium.get()?.find(&key, at),
            _ => self.long.get()?.find(&key, at),
        };
        self.unpacked(value?)
    }

    /// Returns the right to insert what is read from now on.
    pub(super) fn ticket<'a>(&self, user: &'a UserId, scope: &'a Scope) -> Ticket<'a> {
        let key = Key::new(&self.hasher, user, scope);
        let lock = self.lock();
        let epoch = lock.epochs[key.stripe(STRIPES)];
        // Under the lock, as every change of it.
        let generation = self.generation.load(Ordering::Relaxed);
        drop(lock);
        Ticket { key, generation, epoch, began: Instant::now() }
    }

    /// Inserts what was read, unless it may have changed since the ticket was taken.
    pub(super) fn insert(&self, ticket: &Ticket<'_>, member: Option<&Member>) {
        let mut lock = self.lock();
        let generation = self.generation.load(Ordering::Relaxed);
        let is_fresh = ticket.generation == generation && ticket.epoch == lock.epochs[ticket.key.stripe(STRIPES)];
        let Some(value) = is_fresh.then(|| self.packed(Row::of(member))).flatten() else { return };
        // The row was read after the ticket was taken: by our clock it ends no earlier.
        let lasts = member.filter(|member| member.is_active()).and_then(lasts);
        let deadline = lasts.map_or(u64::MAX, |lasts| self.moment(ticket.began).saturating_add(nanoseconds(lasts)));
        let at = Moment { generation, nanoseconds: self.moment(Instant::now()) };
        let (turn, key, capacity) = (&mut lock.turn, &ticket.key, self.capacity);
        match key.length() {
            length if length <= SHORT => {
                self.short.get_or_init(|| Table::new(capacity)).insert(turn, key, value, deadline, at);
            }
            length if length <= MEDIUM => {
                self.medium.get_or_init(|| Table::new(capacity)).insert(turn, key, value, deadline, at);
            }
            _ => {
                let table = self.long.get_or_init(|| Table::new(capacity.div_ceil(PER_LONG)));
                table.insert(turn, key, value, deadline, at);
            }
        }
    }

    /// Removes one row, and keeps out what was read of it so far.
    pub(super) fn remove(&self, user: &UserId, scope: &Scope) {
        let key = Key::new(&self.hasher, user, scope);
        let mut lock = self.lock();
        lock.epochs[key.stripe(STRIPES)] += 1;
        match key.length() {
            length if length <= SHORT => {
                self.short.get().into_iter().for_each(|table| table.remove(&mut lock.turn, &key));
            }
            length if length <= MEDIUM => {
                self.medium.get().into_iter().for_each(|table| table.remove(&mut lock.turn, &key));
            }
            _ => self.long.get().into_iter().for_each(|table| table.remove(&mut lock.turn, &key)),
        }
    }

    /// Removes all rows, and keeps out what was read so far.
    pub(super) fn clear(&self) {
        let mut lock = self.lock();
        let mut next = self.generation.load(Ordering::Relaxed).wrapping_add(1);
        if next == 0 {
            // The numbers start over: entries of their first round must not come back.
            next = 1;
            self.short.get().into_iter().for_each(|table| table.erase(&mut lock.turn));
            self.medium.get().into_iter().for_each(|table| table.erase(&mut lock.turn));
            self.long.get().into_iter().for_each(|table| table.erase(&mut lock.turn));
        }
        self.generation.store(next, Ordering::Release);
    }

    /// Lets rows be served for so long from `began`: every change committed before then has been applied.
    pub(super) fn renew(&self, began: Instant, lasts: Duration) {
        let lease = self.moment(began).saturating_add(nanoseconds(lasts));
        self.lease.fetch_max(lease, Ordering::Release);
    }

    /// Puts a row into nine bits: two for the state, seven for the role. `None` if it cannot be kept.
    fn packed(&self, row: Row<'_>) -> Option<u16> {
        let Row::Present(state, role) = row else { return Some(0) };
        let state = match state {
            State::Active => 1,
            State::Banned => 2,
            State::Left => 3,
            // It is read again each time: by our clock, it may not have ended.
            State::Expired => return None,
        };
        let index = self.roles.iter().position(|known| known.get_or_init(|| role.clone()) == role)?;
        Some(state | u16::try_from(index).ok()? << 2)
    }

    fn unpacked(&self, value: u16) -> Option<Row<'_>> {
        let state = match value & 3 {
            0 => return Some(Row::Absent),
            1 => State::Active,
            2 => State::Banned,
            _ => State::Left,
        };
        Some(Row::Present(state, self.roles.get(usize::from(value >> 2))?.get()?))
    }

    fn lock(&self) -> MutexGuard<'_, Lock> {
        // What panics under the lock, if anything, is an allocation, and that leaves nothing half done.
        self.lock.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moment(&self, instant: Instant) -> u64 {
        nanoseconds(instant.saturating_duration_since(self.origin))
    }
}

/// How long an active membership lasts from the moment of reading; `None`: it does not end by itself.
fn lasts(member: &Member) -> Option<Duration> {
    let end = member.expires_at()?;
    Some((end - member.read_at()).to_std().unwrap_or_default())
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_first_generation_do_not_come_back_when_the_numbers_start_over() {
        let (rows, user, scope) = (Rows::new(10), UserId::new("ada").unwrap(), Scope::group("chess").unwrap());
        rows.renew(Instant::now(), Duration::from_mins(1));
        rows.insert(&rows.ticket(&user, &scope), None);
        assert!(rows.find(&user, &scope).is_some());
        rows.generation.store(u32::MAX, Ordering::Relaxed);
        rows.clear();
        assert_eq!(rows.generation.load(Ordering::Relaxed), 1);
        assert!(rows.find(&user, &scope).is_none());
    }

    #[test]
    fn a_lease_is_not_shortened() {
        let (rows, user, scope) = (Rows::new(10), UserId::new("ada").unwrap(), Scope::group("chess").unwrap());
        let now = Instant::now();
        rows.renew(now, Duration::from_mins(1));
        rows.renew(now, Duration::ZERO);
        rows.insert(&rows.ticket(&user, &scope), None);
        assert!(rows.find(&user, &scope).is_some());
    }
}
