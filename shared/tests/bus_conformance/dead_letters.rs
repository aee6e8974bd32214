//! Messages that cannot be handled.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use shared::bus::{MAX_ATTRIBUTES, Message, REASON_ATTRIBUTE, Received, Settlement};

use super::test_bus::{LIMIT, LONG, MAX_RECEIVE_COUNT, Stage, message, messages, numbers};

pub(super) async fn a_message_received_too_often_is_a_dead_letter(stage: &Stage) {
    stage.publish(&[message(7, &[("kind", "a")])]).await;
    for count in 1..=MAX_RECEIVE_COUNT {
        let received = stage.receive_one(LONG).await;
        assert_eq!(received.receive_count, count);
        stage.settle(received, Settlement::RetryAfter(Duration::ZERO)).await;
    }

    stage.nothing_comes_for(Duration::ZERO).await;

    assert_eq!(stage.bus.depth(&stage.everything).await.unwrap().in_flight, 0);
    let dead = stage.bus.dead_letters(&stage.everything, 10).await.unwrap();
    assert_eq!(numbers(&dead), [7]);
    assert_eq!(dead[0].attributes["kind"], "a");

    assert_eq!(stage.bus.redrive(&stage.everything, 10).await.unwrap(), 1);
    let again = stage.receive_one(LONG).await;
    assert_eq!((again.receive_count, again.attributes.get(REASON_ATTRIBUTE)), (1, None));
    assert!(stage.bus.dead_letters(&stage.everything, 10).await.unwrap().is_empty());
}

pub(super) async fn a_rejected_message_is_a_dead_letter_with_its_reason(stage: &Stage) {
    let received =
        stage.publish_and_receive(message(0, &[("kind", "a"), ("colour", "red")]), LONG).await;
    stage
        .settle(received.clone(), Settlement::Reject("unreadable: \0 at column 3".to_owned()))
        .await;

    for _ in 0..2 {
        let dead = stage.bus.dead_letters(&stage.everything, 10).await.unwrap();
        assert_eq!(dead.len(), 1, "looking takes nothing away");
        assert_eq!(dead[0].attributes[REASON_ATTRIBUTE], "unreadable: \u{fffd} at column 3");
        assert_eq!(dead[0].attributes["colour"], "red");
        assert_eq!(dead[0].body, received.body);
    }
    assert_eq!(stage.bus.depth(&stage.everything).await.unwrap().in_flight, 0);

    assert_eq!(stage.bus.redrive(&stage.everything, 10).await.unwrap(), 1);
    let again = stage.receive_one(LONG).await;
    assert_eq!((again.body, again.attributes), (received.body, received.attributes));
}

pub(super) async fn a_rejected_message_loses_no_attribute(stage: &Stage) {
    let attributes: BTreeMap<_, _> =
        (0..MAX_ATTRIBUTES).map(|n| (format!("a{n}"), format!("v{n}"))).collect();
    let message = Message { body: r#"{"number": 1}"#.to_owned(), attributes: attributes.clone() };
    let received = stage.publish_and_receive(message, LONG).await;
    stage.settle(received, Settlement::Reject("why".to_owned())).await;

    let dead = stage.bus.dead_letters(&stage.everything, 10).await.unwrap();
    assert_eq!(dead[0].attributes[REASON_ATTRIBUTE], "why");
    stage.bus.redrive(&stage.everything, 10).await.unwrap();
    let (body, carried) = opened(&stage.receive_one(LONG).await);
    assert_eq!(body["number"], 1);
    assert_eq!(carried, attributes);
}

pub(super) async fn only_so_many_dead_letters_are_redriven(stage: &Stage) {
    stage.publish(&messages(14)).await;
    let received = stage.bus.receive(&stage.everything, 14, LONG, LIMIT).await.unwrap();
    let rejected =
        received.into_iter().map(|message| (message, Settlement::Reject("why".to_owned())));
    stage.bus.settle(&stage.everything, rejected.collect()).await.unwrap();

    assert_eq!(stage.bus.dead_letters(&stage.everything, 3).await.unwrap().len(), 3);
    assert_eq!(stage.bus.redrive(&stage.everything, 12).await.unwrap(), 12);
    assert_eq!(stage.bus.dead_letters(&stage.everything, 100).await.unwrap().len(), 2);
    assert_eq!(stage.bus.depth(&stage.everything).await.unwrap().visible, 12);
    assert_eq!(stage.bus.redrive(&stage.everything, 12).await.unwrap(), 2);
}

/// Body and attributes, whether they come raw or in an SNS envelope.
fn opened(received: &Received) -> (Value, BTreeMap<String, String>) {
    let body: Value = serde_json::from_str(&received.body).unwrap();
    let Some(inner) = body.get("Message") else { return (body, received.attributes.clone()) };
    let attributes = body["MessageAttributes"].as_object().unwrap().iter();
    let attributes = attributes
        .map(|(name, it)| (name.clone(), it["Value"].as_str().unwrap().to_owned()))
        .collect();
    (serde_json::from_str(inner.as_str().unwrap()).unwrap(), attributes)
}
