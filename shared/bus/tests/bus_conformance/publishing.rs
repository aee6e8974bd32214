//! Publishing batches.

use std::{collections::BTreeMap, time::Duration};

use bus::{MAX_ATTRIBUTES, MAX_MESSAGE_BYTES, Message, PublishError, Received};
use serde_json::Value;

use super::test_bus::{TestBus, message, messages, numbers};

pub(super) async fn delivers_message_to_queues_by_filter(bus: &TestBus) {
    bus.publish(&[
        message(0, &[("kind", "a"), ("colour", "red")]),
        message(1, &[("kind", "b"), ("colour", "red"), ("size", "1")]),
        message(2, &[("kind", "a"), ("colour", "blue")]),
        message(3, &[("kind", "c"), ("colour", "red")]),
        message(4, &[("colour", "red")]),
        message(5, &[]),
    ])
    .await;

    assert_eq!(numbers(&bus.drain(&bus.everything, 6).await), [0, 1, 2, 3, 4, 5]);
    assert_eq!(numbers(&bus.drain(&bus.some, 2).await), [0, 1]);
}

pub(super) async fn delivers_message_unchanged(bus: &TestBus) {
    let attributes =
        (0..MAX_ATTRIBUTES).map(|n| (format!("name-{n}.x"), format!("wért \" \\ \n ✓ {n}")));
    let attributes: BTreeMap<_, _> = attributes.collect();
    let bodies = [
        r#"{"b":[1,2.5,null],"a":"ä \u0001 \" ✓"}"#,
        "plain text, \t and \\u0000 that is no escape",
        r#""a JSON string""#,
        "{\"noncharacters\":\"\u{fffe}\u{ffff}\"}",
        "[]",
        "17",
    ];
    let messages: Vec<_> = bodies
        .iter()
        .map(|&body| Message { body: body.to_owned(), attributes: attributes.clone() })
        .collect();
    bus.publish(&messages).await;

    let received = bus.drain(&bus.everything, bodies.len()).await;
    assert!(received.iter().all(|message| message.attributes == attributes));
    let age = |message: &Received| (chrono::Utc::now() - message.sent_at).num_seconds().abs();
    assert!(received.iter().all(|message| age(message) < 60));
    for body in bodies {
        let same = |message: &&Received| message.body == body || is_same_json(&message.body, body);
        assert_eq!(received.iter().filter(same).count(), 1, "{body}: {received:#?}");
    }
}

pub(super) async fn delivers_sent_message_to_its_queue_only(bus: &TestBus) {
    let results = bus.adapter.send(&bus.everything, &messages(12), Duration::ZERO).await.unwrap();
    assert_eq!(results, vec![Ok(()); 12]);

    assert_eq!(numbers(&bus.drain(&bus.everything, 12).await), (0..12).collect::<Vec<_>>());
    assert_eq!(bus.adapter.depth(&bus.some).await.unwrap().visible, 0);
}

pub(super) async fn publishes_others_beside_unpublishable_messages(bus: &TestBus) {
    let body = |body: String| Message { body, attributes: BTreeMap::new() };
    let many = (0..=MAX_ATTRIBUTES).map(|n| (format!("a{n}"), "v".to_owned())).collect();
    let mut batch = messages(12);
    batch[1] = body("{\"nul\":\"\0\"}".to_owned());
    batch[3] = body(r#"{"nul":"\u0000"}"#.to_owned());
    batch[5] = body("x".repeat(MAX_MESSAGE_BYTES + 1));
    batch[7] = Message { body: "{}".to_owned(), attributes: many };
    batch[9] = message(9, &[("empty", "")]);
    batch[10] = message(10, &[("control", "\u{1}")]);
    batch[11] = body("\u{fffe}".to_owned());

    let results = bus.adapter.publish(&bus.topic, &batch).await.unwrap();

    for (index, result) in results.iter().enumerate() {
        let unpublishable = matches!(result, Err(PublishError::Unpublishable(_)));
        assert_eq!(unpublishable, [1, 3, 5, 7, 9, 10, 11].contains(&index), "{index}: {result:?}");
        assert!(unpublishable || result.is_ok());
    }
    assert_eq!(numbers(&bus.drain(&bus.everything, 5).await), [0, 2, 4, 6, 8]);
}

pub(super) async fn accepts_empty_batch(bus: &TestBus) {
    bus.publish(&[]).await;
    bus.adapter.settle(&bus.everything, Vec::new()).await.unwrap();
    bus.adapter.extend(&bus.everything, &[], Duration::from_secs(1)).await.unwrap();
}

fn is_same_json(one: &str, other: &str) -> bool {
    let value = |text: &str| serde_json::from_str::<Value>(text).ok();
    value(one).is_some() && value(one) == value(other)
}
