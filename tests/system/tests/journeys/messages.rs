//! Messages of other services on the bus, valid or not.

use std::{collections::BTreeMap, time::Duration};

use bus::Message;
use chrono::{TimeDelta, Utc};
use serde_json::json;
use support::wait_until;
use system::{Bus, LIMIT, TestSuite, rfc3339};

crate::on_both_buses!(delivers_message_of_version_1, dead_letters_unreadable_messages);

fn attributes(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A command for a notification in the format of 1.0.0, whose `date` is the time of delivery.
fn command(item: &str, title: &str, seconds: i64) -> Message {
    let date = rfc3339(Utc::now() + TimeDelta::seconds(seconds));
    let data = json!({
        "title": title,
        "message": "as before",
        "date": date,
        "notifyOffset": 10,
        "notifyType": "push",
    });
    let body =
        json!({"userId": "ada", "userEmail": "ada@example.com", "itemId": item, "eventData": data});
    let attributes = attributes(&[
        ("eventItemType", "notification"),
        ("eventType", "notification:create"),
        ("userId", "ada"),
    ]);
    Message { body: body.to_string(), attributes }
}

async fn delivers_message_of_version_1(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "android").await;
    let topic = suite.bus_name("EVENT_TOPIC_ARN", "event-topic");
    let results = suite
        .bus()
        .await
        .publish(&topic, &[command("item-1", "From before", 2)])
        .await
        .expect("published");
    assert_eq!(results, [Ok(())]);

    ada.wait_for_deliveries("sent", 1).await;
    let captured = suite.sandbox.captured();
    assert_eq!(captured[0].push().and_then(|push| push.title.as_deref()), Some("From before"));
}

async fn dead_letters_unreadable_messages(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "web").await;
    let queue = suite.bus_name("EVENT_QUEUE_URL", "event-queue");
    let known = attributes(&[("eventType", "notification:create"), ("userId", "ada")]);
    let broken = [
        Message { body: "{\"userId\":".to_owned(), attributes: known.clone() },
        Message { body: "{}".to_owned(), attributes: known },
        Message {
            body: command("item-2", "x", 1).body,
            attributes: attributes(&[("eventType", "notification:explode")]),
        },
        Message {
            body: command("item-3", "x", 1).body,
            attributes: attributes(&[("eventType", "notification:create"), ("schema", "99")]),
        },
    ];
    let count = broken.len();
    let messages: Vec<_> = broken.into_iter().chain([command("item-4", "Good", 2)]).collect();
    suite.bus().await.send(&queue, &messages, Duration::ZERO).await.expect("sent");

    ada.wait_for_deliveries("sent", 1).await;
    let letters = async || {
        let answer = suite.event_api().get("/dead-letters").await.expect(200).body.to_string();
        let reasons =
            ["the event type is unknown", "the schema is unknown", "the body cannot be read"];
        if reasons.iter().all(|reason| answer.contains(reason)) { Ok(answer) } else { Err(answer) }
    };
    wait_until(LIMIT, letters).await;
    let redriven = suite.event_api().post("/dead-letters/redrive", &json!({})).await.expect(200);
    assert!(redriven.body.to_string().contains(&count.to_string()), "{}", redriven.body);
    // The messages are still unreadable, and become dead letters again.
    wait_until(LIMIT, letters).await;
}
