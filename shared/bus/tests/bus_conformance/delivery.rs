//! Receiving messages from a queue.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use bus::{Depth, MAX_RECEIVE_BYTES, Message, Received};
use futures::future::join_all;

use super::test_bus::{LIMIT, LONG, TestBus, message, messages, numbers};

pub(super) async fn waits_for_first_message(bus: &TestBus) {
    let begun = Instant::now();
    assert!(
        bus.adapter.receive(&bus.some, 10, LONG, Duration::from_secs(1)).await.unwrap().is_empty()
    );
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());

    let begun = Instant::now();
    let message = messages(1);
    let (received, ()) = tokio::join!(bus.receive_one(LONG), bus.publish(&message));
    assert_eq!(received.receive_count, 1);
    assert!(begun.elapsed() < LIMIT / 2, "{:?}", begun.elapsed());
}

pub(super) async fn receives_up_to_requested_number(bus: &TestBus) {
    bus.publish(&messages(64)).await;

    let first = bus.adapter.receive(&bus.everything, 37, LONG, LIMIT).await.unwrap();
    let second = bus.adapter.receive(&bus.everything, 3, LONG, LIMIT).await.unwrap();
    let rest = bus.adapter.receive(&bus.everything, 100, LONG, LIMIT).await.unwrap();

    assert_eq!((first.len(), second.len(), rest.len()), (37, 3, 24));
    let all: Vec<_> = [first, second, rest].concat();
    assert_eq!(numbers(&all), (0..64).collect::<Vec<_>>());
}

pub(super) async fn gives_concurrent_receivers_different_messages(bus: &TestBus) {
    bus.publish(&messages(300)).await;

    let receivers = (0..8).map(|_| async {
        let mut all = Vec::new();
        loop {
            let received =
                bus.adapter.receive(&bus.everything, 20, LONG, Duration::ZERO).await.unwrap();
            if received.is_empty() {
                return all;
            }
            all.extend(received);
        }
    });
    let all = join_all(receivers).await.concat();

    let ids: BTreeSet<_> = all.iter().map(|message| message.message_id.as_str()).collect();
    assert_eq!((all.len(), ids.len()), (300, 300));
}

pub(super) async fn delivers_message_after_its_delay(bus: &TestBus) {
    let begun = Instant::now();
    let delay = Duration::from_secs(1);
    bus.adapter.send(&bus.everything, &[message(0, &[])], delay).await.unwrap();

    bus.receive_one(LONG).await;
    assert!(begun.elapsed() >= delay, "{:?}", begun.elapsed());

    let too_long =
        bus.adapter.send(&bus.everything, &[message(0, &[])], Duration::from_secs(901)).await;
    assert!(too_long.is_err());
}

pub(super) async fn counts_messages_of_queue(bus: &TestBus) {
    bus.publish(&messages(15)).await;
    bus.adapter.receive(&bus.everything, 4, LONG, LIMIT).await.unwrap();
    bus.adapter.send(&bus.everything, &messages(2), LONG).await.unwrap();

    assert_eq!(
        bus.adapter.depth(&bus.everything).await.unwrap(),
        Depth { visible: 11, in_flight: 4, delayed: 2 }
    );
    assert_eq!(
        bus.adapter.depth(&bus.some).await.unwrap(),
        Depth { visible: 0, in_flight: 0, delayed: 0 }
    );
}

pub(super) async fn receives_within_byte_limit(bus: &TestBus) {
    let body = serde_json::json!({ "number": 0, "text": "x".repeat(250_000) }).to_string();
    let message = Message { body, ..message(0, &[("kind", "a")]) };
    bus.publish(&vec![message; 40]).await;

    let mut received = Vec::new();
    while received.len() < 40 {
        let batch = bus.adapter.receive(&bus.everything, 500, LONG, LIMIT).await.unwrap();
        let bytes: usize = batch.iter().map(Received::bytes).sum();
        assert!(!batch.is_empty(), "only {} were received", received.len());
        assert!(bytes <= MAX_RECEIVE_BYTES, "{bytes} bytes in {} messages", batch.len());
        received.extend(batch);
    }
    assert_eq!(received.len(), 40);
}
