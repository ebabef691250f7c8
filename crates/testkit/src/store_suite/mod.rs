//! The conformance suite of stores: what every store must do, as functions over a store that is empty.
//!
//! A store's own tests implement [`StoreUnderTest`] and say `magistrate_testkit::store_suite!(Mine);`.

pub mod changes;
pub mod evidence;
pub mod following;
pub mod history;
pub mod keys;
pub mod logs;
pub mod paging;
pub mod past;
pub mod private;
pub mod records;
pub mod refusals;
pub mod retention;
pub mod revisions;
pub mod sample;
pub mod sinks;
pub mod tailing;

use std::future::Future;

use magistrate_ledger::Sink;
use magistrate_model::{Change, Revision};
use magistrate_pap::{Changes, CommitError, Keys, Records};
use magistrate_pdp::erasing::Erasing;
use magistrate_pdp::retention::Retention;
use magistrate_pdp::{DecisionHistory, Evidence, GlobalLog, PastStates, PolicySource, Sequencing, Unlogged};

/// A store to be tested, with what it takes to get a fresh one.
pub trait StoreUnderTest: Sized {
    /// The store.
    type Store: PolicySource
        + PastStates
        + Records
        + Changes
        + Keys
        + DecisionHistory
        + Erasing
        + GlobalLog
        + Unlogged
        + Sequencing
        + Evidence
        + Retention
        + Clone;
    /// Its sink.
    type Sink: Sink;

    /// An empty store, migrated.
    fn fresh() -> impl Future<Output = Self>;

    /// The store.
    fn store(&self) -> &Self::Store;

    /// Another sink of the store.
    fn sink(&self) -> impl Future<Output = Self::Sink>;
}

/// Commits changes on top of whatever the store holds, under a fixed authorship.
pub async fn commit<S: StoreUnderTest>(subject: &S, changes: &[Change]) -> Result<Revision, CommitError> {
    let base = subject.store().standing().await.unwrap().head.revision;
    subject.store().commit(base, changes, &sample::authorship()).await
}

/// Makes a test of every case of the suite.
#[macro_export]
macro_rules! store_suite {
    ($store:ty) => {
        $crate::store_suite! { $store =>
            revisions {
                revisions_are_dense_and_in_commit_order
                a_stale_base_is_refused_and_changes_nothing
                of_two_concurrent_committers_one_wins
                lineage_tells_different_histories_apart
                lineage_is_equal_after_equal_histories
                load_is_of_one_revision_while_others_commit
            }
            changes {
                every_kind_of_change_is_loaded_back_exactly
                what_is_deleted_or_revoked_is_gone
                changes_of_one_key_in_one_commit_leave_the_last
                the_log_tells_what_was_there_before_and_after
                unusual_ids_stay_distinct_and_exact
                policy_sets_are_immutable_and_applied_in_order
                ten_thousand_changes_are_one_revision
            }
            refusals {
                an_empty_commit_is_refused
                a_grant_id_that_exists_is_refused
                what_does_not_exist_cannot_be_ended
                one_refused_change_refuses_the_commit
            }
            following {
                changes_since_a_revision_lead_to_the_head
                nothing_since_the_head_is_no_change
                more_changes_than_asked_for_are_not_told
                another_history_is_a_fork
            }
            records {
                entities_are_found_by_each_field
                entities_are_paged_in_byte_order
                entities_are_found_by_what_they_name
                grants_are_found_by_each_field
                grants_are_paged_in_id_order
                the_base_is_what_is_live
            }
            keys {
                a_key_is_read_back_exactly
                keys_are_told_oldest_first
                a_key_is_revoked_once
                an_id_and_a_hash_are_of_one_key
                keys_are_no_revision
            }
            sinks {
                a_batch_is_all_or_nothing
                an_identical_record_is_accepted_again
                another_record_at_a_place_is_refused
                a_stream_goes_on_over_midnight
                a_late_record_has_its_own_day
                a_gap_stays_a_gap
                what_is_committed_is_found
                another_record_is_a_conflict
                the_last_committed_place_is_per_stream
                a_thousand_records_are_one_batch
            }
            history {
                a_decision_is_read_back_exactly
                an_unknown_decision_is_none
                decisions_are_found_by_each_field
                fields_are_combined
                fields_that_match_nothing_find_nothing
                decisions_are_counted_by_cause_and_time
                a_count_of_records_is_cut
            }
            logs {
                a_log_begins_once_and_keeps_its_id
                a_lease_is_of_one_holder_until_it_ends
                a_stale_term_appends_nothing
                entries_follow_each_other
                an_entry_is_in_the_log_once
                entries_and_roots_are_read_back_exactly
                acts_are_kept_once_and_in_order
                what_the_log_does_not_have_is_found
                the_newest_checkpoint_of_a_log_is_found
            }
            retention {
                a_day_goes_and_what_stays_verifies
                a_held_day_stays
                a_day_that_must_stay_is_refused
                what_went_does_not_come_back
                a_day_is_looked_at_before_it_goes
                a_day_whose_values_nobody_erased_stays
                a_checkpoint_that_covers_is_one_that_was_kept
            }
            private {
                private_values_come_back_with_their_record
                erased_values_are_known_as_erased_and_do_not_come_back
                what_is_erased_is_what_was_meant
                an_act_erases_all_or_nothing
                held_days_keep_their_values
                values_of_more_decisions_than_one_act_are_erased
            }
            paging {
                history_is_ordered_by_instant_then_stream_then_seq
                pages_go_both_ways_and_miss_nothing
                pages_are_stable_under_inserts
                pages_by_policy_read_on_until_they_are_full
            }
            evidence {
                headers_are_read_page_by_page
            }
            tailing {
                a_tail_tells_what_is_new_and_nothing_else
                a_tail_tells_what_arrives_late
                a_tail_goes_on_where_it_was
                a_tail_of_another_history_does_not_go_on
                the_last_place_of_every_stream_is_told
            }
        }
    };
    ($store:ty => $($group:ident { $($case:ident)* })*) => {
        $($(
            #[tokio::test]
            async fn $case() {
                $crate::store_suite::$group::$case::<$store>().await;
            }
        )*)*
    };
}
