//! For how long a received message is hidden, and from whom.

use std::time::{Duration, Instant};

use shared::bus::{Depth, Settlement};

use super::test_bus::{LONG, Stage, message};

const SHORT: Duration = Duration::from_secs(1);

pub(super) async fn a_message_comes_again_when_its_visibility_has_passed(stage: &Stage) {
    let begun = Instant::now();
    let first = stage.publish_and_receive(message(0, &[("kind", "a")]), SHORT).await;
    let second = stage.receive_one(LONG).await;

    assert!(begun.elapsed() >= SHORT, "{:?}", begun.elapsed());
    assert_eq!((first.receive_count, second.receive_count), (1, 2));
    assert_eq!(first.message_id, second.message_id);
    assert_eq!((&first.body, &first.attributes), (&second.body, &second.attributes));
    assert_ne!(first.receipt, second.receipt);
}

pub(super) async fn an_extended_message_stays_hidden(stage: &Stage) {
    let received = stage.publish_and_receive(message(0, &[]), SHORT).await;
    stage
        .bus
        .extend(&stage.everything, std::slice::from_ref(&received.receipt), LONG)
        .await
        .unwrap();

    stage.nothing_comes_for(SHORT * 2).await;

    stage.settle(received, Settlement::Done).await;
    assert_eq!(
        stage.bus.depth(&stage.everything).await.unwrap(),
        Depth { visible: 0, in_flight: 0, delayed: 0 }
    );
}

pub(super) async fn a_message_to_retry_comes_when_it_was_told_to(stage: &Stage) {
    let first = stage.publish_and_receive(message(0, &[]), LONG).await;
    stage.settle(first, Settlement::RetryAfter(Duration::ZERO)).await;
    let second = stage.receive_one(LONG).await;
    assert_eq!(second.receive_count, 2);

    let begun = Instant::now();
    stage.settle(second, Settlement::RetryAfter(SHORT)).await;
    assert_eq!(stage.receive_one(LONG).await.receive_count, 3);
    assert!(begun.elapsed() >= SHORT, "{:?}", begun.elapsed());
}

pub(super) async fn a_stale_receipt_is_ignored(stage: &Stage) {
    let stale = stage.publish_and_receive(message(0, &[]), SHORT).await;
    let fresh = stage.receive_one(LONG).await;

    for settlement in [
        Settlement::Done,
        Settlement::RetryAfter(Duration::ZERO),
        Settlement::Reject("by the stale one".to_owned()),
    ] {
        stage.settle(stale.clone(), settlement).await;
    }
    stage
        .bus
        .extend(&stage.everything, std::slice::from_ref(&stale.receipt), Duration::ZERO)
        .await
        .unwrap();

    stage.nothing_comes_for(Duration::ZERO).await;
    assert_eq!(stage.bus.depth(&stage.everything).await.unwrap().in_flight, 1);
    assert!(stage.bus.dead_letters(&stage.everything, 10).await.unwrap().is_empty());

    stage.settle(fresh.clone(), Settlement::Done).await;
    // And so is one whose message is gone.
    stage.settle(fresh, Settlement::Done).await;
    assert_eq!(
        stage.bus.depth(&stage.everything).await.unwrap(),
        Depth { visible: 0, in_flight: 0, delayed: 0 }
    );
}
