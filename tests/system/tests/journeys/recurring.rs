//! What comes again and again.

use chrono::{TimeDelta, Utc};
use serde_json::json;
use shared::contract::occurrence_id;
use system::{Bus, House, Service, time, whole_seconds, written};

crate::on_both_buses!(
    a_recurring_reminder_goes_on_and_its_edits_leave_nothing_behind,
    of_what_was_missed_the_latest_is_sent,
);

async fn a_recurring_reminder_goes_on_and_its_edits_leave_nothing_behind(bus: Bus) {
    let house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("token-1", "android").await;
    let first = whole_seconds(Utc::now() + TimeDelta::seconds(4));
    let every = |frequency: &str| {
        json!({"date": written(first), "title": "Stand up", "message": "for a minute", "channels": ["push"],
               "recurrence": {"rrule": format!("FREQ={frequency}")}})
    };
    let refused = ada.reminders.post("/reminders", &every("SECONDLY")).await.expect(422);
    assert_eq!(refused.reason(), Some("INVALID_RECURRENCE"));
    let id = ada.makes(&every("MINUTELY")).await;

    let occurrences = house.stands(&id, &["sent", "pending"]).await;
    let next = first + TimeDelta::minutes(1);
    assert_eq!((time(&occurrences[0]["dueAt"]), time(&occurrences[1]["dueAt"])), (first, next));
    let shown =
        ada.reminders.get(&format!("/reminders/{id}/occurrences?limit=1")).await.expect(200).body;
    assert_eq!(time(&shown["occurrences"][0]["deliveries"][0]["deliverAt"]), next, "{shown}");

    let later = first + TimeDelta::hours(1);
    ada.edits(&id, &json!({"date": written(later)})).await;
    let occurrences = house.stands(&id, &["sent", "cancelled", "pending"]).await;
    assert_eq!(time(&occurrences[2]["dueAt"]), later);
    ada.deletes(&id).await;
    house.stands(&id, &["sent", "cancelled", "cancelled"]).await;
    assert_eq!(house.sandbox.captured().len(), 1);
}

async fn of_what_was_missed_the_latest_is_sent(bus: Bus) {
    let mut house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("token-1", "ios").await;
    house.kill(Service::Scheduler).await;
    let next = whole_seconds(Utc::now() + TimeDelta::seconds(50));
    let body = json!({"date": written(next - TimeDelta::minutes(10)), "title": "Drink", "message": "a glass",
                      "channels": ["push"], "recurrence": {"rrule": "FREQ=MINUTELY"}});
    let id = ada.makes(&body).await;
    house.stands(&id, &["pending"]).await;
    let since = TimeDelta::minutes(4);
    as_if_made_earlier(&house, &id, since, next - since).await;

    house.add(Service::Scheduler).await;
    let occurrences =
        house.stands(&id, &["suppressed", "suppressed", "suppressed", "sent", "pending"]).await;
    for (number, occurrence) in (0..).zip(&occurrences) {
        assert_eq!(time(&occurrence["dueAt"]), next - since + TimeDelta::minutes(number));
        assert_eq!(occurrence["reason"], if number < 3 { json!("MISSED") } else { json!(null) });
    }
    assert_eq!(house.sandbox.captured().len(), 1);
}

/// Moves a recurring reminder's making and its waiting occurrence back, in place of letting the
/// time pass.
async fn as_if_made_earlier(house: &House, id: &str, by: TimeDelta, due_at: chrono::DateTime<Utc>) {
    let pool = house.pool(Service::Scheduler).await;
    let moved = sqlx::query(
        "with notification as (update notifications set occurred_at = occurred_at - $1 where item_id = $2 returning id)
         update occurrences set id = $3, due_at = due_at - $1, date = date - $1, expires_at = expires_at - $1
         where notification_id in (select id from notification)",
    );
    let moved =
        moved.bind(by).bind(id).bind(occurrence_id("reminder", id, due_at)).execute(&pool).await;
    assert_eq!(moved.expect("the occurrence is moved").rows_affected(), 1);
}
