//! One conformance suite for both adapters of the bus: on a real MiniStack, and on a real
//! PostgreSQL.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a failed precondition fails the test")]

mod bus_conformance {
    mod aws;
    mod dead_letters;
    mod delivery;
    mod failures;
    mod foreign;
    mod packs;
    mod postgres;
    mod proxy;
    mod publishing;
    mod test_bus;
    mod visibility;

    /// Defines a test of each adapter for each behaviour.
    macro_rules! on_both {
        ($($module:ident::$behaviour:ident,)*) => {
            mod on_aws {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    super::$module::$behaviour(&super::test_bus::TestBus::aws().await).await;
                })*
            }
            mod on_postgres {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    super::$module::$behaviour(&super::test_bus::TestBus::postgres().await).await;
                })*
            }
        };
    }

    on_both! {
        publishing::delivers_message_to_queues_by_filter,
        publishing::delivers_message_unchanged,
        publishing::delivers_sent_message_to_its_queue_only,
        publishing::publishes_others_beside_unpublishable_messages,
        publishing::accepts_empty_batch,
        delivery::waits_for_first_message,
        delivery::receives_up_to_requested_number,
        delivery::gives_concurrent_receivers_different_messages,
        delivery::delivers_message_after_its_delay,
        delivery::counts_messages_of_queue,
        delivery::receives_within_byte_limit,
        visibility::redelivers_message_after_visibility_timeout,
        visibility::hides_extended_message,
        visibility::redelivers_message_after_retry_delay,
        visibility::ignores_stale_receipt,
        dead_letters::dead_letters_message_received_too_often,
        dead_letters::dead_letters_rejected_message_with_reason,
        dead_letters::keeps_attributes_of_rejected_message,
        dead_letters::redrives_up_to_requested_number,
        failures::reports_missing_names_as_misconfigured,
        failures::reports_unreachable_bus_as_unavailable,
        failures::ensures_topology_repeatedly,
        packs::delivers_events_of_packs,
        packs::publishes_one_event_as_it_is,
        packs::settles_events_of_pack_apart,
        packs::redelivers_pack_of_which_nothing_was_done,
        packs::splits_pack_that_is_received_repeatedly,
        packs::rejects_malformed_event_of_pack_alone,
    }
}
