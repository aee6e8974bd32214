//! What becomes of a batch that is published.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use shared::bus::{MAX_ATTRIBUTES, MAX_MESSAGE_BYTES, Message, PublishError};

use super::test_bus::{Stage, message, messages, numbers};

pub(super) async fn a_message_reaches_the_queues_whose_filter_accepts_it(stage: &Stage) {
    stage
        .publish(&[
            message(0, &[("kind", "a"), ("colour", "red")]),
            message(1, &[("kind", "b"), ("colour", "red"), ("size", "1")]),
            message(2, &[("kind", "a"), ("colour", "blue")]),
            message(3, &[("kind", "c"), ("colour", "red")]),
            message(4, &[("colour", "red")]),
            message(5, &[]),
        ])
        .await;

    assert_eq!(numbers(&stage.drain(&stage.everything, 6).await), [0, 1, 2, 3, 4, 5]);
    assert_eq!(numbers(&stage.drain(&stage.some, 2).await), [0, 1]);
}

pub(super) async fn what_was_published_arrives_as_it_was(stage: &Stage) {
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
    stage.publish(&messages).await;

    let received = stage.drain(&stage.everything, bodies.len()).await;
    assert!(received.iter().all(|it| it.attributes == attributes));
    let sent_just_now =
        |it: &shared::bus::Received| (chrono::Utc::now() - it.sent_at).num_seconds().abs() < 60;
    assert!(received.iter().all(sent_just_now));
    for body in bodies {
        let same = |it: &&shared::bus::Received| it.body == body || is_same_json(&it.body, body);
        assert_eq!(received.iter().filter(same).count(), 1, "{body}: {received:#?}");
    }
}

pub(super) async fn what_is_sent_straight_to_a_queue_arrives_there_only(stage: &Stage) {
    let results = stage.bus.send(&stage.everything, &messages(12), Duration::ZERO).await.unwrap();
    assert_eq!(results, vec![Ok(()); 12]);

    assert_eq!(numbers(&stage.drain(&stage.everything, 12).await), (0..12).collect::<Vec<_>>());
    assert_eq!(stage.bus.depth(&stage.some).await.unwrap().visible, 0);
}

pub(super) async fn unpublishable_messages_do_not_hold_up_the_others(stage: &Stage) {
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

    let results = stage.bus.publish(&stage.topic, &batch).await.unwrap();

    for (place, result) in results.iter().enumerate() {
        let unpublishable = matches!(result, Err(PublishError::Unpublishable(_)));
        assert_eq!(unpublishable, [1, 3, 5, 7, 9, 10, 11].contains(&place), "{place}: {result:?}");
        assert!(unpublishable || result.is_ok());
    }
    assert_eq!(numbers(&stage.drain(&stage.everything, 5).await), [0, 2, 4, 6, 8]);
}

pub(super) async fn an_empty_batch_is_nothing(stage: &Stage) {
    stage.publish(&[]).await;
    stage.bus.settle(&stage.everything, Vec::new()).await.unwrap();
    stage.bus.extend(&stage.everything, &[], Duration::from_secs(1)).await.unwrap();
}

fn is_same_json(one: &str, other: &str) -> bool {
    let value = |text: &str| serde_json::from_str::<Value>(text).ok();
    value(one).is_some() && value(one) == value(other)
}
