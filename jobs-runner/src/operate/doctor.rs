//! What may be wrong with the database under a queue.

use std::fmt;
use std::time::Duration;

use crate::Queue;

/// A reader is held to be short up to this long.
pub(crate) const LONG: Duration = Duration::from_mins(5);
/// A table with fewer dead rows than this is left to the vacuum.
pub(crate) const MANY_ROWS: u64 = 100_000;
/// An index or a log smaller than this is nobody's problem.
pub(crate) const LARGE: u64 = 256 << 20;

/// How much a [`Finding`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Worth knowing.
    Info,
    /// Worth looking at.
    Warning,
}

/// One thing that [`Jobs::doctor`](crate::Jobs::doctor) measured; its text says what, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// Somebody holds an old snapshot: what finished jobs leave behind cannot be cleaned away, and everything slows down.
    HeldHorizon {
        /// Who.
        holder: Holder,
        /// Since when; unknown for replication slots.
        held: Option<Duration>,
        /// How many transactions began since.
        transactions: u64,
    },
    /// How many rows a table holds, dead and alive, by the database's own estimate.
    Rows {
        /// Which table.
        table: String,
        /// Rows in use.
        live: u64,
        /// Rows that are waiting for the vacuum.
        dead: u64,
    },
    /// How large an index is.
    Index {
        /// Which index.
        index: String,
        /// Its bytes.
        bytes: u64,
        /// Its bytes for each of its entries, by the database's own estimate; more than some hundred are mostly empty pages.
        bytes_per_entry: Option<u64>,
    },
    /// The vacuum is switched off, for a table or altogether.
    VacuumOff {
        /// Which table; `None`: all.
        table: Option<String>,
    },
    /// Somebody changed or dropped a storage parameter that the migration set.
    Overridden {
        /// Which table.
        table: String,
        /// What it should be, as `name=value`.
        parameter: String,
    },
    /// A ready job has been waiting for some time.
    Waiting {
        /// Where.
        queue: Queue,
        /// How long.
        age: Duration,
    },
    /// A queue holds ready jobs, and no worker of it beats.
    Unserved {
        /// Which queue.
        queue: Queue,
    },
    /// Nobody claims from the queue.
    Paused {
        /// Which queue.
        queue: Queue,
    },
    /// Workers that stopped beating.
    LostWorkers {
        /// How many.
        count: u64,
    },
    /// SQLite: how it writes. Anything but `wal` makes readers and writers wait for each other.
    JournalMode {
        /// The mode.
        mode: String,
    },
    /// SQLite: the write-ahead log, which grows as long as somebody reads an old state.
    Wal {
        /// Its bytes.
        bytes: u64,
    },
    /// SQLite: pages of the file that hold nothing.
    FreePages {
        /// How many.
        free: u64,
        /// Of how many.
        pages: u64,
    },
}

/// Who holds an old snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Holder {
    /// A session.
    Session {
        /// Its process.
        pid: i32,
        /// What it says it is.
        application: String,
        /// What it is doing.
        state: String,
    },
    /// A prepared transaction.
    Prepared {
        /// Its name.
        gid: String,
    },
    /// A replication slot.
    Slot {
        /// Its name.
        name: String,
    },
}

impl Finding {
    /// Says how much it matters.
    pub fn level(&self) -> Level {
        let is_bad = match self {
            Self::HeldHorizon { held, transactions, .. } => held.map_or(*transactions > 1_000_000, |held| held > LONG),
            Self::Rows { live, dead, .. } => *dead > MANY_ROWS && dead > live,
            Self::Index { bytes, bytes_per_entry, .. } => {
                *bytes > LARGE && bytes_per_entry.is_some_and(|bytes| bytes > 500)
            }
            Self::Waiting { age, .. } => *age > LONG,
            Self::JournalMode { mode } => !mode.eq_ignore_ascii_case("wal") && !mode.eq_ignore_ascii_case("memory"),
            Self::Wal { bytes } => *bytes > LARGE,
            Self::FreePages { free, pages } => *free > 65_536 && *free > pages / 2,
            Self::Paused { .. } => false,
            Self::VacuumOff { .. } | Self::Overridden { .. } | Self::Unserved { .. } | Self::LostWorkers { .. } => true,
        };
        if is_bad { Level::Warning } else { Level::Info }
    }

