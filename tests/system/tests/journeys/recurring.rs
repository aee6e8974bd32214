//! Recurring reminders.

use chrono::{TimeDelta, Utc};
use contract::occurrence_id;
use serde_json::json;
use system::{Bus, Service, TestSuite, parse_time, rfc3339, truncate_to_seconds};

crate::on_both_buses!(continues_series_and_follows_its_edits, sends_latest_of_missed_occurrences,);

async fn continues_series_and_follows_its_edits(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "android").await;
    let first = truncate_to_seconds(Utc::now() + TimeDelta::seconds(4));
    let every = |frequency: &str| {
        json!({
            "date": rfc3339(first),
            "title": "Stand up",
            "message": "for a minute",
            "channels": ["push"],
            "recurrence": {"rrule": format!("FREQ={frequency}")},
        })
    };
    let refused = ada.reminders.post("/reminders", &every("SECONDLY")).await.expect(422);
    assert_eq!(refused.reason(), Some("INVALID_RECURRENCE"));
    let id = ada.create_reminder(&every("MINUTELY")).await;

    let occurrences = suite.wait_for_states(&id, &["sent", "pending"]).await;
    let next = first + TimeDelta::minutes(1);
    assert_eq!(
        (parse_time(&occurrences[0]["dueAt"]), parse_time(&occurrences[1]["dueAt"])),
        (first, next)
    );
    let shown =
        ada.reminders.get(&format!("/reminders/{id}/occurrences?limit=1")).await.expect(200).body;
    assert_eq!(parse_time(&shown["occurrences"][0]["deliveries"][0]["deliverAt"]), next, "{shown}");

    let later = first + TimeDelta::hours(1);
    ada.update_reminder(&id, &json!({"date": rfc3339(later)})).await;
    let occurrences = suite.wait_for_states(&id, &["sent", "cancelled", "pending"]).await;
    assert_eq!(parse_time(&occurrences[2]["dueAt"]), later);
    ada.delete_reminder(&id).await;
    suite.wait_for_states(&id, &["sent", "cancelled", "cancelled"]).await;
    assert_eq!(suite.sandbox.captured().len(), 1);
}

async fn sends_latest_of_missed_occurrences(bus: Bus) {
    let mut suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "ios").await;
    suite.kill(Service::Scheduler).await;
    let next = truncate_to_seconds(Utc::now() + TimeDelta::seconds(50));
    let body = json!({
        "date": rfc3339(next - TimeDelta::minutes(10)),
        "title": "Drink",
        "message": "a glass",
        "channels": ["push"],
        "recurrence": {"rrule": "FREQ=MINUTELY"},
    });
    let id = ada.create_reminder(&body).await;
    suite.wait_for_states(&id, &["pending"]).await;
    let since = TimeDelta::minutes(4);
    move_into_past(&suite, &id, since, next - since).await;

    suite.start_process(Service::Scheduler).await;
    let occurrences = suite
        .wait_for_states(&id, &["suppressed", "suppressed", "suppressed", "sent", "pending"])
        .await;
    for (number, occurrence) in (0..).zip(&occurrences) {
        assert_eq!(parse_time(&occurrence["dueAt"]), next - since + TimeDelta::minutes(number));
        assert_eq!(occurrence["reason"], if number < 3 { json!("MISSED") } else { json!(null) });
    }
    assert_eq!(suite.sandbox.captured().len(), 1);
    for delivery in ada.wait_for_deliveries("suppressed", 3).await {
        assert_eq!((&delivery["reason"], &delivery["title"]), (&json!("MISSED"), &json!("Drink")));
    }
}

/// Moves the creation and the pending occurrence of a recurring reminder into the past, instead of
/// waiting.
async fn move_into_past(suite: &TestSuite, id: &str, by: TimeDelta, due_at: chrono::DateTime<Utc>) {
    let pool = suite.pool(Service::Scheduler).await;
    let moved = sqlx::query(
        "with notification as (update notifications set occurred_at = occurred_at - $1
                               where item_id = $2 returning id)
         update occurrences set id = $3, due_at = due_at - $1, date = date - $1,
                                expires_at = expires_at - $1
         where notification_id in (select id from notification)",
    );
    let moved =
        moved.bind(by).bind(id).bind(occurrence_id("reminder", id, due_at)).execute(&pool).await;
    assert_eq!(moved.expect("the occurrence is moved").rows_affected(), 1);
}
