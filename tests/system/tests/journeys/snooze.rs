//! Snooze and acknowledgement of delivered reminders.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use support::wait_until;
use system::{Bus, LIMIT, Service, TestSuite, TestUser, parse_time, rfc3339, truncate_to_seconds};

crate::on_both_buses!(
    delivers_snoozed_reminder_again,
    cancels_occurrences_when_acknowledged,
    continues_series_after_snooze_and_edit,
    delivers_once_when_snoozed_in_provider_outage,
    delivers_once_when_snoozed_in_ledger_outage,
    delivers_once_when_snoozed_in_bus_outage,
    delivers_nothing_when_acknowledged_in_outage,
);

async fn delivers_snoozed_reminder_again(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "android").await;
    let (id, _) = ada.create_reminder_due_in(3, &["push"], "Tablets").await;
    let snooze = format!("/reminders/{id}/snooze");
    let too_early = ada.reminders.post(&snooze, &json!({"minutes": 5})).await.expect(409);
    assert_eq!(too_early.reason(), Some("CONFLICT"));
    suite.wait_for_states(&id, &["sent"]).await;
    let until = Utc::now() + TimeDelta::seconds(3);
    let snoozed =
        ada.reminders.post(&snooze, &json!({"until": rfc3339(until)})).await.expect(200).body;
    assert_eq!(
        (snoozed["status"].as_str(), &snoozed["nextAt"]),
        (Some("scheduled"), &json!(rfc3339(until)))
    );

    suite.wait_for_states(&id, &["sent", "sent"]).await;
    ada.wait_for_deliveries("sent", 2).await;
    let captured = suite.sandbox.captured();
    assert_eq!((captured.len(), suite.sandbox.stats().duplicates), (2, 0));
    for push in captured.iter().filter_map(|message| message.push()) {
        assert_eq!(
            (push.title.as_deref(), push.body.as_deref()),
            (Some("Tablets"), Some("Tablets, please"))
        );
    }
    assert!(captured[1].at.timestamp_millis() >= until.timestamp_millis());
    let after = ada.reminders.get(&format!("/reminders/{id}")).await.expect(200).body;
    assert_eq!((after["status"].as_str(), &after["nextAt"]), (Some("completed"), &json!(null)));
}

async fn cancels_occurrences_when_acknowledged(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "web").await;
    let date = Utc::now() + TimeDelta::seconds(63);
    let body = json!({
        "date": rfc3339(date),
        "notifyOffsets": [0, 1],
        "message": "now",
        "channels": ["push"],
    });
    let id = ada.create_reminder(&body).await;
    suite.wait_for_states(&id, &["sent", "pending"]).await;
    ada.reminders
        .post(&format!("/reminders/{id}/snooze"), &json!({"minutes": 30}))
        .await
        .expect(200);
    let occurrences = suite.wait_for_states(&id, &["sent", "pending", "pending"]).await;
    assert_eq!(occurrences[2]["date"], occurrences[1]["date"], "the same date again");
    assert!(parse_time(&occurrences[2]["dueAt"]) > date);

    let acknowledged = ada.acknowledge_reminder(&id).await;
    assert_eq!(
        (acknowledged["status"].as_str(), &acknowledged["nextAt"]),
        (Some("completed"), &json!(null))
    );
    suite.wait_for_states(&id, &["sent", "cancelled", "cancelled"]).await;
    assert_eq!(suite.sandbox.captured().len(), 1);
}

async fn continues_series_after_snooze_and_edit(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "ios").await;
    let date = rfc3339(truncate_to_seconds(Utc::now() + TimeDelta::seconds(4)));
    let body = json!({
        "date": date,
        "title": "Plants",
        "message": "water them",
        "channels": ["push"],
        "recurrence": {"rrule": "FREQ=HOURLY;COUNT=3"},
    });
    let id = ada.create_reminder(&body).await;
    suite.wait_for_states(&id, &["sent", "pending"]).await;
    ada.snooze_reminder(&id, 2).await;
    suite.wait_for_states(&id, &["sent", "sent", "pending"]).await;
    ada.update_reminder(&id, &json!({"title": "All plants"})).await;
    ada.snooze_reminder(&id, 30 * 60).await;
    suite.wait_for_states(&id, &["sent", "sent", "pending", "pending"]).await;
    ada.acknowledge_reminder(&id).await;
    suite.wait_for_states(&id, &["sent", "sent", "cancelled", "pending"]).await;

    let once = json!({"recurrence": null, "date": rfc3339(Utc::now() + TimeDelta::seconds(2))});
    assert_eq!(ada.update_reminder(&id, &once).await["isRecurring"], false);
    suite.wait_for_states(&id, &["sent", "sent", "sent", "cancelled", "cancelled"]).await;
    assert_eq!(suite.push_titles(), ["Plants", "Plants", "All plants"]);
}

