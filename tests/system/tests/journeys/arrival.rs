//! A reminder arrives: everywhere, on time, once.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use serde_json::json;
use support::eventually;
use system::{Bus, House, LIMIT};

crate::on_both_buses!(
    a_reminder_arrives_on_every_device_and_in_the_mailbox,
    a_repeated_request_is_one_reminder,
    a_hundred_made_in_one_call_arrive_once_each,
);

async fn a_reminder_arrives_on_every_device_and_in_the_mailbox(bus: Bus) {
    let house = House::start(bus).await;
    let ada = house.person("ada");
    for kind in ["android", "ios", "web"] {
        ada.registers(&format!("token-{kind}"), kind).await;
    }
    let (id, due) = ada.is_reminded_in(3, &["push", "email"], "Tablets").await;

    let history = ada.sees("sent", 4).await;
    let captured = house.sandbox.captured();
    let pushes: Vec<_> = captured.iter().filter(|it| it.push().is_some()).collect();
    assert_eq!(pushes.len(), 3, "one for each device");
    for arrived in &pushes {
        let push = arrived.push().expect("a push");
        assert!(arrived.at >= due, "early by {}", due - arrived.at);
        assert_eq!(
            (push.title.as_deref(), push.body.as_deref()),
            (Some("Tablets"), Some("Tablets, please"))
        );
        assert_eq!(
            push.collapse_key,
            pushes[0].push().expect("a push").collapse_key,
            "one occurrence, one key"
        );
    }
    eventually(LIMIT, async || house.mailbox(&ada.email).await.len() == 1).await;
    assert!(house.mailbox(&ada.email).await[0].contains("Tablets"));
    assert_eq!(house.sandbox.stats().duplicates, 0);
    assert!(history.iter().all(|delivery| delivery["attempts"] == 1), "{history:?}");

    let timeline = eventually(LIMIT, async || {
        let answer = house.events().get(&format!("/timeline/{id}")).await.expect(200).body;
        let ended = answer.to_string().matches("\"notification:sent\"").count() >= 4
            && has_state(&answer, "sent");
        if ended { Ok(answer) } else { Err(answer.to_string()) }
    })
    .await;
    assert!(timeline.to_string().contains("reminder:created"), "{timeline}");
    let waited = chrono::Utc::now() - due;
    assert!(
        waited < TimeDelta::from_std(LIMIT).expect("a limit"),
        "the journey ended {waited} after the due time"
    );
}

/// Whether an occurrence anywhere in the timeline stands so.
fn has_state(timeline: &serde_json::Value, state: &str) -> bool {
    match timeline {
        serde_json::Value::Object(fields) => {
            fields.get("state").is_some_and(|it| it == state)
                || fields.values().any(|it| has_state(it, state))
        }
        serde_json::Value::Array(items) => items.iter().any(|it| has_state(it, state)),
        _ => false,
    }
}

async fn a_repeated_request_is_one_reminder(bus: Bus) {
    let house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("token-1", "android").await;
    let body = serde_json::json!({"date": system::written(chrono::Utc::now() + TimeDelta::seconds(3)), "message": "once"});
    let keyed = ada.reminders.with_header("Idempotency-Key", "key-1");
    let first = keyed.post("/reminders", &body).await.expect(201);
    let second = keyed.post("/reminders", &body).await.expect(201);
    assert_eq!(first.id(), second.id());
    assert_eq!(
        (first.header("idempotent-replayed"), second.header("idempotent-replayed")),
        (None, Some("true"))
    );
    let other = serde_json::json!({"date": "2099-01-01T00:00:00Z", "message": "other"});
    assert_eq!(
        keyed.post("/reminders", &other).await.expect(422).reason(),
        Some("IDEMPOTENCY_KEY_REUSED")
    );

    ada.sees("sent", 1).await;
    assert_eq!(house.sandbox.captured().len(), 1);
}

async fn a_hundred_made_in_one_call_arrive_once_each(bus: Bus) {
    let house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("token-1", "android").await;
    let date = system::written(chrono::Utc::now() + TimeDelta::seconds(5));
    let one = |number: usize| json!({"date": date, "title": format!("no. {number}"), "message": "one of many", "channels": ["push"]});
    let mut reminders: Vec<_> = (0..100).map(one).collect();
    reminders.push(json!({"date": "2020-01-01T00:00:00Z", "message": "too late"}));
    let answer = ada
        .reminders
        .post("/reminders/bulk", &json!({"reminders": reminders}))
        .await
        .expect(200)
        .body;
    let results = answer["results"].as_array().expect("a result for each");
    assert_eq!(
        results.iter().filter(|it| it["status"] == 201 && it["id"].is_string()).count(),
        100,
        "{answer}"
    );
    assert_eq!(results[100]["error"]["reason"], "INVALID_DUEDATE");

    ada.sees("sent", 100).await;
    let captured = house.sandbox.captured();
    let titles: BTreeSet<_> = captured.iter().filter_map(|it| it.push()?.title.clone()).collect();
    assert_eq!((captured.len(), titles.len(), house.sandbox.stats().duplicates), (100, 100, 0));
}
