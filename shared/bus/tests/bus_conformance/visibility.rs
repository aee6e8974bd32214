//! Visibility timeouts of received messages.

use std::time::{Duration, Instant};

use bus::{Depth, Rejection, Settlement};
use contract::Reason;

use super::test_bus::{LONG, TestBus, message};

const SHORT: Duration = Duration::from_secs(1);

pub(super) async fn redelivers_message_after_visibility_timeout(bus: &TestBus) {
    let begun = Instant::now();
    let first = bus.publish_and_receive(message(0, &[("kind", "a")]), SHORT).await;
    let second = bus.receive_one(LONG).await;

    assert!(begun.elapsed() >= SHORT, "{:?}", begun.elapsed());
    assert_eq!((first.receive_count, second.receive_count), (1, 2));
    assert_eq!(first.message_id, second.message_id);
    assert_eq!((&first.body, &first.attributes), (&second.body, &second.attributes));
    assert_ne!(first.receipt, second.receipt);
}

pub(super) async fn hides_extended_message(bus: &TestBus) {
    let received = bus.publish_and_receive(message(0, &[]), SHORT).await;
    bus.adapter
        .extend(&bus.everything, std::slice::from_ref(&received.receipt), LONG)
        .await
        .unwrap();

    bus.expect_no_message_for(SHORT * 2).await;

    bus.settle(received, Settlement::Done).await;
    assert_eq!(
        bus.adapter.depth(&bus.everything).await.unwrap(),
        Depth { visible: 0, in_flight: 0, delayed: 0 }
    );
}

pub(super) async fn redelivers_message_after_retry_delay(bus: &TestBus) {
    let first = bus.publish_and_receive(message(0, &[]), LONG).await;
    bus.settle(first, Settlement::RetryAfter(Duration::ZERO)).await;
    let second = bus.receive_one(LONG).await;
    assert_eq!(second.receive_count, 2);

    let begun = Instant::now();
    bus.settle(second, Settlement::RetryAfter(SHORT)).await;
    assert_eq!(bus.receive_one(LONG).await.receive_count, 3);
    assert!(begun.elapsed() >= SHORT, "{:?}", begun.elapsed());
}

pub(super) async fn ignores_stale_receipt(bus: &TestBus) {
    let stale = bus.publish_and_receive(message(0, &[]), SHORT).await;
    let fresh = bus.receive_one(LONG).await;

    for settlement in [
        Settlement::Done,
        Settlement::RetryAfter(Duration::ZERO),
        Settlement::Reject(Rejection::new(Reason::Invalid, "by the stale one")),
    ] {
        bus.settle(stale.clone(), settlement).await;
    }
    bus.adapter
        .extend(&bus.everything, std::slice::from_ref(&stale.receipt), Duration::ZERO)
        .await
        .unwrap();

    bus.expect_no_message_for(Duration::ZERO).await;
    assert_eq!(bus.adapter.depth(&bus.everything).await.unwrap().in_flight, 1);
    assert!(bus.adapter.dead_letters(&bus.everything, 10).await.unwrap().is_empty());

    bus.settle(fresh.clone(), Settlement::Done).await;
    // A receipt whose message was removed is ignored as well.
    bus.settle(fresh, Settlement::Done).await;
    assert_eq!(
        bus.adapter.depth(&bus.everything).await.unwrap(),
        Depth { visible: 0, in_flight: 0, delayed: 0 }
    );
}
