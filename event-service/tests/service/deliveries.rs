//! Which times of delivery are kept with a notification.

use bus::Settlement;
use chrono::{DateTime, Utc};
use contract::{EventType, ReminderData, Snooze, occurrence_id};
use event_service::domain::identity::{Source, notification_id};
use service::consumer::Handler;

use crate::fixture::{
    TestService, created, data, deleted, event, hours, minutes, now, received, test_service,
    updated,
};

async fn pending(service: &TestService, item: &str) -> Vec<DateTime<Utc>> {
    service
        .occurrences(item)
        .await
        .into_iter()
        .filter(|(_, state)| state == "pending")
        .map(|(due_at, _)| due_at)
        .collect()
}

/// As a scheduler marks it.
async fn release(service: &TestService, due_at: DateTime<Utc>) {
    let sql = "update occurrences set state = 'released', released_at = now() where due_at = $1";
    sqlx::query(sql).bind(due_at).execute(&service.pool).await.expect("marked");
}

#[tokio::test]
async fn creates_one_occurrence_per_offset() {
    let service = test_service().await;
    let date = now() + hours(2);
    service.apply(&[created("a", 1, date, &[60, 10, 10, 0])]).await;
    assert_eq!(pending(&service, "a").await, [date - minutes(60), date - minutes(10), date]);
}

#[tokio::test]
async fn moves_every_occurrence_when_edited() {
    let service = test_service().await;
    let (before, after) = (now() + hours(2), now() + hours(5));
    service.apply(&[created("a", 1, before, &[60, 0])]).await;
    service.apply(&[updated("a", 2, after, &[60, 0])]).await;
    assert_eq!(pending(&service, "a").await, [after - minutes(60), after]);
    assert_eq!(service.occurrences("a").await[&before], "cancelled");
    service.apply(&[updated("a", 3, before, &[0])]).await;
    assert_eq!(pending(&service, "a").await, [before], "a cancelled one may wait again");
}

#[tokio::test]
async fn keeps_released_occurrence_when_edited() {
    let service = test_service().await;
    let date = now() + hours(2);
    service.apply(&[created("a", 1, date, &[60, 0])]).await;
    release(&service, date - minutes(60)).await;
    service.apply(&[updated("a", 2, date, &[60, 0])]).await;
    service.apply(&[deleted("a", 3)]).await;
    let states = service.occurrences("a").await;
    assert_eq!(
        (states[&(date - minutes(60))].as_str(), states[&date].as_str()),
        ("released", "cancelled")
    );
}

#[tokio::test]
async fn creates_past_occurrence_unless_expired() {
    let service = test_service().await;
    let date = now() - minutes(5);
    service.apply(&[created("a", 1, date, &[0, 120])]).await;
    assert_eq!(pending(&service, "a").await, [date]);
}

#[tokio::test]
async fn creates_no_past_occurrence_when_edited() {
    let service = test_service().await;
    let date = now() + minutes(30);
    service.apply(&[created("a", 1, date, &[0])]).await;
    service.apply(&[updated("a", 2, date, &[0, 60])]).await;
    assert_eq!(pending(&service, "a").await, [date], "an hour before was half an hour ago");
}

#[tokio::test]
async fn keeps_late_pending_occurrence_when_edited() {
    let service = test_service().await;
    let date = now() - minutes(5);
    let made =
        received(&event(EventType::ReminderCreated, "a", 1, now() - hours(1), data(date, &[0])));
    service.apply(&[made]).await;
    service.apply(&[updated("a", 2, date, &[0, 20])]).await;
    assert_eq!(pending(&service, "a").await, [date]);
}

#[tokio::test]
async fn creates_occurrence_when_event_is_late() {
    let service = test_service().await;
    let (made, due) = (now() - hours(3), now() - minutes(170));
    let create =
        received(&event(EventType::ReminderCreated, "a", 1, made, data(now() + hours(9), &[0])));
    let moved = received(&event(EventType::ReminderUpdated, "a", 2, made, data(due, &[0])));
    let renamed = received(&event(EventType::ReminderUpdated, "a", 3, now(), data(due, &[0])));
    service.apply(&[renamed, create, moved]).await;
    assert_eq!(pending(&service, "a").await, [due], "the scheduler ends it as expired");
}

#[tokio::test]
async fn keeps_tombstone_when_deleted_before_creation() {
    let service = test_service().await;
    service.apply(&[deleted("a", 2)]).await;
    service.apply(&[created("a", 1, now() + hours(2), &[0])]).await;
    let kept = service.notification("a").await.expect("a tombstone");
    assert_eq!((kept.version, kept.state.as_str(), kept.content), (2, "deleted", None));
    assert!(service.occurrences("a").await.is_empty());
    assert_eq!(service.count("events").await, 2, "both are in the catalogue");
}

#[tokio::test]
async fn applies_highest_version_of_batch() {
    let service = test_service().await;
    let dates = [now() + hours(2), now() + hours(3), now() + hours(4)];
    service
        .apply(&[
            updated("a", 3, dates[2], &[0]),
            created("a", 1, dates[0], &[0]),
            updated("a", 2, dates[1], &[0]),
        ])
        .await;
    assert_eq!(pending(&service, "a").await, [dates[2]]);
    assert_eq!(service.notification("a").await.map(|notification| notification.version), Some(3));
}

/// Another replica makes the notification, and a scheduler claims what is due of it, while its
/// snooze is planned as that of an unknown one.
#[tokio::test]
async fn cancels_claimed_occurrence_when_snoozed() {
    let service = test_service().await;
    let (due, until) = (now() - minutes(1), now() + hours(1));
    let id = notification_id(Source::Reminder, &"a".parse().expect("an id"));
    let mut other = service.pool.begin().await.expect("begun");
    let made = "insert into notifications (id, source, item_id, user_id, version, state, date,
        notify_offsets, content, occurred_at)
        values ($1, 'reminder', 'a', 'user-1', 1, 'active', $2, '{0}', $3, $2 - interval '1 hour')";
    let content = serde_json::to_value(data(due, &[0]).content).expect("JSON");
    sqlx::query(made).bind(id).bind(due).bind(content).execute(&mut *other).await.expect("made");
    let claimed = "insert into occurrences (id, notification_id, due_at, date, expires_at,
        lease_until, fence)
        values ($1, $2, $3, $3, $3 + interval '1 hour', now() + interval '15 seconds', 1)";
    let occurrence = occurrence_id("reminder", "a", due);
    sqlx::query(claimed)
        .bind(occurrence)
        .bind(id)
        .bind(due)
        .execute(&mut *other)
        .await
        .expect("claimed");

    let snooze = Some(Snooze { date: due, until });
    let snoozed = ReminderData { snooze, ..data(due, &[0]) };
    let snoozed = received(&event(EventType::ReminderUpdated, "a", 2, now(), snoozed));
    let handler = service.handler.clone();
    let applying = tokio::spawn(async move { handler.handle(&[snoozed]).await });
    let waits = "select exists (select from pg_stat_activity where wait_event_type = 'Lock'
        and datname = current_database())";
    support::wait_until(std::time::Duration::from_secs(20), async || {
        sqlx::query_scalar(waits).fetch_one(&service.pool).await.unwrap_or(false)
    })
    .await;
    other.commit().await.expect("committed");

    assert_eq!(applying.await.expect("no panic"), [Settlement::Done]);
    let states = service.occurrences("a").await;
    assert_eq!((states[&due].as_str(), states[&until].as_str()), ("cancelled", "pending"));
    assert_eq!(
        service.count("commands where attributes->>'eventType' = 'notification:delete'").await,
        1
    );
}
