//! Export and erasure of a user's data.

use serde_json::{Value, json};
use support::wait_until;
use system::{Bus, LIMIT, TestSuite, TestUser};

crate::on_both_buses!(exports_and_erases_all_data_of_a_user, erases_pending_deliveries_unsent,);

/// User id that is unique in all databases.
const ID: &str = "somebody-to-be-erased";

async fn exports_and_erases_all_data_of_a_user(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let (ada, bob) = (suite.user(ID), suite.user("bob"));
    bob.register_device("token-bob", "web").await;
    fill_tables(&suite, &ada).await;
    let export = ada.reminders.get("/me/export").await.expect(200).body;
    let count = |part: &Value| part.as_array().map(Vec::len);
    assert_eq!(
        (&export["complete"], &export["missing"], count(&export["reminders"])),
        (&json!(true), &json!([]), Some(2))
    );
    let (devices, events) = (&export["notificationService"], &export["eventService"]);
    assert_eq!(
        (count(&devices["devices"]), count(&devices["notifications"])),
        (Some(1), Some(2)),
        "{devices}"
    );
    assert_eq!(devices["preferences"]["locale"], "de");
    assert_eq!(count(&events["notifications"]), Some(2), "{events}");
    assert!(count(&events["events"]) >= Some(4), "{events}");

    let tables = suite.tables_containing(ID).await.join(" ");
    for table in [
        "reminders",
        "idempotency_keys",
        "notifications",
        "events",
        "deliveries",
        "preferences",
        "inbox_marks",
    ] {
        assert!(tables.contains(&format!("public.{table}")), "{table} is not searched: {tables}");
    }
    let receipt = ada.reminders.delete("/me").await.expect(200).body;
    assert!(receipt["receiptId"].is_string() && receipt["erasedAt"].is_string(), "{receipt}");
    wait_until_erased(&suite).await;

    ada.register_device("token-again", "ios").await;
    let (id, _) = ada.create_reminder_due_in(2, &["push", "email"], "Again").await;
    suite.wait_for_states(&id, &["sent"]).await;
    ada.wait_for_deliveries("sent", 2).await;
}

/// Creates data in every table: a delivery on each channel, a pending reminder, preferences and
/// read marks.
async fn fill_tables(suite: &TestSuite, ada: &TestUser) {
    ada.register_device("token-erased", "android").await;
    ada.notifications.put("/preferences", &json!({"locale": "de"})).await.expect(200);
    let keyed = TestUser {
        reminders: ada.reminders.with_header("Idempotency-Key", "key-1"),
        ..ada.clone()
    };
    let (id, _) = keyed.create_reminder_due_in(2, &["push", "email"], "A secret").await;
    ada.create_reminder_due_in(600, &["push"], "A secret to come").await;
    let sent = ada.wait_for_deliveries("sent", 2).await;
    let read = format!("/notifications/{}/read", sent[0]["id"].as_str().expect("an id"));
    ada.notifications.post(&read, &json!({})).await.expect(200);
    suite.wait_for_states(&id, &["sent"]).await;
}

/// Waits until no table contains the user, the device or the text of a reminder.
async fn wait_until_erased(suite: &TestSuite) {
    for name in [ID, "token-erased", "A secret"] {
        wait_until(LIMIT, async || {
            let tables = suite.tables_containing(name).await;
            if tables.is_empty() { Ok(()) } else { Err(format!("{name} is in {tables:?}")) }
        })
        .await;
    }
}

async fn erases_pending_deliveries_unsent(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let (ada, bob) = (suite.user(ID), suite.user("bob"));
    ada.register_device("token-erased", "android").await;
    bob.register_device("token-bob", "web").await;
    suite.set_fcm_available(false);
    let (id, _) = ada.create_reminder_due_in(2, &["push"], "A secret").await;
    suite.wait_for_states(&id, &["released"]).await;
    // A revision of this reminder is in flight when it is erased.
    ada.update_reminder(&id, &json!({"message": "A secret, changed"})).await;
    ada.reminders.delete("/me").await.expect(200);
    wait_until_erased(&suite).await;

    suite.set_fcm_available(true);
    // A reminder of another user shows that the time of a retry has passed.
    bob.create_reminder_due_in(3, &["push"], "Later").await;
    bob.wait_for_deliveries("sent", 1).await;
    assert_eq!(suite.push_titles(), ["Later"]);
    wait_until_erased(&suite).await;
}
