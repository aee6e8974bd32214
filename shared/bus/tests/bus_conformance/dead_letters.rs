//! Dead letters: messages that were rejected, or received too often.

use std::{collections::BTreeMap, time::Duration};

use bus::{
    DETAIL_ATTRIBUTE, MAX_ATTRIBUTES, Message, REASON_ATTRIBUTE, Received, Rejection, Settlement,
};
use contract::Reason;
use serde_json::Value;

use super::test_bus::{LIMIT, LONG, MAX_RECEIVE_COUNT, TestBus, message, messages, numbers};

pub(super) async fn dead_letters_message_received_too_often(bus: &TestBus) {
    bus.publish(&[message(7, &[("kind", "a")])]).await;
    for count in 1..=MAX_RECEIVE_COUNT {
        let received = bus.receive_one(LONG).await;
        assert_eq!(received.receive_count, count);
        bus.settle(received, Settlement::RetryAfter(Duration::ZERO)).await;
    }

    bus.expect_no_message_for(Duration::ZERO).await;

    assert_eq!(bus.adapter.depth(&bus.everything).await.unwrap().in_flight, 0);
    let dead = bus.adapter.dead_letters(&bus.everything, 10).await.unwrap();
    assert_eq!(numbers(&dead), [7]);
    assert_eq!(dead[0].attributes["kind"], "a");

    assert_eq!(bus.adapter.redrive(&bus.everything, 10).await.unwrap(), 1);
    let again = bus.receive_one(LONG).await;
    assert_eq!((again.receive_count, again.attributes.get(REASON_ATTRIBUTE)), (1, None));
    assert!(bus.adapter.dead_letters(&bus.everything, 10).await.unwrap().is_empty());
}

pub(super) async fn dead_letters_rejected_message_with_reason(bus: &TestBus) {
    let received =
        bus.publish_and_receive(message(0, &[("kind", "a"), ("colour", "red")]), LONG).await;
    bus.settle(
        received.clone(),
        Settlement::Reject(Rejection::new(Reason::Invalid, "unreadable: \0 at column 3")),
    )
    .await;

    for _ in 0..2 {
        let dead = bus.adapter.dead_letters(&bus.everything, 10).await.unwrap();
        assert_eq!(dead.len(), 1, "reading removes nothing");
        assert_eq!(dead[0].attributes[DETAIL_ATTRIBUTE], "unreadable: \u{fffd} at column 3");
        assert_eq!(dead[0].attributes["colour"], "red");
        assert_eq!(dead[0].body, received.body);
    }
    assert_eq!(bus.adapter.depth(&bus.everything).await.unwrap().in_flight, 0);

    assert_eq!(bus.adapter.redrive(&bus.everything, 10).await.unwrap(), 1);
    let again = bus.receive_one(LONG).await;
    assert_eq!((again.body, again.attributes), (received.body, received.attributes));
}

pub(super) async fn keeps_attributes_of_rejected_message(bus: &TestBus) {
    let attributes: BTreeMap<_, _> =
        (0..MAX_ATTRIBUTES).map(|n| (format!("a{n}"), format!("v{n}"))).collect();
    let message = Message { body: r#"{"number": 1}"#.to_owned(), attributes: attributes.clone() };
    let received = bus.publish_and_receive(message, LONG).await;
    bus.settle(received, Settlement::Reject(Rejection::new(Reason::Invalid, "why"))).await;

    let dead = bus.adapter.dead_letters(&bus.everything, 10).await.unwrap();
    assert_eq!(dead[0].attributes[REASON_ATTRIBUTE], "INVALID");
    assert_eq!(dead[0].attributes[DETAIL_ATTRIBUTE], "why");
    bus.adapter.redrive(&bus.everything, 10).await.unwrap();
    let (body, carried) = opened(&bus.receive_one(LONG).await);
    assert_eq!(body["number"], 1);
    assert_eq!(carried, attributes);
}

pub(super) async fn redrives_up_to_requested_number(bus: &TestBus) {
    bus.publish(&messages(14)).await;
    let received = bus.adapter.receive(&bus.everything, 14, LONG, LIMIT).await.unwrap();
    let rejected = received
        .into_iter()
        .map(|message| (message, Settlement::Reject(Rejection::new(Reason::Invalid, "why"))));
    bus.adapter.settle(&bus.everything, rejected.collect()).await.unwrap();

    assert_eq!(bus.adapter.dead_letters(&bus.everything, 3).await.unwrap().len(), 3);
    assert_eq!(bus.adapter.redrive(&bus.everything, 12).await.unwrap(), 12);
    assert_eq!(bus.adapter.dead_letters(&bus.everything, 100).await.unwrap().len(), 2);
    assert_eq!(bus.adapter.depth(&bus.everything).await.unwrap().visible, 12);
    assert_eq!(bus.adapter.redrive(&bus.everything, 12).await.unwrap(), 2);
}

/// Body and attributes of a message, raw or in an SNS envelope.
fn opened(received: &Received) -> (Value, BTreeMap<String, String>) {
    let body: Value = serde_json::from_str(&received.body).unwrap();
    let Some(inner) = body.get("Message") else { return (body, received.attributes.clone()) };
    let attributes = body["MessageAttributes"].as_object().unwrap().iter();
    let attributes = attributes
        .map(|(name, attribute)| (name.clone(), attribute["Value"].as_str().unwrap().to_owned()))
        .collect();
    (serde_json::from_str(inner.as_str().unwrap()).unwrap(), attributes)
}
