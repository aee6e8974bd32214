//! Preferences of a user.

use chrono::{TimeDelta, Utc};
use serde_json::json;
use system::{Bus, TestSuite, rfc3339};

crate::on_both_buses!(
    follows_channel_and_locale_of_preferences,
    creates_reminder_in_zone_of_preferences,
    defers_normal_reminders_in_quiet_hours,
);

async fn follows_channel_and_locale_of_preferences(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "android").await;
    ada.notifications
        .put("/preferences", &json!({"channels": {"push": false}, "locale": "fr"}))
        .await
        .expect(200);
    let date = rfc3339(Utc::now() + TimeDelta::seconds(3));
    let body =
        json!({"date": date, "message": "Zahnarzt", "channels": ["push", "email"], "locale": "de"});
    ada.create_reminder(&body).await;

    let suppressed = ada.wait_for_deliveries("suppressed", 1).await;
    assert_eq!(
        (&suppressed[0]["channel"], &suppressed[0]["reason"]),
        (&json!("push"), &json!("OPTED_OUT"))
    );
    assert_eq!(ada.wait_for_deliveries("sent", 1).await[0]["channel"], "email");
    assert_eq!(suite.wait_for_emails(&ada.email, 1).await, ["Erinnerung"]);
    assert!(suite.push_titles().is_empty());
    let captured = suite.sandbox.captured();
    if bus == Bus::Postgres {
        let mail = captured[0].email().expect("a mail");
        let text = mail.text.as_deref().unwrap_or_default();
        assert!(
            text.contains("Zahnarzt") && text.contains("Sie erhalten diese Nachricht"),
            "{text}"
        );
    }
}

async fn creates_reminder_in_zone_of_preferences(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    let body = json!({"date": "2096-07-01T09:00:00", "message": "Tablets"});
    let refused = ada.reminders.post("/reminders", &body).await.expect(422);
    assert_eq!(refused.reason(), Some("INVALID_DUEDATE"));
    for (zone, date) in
        [("Europe/Berlin", "2096-07-01T07:00:00.000Z"), ("Asia/Tokyo", "2096-07-01T00:00:00.000Z")]
    {
        ada.notifications.put("/preferences", &json!({"timeZone": zone})).await.expect(200);
        let id = ada.create_reminder(&body).await;
        let reminder = ada.reminders.get(&format!("/reminders/{id}")).await.expect(200).body;
        assert_eq!((&reminder["date"], &reminder["timeZone"]), (&json!(date), &json!(zone)));
    }
}

async fn defers_normal_reminders_in_quiet_hours(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "ios").await;
    let clock = |hours| (Utc::now() + TimeDelta::hours(hours)).format("%H:%M").to_string();
    let quiet = json!({"quietHours": {"start": clock(-2), "end": clock(2)}});
    ada.notifications.put("/preferences", &quiet).await.expect(200);
    let (normal, due) = ada.create_reminder_due_in(3, &["push"], "Normal").await;
    let urgent = json!({
        "date": rfc3339(due),
        "title": "Urgent",
        "message": "now",
        "channels": ["push"],
        "priority": "high",
    });
    ada.create_reminder(&urgent).await;

    assert_eq!(ada.wait_for_deliveries("sent", 1).await[0]["title"], "Urgent");
    assert_eq!(ada.wait_for_deliveries("deferred", 1).await[0]["reason"], "QUIET_HOURS");
    suite.wait_for_event(&normal, "notification:deferred").await;
    ada.update_reminder(&normal, &json!({"title": "Edited"})).await;
    ada.wait_for_title("Edited").await;
    ada.notifications.put("/preferences", &json!({})).await.expect(200);
    ada.wait_for_deliveries("sent", 2).await;
    suite.wait_for_states(&normal, &["sent"]).await;
    assert_eq!(suite.push_titles(), ["Urgent", "Edited"]);
}
