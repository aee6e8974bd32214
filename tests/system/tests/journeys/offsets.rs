//! Reminders with several offsets and channels.

use chrono::{TimeDelta, Utc};
use serde_json::json;
use system::{Bus, TestSuite, parse_time, rfc3339, truncate_to_seconds};

crate::on_both_buses!(sends_each_offset_once_per_channel);

async fn sends_each_offset_once_per_channel(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "android").await;
    let body = json!({
        "date": rfc3339(Utc::now() + TimeDelta::hours(1)),
        "notifyOffsets": [0, 1],
        "title": "Train",
        "message": "platform 4",
        "channels": ["push", "email"],
    });
    let id = ada.create_reminder(&body).await;
    suite.wait_for_states(&id, &["pending", "pending"]).await;
    let date = truncate_to_seconds(Utc::now() + TimeDelta::seconds(64));
    assert_eq!(
        ada.update_reminder(&id, &json!({"date": rfc3339(date)})).await["notifyOffsets"],
        json!([0, 1])
    );

    let occurrences =
        suite.wait_for_states(&id, &["sent", "pending", "cancelled", "cancelled"]).await;
    assert_eq!(parse_time(&occurrences[0]["dueAt"]), date - TimeDelta::minutes(1));
    assert_eq!(
        (parse_time(&occurrences[1]["dueAt"]), parse_time(&occurrences[1]["date"])),
        (date, date)
    );
    assert_eq!((&occurrences[0]["sent"], &occurrences[0]["deliveries"]), (&json!(2), &json!(2)));
    suite.wait_for_emails(&ada.email, 1).await;
    assert_eq!(suite.push_titles().len(), 1);
    assert_eq!(suite.sandbox.stats().duplicates, 0);
}
