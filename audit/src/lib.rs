#![doc = include_str!("../README.md")]

mod audit;

mod action;
mod body;
mod id;
mod page;
mod record;
mod record_id;

#[cfg(feature = "seal")]
mod checkpoint;
#[cfg(feature = "seal")]
mod note;
#[cfg(feature = "seal")]
mod proof;
#[cfg(feature = "seal")]
mod tree;

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

pub use action::Action;
pub use audit::{Audit, Receipt};
pub use body::{Audited, Body};
#[cfg(feature = "seal")]
pub use checkpoint::Checkpoint;
pub use error::{Error, Result};
pub use id::{ActorName, EntityId, EntityType, RequestId, TraceId, UserId};
pub use memory::Memory;
#[cfg(feature = "seal")]
pub use note::{Origin, Signer, Verifier};
pub use page::{Page, PageRequest};
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
#[cfg(feature = "seal")]
pub use proof::{ProofPlan, verify_consistency, verify_inclusion};
pub use record::{Actor, ClientAddress, Entity, Entry, Outcome, Record, RequestContext, Trust};
pub use record_id::RecordId;
pub use source::Source;
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;
pub use store::Store;
#[cfg(feature = "seal")]
pub use tree::{Frontier, Hash, Node, TreeHead};
