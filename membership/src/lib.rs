#![doc = include_str!("../README.md")]

mod membership;

mod filter;
mod history;
mod id;
mod import;
mod member;
mod page;
mod scope;
#[cfg(feature = "serde")]
mod text;
mod transition;

#[cfg(feature = "cache")]
mod cache;

mod error;
mod source;
mod store;

pub mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;

#[cfg(feature = "conformance")]
pub mod conformance;

#[cfg(feature = "cache")]
pub use cache::CachedMembership;
pub use error::{Error, Result};
pub use filter::Filter;
pub use history::{Changes, Cursor, Event, Purged, Transition, Verb};
pub use id::{Reason, Role, ScopeId, ScopeType, UserId};
pub use import::{Import, ImportRow, Imported};
pub use member::{By, Change, Grant, Member, MembershipSet, Standing, State};
pub use membership::Membership;
pub use memory::Memory;
pub use page::{Page, PageRequest, PageToken};
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
pub use scope::{BATCH, CHAPTER, GROUP, MENTORSHIP_PROGRAMME, Scope, ScopeKind};
pub use source::Source;
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;
pub use store::{Load, Removed, Store, Write, Written};
