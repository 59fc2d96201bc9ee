//! The laws every backend obeys, for this crate's backends and yours. Not covered by version promises.
//!
//! Implement [`Harness`] in a test and write `stoa_audit::conformance!(MyHarness::new().await);`.

mod content;
mod export;
mod keys;
mod listing;
mod personal;
mod sealing;
mod transactions;

use serde::Serialize;

use crate::{
    Action, Actor, Audit, Audited, Body, Entity, EntityId, EntityType, Entry, Filter, LogStore, PageRequest, Record,
    RequestContext, Source, Store, Trust,
};

pub use self::content::*;
pub use self::export::*;
pub use self::keys::*;
pub use self::listing::*;
pub use self::personal::*;
pub use self::sealing::*;
pub use self::transactions::*;

/// One fresh, empty, migrated database and the store under test.
pub trait Harness: Send + Sync {
    /// The store under test.
    type Store: LogStore;
    /// Where its connections come from.
    type Source: Source<Connection = <Self::Store as Store>::Connection>;
    /// Whether two transactions can write at once. Where they cannot, the law on concurrent writers checks that they take turns.
    const CONCURRENT_WRITERS: bool;

    /// Returns the store.
    fn store(&self) -> Self::Store;
    /// Returns the database, which lives as long as the harness.
    fn source(&self) -> Self::Source;
    /// Sets a savepoint in the transaction open on the connection.
    fn savepoint(&self, conn: &mut <Self::Store as Store>::Connection) -> impl Future<Output = ()> + Send;
    /// Takes back what came after the savepoint.
    fn rollback_to_savepoint(&self, conn: &mut <Self::Store as Store>::Connection) -> impl Future<Output = ()> + Send;
}

#[doc(hidden)]
#[macro_export]
macro_rules! __laws {
    ($emit:path, $harness:expr) => {
        $emit! { $harness;
            a_record_exists_if_and_only_if_its_transaction_commits
            a_rolled_back_savepoint_removes_just_its_own_records
            a_record_on_a_bare_connection_stays_at_once
            every_field_reads_back
            bodies_survive_byte_for_byte
            a_field_that_is_not_listed_reaches_neither_row_nor_error
            refused_input_writes_nothing_and_leaves_the_transaction_usable
            many_records_are_added_in_their_order
            a_failing_batch_leaves_nothing
            appends_in_two_transactions_do_not_wait_for_each_other
            a_detached_record_survives_a_rollback
            a_difference_keeps_what_changed_in_its_own_bytes
            a_repeated_key_writes_nothing_and_names_the_first
            a_key_counts_for_one_actor_and_one_action
            a_rolled_back_key_is_free_again
            concurrent_attempts_under_one_key_write_one_record
            personal_data_is_kept_beside_the_record
            an_erasure_removes_what_is_one_persons_and_is_recorded
            what_was_erased_cannot_be_recorded
            the_leaf_hash_can_be_computed_again
            pages_walk_each_record_once_newest_first
            ids_are_compared_as_bytes
            a_filter_chooses_what_it_says
            nothing_recorded_forges_a_line_or_a_column
            an_export_goes_on_where_it_stopped
            a_broken_export_says_where_to_go_on
            an_export_marks_what_was_erased
            an_event_keeps_the_rules_of_cloud_events
            committed_records_are_sealed_once_in_their_order
            a_transaction_that_commits_late_is_sealed
            many_writers_and_two_sealers_leave_no_gap
            a_sealer_dropped_on_its_way_loses_and_doubles_nothing
            no_checkpoint_is_lost_to_a_sink_that_fails
            a_sealer_continues_no_log_that_it_did_not_sign
            every_record_has_a_proof
            a_log_is_intact_only_against_a_checkpoint_from_outside
            an_erased_record_stays_provable
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __law_tests {
    ($harness:expr; $($law:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                $crate::conformance::$law(&$harness).await;
            }
        )*
    };
}

/// Emits one test for each law. The expression makes a fresh harness and may `.await`.
#[macro_export]
macro_rules! conformance {
    ($harness:expr) => {
        $crate::__laws!($crate::__law_tests, $harness);
    };
}

const CREATED: Action = Action::new("test.posts.v1.PostService/CreatePost");
const UPDATED: Action = Action::new("test.posts.v12.PostService/UpdatePost");
const POST: EntityType = EntityType::from_static("post");
const GROUP: EntityType = EntityType::from_static("group");

#[derive(Serialize)]
struct Post {
    title: String,
    name: String,
    secret: &'static str,
}

impl Audited for Post {
    const FIELDS: &'static [&'static str] = &["title"];
    const PERSONAL: &'static [&'static str] = &["name"];
}

fn titled(title: impl Into<String>) -> Post {
    let title = title.into();
    Post { name: title.clone(), title, secret: "hunter2" }
}

fn request(ip: &str) -> RequestContext {
    RequestContext::default().client(ip.parse().unwrap(), Trust::Direct)
}

fn post(id: &str) -> Entity {
    Entity::new(POST, EntityId::new(id).unwrap())
}

fn created(id: &str) -> Record {
    Record::new(CREATED, &Actor::user("ada").unwrap(), post(id))
}

/// Texts that a database which understands JSON likes to rewrite.
fn stubborn_bodies() -> impl Iterator<Item = Body> {
    [
        r#"{"b":1,"a":2,"b":3}"#,
        r#"{"whole":1,"float":1.0,"exponent":1e2,"large":123456789012345678901234567890,"huge":1e400,"zero":-0}"#,
        r#"{"escapes":"\u0041\/\n\u0000\ud83d\ude00\ud800","quote":"\"","backslash":"\\","percent":"%s '; --"}"#,
        "{\"emoji\":\"👩🏽‍🚀 é e\u{301}\",\"separator\":\"\u{2028}\",\"c1\":\"\u{9b}\"}",
        " { \"spaces\" :\t[ 1 ,2 ] }\n",
        "{}",
    ]
    .into_iter()
    .map(|text| Body::from_stored(text.into()))
}

async fn all<S: Store>(audit: &Audit<S>, conn: &mut S::Connection) -> Vec<Entry> {
    audit.list(conn, &Filter::new(), &PageRequest::first(1000)).await.unwrap().items
}
