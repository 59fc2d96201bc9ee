#![doc = include_str!("../README.md")]

mod membership;

mod id;
mod member;
mod page;
mod scope;
mod transition;

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

pub use error::{Error, Result};
pub use id::{Reason, Role, ScopeId, ScopeType, UserId};
pub use member::{By, Change, Grant, Member, MembershipSet, State};
pub use membership::Membership;
pub use memory::Memory;
pub use page::{Page, PageRequest, PageToken};
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
pub use scope::{BATCH, CHAPTER, GROUP, MENTORSHIP_PROGRAMME, Scope, ScopeKind};
pub use source::Source;
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;
pub use store::{Standing, Store, Write, Written};
