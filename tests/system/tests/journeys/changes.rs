//! Changes and deletions before the due time.

use chrono::{TimeDelta, Utc};
use serde_json::json;
use system::{Bus, TestSuite, rfc3339};

crate::on_both_buses!(
    delivers_edited_reminder_at_new_time,
    delivers_nothing_when_reminder_is_deleted,
    sends_nothing_to_removed_device,
);

async fn delivers_edited_reminder_at_new_time(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "ios").await;
    let (id, _) = ada.create_reminder_due_in(600, &["push"], "Later").await;
    let sooner = Utc::now() + TimeDelta::seconds(3);
    let edited = ada
        .reminders
        .patch(&format!("/reminders/{id}"), &json!({"date": rfc3339(sooner), "title": "Sooner"}))
        .await
        .expect(200);
    assert_eq!((&edited.body["title"], &edited.body["version"]), (&json!("Sooner"), &json!(2)));

    ada.wait_for_deliveries("sent", 1).await;
    let captured = suite.sandbox.captured();
    assert_eq!(captured.len(), 1);
    assert_eq!(captured[0].push().and_then(|push| push.title.as_deref()), Some("Sooner"));
    assert!(captured[0].at.timestamp_millis() >= sooner.timestamp_millis());
}

async fn delivers_nothing_when_reminder_is_deleted(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "android").await;
    let (deleted, _) = ada.create_reminder_due_in(4, &["push", "email"], "Never").await;
    ada.create_reminder_due_in(6, &["push"], "Later").await;
    ada.reminders.delete(&format!("/reminders/{deleted}")).await.expect(200);
    let gone = ada.reminders.get(&format!("/reminders/{deleted}")).await.expect(404);
    assert_eq!(gone.reason(), Some("MISSING_REMINDER"));

    // The second reminder shows that the due time of the first has passed.
    ada.wait_for_deliveries("sent", 1).await;
    assert_eq!(suite.push_titles(), ["Later"]);
    assert!(suite.email_subjects(&ada.email).await.is_empty());
}

async fn sends_nothing_to_removed_device(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let (ada, bob) = (suite.user("ada"), suite.user("bob"));
    let device = ada.register_device("token-1", "android").await;
    ada.register_device("token-2", "web").await;
    let refused = bob.notifications.delete(&format!("/device/remove/{device}")).await.expect(422);
    assert_eq!(refused.reason(), Some("DEVICE_NOT_ASSOCIATED"));
    ada.notifications.delete(&format!("/device/remove/{device}")).await.expect(200);
    ada.create_reminder_due_in(2, &["push"], "Tablets").await;

    ada.wait_for_deliveries("sent", 1).await;
    let captured = suite.sandbox.captured();
    let tokens: Vec<_> =
        captured.iter().filter_map(|message| Some(message.push()?.token.as_str())).collect();
    assert_eq!(tokens, ["token-2"]);
}