    /// Returns a stable name of its kind, for machines.
    pub fn name(&self) -> &'static str {
        match self {
            Self::HeldHorizon { .. } => "held_horizon",
            Self::Rows { .. } => "rows",
            Self::Index { .. } => "index",
            Self::VacuumOff { .. } => "vacuum_off",
            Self::Overridden { .. } => "overridden",
            Self::Waiting { .. } => "waiting",
            Self::Unserved { .. } => "unserved",
            Self::Paused { .. } => "paused",
            Self::LostWorkers { .. } => "lost_workers",
            Self::JournalMode { .. } => "journal_mode",
            Self::Wal { .. } => "wal",
            Self::FreePages { .. } => "free_pages",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_bad = self.level() == Level::Warning;
        match self {
            Self::HeldHorizon { holder, held: Some(held), transactions } => {
                write!(to, "{holder} holds a snapshot for {} s and {transactions} transactions", held.as_secs())?;
            }
            Self::HeldHorizon { holder, held: None, transactions } => {
                write!(to, "{holder} holds a snapshot for {transactions} transactions")?;
            }
            Self::Rows { table, live, dead } => write!(to, "{table} holds about {live} rows and {dead} dead ones")?,
            Self::Index { index, bytes, bytes_per_entry } => {
                write!(to, "{index} takes {}", size(*bytes))?;
                if let Some(bytes) = bytes_per_entry {
                    write!(to, ", {bytes} bytes an entry")?;
                }
            }
            Self::VacuumOff { table: Some(table) } => write!(to, "autovacuum is switched off for {table}")?,
            Self::VacuumOff { table: None } => write!(to, "autovacuum is switched off")?,
            Self::Overridden { table, parameter } => write!(to, "{table} has lost its storage parameter {parameter}")?,
            Self::Waiting { queue, age } => write!(to, "a job in {queue} has been due for {} s", age.as_secs())?,
            Self::Unserved { queue } => write!(to, "{queue} holds ready jobs, and no worker serves it")?,
            Self::Paused { queue } => write!(to, "{queue} is paused")?,
            Self::LostWorkers { count } => write!(to, "{count} workers have stopped beating")?,
            Self::JournalMode { mode } => write!(to, "the journal mode is {mode}")?,
            Self::Wal { bytes } => write!(to, "the write-ahead log takes {}", size(*bytes))?,
            Self::FreePages { free, pages } => write!(to, "{free} of {pages} pages are free")?,
        }
        match self.advice() {
            Some(advice) if is_bad => write!(to, ": {advice}"),
            _ => Ok(()),
        }
    }
}

impl Finding {
    fn advice(&self) -> Option<&'static str> {
        Some(match self {
            Self::HeldHorizon { holder: Holder::Session { .. }, .. } => {
                "end it, or set idle_in_transaction_session_timeout"
            }
            Self::HeldHorizon { holder: Holder::Prepared { .. }, .. } => "commit or roll it back",
            Self::HeldHorizon { holder: Holder::Slot { .. }, .. } => "let its consumer catch up, or drop it",
            Self::Rows { .. } => "look for an old snapshot, then VACUUM",
            Self::Index { .. } => "REINDEX INDEX CONCURRENTLY",
            Self::VacuumOff { .. } => "switch it on",
            Self::Overridden { .. } => "ALTER TABLE … SET it again",
            Self::Waiting { .. } => "more workers, a handler that is missing, or a limit that is too low",
            Self::Unserved { .. } => "start one",
            Self::LostWorkers { .. } => "any living worker of the queue takes over their jobs",
            Self::JournalMode { .. } => "PRAGMA journal_mode = wal",
            Self::Wal { .. } => "look for a reader that never ends",
            Self::FreePages { .. } => "VACUUM, when nobody writes",
            Self::Paused { .. } => return None,
        })
    }
}

fn size(bytes: u64) -> String {
    match bytes >> 10 {
        kib @ 0..10_240 => format!("{kib} KiB"),
        kib => format!("{} MiB", kib >> 10),
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session { pid, application, state } => write!(to, "session {pid} ({application:?}, {state})"),
            Self::Prepared { gid } => write!(to, "prepared transaction {gid:?}"),
            Self::Slot { name } => write!(to, "replication slot {name:?}"),
        }
    }
}
