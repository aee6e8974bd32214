//! Floating reminders, which follow the zone of their user's preferences.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use support::wait_until;
use system::{Bus, LIMIT, TestSuite, TestUser, parse_time, truncate_to_seconds};

crate::on_both_buses!(
    delivers_at_same_wall_clock_in_new_zone,
    delivers_once_when_zone_skips_and_repeats_time,
    follows_series_and_many_reminders_with_two_replicas,
);

/// Clocks without changes: by convention, `Etc/GMT-3` is three hours ahead.
const HOME: &str = "Etc/GMT";
const EAST: &str = "Etc/GMT-3";

async fn set_zone(user: &TestUser, zone: &str) {
    user.notifications.put("/preferences", &json!({"timeZone": zone})).await.expect(200);
}

async fn shown(user: &TestUser, id: &str) -> Value {
    user.reminders.get(&format!("/reminders/{id}")).await.expect(200).body
}

async fn wait_for_zone(user: &TestUser, id: &str, zone: &str) -> Value {
    wait_until(LIMIT, async || {
        let reminder = shown(user, id).await;
        if reminder["effectiveTimeZone"] == zone { Ok(reminder) } else { Err(reminder) }
    })
    .await
}

/// Body of a floating reminder at a time in the zone `HOME`.
fn floating(at: DateTime<Utc>, title: &str) -> Value {
    let local = at.format("%Y-%m-%dT%H:%M:%S").to_string();
    json!({
        "date": local, "timeZone": "user", "title": title, "message": "now", "channels": ["push"]
    })
}

async fn delivers_at_same_wall_clock_in_new_zone(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "android").await;
    set_zone(&ada, HOME).await;
    let soon = truncate_to_seconds(Utc::now() + TimeDelta::seconds(20));
    let id = ada.create_reminder(&floating(soon + TimeDelta::hours(3), "Tablets")).await;
    suite.wait_for_states(&id, &["pending"]).await;

    set_zone(&ada, EAST).await;
    let moved = wait_for_zone(&ada, &id, EAST).await;
    assert_eq!((parse_time(&moved["date"]), &moved["version"]), (soon, &json!(2)));
    ada.wait_for_title("Tablets").await;
    let [sent, cancelled] =
        suite.wait_for_states(&id, &["sent", "cancelled"]).await.try_into().expect("two");
    assert_eq!(parse_time(&sent["dueAt"]), soon);
    assert_eq!(parse_time(&cancelled["dueAt"]), soon + TimeDelta::hours(3));
    assert_eq!(suite.push_titles(), ["Tablets"]);
}

async fn delivers_once_when_zone_skips_and_repeats_time(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "android").await;
    set_zone(&ada, HOME).await;
    let due = truncate_to_seconds(Utc::now() + TimeDelta::hours(1));
    let id = ada.create_reminder(&floating(due, "Tablets")).await;
    suite.wait_for_states(&id, &["pending"]).await;

    // By the clock in the east, the time was two hours ago.
    set_zone(&ada, EAST).await;
    ada.wait_for_title("Tablets").await;
    let occurrences = suite.wait_for_states(&id, &["sent", "cancelled"]).await;
    assert_eq!(parse_time(&occurrences[0]["dueAt"]), due - TimeDelta::hours(3));

    // By the clock at home, it comes again.
    set_zone(&ada, HOME).await;
    let home = wait_for_zone(&ada, &id, HOME).await;
    assert_eq!((parse_time(&home["date"]), &home["nextAt"]), (due, &Value::Null));
    assert_eq!((&home["status"], &home["acknowledgedAt"]), (&json!("completed"), &Value::Null));
    // Its event is applied before that of a later reminder.
    let (_, later) = ada.create_reminder_due_in(3, &["push"], "Later").await;
    ada.wait_for_title("Later").await;
    assert!(Utc::now() >= later);
    suite.wait_for_states(&id, &["sent", "cancelled"]).await;
    assert_eq!(suite.push_titles(), ["Tablets", "Later"]);
}

async fn follows_series_and_many_reminders_with_two_replicas(bus: Bus) {
    let suite = TestSuite::start_with_replicas(bus, 2).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "android").await;
    set_zone(&ada, HOME).await;
    let soon = truncate_to_seconds(Utc::now() + TimeDelta::seconds(40));
    let mut body = floating(soon + TimeDelta::hours(3), "Tablets");
    body["recurrence"] = json!({"rrule": "FREQ=DAILY"});
    let id = ada.create_reminder(&body).await;
    let far = floating(Utc::now() + TimeDelta::days(90), "Far");
    let many: Vec<&Value> = std::iter::repeat_n(&far, 1_000).collect();
    ada.reminders.post("/reminders/bulk", &json!({"reminders": many})).await.expect(200);

    set_zone(&ada, EAST).await;
    let moved = wait_for_zone(&ada, &id, EAST).await;
    assert_eq!(parse_time(&moved["nextAt"]), soon);
    let pool = suite.pool(support::Service::Reminders).await;
    let versions = "select coalesce(max(version), 0) from reminders where time_zone = $1";
    let elsewhere = "select count(*) from reminders where time_zone <> $1";
    wait_until(LIMIT, async || {
        let left: i64 =
            sqlx::query_scalar(elsewhere).bind(EAST).fetch_one(&pool).await.expect("a count");
        left == 0
    })
    .await;
    let newest: i64 =
        sqlx::query_scalar(versions).bind(EAST).fetch_one(&pool).await.expect("a version");
    assert_eq!(newest, 2, "each was moved once");
    ada.wait_for_title("Tablets").await;
}
