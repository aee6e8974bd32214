//! Both adapters of the bus against one description of what a bus does: on a real MiniStack, and on
//! a real PostgreSQL.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a failed precondition fails the test")]

mod bus_conformance {
    mod aws;
    mod dead_letters;
    mod delivery;
    mod failures;
    mod foreign;
    mod postgres;
    mod proxy;
    mod publishing;
    mod test_bus;
    mod visibility;

    /// Each behaviour as a test of each adapter.
    macro_rules! on_both {
        ($($module:ident::$behaviour:ident,)*) => {
            mod on_aws {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    super::$module::$behaviour(&super::test_bus::Stage::aws().await).await;
                })*
            }
            mod on_postgres {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    super::$module::$behaviour(&super::test_bus::Stage::postgres().await).await;
                })*
            }
        };
    }

    on_both! {
        publishing::a_message_reaches_the_queues_whose_filter_accepts_it,
        publishing::what_was_published_arrives_as_it_was,
        publishing::what_is_sent_straight_to_a_queue_arrives_there_only,
        publishing::unpublishable_messages_do_not_hold_up_the_others,
        publishing::an_empty_batch_is_nothing,
        delivery::a_receive_waits_for_the_first_message,
        delivery::a_receive_takes_as_many_as_it_may,
        delivery::receivers_side_by_side_get_different_messages,
        delivery::a_delayed_message_comes_when_its_delay_has_passed,
        delivery::a_queue_is_counted,
        delivery::a_receive_takes_no_more_bytes_than_it_may,
        visibility::a_message_comes_again_when_its_visibility_has_passed,
        visibility::an_extended_message_stays_hidden,
        visibility::a_message_to_retry_comes_when_it_was_told_to,
        visibility::a_stale_receipt_is_ignored,
        dead_letters::a_message_received_too_often_is_a_dead_letter,
        dead_letters::a_rejected_message_is_a_dead_letter_with_its_reason,
        dead_letters::a_rejected_message_loses_no_attribute,
        dead_letters::only_so_many_dead_letters_are_redriven,
        failures::what_is_not_there_is_misconfigured,
        failures::a_bus_that_is_away_is_unavailable,
        failures::ensuring_again_changes_nothing,
    }
}
