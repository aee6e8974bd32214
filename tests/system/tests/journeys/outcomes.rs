//! Outcome of the latest delivery, which reminders show.

use serde_json::{Value, json};
use support::wait_until;
use system::{Bus, LIMIT, TestSuite, TestUser};

crate::on_both_buses!(shows_last_outcome_of_reminder);

async fn shows_last_outcome_of_reminder(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "android").await;
    let bob = suite.user("bob");
    bob.register_device("gone-1", "android").await;
    let eve = suite.user("eve");
    eve.register_device("token-2", "android").await;
    let opted_out = json!({"channels": {"push": false}});
    eve.notifications.put("/preferences", &opted_out).await.expect(200);

    let mut made = Vec::new();
    for user in [&ada, &bob, &eve] {
        let (id, due) = user.create_reminder_due_in(3, &["push"], "Tablets").await;
        let reminder = user.reminders.get(&format!("/reminders/{id}")).await.expect(200).body;
        assert_eq!(reminder.get("lastOutcome"), Some(&Value::Null), "nothing was due");
        made.push((user, id, system::rfc3339(due)));
    }

    let expected = [
        ("sent", Value::Null),
        ("failed", json!("UNREGISTERED")),
        ("suppressed", json!("OPTED_OUT")),
    ];
    for ((user, id, due), (state, reason)) in made.iter().zip(expected) {
        let outcome = wait_for_state(user, id, state).await;
        assert_eq!((&outcome["at"], &outcome["reason"]), (&json!(due), &reason), "{outcome}");
        assert!(outcome["finishedAt"].is_string(), "{outcome}");
        let list = user.reminders.get("/reminders").await.expect(200).body;
        assert_eq!(list["reminders"]["items"][0]["lastOutcome"], outcome);
    }
}

/// Waits until a reminder shows a state, and returns its last outcome.
async fn wait_for_state(user: &TestUser, reminder: &str, state: &str) -> Value {
    wait_until(LIMIT, async || {
        let path = format!("/reminders/{reminder}");
        let body = user.reminders.get(&path).await.expect(200).body;
        let outcome = body["lastOutcome"].clone();
        if outcome["state"] == state { Ok(outcome) } else { Err(format!("{state}: {body}")) }
    })
    .await
}
