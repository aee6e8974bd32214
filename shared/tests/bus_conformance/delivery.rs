//! How messages come out of a queue.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures::future::join_all;
use shared::bus::{Depth, MAX_RECEIVE_BYTES, Message, Received};

use super::test_bus::{LIMIT, LONG, Stage, message, messages, numbers};

pub(super) async fn a_receive_waits_for_the_first_message(stage: &Stage) {
    let begun = Instant::now();
    assert!(
        stage.bus.receive(&stage.some, 10, LONG, Duration::from_secs(1)).await.unwrap().is_empty()
    );
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());

    let begun = Instant::now();
    let message = messages(1);
    let (received, ()) = tokio::join!(stage.receive_one(LONG), stage.publish(&message));
    assert_eq!(received.receive_count, 1);
    assert!(begun.elapsed() < LIMIT / 2, "{:?}", begun.elapsed());
}

pub(super) async fn a_receive_takes_as_many_as_it_may(stage: &Stage) {
    stage.publish(&messages(64)).await;

    let first = stage.bus.receive(&stage.everything, 37, LONG, LIMIT).await.unwrap();
    let second = stage.bus.receive(&stage.everything, 3, LONG, LIMIT).await.unwrap();
    let rest = stage.bus.receive(&stage.everything, 100, LONG, LIMIT).await.unwrap();

    assert_eq!((first.len(), second.len(), rest.len()), (37, 3, 24));
    let all: Vec<_> = [first, second, rest].concat();
    assert_eq!(numbers(&all), (0..64).collect::<Vec<_>>());
}

pub(super) async fn receivers_side_by_side_get_different_messages(stage: &Stage) {
    stage.publish(&messages(300)).await;

    let receivers = (0..8).map(|_| async {
        let mut mine = Vec::new();
        loop {
            let received =
                stage.bus.receive(&stage.everything, 20, LONG, Duration::ZERO).await.unwrap();
            if received.is_empty() {
                return mine;
            }
            mine.extend(received);
        }
    });
    let all = join_all(receivers).await.concat();

    let ids: BTreeSet<_> = all.iter().map(|it| it.message_id.as_str()).collect();
    assert_eq!((all.len(), ids.len()), (300, 300));
}

pub(super) async fn a_delayed_message_comes_when_its_delay_has_passed(stage: &Stage) {
    let begun = Instant::now();
    let delay = Duration::from_secs(1);
    stage.bus.send(&stage.everything, &[message(0, &[])], delay).await.unwrap();

    stage.receive_one(LONG).await;
    assert!(begun.elapsed() >= delay, "{:?}", begun.elapsed());

    let too_long =
        stage.bus.send(&stage.everything, &[message(0, &[])], Duration::from_secs(901)).await;
    assert!(too_long.is_err());
}

pub(super) async fn a_queue_is_counted(stage: &Stage) {
    stage.publish(&messages(15)).await;
    stage.bus.receive(&stage.everything, 4, LONG, LIMIT).await.unwrap();
    stage.bus.send(&stage.everything, &messages(2), LONG).await.unwrap();

    assert_eq!(
        stage.bus.depth(&stage.everything).await.unwrap(),
        Depth { visible: 11, in_flight: 4, delayed: 2 }
    );
    assert_eq!(
        stage.bus.depth(&stage.some).await.unwrap(),
        Depth { visible: 0, in_flight: 0, delayed: 0 }
    );
}

pub(super) async fn a_receive_takes_no_more_bytes_than_it_may(stage: &Stage) {
    let body = serde_json::json!({ "number": 0, "text": "x".repeat(250_000) }).to_string();
    let message = Message { body, ..message(0, &[("kind", "a")]) };
    stage.publish(&vec![message; 40]).await;

    let mut received = Vec::new();
    while received.len() < 40 {
        let batch = stage.bus.receive(&stage.everything, 500, LONG, LIMIT).await.unwrap();
        let bytes: usize = batch.iter().map(Received::bytes).sum();
        assert!(!batch.is_empty(), "only {} came", received.len());
        assert!(bytes <= MAX_RECEIVE_BYTES, "{bytes} bytes in {} messages", batch.len());
        received.extend(batch);
    }
    assert_eq!(received.len(), 40);
}
