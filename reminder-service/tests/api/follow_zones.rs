//! Changes of users' zones, as they are read and applied to floating reminders.

use std::time::Duration;

use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta, Utc};
use contract::EventType;
use serde_json::json;
use support::{postgres::Database, wait_until};

use crate::{
    messages::receive,
    preferences::{Preferences, in_zone},
    service::{LIMIT, Service, bus},
};

const LOCAL: &str = "2096-07-01T09:00:00";

async fn make(service: &Service) -> String {
    service.make(&json!({"date": LOCAL, "timeZone": "user", "message": "Tablets"})).await
}

/// Runs a statement.
async fn execute(database: &Database, sql: &'static str) {
    sqlx::query(sql).execute(&database.pool().await).await.expect("executed");
}

async fn count(service: &Service, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(&service.database.pool().await).await.expect("a count")
}

/// Copies the only reminder.
async fn copy(service: &Service, copies: i32, user: &str) {
    let sql = "insert into reminders (id, user_id, date, time_zone, is_floating, notify_offsets,
            channels, message, expires_after_minutes, priority, last_at)
        select gen_random_uuid(), $1, date, time_zone, true, notify_offsets, channels, message,
            expires_after_minutes, priority, last_at
        from (select * from reminders limit 1) as one, generate_series(1, $2)";
    let pool = service.database.pool().await;
    sqlx::query(sql).bind(user).bind(copies).execute(&pool).await.expect("copied");
}

const ELSEWHERE: &str = "select count(*) from reminders where time_zone <> 'Asia/Tokyo'";

#[tokio::test]
async fn publishes_change_with_address_of_user() {
    let (preferences, service) = Preferences::start(in_zone("Europe/Berlin")).await;
    make(&service).await;
    let id = make(&service).await;
    let bus = bus(service.database.url()).await.expect("a bus");
    receive(&bus, 2).await;
    service.ada.patch(&format!("/reminders/{id}"), &json!({"timeZone": "UTC"})).await.expect(200);
    receive(&bus, 1).await;

    preferences.change_zone("ada", Some("Asia/Tokyo"));
    let [moved] = receive(&bus, 1).await.try_into().expect("one event");
    assert_eq!((moved.event_type, moved.version), (EventType::ReminderUpdated, 2));
    assert_eq!(moved.user_email.as_deref(), Some("ada@example.com"));
    let data = moved.reminder().expect("a reminder");
    assert_eq!(
        (data.content.time_zone.as_str(), data.date.to_rfc3339()),
        ("Asia/Tokyo", "2096-07-01T00:00:00+00:00".to_owned())
    );

    preferences.change_zone_as("ada", Some("Europe/Berlin"), None);
    let [moved] = receive(&bus, 1).await.try_into().expect("one event");
    assert_eq!((moved.version, moved.user_email), (3, None));
}

#[tokio::test]
async fn moves_all_reminders_of_user_in_batches() {
    let (preferences, service) = Preferences::start(in_zone("Europe/Berlin")).await;
    make(&service).await;
    copy(&service, 1_000, "ada").await;
    preferences.change_zone("ada", Some("Asia/Tokyo"));
    wait_until(LIMIT, async || count(&service, ELSEWHERE).await == 0).await;
    let moved = count(&service, "select count(*) from reminders where version = 2").await;
    assert_eq!(moved, 1_001, "each once");
}

#[tokio::test]
async fn moves_others_beside_user_with_many_reminders() {
    let (preferences, service) = Preferences::start(in_zone("Europe/Berlin")).await;
    make(&service).await;
    copy(&service, 10_000, "mallory").await;
    copy(&service, 1, "bob").await;
    let zones = ["Asia/Tokyo", "Asia/Seoul", "Asia/Kolkata"];
    preferences.change_zone("mallory", Some(zones[0]));
    preferences.change_zone("bob", Some("Asia/Tokyo"));
    // While mallory changes the zone again and again.
    let mut zones = zones.iter().cycle();
    wait_until(LIMIT, async || {
        preferences.change_zone("mallory", zones.next().copied());
        count(
            &service,
            "select count(*) from reminders where user_id = 'bob' and time_zone = 'Asia/Tokyo'",
        )
        .await
            == 1
    })
    .await;
    preferences.change_zone("mallory", Some("Asia/Tokyo"));
    let left =
        "select count(*) from reminders where user_id = 'mallory' and time_zone <> 'Asia/Tokyo'";
    wait_until(Duration::from_secs(60), async || count(&service, left).await == 0).await;
}

#[tokio::test]
async fn applies_changes_after_feed_was_unreachable() {
    let (preferences, service) = Preferences::start(in_zone("Europe/Berlin")).await;
    let id = make(&service).await;
    preferences.set_feed_status(Some(StatusCode::INTERNAL_SERVER_ERROR));
    preferences.change_zone("ada", Some("Asia/Tokyo"));
    wait_until(LIMIT, async || preferences.readings() >= 3).await;
    let metrics = service.admin.get("/metrics").await.expect(200).body;
    assert!(metrics.to_string().contains("reminders_zone_changes_age_seconds"), "{metrics}");
    assert_eq!(count(&service, ELSEWHERE).await, 1);
    preferences.set_feed_status(None);
    service.wait_for_zone(&id, "Asia/Tokyo").await;
}

