//! A reminder arrives: everywhere, on time, once.

use chrono::TimeDelta;
use support::eventually;
use system::{Bus, House, LIMIT};

crate::on_both_buses!(a_reminder_arrives_on_every_device_and_in_the_mailbox, a_repeated_request_is_one_reminder,);

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
        assert_eq!((push.title.as_deref(), push.body.as_deref()), (Some("Tablets"), Some("Tablets, please")));
        assert_eq!(push.collapse_key, pushes[0].push().expect("a push").collapse_key, "one occurrence, one key");
    }
    eventually(LIMIT, async || house.mailbox(&ada.email).await.len() == 1).await;
    assert!(house.mailbox(&ada.email).await[0].contains("Tablets"));
    assert_eq!(house.sandbox.stats().duplicates, 0);
    assert!(history.iter().all(|delivery| delivery["attempts"] == 1), "{history:?}");

    let timeline = eventually(LIMIT, async || {
        let answer = house.events().get(&format!("/timeline/{id}")).await.expect(200).body;
        let ended = answer.to_string().matches("\"notification:sent\"").count() >= 4 && has_state(&answer, "sent");
        if ended { Ok(answer) } else { Err(answer.to_string()) }
    })
    .await;
    assert!(timeline.to_string().contains("reminder:created"), "{timeline}");
    let waited = chrono::Utc::now() - due;
    assert!(waited < TimeDelta::from_std(LIMIT).expect("a limit"), "the journey ended {waited} after the due time");
}

/// Whether an occurrence anywhere in the timeline stands so.
fn has_state(timeline: &serde_json::Value, state: &str) -> bool {
    match timeline {
        serde_json::Value::Object(fields) => {
            fields.get("state").is_some_and(|it| it == state) || fields.values().any(|it| has_state(it, state))
        }
        serde_json::Value::Array(items) => items.iter().any(|it| has_state(it, state)),
        _ => false,
    }
}

async fn a_repeated_request_is_one_reminder(bus: Bus) {
    let house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("token-1", "android").await;
    let body =
        serde_json::json!({"date": system::written(chrono::Utc::now() + TimeDelta::seconds(3)), "message": "once"});
    let keyed = ada.reminders.with_header("Idempotency-Key", "key-1");
    let first = keyed.post("/reminders", &body).await.expect(201);
    let second = keyed.post("/reminders", &body).await.expect(201);
    assert_eq!(first.id(), second.id());
    assert_eq!((first.header("idempotent-replayed"), second.header("idempotent-replayed")), (None, Some("true")));
    let other = serde_json::json!({"date": "2099-01-01T00:00:00Z", "message": "other"});
    assert_eq!(keyed.post("/reminders", &other).await.expect(422).reason(), Some("IDEMPOTENCY_KEY_REUSED"));

    ada.sees("sent", 1).await;
    assert_eq!(house.sandbox.captured().len(), 1);
}