/// Waits until some occurrence in the database meets a condition.
async fn wait_for_occurrence(suite: &TestSuite, condition: &'static str) {
    let pool = suite.pool(Service::Events).await;
    let sql = format!("select exists (select from occurrences where {condition})");
    wait_until(LIMIT, async || {
        let sql = sqlx::AssertSqlSafe(sql.clone());
        sqlx::query_scalar(sql).fetch_one(&pool).await.unwrap_or(false)
    })
    .await;
    pool.close().await;
}

/// Waits for a snoozed reminder, and checks that one push arrived, and not before the snoozed time.
async fn assert_delivered_once(suite: &TestSuite, ada: &TestUser, until: DateTime<Utc>) {
    ada.wait_for_deliveries("sent", 1).await;
    // A later reminder shows that no further push is to come.
    let (after, _) = ada.create_reminder_due_in(2, &["push"], "Later").await;
    suite.wait_for_states(&after, &["sent"]).await;
    assert_eq!(suite.push_titles(), ["Tablets", "Later"]);
    let captured = suite.sandbox.captured();
    assert!(
        captured[0].at.timestamp_millis() >= until.timestamp_millis(),
        "a push arrived before the snoozed time"
    );
}

async fn delivers_once_when_snoozed_in_provider_outage(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "android").await;
    suite.set_fcm_available(false);
    let (id, _) = ada.create_reminder_due_in(2, &["push"], "Tablets").await;
    suite.wait_for_push_attempts("token-1", 1).await;
    suite.wait_for_states(&id, &["released"]).await;
    let until = ada.snooze_reminder(&id, 4).await;
    assert_eq!(ada.wait_for_deliveries("suppressed", 1).await[0]["reason"], "SNOOZED");

    suite.set_fcm_available(true);
    assert_delivered_once(&suite, &ada, until).await;
    suite.wait_for_states(&id, &["suppressed", "sent"]).await;
}

async fn delivers_once_when_snoozed_in_ledger_outage(bus: Bus) {
    let mut suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "android").await;
    suite.kill(Service::Notifications).await;
    let (id, _) = ada.create_reminder_due_in(2, &["push"], "Tablets").await;
    suite.wait_for_states(&id, &["released"]).await;
    wait_for_occurrence(&suite, "state = 'released' and due_at < now() - interval '4 seconds'")
        .await;
    let until = ada.snooze_reminder(&id, 12).await;
    suite.wait_for_states(&id, &["released", "pending"]).await;

    suite.start_process(Service::Notifications).await;
    suite.wait_until_ready().await;
    assert_delivered_once(&suite, &suite.user("ada"), until).await;
    let occurrences = suite.wait_for_states(&id, &["suppressed", "sent"]).await;
    assert_eq!(occurrences[0]["reason"], "SNOOZED");
}

async fn delivers_once_when_snoozed_in_bus_outage(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "android").await;
    let (id, _) = ada.create_reminder_due_in(3, &["push"], "Tablets").await;
    suite.wait_for_states(&id, &["pending"]).await;
    suite.disconnect_bus().await;
    wait_for_occurrence(&suite, "pending and fence > 0 and due_at < now() - interval '4 seconds'")
        .await;
    // Neither the occurrence nor the snooze can be published.
    let until = ada.snooze_reminder(&id, 25).await;

    suite.reconnect_bus().await;
    assert_delivered_once(&suite, &ada, until).await;
    // Cancelled before it was published, or in the ledger.
    wait_for_occurrence(&suite, "state in ('cancelled', 'suppressed') and reason = 'SNOOZED'")
        .await;
}

async fn delivers_nothing_when_acknowledged_in_outage(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "ios").await;
    suite.set_fcm_available(false);
    let (id, _) = ada.create_reminder_due_in(2, &["push"], "Never").await;
    suite.wait_for_push_attempts("token-1", 1).await;
    suite.wait_for_states(&id, &["released"]).await;
    ada.acknowledge_reminder(&id).await;
    let suppressed = ada.wait_for_deliveries("suppressed", 1).await;
    assert_eq!(suppressed[0]["reason"], "ACKNOWLEDGED");
    suite.set_fcm_available(true);
    let (after, _) = ada.create_reminder_due_in(2, &["push"], "Later").await;
    suite.wait_for_states(&after, &["sent"]).await;
    suite.wait_for_states(&id, &["suppressed"]).await;
    assert_eq!(suite.push_titles(), ["Later"]);
}
