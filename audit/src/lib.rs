#![doc = include_str!("../README.md")]

mod audit;
mod audited_tx;

mod action;
mod body;
mod entry;
mod export;
mod filter;
mod id;
mod leaf;
mod page;
mod personal;
mod record;
mod record_id;

#[cfg(feature = "seal")]
mod checkpoint;
#[cfg(feature = "seal")]
mod log;
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
pub use audit::{Audit, Erasure, Receipt};
pub use audited_tx::{AuditedTx, Commit};
pub use body::{Audited, Body};
#[cfg(feature = "seal")]
pub use checkpoint::Checkpoint;
pub use entry::{Digests, Entry, NewRecord};
pub use error::{Error, Result};
pub use export::{Export, Exported, Format};
pub use filter::{Actions, Filter};
pub use id::{ActorName, EntityId, EntityType, IdempotencyKey, RequestId, TraceId, UserId};
#[cfg(feature = "seal")]
pub use log::{
    Anchor, Batch, CheckpointSink, Compared, Cursor, FileSink, InclusionProof, Log, LogStore, RecordCount, RecordState,
    Report, Sealed, Sealer, Sealing, SignedHead, Verdict, WriterSink,
};
pub use memory::Memory;
#[cfg(feature = "seal")]
pub use note::{Origin, Signer, Verifier};
pub use page::{Page, PageRequest};
pub use personal::{Commitment, Personal, PersonalFields, Private, StoredPrivate};
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
#[cfg(feature = "seal")]
pub use proof::{ProofPlan, verify_consistency, verify_inclusion};
pub use record::{Actor, ClientAddress, Entity, Outcome, Record, RequestContext, Trust};
pub use record_id::RecordId;
pub use source::Source;
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;
pub use store::Store;
#[cfg(feature = "seal")]
pub use tree::{Frontier, Hash, Node, TreeHead};
