//! A reminder is delivered to every device and by e-mail, on time and once.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use serde_json::json;
use support::wait_until;
use system::{Bus, LIMIT, TestSuite};

crate::on_both_buses!(
    delivers_reminder_to_each_device_and_email,
    creates_one_reminder_when_request_is_repeated,
    delivers_each_reminder_of_bulk_once,
);

async fn delivers_reminder_to_each_device_and_email(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    for kind in ["android", "ios", "web"] {
        ada.register_device(&format!("token-{kind}"), kind).await;
    }
    let (id, due) = ada.create_reminder_due_in(3, &["push", "email"], "Tablets").await;

    let history = ada.wait_for_deliveries("sent", 4).await;
    let captured = suite.sandbox.captured();
    let pushes: Vec<_> = captured.iter().filter(|message| message.push().is_some()).collect();
    assert_eq!(pushes.len(), 3, "one for each device");
    for message in &pushes {
        let push = message.push().expect("a push");
        assert!(message.at >= due, "early by {}", due - message.at);
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
    assert!(suite.wait_for_emails(&ada.email, 1).await[0].contains("Tablets"));
    assert_eq!(suite.sandbox.stats().duplicates, 0);
    assert!(history.iter().all(|delivery| delivery["attempts"] == 1), "{history:?}");

    let timeline = wait_until(LIMIT, async || {
        let answer = suite.event_api().get(&format!("/timeline/{id}")).await.expect(200).body;
        let is_complete = answer.to_string().matches("\"notification:sent\"").count() >= 4
            && has_state(&answer, "sent");
        if is_complete { Ok(answer) } else { Err(answer.to_string()) }
    })
    .await;
    assert!(timeline.to_string().contains("reminder:created"), "{timeline}");
    let elapsed = chrono::Utc::now() - due;
    assert!(
        elapsed < TimeDelta::from_std(LIMIT).expect("a limit"),
        "complete {elapsed} after the due time"
    );
}

/// Returns `true` if the timeline contains an occurrence in a state.
fn has_state(timeline: &serde_json::Value, state: &str) -> bool {
    match timeline {
        serde_json::Value::Object(fields) => {
            fields.get("state").is_some_and(|value| value == state)
                || fields.values().any(|value| has_state(value, state))
        }
        serde_json::Value::Array(items) => items.iter().any(|item| has_state(item, state)),
        _ => false,
    }
}

async fn creates_one_reminder_when_request_is_repeated(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "android").await;
    let date = system::rfc3339(chrono::Utc::now() + TimeDelta::seconds(3));
    let body = json!({"date": date, "message": "once"});
    let keyed = ada.reminders.with_header("Idempotency-Key", "key-1");
    let first = keyed.post("/reminders", &body).await.expect(201);
    let second = keyed.post("/reminders", &body).await.expect(201);
    assert_eq!(first.id(), second.id());
    assert_eq!(
        (first.header("idempotent-replayed"), second.header("idempotent-replayed")),
        (None, Some("true"))
    );
    let other = json!({"date": "2099-01-01T00:00:00Z", "message": "other"});
    assert_eq!(
        keyed.post("/reminders", &other).await.expect(422).reason(),
        Some("IDEMPOTENCY_KEY_REUSED")
    );

    ada.wait_for_deliveries("sent", 1).await;
    assert_eq!(suite.sandbox.captured().len(), 1);
}

async fn delivers_each_reminder_of_bulk_once(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "android").await;
    let date = system::rfc3339(chrono::Utc::now() + TimeDelta::seconds(5));
    let reminder = |number: usize| {
        let title = format!("no. {number}");
        json!({"date": date, "title": title, "message": "one of many", "channels": ["push"]})
    };
    let mut reminders: Vec<_> = (0..100).map(reminder).collect();
    reminders.push(json!({"date": "2020-01-01T00:00:00Z", "message": "too late"}));
    let answer = ada
        .reminders
        .post("/reminders/bulk", &json!({"reminders": reminders}))
        .await
        .expect(200)
        .body;
    let results = answer["results"].as_array().expect("a result for each");
    let is_created =
        |result: &&serde_json::Value| result["status"] == 201 && result["id"].is_string();
    assert_eq!(results.iter().filter(is_created).count(), 100, "{answer}");
    assert_eq!(results[100]["error"]["reason"], "INVALID_DUEDATE");

    ada.wait_for_deliveries("sent", 100).await;
    let titles = suite.push_titles();
    let different: BTreeSet<_> = titles.iter().collect();
    assert_eq!((titles.len(), different.len(), suite.sandbox.stats().duplicates), (100, 100, 0));
}
