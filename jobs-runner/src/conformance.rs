//! The laws every backend obeys, for this crate's backends and yours. Not covered by version promises.
//!
//! Implement [`Harness`] in a test and write `stoa_jobs_runner::conformance!(MyHarness::new().await);`.

mod attempt;
mod cron;
mod life;
mod limit;
mod operate;
mod periodic;
mod queue;
mod runner;
mod trace;

use std::time::Duration;

pub use attempt::*;
pub use cron::*;
pub use life::*;
pub use limit::*;
pub use operate::*;
pub use periodic::*;
pub use queue::*;
pub use runner::*;
pub use trace::*;

use crate::{Due, Kind, NewJob, Queue, Source, Store};

/// One fresh, empty, migrated database and the store under test.
pub trait Harness: Send + Sync {
    /// The store under test.
    type Store: Store + Clone;
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
            a_rolled_back_job_never_existed
            an_uncommitted_job_is_never_claimed
            a_committed_job_is_claimed_once
            a_claim_never_exceeds_its_limit
            concurrent_claimers_never_share_a_job
            urgent_jobs_come_first_then_early_ones_then_lower_ids
            future_jobs_are_not_claimed
            other_kinds_and_queues_are_untouched
            a_stale_token_changes_nothing
            a_claim_ends_once
            a_renewed_lease_is_not_rescued
            an_expired_lease_counts_as_a_crash
            a_job_that_crashes_every_time_is_dead
            a_rescue_keeps_to_its_limit
            a_failed_job_waits_for_its_backoff
            an_exhausted_job_is_dead
            a_fatal_failure_is_dead_at_once
            a_released_job_gets_its_attempt_back
            a_batch_of_reports_is_answered_in_its_order
            a_listing_walks_back_through_every_state
            bad_input_is_refused_before_anything_is_written
            texts_survive_as_they_are
            an_error_of_any_text_is_storable
            on_a_bare_connection_every_verb_stands_alone
            the_longest_durations_are_storable
            a_unique_key_has_one_job_at_a_time
            a_unique_key_withstands_a_crowd
            jobs_of_one_key_run_one_after_the_other
            concurrent_claimers_keep_the_order
            a_cancelled_job_does_not_run_again
            a_retried_job_has_its_attempts_again
            the_error_of_every_attempt_is_kept
            an_expired_job_does_not_run
            a_paused_queue_is_not_claimed_from
            a_turn_ends_and_begins
            a_job_of_an_unknown_worker_is_found
            an_empty_queue_says_when_to_come_back
            a_discarded_job_is_dead_and_says_why
            many_jobs_are_cancelled_at_once
            many_jobs_are_deleted_at_once
            a_filter_is_the_same_in_every_verb
            history_is_pruned_by_state_and_age
            a_runner_forgets_old_history
            stats_are_bounded
            workers_are_listed
            a_worker_says_what_it_serves
            the_doctor_looks_at_the_queues
            a_key_runs_no_more_at_once_than_its_limit
            a_queue_runs_no_more_at_once_than_its_limit
            jobs_of_a_full_key_hold_nobody_up
            operators_reach_jobs_under_a_limit
            a_slot_is_free_however_its_job_ends
            a_limit_may_change_while_jobs_run
            a_rate_lets_so_many_begin
            concurrent_claimers_keep_to_limits
            a_limit_is_checked_and_listed
            the_trace_of_an_enqueuer_reaches_the_handler
            a_trace_out_of_bounds_is_refused
            a_handler_runs_once_for_each_job
            an_empty_queue_stills_any_number_of_slots
            a_failing_handler_is_tried_again
            failures_say_what_shall_become_of_the_job
            a_released_job_waits_for_the_next_poll
            an_error_that_cannot_be_shown_costs_an_attempt
            panics_and_undecodable_payloads_cost_an_attempt
            a_runner_rescues_what_a_lost_one_left
            a_runner_counts_what_died_with_a_lost_one
            a_wake_starts_a_job_without_a_poll
            a_freed_slot_is_filled_without_a_poll
            a_graceful_stop_lets_running_work_finish
            a_graceful_stop_gives_back_what_does_not_finish
            a_graceful_stop_leaves_what_blocks_its_thread_to_its_lease
            a_graceful_stop_does_not_wait_for_a_silent_database
            an_outage_longer_than_the_lease_discards_no_outcome
            an_outage_longer_than_the_lease_costs_no_claim
            a_claim_whose_answer_was_lost_is_given_back
            the_next_job_of_a_key_starts_without_a_poll
            the_longest_settings_are_for_ever
            a_long_handler_keeps_its_claim
            a_lost_claim_cancels_its_handler
            a_snoozed_job_comes_back_later
            a_handler_that_hangs_is_cut_off
            a_cancellation_reaches_a_running_handler
            a_job_completed_in_a_transaction_takes_effect_once
            progress_is_seen_from_outside
            a_misconfigured_runner_does_not_start
            an_entry_counts_from_when_it_is_first_served
            a_tick_becomes_one_job_among_many_runners
            missed_ticks_become_what_the_entry_says
            a_tick_and_its_job_are_stored_together
            an_entry_moves_on_for_one_of_those_who_agree_with_it
            a_changed_entry_counts_on_and_the_last_one_started_decides
            what_nobody_keeps_alive_is_taken_over
            a_clock_that_was_set_back_fires_nothing_twice
            an_entry_without_a_job_holds_up_no_other
            an_entry_that_was_removed_stays_listed_until_it_is_forgotten
            one_leads_at_a_time
            a_lead_that_was_lost_never_comes_back
            nobody_takes_the_lead_while_a_transaction_relies_on_it
            a_batch_runs_at_once_and_then_at_its_interval
            a_batch_that_fails_is_tried_again
            batches_of_many_runners_never_overlap
            a_stopping_leader_hands_over_at_once
            a_lost_leader_is_replaced_after_its_lease
            a_batch_that_was_overtaken_is_told_and_cannot_write
            a_batch_that_does_not_listen_is_cut_off
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

const MAIL: Queue = Queue::from_static("mail");
const WELCOME: Kind = Kind::from_static("welcome");
const HOUR: Duration = Duration::from_hours(1);

fn new_job() -> NewJob<'static> {
    NewJob {
        queue: const { &MAIL },
        kind: const { &WELCOME },
        payload: "{}".into(),
        priority: 5,
        max_attempts: 3,
        due: Due::default(),
        expires: None,
        timeout: None,
        unique: None,
        order_key: None,
        limit_key: None,
        trace: None,
    }
}
