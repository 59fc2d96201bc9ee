//! The laws every backend obeys, for this crate's backends and yours. Not covered by version promises.
//!
//! Implement [`Harness`] in a test and write `stoa_membership::conformance!(MyHarness::new().await);`.

mod feed;
mod history;
mod import;
mod listing;
mod purge;
mod races;
mod verbs;

use chrono::{TimeDelta, Utc};

pub use feed::*;
pub use history::*;
pub use import::*;
pub use listing::*;
pub use purge::*;
pub use races::*;
pub use verbs::*;

use crate::{
    By, Cursor, Event, Filter, Grant, Member, Membership, PageRequest, Reason, Role, Scope, Source, Store, Transition,
    UserId,
};

/// One fresh, empty, migrated database and the store under test.
pub trait Harness: Send + Sync {
    /// The store under test.
    type Store: Store;
    /// Where its connections come from.
    type Source: Source<Connection = <Self::Store as Store>::Connection>;

    /// Returns the store.
    fn store(&self) -> Self::Store;
    /// Returns the database, which lives as long as the harness.
    fn source(&self) -> Self::Source;
}

#[doc(hidden)]
#[macro_export]
macro_rules! __laws {
    ($emit:path, $harness:expr) => {
        $emit! { $harness;
            a_change_is_visible_in_its_own_transaction_at_once
            a_change_is_visible_to_others_at_commit_and_not_before
            a_rolled_back_change_never_existed
            banned_stays_banned_until_add_or_unban
            an_expired_member_is_a_member_nowhere
            a_former_owner_who_rejoins_holds_the_default_role
            an_expired_owner_does_not_count_as_an_owner
            the_last_owner_stays
            any_owner_role_owns_a_scope
            on_a_bare_connection_a_verb_stands_alone
            a_snapshot_that_is_committed_changes_nothing
            an_end_is_kept_by_set_role_and_replaced_by_add
            after_a_refusal_the_transaction_is_usable
            versions_count_changes
            an_undeclared_scope_type_is_refused
            every_future_can_move_between_threads
            a_verb_for_another_version_is_a_conflict
            of_two_writers_with_one_version_one_wins
            every_change_is_in_the_history_with_its_actor_and_reason
            what_changes_nothing_leaves_no_history
            a_history_has_pages
            ids_are_compared_as_bytes
            ids_of_any_text_are_storable
            a_single_read_shows_any_state
            many_checks_answer_as_one_does
            too_many_checks_are_refused
            listings_match_a_filter_applied_by_hand
            a_role_filter_matches_that_role_alone
            pages_return_each_member_once
            pages_of_a_large_scope_miss_nobody_while_others_come_and_go
            a_token_of_another_listing_is_refused
            a_listing_holds_only_active_members
            a_count_is_of_active_members_of_that_scope_alone
            the_feed_brings_every_committed_event_once
            an_answer_without_events_has_caught_up
            a_rolled_back_change_is_in_no_feed
            the_latest_cursor_brings_only_what_is_to_come
            a_foreign_cursor_is_refused
            many_writers_and_a_reader_of_the_feed
            a_purge_forgets_the_user
            a_purge_overrides_the_guard_and_names_the_ownerless
            a_purge_is_in_the_feed_without_a_name
            a_purge_of_nobody_reports_nothing
            a_purge_racing_with_verbs_leaves_no_trace
            an_import_counts_its_rows_and_repeats_without_change
            an_import_is_all_or_nothing
            an_import_keeps_bans_unless_told_to_lift_them
            an_import_keeps_an_owner
            an_import_of_too_much_is_refused
            a_large_import_is_one_call
            imports_of_the_same_rows_at_once_create_them_once
            an_import_racing_with_leaving_owners_keeps_one
            of_two_owners_leaving_at_once_one_stays
            concurrent_adds_create_one_row
            a_held_membership_makes_a_ban_wait
            a_ban_beats_a_racing_join
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

fn membership<H: Harness>(harness: &H) -> Membership<H::Store> {
    Membership::new(harness.store())
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn role(name: &str) -> Role {
    Role::new(name).unwrap()
}

fn chess() -> Scope {
    Scope::group("chess").unwrap()
}

fn owner() -> Grant {
    Grant::new(role("owner"))
}

fn by() -> By {
    By::user(&user("root")).because(Reason::new("a reason").unwrap())
}

fn group(id: &str) -> Scope {
    Scope::group(id).unwrap()
}

fn member() -> Grant {
    Grant::new(role("member"))
}

/// The same grant, over since an hour ago.
fn over(grant: Grant) -> Grant {
    grant.until(Utc::now() - TimeDelta::hours(1)).unwrap()
}

/// Walks a listing of a scope to its end; the token travels as text.
async fn walk<S: Store>(
    membership: &Membership<S>,
    conn: &mut S::Connection,
    scope: &Scope,
    filter: &Filter,
    limit: u32,
) -> Vec<Member> {
    let (mut walked, mut request) = (Vec::new(), PageRequest::first(limit));
    loop {
        let page = membership.list_by_scope(conn, scope, filter, &request).await.unwrap();
        assert!(page.items.len() <= limit as usize);
        walked.extend(page.items);
        match page.next {
            Some(token) => request = PageRequest::first(limit).after(token.to_string().parse().unwrap()),
            None => return walked,
        }
    }
}

/// Returns all that happened to a membership, newest first.
async fn whole_history<S: Store>(
    membership: &Membership<S>,
    conn: &mut S::Connection,
    user: &UserId,
    scope: &Scope,
) -> Vec<Transition> {
    let page = membership.history(conn, user, scope, &PageRequest::first(1000)).await.unwrap();
    assert_eq!(page.next, None);
    page.items
}

/// Reads the feed to its end while nobody writes; the cursor travels as text.
async fn follow<S: Store>(
    membership: &Membership<S>,
    conn: &mut S::Connection,
    cursor: &mut Cursor,
    limit: u32,
) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let changes = membership.changes(conn, cursor, limit).await.unwrap();
        assert!(changes.events.len() <= limit as usize);
        *cursor = changes.next.to_string().parse().unwrap();
        if changes.events.is_empty() {
            return events;
        }
        events.extend(changes.events);
    }
}
