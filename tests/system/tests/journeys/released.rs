//! Changes and deletions after the release, during an outage of a provider or of the ledger.

use serde_json::json;
use system::{Bus, Service, TestSuite, rfc3339};

crate::on_both_buses!(
    sends_nothing_when_deleted_after_release,
    sends_new_text_when_edited_after_release,
    ends_delivery_when_moved_after_release,
    applies_changes_that_reach_the_ledger_first,
);

async fn sends_nothing_when_deleted_after_release(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "android").await;
    suite.set_fcm_available(false);
    let (id, _) = ada.create_reminder_due_in(2, &["push"], "Never").await;
    suite.wait_for_push_attempts("token-1", 1).await;
    suite.wait_for_states(&id, &["released"]).await;
    ada.delete_reminder(&id).await;
    let suppressed = ada.wait_for_deliveries("suppressed", 1).await;
    assert_eq!(suppressed[0]["reason"], "DELETED");

    suite.set_fcm_available(true);
    // The later reminder shows that the time of a retry has passed.
    ada.create_reminder_due_in(3, &["push"], "Later").await;
    ada.wait_for_deliveries("sent", 1).await;
    assert_eq!(suite.push_titles(), ["Later"]);
    let occurrences = suite.wait_for_states(&id, &["suppressed"]).await;
    assert_eq!(occurrences[0]["reason"], "DELETED");
}

async fn sends_new_text_when_edited_after_release(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "ios").await;
    suite.set_fcm_available(false);
    let (id, _) = ada.create_reminder_due_in(2, &["push"], "Platform 4").await;
    suite.wait_for_push_attempts("token-1", 1).await;
    suite.wait_for_states(&id, &["released"]).await;
    ada.update_reminder(&id, &json!({"title": "Platform 5", "message": "it was moved"})).await;
    ada.wait_for_title("Platform 5").await;
    // An attempt with the old text may still have been in flight, and is refused as well.
    suite.wait_for_push_attempts("token-1", suite.push_attempts("token-1") + 1).await;

    suite.set_fcm_available(true);
    ada.wait_for_deliveries("sent", 1).await;
    let captured = suite.sandbox.captured();
    assert_eq!(captured.len(), 1);
    let push = captured[0].push().expect("a push");
    assert_eq!(
        (push.title.as_deref(), push.body.as_deref()),
        (Some("Platform 5"), Some("it was moved"))
    );
    suite.wait_for_states(&id, &["sent"]).await;
}

async fn ends_delivery_when_moved_after_release(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "android").await;
    suite.set_fcm_available(false);
    let (id, _) = ada.create_reminder_due_in(2, &["push"], "Too early").await;
    suite.wait_for_push_attempts("token-1", 1).await;
    suite.wait_for_states(&id, &["released"]).await;
    let later = rfc3339(chrono::Utc::now() + chrono::TimeDelta::hours(1));
    ada.update_reminder(&id, &json!({"date": later})).await;
    assert_eq!(ada.wait_for_deliveries("suppressed", 1).await[0]["reason"], "EDITED");

    let occurrences = suite.wait_for_states(&id, &["suppressed", "pending"]).await;
    assert_eq!(occurrences[0]["reason"], "EDITED");
}

async fn applies_changes_that_reach_the_ledger_first(bus: Bus) {
    let mut suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "web").await;
    // Quiet hours defer all deliveries, in whatever order the messages arrive.
    let clock =
        |hours| (chrono::Utc::now() + chrono::TimeDelta::hours(hours)).format("%H:%M").to_string();
    let quiet = json!({"quietHours": {"start": clock(-2), "end": clock(2)}});
    ada.notifications.put("/preferences", &quiet).await.expect(200);
    suite.kill(Service::Notifications).await;
    let (deleted, _) = ada.create_reminder_due_in(2, &["push"], "Never").await;
    let (edited, _) = ada.create_reminder_due_in(2, &["push"], "Platform 4").await;
    let (urgent, _) = ada.create_reminder_due_in(2, &["push"], "Now after all").await;
    for id in [&deleted, &edited, &urgent] {
        suite.wait_for_states(id, &["released"]).await;
    }
    ada.delete_reminder(&deleted).await;
    ada.update_reminder(&edited, &json!({"title": "Platform 5"})).await;
    ada.update_reminder(&urgent, &json!({"priority": "high"})).await;

    suite.start_process(Service::Notifications).await;
    suite.wait_until_ready().await;
    let ada = suite.user("ada");
    assert_eq!(ada.wait_for_deliveries("suppressed", 1).await[0]["reason"], "DELETED");
    assert_eq!(ada.wait_for_deliveries("sent", 1).await[0]["title"], "Now after all");
    ada.wait_for_title("Platform 5").await;
    ada.notifications.put("/preferences", &json!({})).await.expect(200);
    ada.wait_for_deliveries("sent", 2).await;
    assert_eq!(suite.push_titles(), ["Now after all", "Platform 5"]);
}
