//! What other services put on the bus, well made or not.

use std::{collections::BTreeMap, time::Duration};

use chrono::{TimeDelta, Utc};
use serde_json::json;
use shared::bus::Message;
use support::eventually;
use system::{Bus, House, LIMIT, written};

crate::on_both_buses!(
    a_command_in_the_predecessors_form_is_followed,
    what_cannot_be_read_is_a_dead_letter_and_holds_nobody_up
);

fn attributes(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A command for a notification, as the predecessor's services wrote it: `date` is the time of
/// delivery.
fn command(item: &str, title: &str, seconds: i64) -> Message {
    let date = written(Utc::now() + TimeDelta::seconds(seconds));
    let data = json!({"title": title, "message": "as before", "date": date, "notifyOffset": 10, "notifyType": "push"});
    let body =
        json!({"userId": "ada", "userEmail": "ada@example.com", "itemId": item, "eventData": data});
    let attributes = attributes(&[
        ("eventItemType", "notification"),
        ("eventType", "notification:create"),
        ("userId", "ada"),
    ]);
    Message { body: body.to_string(), attributes }
}

async fn a_command_in_the_predecessors_form_is_followed(bus: Bus) {
    let house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("token-1", "android").await;
    let topic = house.named("EVENT_TOPIC_ARN", "event-topic");
    let results = house
        .bus()
        .await
        .publish(&topic, &[command("item-1", "From before", 2)])
        .await
        .expect("published");
    assert_eq!(results, [Ok(())]);

    ada.sees("sent", 1).await;
    let captured = house.sandbox.captured();
    assert_eq!(captured[0].push().and_then(|push| push.title.as_deref()), Some("From before"));
}

async fn what_cannot_be_read_is_a_dead_letter_and_holds_nobody_up(bus: Bus) {
    let house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("token-1", "web").await;
    let queue = house.named("EVENT_QUEUE_URL", "event-queue");
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
    house.bus().await.send(&queue, &messages, Duration::ZERO).await.expect("sent");

    ada.sees("sent", 1).await;
    let letters = async || {
        let answer = house.events().get("/dead-letters").await.expect(200).body.to_string();
        let reasons =
            ["the event type is unknown", "the schema is unknown", "the body cannot be read"];
        if reasons.iter().all(|reason| answer.contains(reason)) { Ok(answer) } else { Err(answer) }
    };
    eventually(LIMIT, letters).await;
    let redriven = house.events().post("/dead-letters/redrive", &json!({})).await.expect(200);
    assert!(redriven.body.to_string().contains(&count.to_string()), "{}", redriven.body);
    // They are as unreadable as before, and end where they were.
    eventually(LIMIT, letters).await;
}