#[tokio::test]
async fn reads_nothing_without_floating_reminders() {
    let (preferences, service) = Preferences::start(in_zone("Europe/Berlin")).await;
    let fixed = json!({"date": LOCAL, "timeZone": "Europe/Berlin", "message": "Tablets"});
    service.make(&fixed).await;
    // Started again, it looks for floating reminders at once.
    let database = service.stop().await;
    let service = Service::start_on(database, &preferences.variables()).await;
    service.ready().await;
    let metric = async || service.admin.get("/metrics").await.expect(200).body.to_string();
    wait_until(LIMIT, async || metric().await.contains("reminders_zone_changes_age_seconds 0"))
        .await;
    assert_eq!(preferences.readings(), 0);
}

#[tokio::test]
async fn moves_each_reminder_once_with_two_replicas() {
    let (preferences, service) = Preferences::start(in_zone("Europe/Berlin")).await;
    make(&service).await;
    copy(&service, 500, "ada").await;
    let url = service.database.url().to_owned();
    let other = Service::replica(&url, &preferences.variables()).await;
    preferences.change_zone("ada", Some("Asia/Tokyo"));
    wait_until(LIMIT, async || count(&service, ELSEWHERE).await == 0).await;
    assert_eq!(count(&service, "select max(version) from reminders").await, 2);
    let holders = "select count(*) from zone_feed where lease_until > now()";
    assert_eq!(count(&service, holders).await, 1);
    other.cancel();
}

#[tokio::test]
async fn takes_over_changes_of_process_that_ended() {
    let (preferences, service) = Preferences::start(in_zone("Europe/Berlin")).await;
    let id = make(&service).await;
    preferences.set_feed_status(Some(StatusCode::SERVICE_UNAVAILABLE));
    wait_until(LIMIT, async || preferences.readings() > 0).await;
    preferences.change_zone("ada", Some("Asia/Tokyo"));
    let database = service.stop().await;
    let held =
        "update zone_feed set holder = gen_random_uuid(), lease_until = now() + interval '2 s'";
    execute(&database, held).await;
    preferences.set_feed_status(None);
    let readings = preferences.readings();
    let service = Service::start_on(database, &preferences.variables()).await;
    service.ready().await;
    service.wait_for_zone(&id, "Asia/Tokyo").await;
    assert!(preferences.readings() > readings);
}

#[tokio::test]
async fn leaves_reminder_that_cannot_be_moved() {
    let (preferences, service) = Preferences::start(in_zone("UTC")).await;
    let last = json!({"date": "9999-12-31T23:30:00", "timeZone": "user", "message": "Tablets"});
    let (last, id) = (service.make(&last).await, make(&service).await);
    preferences.change_zone("ada", Some("America/New_York"));
    service.wait_for_zone(&id, "America/New_York").await;
    service.wait_for_zone(&last, "UTC").await;
    // A zone that the time zone database in use does not have changes nothing.
    preferences.change_zone("ada", Some("Mars/Olympus"));
    let readings = preferences.readings();
    wait_until(LIMIT, async || preferences.readings() > readings + 1).await;
    service.wait_for_zone(&id, "America/New_York").await;
}

#[tokio::test]
async fn refuses_large_answer_with_changes() {
    let (preferences, service) = Preferences::start(in_zone("UTC")).await;
    let id = make(&service).await;
    preferences.change_zone("ada", Some("Asia/Tokyo"));
    preferences.change_zone(&"x".repeat(2 * 1024 * 1024), Some("Asia/Tokyo"));
    wait_until(LIMIT, async || preferences.readings() >= 2).await;
    service.wait_for_zone(&id, "UTC").await;
    preferences.forget_changes();
    preferences.change_zone("ada", Some("Asia/Tokyo"));
    service.wait_for_zone(&id, "Asia/Tokyo").await;
}

#[tokio::test]
async fn publishes_skipped_delivery_with_its_time() {
    let (preferences, service) = Preferences::start(in_zone("Etc/GMT")).await;
    let due = DateTime::from_timestamp_secs(Utc::now().timestamp()).expect("a time")
        + TimeDelta::hours(1);
    let local = due.format("%Y-%m-%dT%H:%M:%S").to_string();
    let body = json!({"date": local, "timeZone": "user", "message": "Tablets"});
    let id = service.make(&body).await;
    let bus = bus(service.database.url()).await.expect("a bus");
    receive(&bus, 1).await;
    // By the clock three hours ahead of UTC, it was due two hours ago.
    preferences.change_zone("ada", Some("Etc/GMT-3"));
    let [moved] = receive(&bus, 1).await.try_into().expect("one event");
    let passed = due - TimeDelta::hours(3);
    assert_eq!(moved.reminder().expect("a reminder").date, passed);
    assert_eq!(moved.occurred_at, passed - TimeDelta::milliseconds(1));
    // It is delivered now, and can be snoozed.
    service.ada.post(&format!("/reminders/{id}/snooze"), &json!({"minutes": 5})).await.expect(200);
}
